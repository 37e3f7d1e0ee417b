CREATE TABLE identities (
  issuer  varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  subject varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,  -- Bitbucket's uuid; not `id`
  user_id bigint unsigned NOT NULL,
  profile text NOT NULL,                             -- JSON
  tokens  mediumtext,                                -- sealed
  -- Named, because MySQL calls every primary key PRIMARY.
  UNIQUE KEY identities_key (issuer, subject),
  UNIQUE KEY identities_one_per_user (user_id, issuer),
  CONSTRAINT identities_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4;

-- Your confirmation links. Only apps that verify addresses have them.
CREATE TABLE email_confirmations (
  token_hash varchar(64) NOT NULL PRIMARY KEY,
  user_id    bigint unsigned NOT NULL,
  email_key  varchar(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  CONSTRAINT email_confirmations_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

-- The table of express-mysql-session.
CREATE TABLE IF NOT EXISTS sessions (
  session_id varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  expires    int unsigned NOT NULL,
  data       mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
);
