import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import type { Pool } from 'pg'
import type { User } from './accounts'

/** Adds and removes accounts for the checks. */
export function testDatabase(pool: Pool): TestDatabase<User> {
  return {
    async addAccount({ name, email, emailVerified, password }) {
      const sql = 'INSERT INTO users (name, email, email_verified, password_hash) VALUES ($1, $2, $3, $4) RETURNING *'
      return (await pool.query<User>(sql, [name, email, emailVerified, password ? 'hash' : null])).rows[0] as User
    },
    removeAccount: ({ id }) => pool.query('DELETE FROM users WHERE id = $1', [id]),
    verifyAddress: ({ id }) =>
      pool.query('UPDATE users SET email_verified = true WHERE id = $1 AND email IS NOT NULL', [id]),
    suspend: ({ id }) => pool.query('UPDATE users SET suspended = true WHERE id = $1', [id]),
    async countAccounts() {
      return Number((await pool.query('SELECT count(*) FROM users')).rows[0].count)
    },
    async hasTokens({ issuer, id }) {
      const sql = 'SELECT 1 FROM identities WHERE issuer = $1 AND subject = $2 AND tokens IS NOT NULL'
      return (await pool.query(sql, [issuer, id])).rowCount === 1
    },
    pendingChanges: {
      add: ({ id }, address) =>
        pool.query('INSERT INTO email_confirmations VALUES ($1, $2, $3)', [crypto.randomUUID(), id, address]),
      async count(address) {
        const sql = 'SELECT count(*) FROM email_confirmations WHERE lower(email) = lower($1)'
        return Number((await pool.query(sql, [address])).rows[0].count)
      },
    },
  }
}
