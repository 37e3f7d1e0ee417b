import { randomUUID } from 'node:crypto'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import type { Database } from 'sqlite3'
import type { User } from './accounts'
import { Connection } from './connection'

/** Adds and removes accounts for the checks. */
export function testDatabase(database: Database): TestDatabase<User> {
  const db = new Connection(database)
  const count = async (sql: string, ...values: string[]) =>
    (await db.get<{ count: number }>(sql, ...values))?.count ?? 0
  return {
    async addAccount({ name, email, emailVerified, password }) {
      const sql = 'INSERT INTO users (name, email, email_verified, password_hash) VALUES (?, ?, ?, ?) RETURNING *'
      return (await db.get<User>(sql, name, email, emailVerified ? 1 : 0, password ? 'hash' : null)) as User
    },
    removeAccount: ({ id }) => db.run('DELETE FROM users WHERE id = ?', id),
    verifyAddress: ({ id }) => db.run('UPDATE users SET email_verified = 1 WHERE id = ? AND email IS NOT NULL', id),
    suspend: ({ id }) => db.run('UPDATE users SET suspended = 1 WHERE id = ?', id),
    countAccounts: () => count('SELECT count(*) AS count FROM users'),
    async hasTokens({ issuer, id }) {
      const sql = 'SELECT count(tokens) AS count FROM identities WHERE issuer = ? AND subject = ?'
      return (await count(sql, issuer, id)) === 1
    },
    pendingChanges: {
      add: ({ id }, address) => db.run('INSERT INTO email_confirmations VALUES (?, ?, ?)', randomUUID(), id, address),
      count: (address) =>
        count('SELECT count(*) AS count FROM email_confirmations WHERE lower(email) = lower(?)', address),
    },
  }
}
