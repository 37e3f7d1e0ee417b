import { boolean, integer, json, jsonb, pgTable, serial, text, timestamp, unique, varchar } from 'drizzle-orm/pg-core'

export const users = pgTable('users', {
  id: serial().primaryKey(),
  name: text(),
  email: text(),
  /** Lower case, set by the app: the same key on every database. */
  emailKey: text('email_key').unique('users_email_lower_key'),
  emailVerified: boolean('email_verified').notNull().default(false),
  /** `null`: signs in with Bitbucket only. */
  passwordHash: text('password_hash'),
  suspended: boolean().notNull().default(false),
  /** `false` after an unlink. */
  autoLink: boolean('auto_link').notNull().default(true),
})

const userId = () =>
  integer('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' })

export const identities = pgTable(
  'identities',
  {
    issuer: text().notNull(),
    /** Bitbucket's uuid; not `id`, which a join would mix up with `users.id`. */
    subject: text().notNull(),
    userId: userId(),
    profile: jsonb().notNull(),
    /** Sealed. */
    tokens: text(),
  },
  (table) => [
    unique('identities_key').on(table.issuer, table.subject),
    unique('identities_one_per_user').on(table.userId, table.issuer),
  ],
)

/** Your confirmation links. Only apps that verify addresses have them. */
export const emailConfirmations = pgTable('email_confirmations', {
  tokenHash: text('token_hash').primaryKey(),
  userId: userId(),
  emailKey: text('email_key').notNull(),
})

/** The table of connect-pg-simple. */
export const session = pgTable('session', {
  sid: varchar().primaryKey(),
  sess: json().notNull(),
  expire: timestamp({ precision: 6 }).notNull(),
})
