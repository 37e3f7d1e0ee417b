CREATE TABLE users (
  id             integer PRIMARY KEY AUTOINCREMENT,
  name           text,
  email          text,
  email_verified integer NOT NULL DEFAULT 0,
  password_hash  text,                         -- NULL: signs in with Bitbucket only
  suspended      integer NOT NULL DEFAULT 0,
  auto_link      integer NOT NULL DEFAULT 1    -- 0 after an unlink
);
-- SQLite's lower() folds ASCII letters only, as the package does.
CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email));
