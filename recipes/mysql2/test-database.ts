import { randomUUID } from 'node:crypto'
import type { Pool, ResultSetHeader, RowDataPacket } from 'mysql2/promise'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { addressKey } from '../shared/address-key'
import type { User } from './accounts'

/** Adds and removes accounts for the checks. */
export function testDatabase(pool: Pool): TestDatabase<User> {
  const count = async (sql: string, values: string[] = []) =>
    Number((await pool.execute<RowDataPacket[]>(sql, values))[0][0]?.count)
  return {
    async addAccount({ name, email, emailVerified, password }) {
      const sql = 'INSERT INTO users (name, email, email_key, email_verified, password_hash) VALUES (?, ?, ?, ?, ?)'
      const values = [name, email, email && addressKey(email), emailVerified, password ? 'hash' : null]
      const [{ insertId }] = await pool.execute<ResultSetHeader>(sql, values)
      return (await pool.execute<User[]>('SELECT * FROM users WHERE id = ?', [insertId]))[0][0] as User
    },
    removeAccount: ({ id }) => pool.execute('DELETE FROM users WHERE id = ?', [id]),
    verifyAddress: ({ id }) =>
      pool.execute('UPDATE users SET email_verified = true WHERE id = ? AND email IS NOT NULL', [id]),
    suspend: ({ id }) => pool.execute('UPDATE users SET suspended = true WHERE id = ?', [id]),
    countAccounts: () => count('SELECT count(*) AS count FROM users'),
    async hasTokens({ issuer, id }) {
      const sql = 'SELECT count(tokens) AS count FROM identities WHERE issuer = ? AND subject = ?'
      return (await count(sql, [issuer, id])) === 1
    },
    pendingChanges: {
      add: ({ id }, address) =>
        pool.execute('INSERT INTO email_confirmations VALUES (?, ?, ?)', [randomUUID(), id, addressKey(address)]),
      count: (address) =>
        count('SELECT count(*) AS count FROM email_confirmations WHERE email_key = ?', [addressKey(address)]),
    },
  }
}
