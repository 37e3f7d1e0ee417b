-- For an app that has a users table: run this instead of users.sql, then schema.sql.
-- Rename `name` and `password_hash` to your columns, here and in the hooks, or add them.
ALTER TABLE users
  ADD COLUMN IF NOT EXISTS email_verified boolean NOT NULL DEFAULT false,
  ADD COLUMN IF NOT EXISTS suspended      boolean NOT NULL DEFAULT false,
  ADD COLUMN IF NOT EXISTS auto_link      boolean NOT NULL DEFAULT true,
  ALTER COLUMN email         DROP NOT NULL,
  ALTER COLUMN password_hash DROP NOT NULL;
-- Fails if two accounts have addresses that differ in letter case only: decide whose it is first.
CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email COLLATE "C"));
