CREATE TABLE users (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name           text,
  email          text,
  email_verified boolean NOT NULL DEFAULT false,
  password_hash  text,                           -- NULL: signs in with Bitbucket only
  suspended      boolean NOT NULL DEFAULT false,
  auto_link      boolean NOT NULL DEFAULT true   -- false after an unlink
);
-- COLLATE "C" lowers ASCII letters only, as the package does.
CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email COLLATE "C"));
