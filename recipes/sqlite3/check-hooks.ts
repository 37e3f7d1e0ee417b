import { randomBytes } from 'node:crypto'
import sqlite3 from 'sqlite3'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { Connection } from './connection'
import { testDatabase } from './test-database'

const database = new sqlite3.Database(process.env.TEST_DATABASE_FILE ?? '')
// The table of connect-sqlite3, and the part of its store that `endOtherSessions` uses.
const sessions = new sqlite3.Database(':memory:')
const db = new Connection(sessions)

export default async function setup() {
  await new Connection(database).run('PRAGMA foreign_keys = ON')
  await db.run('CREATE TABLE IF NOT EXISTS sessions (sid PRIMARY KEY, expired, sess)')
  return {
    accounts: { ...accountHooks(database), claimAddress: claimAddress(database) },
    request: ({ sessionID }: { sessionID: string }) => ({ sessionID, sessionStore: { db: sessions } }) as never,
    database: {
      ...testDatabase(database),
      sessions: {
        async open({ id }: { id: number }) {
          const sid = randomBytes(16).toString('hex')
          const sess = JSON.stringify({ passport: { user: id } })
          await db.run('INSERT INTO sessions VALUES (?, ?, ?)', sid, Date.now() + 60_000, sess)
          return sid
        },
        isOpen: async (sid: string) => Boolean(await db.get('SELECT 1 FROM sessions WHERE sid = ?', sid)),
        close: (sid: string) => db.run('DELETE FROM sessions WHERE sid = ?', sid),
      },
    },
  }
}

export async function close() {
  await db.close()
  await new Connection(database).close()
}
