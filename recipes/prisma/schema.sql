-- As `prisma migrate` generates it from schema.prisma.
CREATE TABLE users (
  id             serial PRIMARY KEY,
  name           text,
  email          text,
  email_key      text,
  email_verified boolean NOT NULL DEFAULT false,
  password_hash  text,
  suspended      boolean NOT NULL DEFAULT false,
  auto_link      boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX users_email_lower_key ON users (email_key);
CREATE TABLE identities (
  issuer  text NOT NULL,
  subject text NOT NULL,
  user_id integer NOT NULL REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE,
  profile jsonb NOT NULL,
  tokens  text,
  CONSTRAINT identities_key PRIMARY KEY (issuer, subject)
);
CREATE UNIQUE INDEX identities_one_per_user ON identities (user_id, issuer);
CREATE TABLE email_confirmations (
  token_hash text PRIMARY KEY,
  user_id    integer NOT NULL REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE,
  email_key  text NOT NULL
);
CREATE TABLE session (
  id          text PRIMARY KEY,
  sid         text NOT NULL,
  data        text NOT NULL,
  "expiresAt" timestamp(3) NOT NULL
);
CREATE UNIQUE INDEX session_sid_key ON session (sid);
