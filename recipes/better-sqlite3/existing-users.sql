-- For an app that has a users table: run this instead of users.sql, then schema.sql.
-- Leave out columns that you have. Rename `name` and `password_hash` to yours, also in the hooks, or add them.
ALTER TABLE users ADD COLUMN email_verified integer NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN suspended      integer NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN auto_link      integer NOT NULL DEFAULT 1;
-- Fails if two accounts have addresses that differ in letter case only: decide whose it is first.
CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email));
-- SQLite cannot drop NOT NULL from email or password_hash. If yours have it, see "Columns that are NOT NULL" in
-- node_modules/passport-bitbucket-signin/recipes/pg/README.md.
