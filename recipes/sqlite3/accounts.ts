import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import type { Database } from 'sqlite3'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'
import { Connection } from './connection'

export interface User {
  id: number
  name: string | null
  email: string | null
  email_verified: 0 | 1
  password_hash: string | null
  suspended: 0 | 1
  auto_link: 0 | 1
}

interface StoredRow {
  issuer: string
  subject: string
  profile: string
}

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(database: Database): AccountHooks<User> {
  const db = new Connection(database)
  return {
    async getUserByIdentity({ identity }) {
      const sql = 'SELECT users.* FROM users JOIN identities ON user_id = users.id WHERE issuer = ? AND subject = ?'
      return (await db.get<User>(sql, identity.issuer, identity.id)) ?? null
    },

    async getUserById({ id }) {
      return (await findUser(db, Number(id))) ?? null
    },

    async getAccountsByEmail({ email }) {
      const users = await db.all<User>('SELECT * FROM users WHERE lower(email) = lower(?)', email)
      return users.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.email_verified === 1,
        autoLink: user.auto_link === 1,
      }))
    },

    createUser: ({ identity, profile, email }) =>
      transaction(database, (tx) => insertUser(tx, email, identity, profile)),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(database, async (tx) => {
        // Read again: the user may have been suspended or deleted since the request began.
        const user = await findUser(tx, id)
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        await insertIdentity(tx, id, identity, profile)
        const sql = 'UPDATE users SET email_verified = 1 WHERE id = ? AND lower(email) = lower(?)'
        if (email) await tx.run(sql, id, email.address)
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(database, async (tx) => {
        const user = await findUser(tx, id)
        const rows = await tx.all<StoredRow>('SELECT issuer, subject FROM identities WHERE user_id = ?', id)
        if (!user?.password_hash && !stillStored(remaining, rows)) return 'last'
        const sql = 'DELETE FROM identities WHERE issuer = ? AND subject = ? AND user_id = ?'
        await tx.run(sql, identity.issuer, identity.id, id)
        await tx.run('UPDATE users SET auto_link = 0 WHERE id = ?', id)
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const sql = 'SELECT issuer, subject, profile FROM identities WHERE user_id = ?'
      const rows = await db.all<StoredRow>(sql, user.id)
      return rows.map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile: JSON.parse(profile) }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.email_verified === 1,
    }),

    async storeTokens({ identity: { issuer, id }, tokens }) {
      const sql = 'UPDATE identities SET tokens = ? WHERE issuer = ? AND subject = ?'
      await db.run(sql, sealTokens(tokens, id), issuer, id)
    },

    async updateProfile({ identity: { issuer, id }, profile }) {
      await db.run('UPDATE identities SET profile = ? WHERE issuer = ? AND subject = ?', stored(profile), issuer, id)
    },

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    async endOtherSessions({ req, user }) {
      // connect-sqlite3 keeps sessions in its own database.
      const { db: sessions } = req.sessionStore as unknown as { db: Database }
      const sql = "DELETE FROM sessions WHERE json_extract(sess, '$.passport.user') = ? AND sid <> ?"
      await new Connection(sessions).run(sql, user.id, req.sessionID)
    },
  }
}

function findUser(db: Connection, id: number): Promise<User | undefined> {
  return db.get<User>('SELECT * FROM users WHERE id = ?', id)
}

export async function insertUser(
  tx: Connection,
  email: { address: string; verified: boolean } | null,
  identity: Identity,
  profile: Profile,
): Promise<User> {
  const sql = 'INSERT INTO users (name, email, email_verified) VALUES (?, ?, ?) RETURNING *'
  const user = await tx.get<User>(sql, profile.displayName, email?.address ?? null, email?.verified ? 1 : 0)
  await insertIdentity(tx, (user as User).id, identity, profile)
  return user as User
}

async function insertIdentity(tx: Connection, userId: number, { issuer, id }: Identity, profile: Profile) {
  const sql = 'INSERT INTO identities (issuer, subject, user_id, profile) VALUES (?, ?, ?, ?)'
  await tx.run(sql, issuer, id, userId, stored(profile))
}

function stored({ username, nickname, displayName, avatarUrl }: Profile): string {
  return JSON.stringify({ username, nickname, displayName, avatarUrl })
}

let last: Promise<unknown> = Promise.resolve()

/** One after the other: waiting for SQLite's lock would block the threads that its holder needs. */
export function transaction<T>(database: Database, work: (tx: Connection) => Promise<T>): Promise<T> {
  const result = last.then(() => transact(database, work))
  last = result.catch(() => {})
  return result
}

/** All or nothing, on a dedicated connection: on a shared one, the statements of other requests would join the transaction. */
async function transact<T>(database: Database, work: (tx: Connection) => Promise<T>): Promise<T> {
  const tx = await Connection.openSameFile(database)
  try {
    // Takes the write lock first, so that unlinks in other processes wait too.
    await tx.run('BEGIN IMMEDIATE')
    const result = await work(tx)
    await tx.run('COMMIT')
    return result
  } catch (error) {
    throw takenError(error)
  } finally {
    // Rolls back what was not committed.
    await tx.close()
  }
}
