CREATE TABLE users (
  id             bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name           varchar(255),
  email          varchar(254),
  -- Lower case, set by the app. A binary collation: in the usual ones é equals e, and two addresses could be one.
  email_key      varchar(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  email_verified boolean NOT NULL DEFAULT false,
  password_hash  varchar(255),                       -- NULL: signs in with Bitbucket only
  suspended      boolean NOT NULL DEFAULT false,
  auto_link      boolean NOT NULL DEFAULT true,      -- false after an unlink
  UNIQUE KEY users_email_lower_key (email_key)
) DEFAULT CHARACTER SET utf8mb4;
