import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import type { Pool, PoolClient } from 'pg'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'

export interface User {
  id: string // node-postgres returns bigint as a string
  name: string | null
  email: string | null
  email_verified: boolean
  password_hash: string | null
  suspended: boolean
  auto_link: boolean
}

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(pool: Pool): AccountHooks<User> {
  return {
    async getUserByIdentity({ identity }) {
      const sql = 'SELECT users.* FROM users JOIN identities ON user_id = users.id WHERE issuer = $1 AND subject = $2'
      return (await pool.query<User>(sql, [identity.issuer, identity.id])).rows[0] ?? null
    },

    async getUserById({ id }) {
      return (await pool.query<User>('SELECT * FROM users WHERE id = $1', [id])).rows[0] ?? null
    },

    async getAccountsByEmail({ email }) {
      const sql = 'SELECT * FROM users WHERE lower(email COLLATE "C") = lower($1 COLLATE "C")'
      return (await pool.query<User>(sql, [email])).rows.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.email_verified,
        autoLink: user.auto_link,
      }))
    },

    createUser: ({ identity, profile, email }) =>
      transaction(pool, async (client) => {
        const sql = 'INSERT INTO users (name, email, email_verified) VALUES ($1, $2, $3) RETURNING *'
        const values = [profile.displayName, email?.address ?? null, email?.verified ?? false]
        const user = (await client.query<User>(sql, values)).rows[0] as User
        await storeIdentity(client, user.id, identity, profile)
        return user
      }),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(pool, async (client) => {
        // Read again under a lock: the user may have been suspended or deleted since the request began.
        const user = await lockUser(client, id)
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        await storeIdentity(client, id, identity, profile)
        const sql = 'UPDATE users SET email_verified = true WHERE id = $1 AND lower(email) = lower($2)'
        if (email) await client.query(sql, [id, email.address])
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(pool, async (client) => {
        // The lock makes concurrent unlinks wait for each other.
        const user = await lockUser(client, id)
        const { rows } = await client.query('SELECT issuer, subject FROM identities WHERE user_id = $1', [id])
        if (!user?.password_hash && !stillStored(remaining, rows)) return 'last'
        const sql = 'DELETE FROM identities WHERE issuer = $1 AND subject = $2 AND user_id = $3'
        await client.query(sql, [identity.issuer, identity.id, id])
        await client.query('UPDATE users SET auto_link = false WHERE id = $1', [id])
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const sql = 'SELECT issuer, subject AS id, profile FROM identities WHERE user_id = $1'
      return (await pool.query<Identity & { profile: Partial<Profile> }>(sql, [user.id])).rows
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.email_verified,
    }),

    async storeTokens({ identity: { issuer, id }, tokens }) {
      const sql = 'UPDATE identities SET tokens = $3 WHERE issuer = $1 AND subject = $2'
      await pool.query(sql, [issuer, id, sealTokens(tokens, id)])
    },

    async updateProfile({ identity: { issuer, id }, profile }) {
      const sql = 'UPDATE identities SET profile = $3 WHERE issuer = $1 AND subject = $2'
      await pool.query(sql, [issuer, id, stored(profile)])
    },

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    async endOtherSessions({ req, user }) {
      const sql = "DELETE FROM session WHERE sess #>> '{passport,user}' = $1 AND sid <> $2"
      await pool.query(sql, [user.id, req.sessionID])
    },
  }
}

async function lockUser(client: PoolClient, id: string): Promise<User | undefined> {
  return (await client.query<User>('SELECT * FROM users WHERE id = $1 FOR UPDATE', [id])).rows[0]
}

export async function storeIdentity(client: PoolClient, userId: string, identity: Identity, profile: Profile) {
  const sql = 'INSERT INTO identities (issuer, subject, user_id, profile) VALUES ($1, $2, $3, $4)'
  await client.query(sql, [identity.issuer, identity.id, userId, stored(profile)])
}

function stored({ username, nickname, displayName, avatarUrl }: Profile): object {
  return { username, nickname, displayName, avatarUrl }
}

/** All or nothing. */
export async function transaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    const result = await work(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK')
    throw takenError(error)
  } finally {
    client.release()
  }
}
