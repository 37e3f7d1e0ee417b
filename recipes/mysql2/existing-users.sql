-- For an app that has a users table: run this instead of users.sql, then schema.sql.
-- Leave out columns that you have. Rename `name` and `password_hash` to yours, also in the hooks, or add them.
ALTER TABLE users
  ADD COLUMN email_key      varchar(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  ADD COLUMN email_verified boolean NOT NULL DEFAULT false,
  ADD COLUMN suspended      boolean NOT NULL DEFAULT false,
  ADD COLUMN auto_link      boolean NOT NULL DEFAULT true,
  MODIFY COLUMN email         varchar(254),
  MODIFY COLUMN password_hash varchar(255);
UPDATE users SET email_key = lower(email);
-- Fails if two accounts have addresses that differ in letter case only: decide whose it is first.
ALTER TABLE users ADD UNIQUE KEY users_email_lower_key (email_key);
