import type { Pool, PoolConnection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'
import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'

export interface User extends RowDataPacket {
  id: number
  name: string | null
  email: string | null
  email_verified: 0 | 1
  password_hash: string | null
  suspended: 0 | 1
  auto_link: 0 | 1
}

interface StoredRow extends RowDataPacket {
  issuer: string
  subject: string
}

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(pool: Pool): AccountHooks<User> {
  const select = async <Row extends RowDataPacket>(sql: string, values: (string | number)[]) =>
    (await pool.execute<Row[]>(sql, values))[0]

  return {
    async getUserByIdentity({ identity }) {
      const sql = 'SELECT users.* FROM users JOIN identities ON user_id = users.id WHERE issuer = ? AND subject = ?'
      return (await select<User>(sql, [identity.issuer, identity.id]))[0] ?? null
    },

    async getUserById({ id }) {
      return (await select<User>('SELECT * FROM users WHERE id = ?', [id]))[0] ?? null
    },

    async getAccountsByEmail({ email }) {
      const users = await select<User>('SELECT * FROM users WHERE email_key = ?', [addressKey(email)])
      return users.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.email_verified === 1,
        autoLink: user.auto_link === 1,
      }))
    },

    createUser: ({ identity, profile, email }) =>
      transaction(pool, (connection) => insertUser(connection, email, identity, profile)),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(pool, async (connection) => {
        // Read again under a lock: the user may have been suspended or deleted since the request began.
        const user = await lockUser(connection, id)
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        await insertIdentity(connection, id, identity, profile)
        const sql = 'UPDATE users SET email_verified = true WHERE id = ? AND email_key = ?'
        if (email) await connection.execute(sql, [id, addressKey(email.address)])
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(pool, async (connection) => {
        // The lock makes concurrent unlinks wait for each other.
        const user = await lockUser(connection, id)
        const sql = 'SELECT issuer, subject FROM identities WHERE user_id = ? FOR UPDATE'
        const [rows] = await connection.execute<StoredRow[]>(sql, [id])
        if (!user?.password_hash && !stillStored(remaining, rows)) return 'last'
        const remove = 'DELETE FROM identities WHERE issuer = ? AND subject = ? AND user_id = ?'
        await connection.execute(remove, [identity.issuer, identity.id, id])
        await connection.execute('UPDATE users SET auto_link = false WHERE id = ?', [id])
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const rows = await select('SELECT issuer, subject, profile FROM identities WHERE user_id = ?', [user.id])
      return rows.map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile: JSON.parse(profile) }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.email_verified === 1,
    }),

    async storeTokens({ identity: { issuer, id }, tokens }) {
      const sql = 'UPDATE identities SET tokens = ? WHERE issuer = ? AND subject = ?'
      await pool.execute(sql, [sealTokens(tokens, id), issuer, id])
    },

    async updateProfile({ identity: { issuer, id }, profile }) {
      const sql = 'UPDATE identities SET profile = ? WHERE issuer = ? AND subject = ?'
      await pool.execute(sql, [stored(profile), issuer, id])
    },

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    async endOtherSessions({ req, user }) {
      const sql = "DELETE FROM sessions WHERE JSON_VALUE(data, '$.passport.user') = ? AND session_id <> ?"
      await pool.execute(sql, [String(user.id), req.sessionID])
    },
  }
}

export async function insertUser(
  connection: PoolConnection,
  email: { address: string; verified: boolean } | null,
  identity: Identity,
  profile: Profile,
): Promise<User> {
  const sql = 'INSERT INTO users (name, email, email_key, email_verified) VALUES (?, ?, ?, ?)'
  const address = email?.address ?? null
  const values = [profile.displayName, address, address && addressKey(address), email?.verified ?? false]
  const [{ insertId }] = await connection.execute<ResultSetHeader>(sql, values)
  await insertIdentity(connection, insertId, identity, profile)
  return (await connection.execute<User[]>('SELECT * FROM users WHERE id = ?', [insertId]))[0][0] as User
}

async function insertIdentity(connection: PoolConnection, userId: number, identity: Identity, profile: Profile) {
  const sql = 'INSERT INTO identities (issuer, subject, user_id, profile) VALUES (?, ?, ?, ?)'
  await connection.execute(sql, [identity.issuer, identity.id, userId, stored(profile)])
}

async function lockUser(connection: PoolConnection, id: number): Promise<User | undefined> {
  return (await connection.execute<User[]>('SELECT * FROM users WHERE id = ? FOR UPDATE', [id]))[0][0]
}

function stored({ username, nickname, displayName, avatarUrl }: Profile): string {
  return JSON.stringify({ username, nickname, displayName, avatarUrl })
}

/** All or nothing. */
export async function transaction<T>(
  pool: Pool,
  work: (connection: PoolConnection) => Promise<T>,
  attempt = 1,
): Promise<T> {
  const connection = await pool.getConnection()
  try {
    await connection.beginTransaction()
    const result = await work(connection)
    await connection.commit()
    return result
  } catch (error) {
    await connection.rollback()
    // InnoDB aborts one of two transactions that wait for each other. Try again after the other one.
    if ((error as { errno?: number }).errno !== 1213 || attempt === 5) throw takenError(error)
  } finally {
    connection.release()
  }
  return transaction(pool, work, attempt + 1)
}
