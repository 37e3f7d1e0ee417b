import { randomUUID } from 'node:crypto'
import type { Database } from 'better-sqlite3'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import type { User } from './accounts'

/** Adds and removes accounts for the checks. */
export function testDatabase(db: Database): TestDatabase<User> {
  const count = (sql: string, ...values: string[]) => (db.prepare(sql).get(...values) as { count: number }).count
  return {
    addAccount({ name, email, emailVerified, password }) {
      const sql = 'INSERT INTO users (name, email, email_verified, password_hash) VALUES (?, ?, ?, ?) RETURNING *'
      return db.prepare(sql).get(name, email, emailVerified ? 1 : 0, password ? 'hash' : null) as User
    },
    removeAccount: ({ id }) => db.prepare('DELETE FROM users WHERE id = ?').run(id),
    verifyAddress: ({ id }) =>
      db.prepare('UPDATE users SET email_verified = 1 WHERE id = ? AND email IS NOT NULL').run(id),
    suspend: ({ id }) => db.prepare('UPDATE users SET suspended = 1 WHERE id = ?').run(id),
    countAccounts: () => count('SELECT count(*) AS count FROM users'),
    hasTokens({ issuer, id }) {
      const sql = 'SELECT count(tokens) AS count FROM identities WHERE issuer = ? AND subject = ?'
      return count(sql, issuer, id) === 1
    },
    pendingChanges: {
      add: ({ id }, address) =>
        db.prepare('INSERT INTO email_confirmations VALUES (?, ?, ?)').run(randomUUID(), id, address),
      count: (address) =>
        count('SELECT count(*) AS count FROM email_confirmations WHERE lower(email) = lower(?)', address),
    },
  }
}
