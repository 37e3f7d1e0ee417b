CREATE TABLE identities (
  issuer  text NOT NULL,
  subject text NOT NULL,                         -- Bitbucket's uuid; not `id`, which a join would mix up with users.id
  user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
  profile jsonb NOT NULL,
  tokens  text,                                  -- sealed
  CONSTRAINT identities_pkey PRIMARY KEY (issuer, subject),
  CONSTRAINT identities_one_per_user UNIQUE (user_id, issuer)
);

-- Your confirmation links. Only apps that verify addresses have them.
CREATE TABLE email_confirmations (
  token_hash text PRIMARY KEY,
  user_id    bigint NOT NULL REFERENCES users ON DELETE CASCADE,
  email      text NOT NULL
);

-- The table of connect-pg-simple.
CREATE TABLE IF NOT EXISTS session (
  sid    varchar PRIMARY KEY,
  sess   json NOT NULL,
  expire timestamp(6) NOT NULL
);
CREATE INDEX IF NOT EXISTS session_user_id ON session ((sess #>> '{passport,user}'));
