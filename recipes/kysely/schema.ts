import { type ColumnType, type Generated, type Kysely, sql } from 'kysely'

/** SQLite has no booleans. */
type Flag = Generated<0 | 1>

export interface Tables {
  users: {
    id: Generated<number>
    name: string | null
    email: string | null
    email_verified: Flag
    /** `null`: signs in with Bitbucket only. */
    password_hash: string | null
    suspended: Flag
    /** 0 after an unlink. */
    auto_link: Flag
  }
  identities: {
    issuer: string
    /** Bitbucket's uuid; not `id`, which a join would mix up with `users.id`. */
    subject: string
    user_id: number
    /** JSON */
    profile: string
    /** Sealed. */
    tokens: ColumnType<string | null, never, string>
  }
  /** Your confirmation links. Only apps that verify addresses have them. */
  email_confirmations: { token_hash: string; user_id: number; email: string }
  /** Sessions: express-session's data as JSON. */
  sessions: { sid: string; sess: string; expire: string }
}

export async function up(db: Kysely<Tables>): Promise<void> {
  const steps = [
    sql`CREATE TABLE users (
      id             integer PRIMARY KEY AUTOINCREMENT,
      name           text,
      email          text,
      email_verified integer NOT NULL DEFAULT 0,
      password_hash  text,
      suspended      integer NOT NULL DEFAULT 0,
      auto_link      integer NOT NULL DEFAULT 1
    )`,
    // SQLite's lower() folds ASCII letters only, as the package does.
    sql`CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email))`,
    sql`CREATE TABLE identities (
      issuer  text NOT NULL,
      subject text NOT NULL,
      user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
      profile text NOT NULL,
      tokens  text,
      PRIMARY KEY (issuer, subject),
      UNIQUE (user_id, issuer)
    )`,
    sql`CREATE TABLE email_confirmations (
      token_hash text PRIMARY KEY,
      user_id    integer NOT NULL REFERENCES users ON DELETE CASCADE,
      email      text NOT NULL
    )`,
    sql`CREATE TABLE sessions (sid text PRIMARY KEY, sess text NOT NULL, expire text NOT NULL)`,
    sql`CREATE INDEX sessions_user ON sessions (json_extract(sess, '$.passport.user'))`,
  ]
  for (const step of steps) await step.execute(db)
}
