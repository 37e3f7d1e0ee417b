-- As drizzle-kit generates it from schema.ts.
CREATE TABLE users (
  id             serial PRIMARY KEY,
  name           text,
  email          text,
  email_key      text CONSTRAINT users_email_lower_key UNIQUE,
  email_verified boolean NOT NULL DEFAULT false,
  password_hash  text,
  suspended      boolean NOT NULL DEFAULT false,
  auto_link      boolean NOT NULL DEFAULT true
);
CREATE TABLE identities (
  issuer  text NOT NULL,
  subject text NOT NULL,
  user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
  profile jsonb NOT NULL,
  tokens  text,
  CONSTRAINT identities_key UNIQUE (issuer, subject),
  CONSTRAINT identities_one_per_user UNIQUE (user_id, issuer)
);
CREATE TABLE email_confirmations (
  token_hash text PRIMARY KEY,
  user_id    integer NOT NULL REFERENCES users ON DELETE CASCADE,
  email_key  text NOT NULL
);
CREATE TABLE session (
  sid    varchar PRIMARY KEY,
  sess   json NOT NULL,
  expire timestamp(6) NOT NULL
);
