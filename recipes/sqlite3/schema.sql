CREATE TABLE identities (
  issuer  text NOT NULL,
  subject text NOT NULL,                       -- Bitbucket's uuid; not `id`, which a join would mix up with users.id
  user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
  profile text NOT NULL,                       -- JSON
  tokens  text,                                -- sealed
  PRIMARY KEY (issuer, subject),
  UNIQUE (user_id, issuer)
);

-- Your confirmation links. Only apps that verify addresses have them.
CREATE TABLE email_confirmations (
  token_hash text PRIMARY KEY,
  user_id    integer NOT NULL REFERENCES users ON DELETE CASCADE,
  email      text NOT NULL
);
