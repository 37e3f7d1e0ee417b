import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import session from 'express-session'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { accountHooks, PRAGMAS } from './accounts'
import { claimAddress } from './claim-address'
import { testDatabase } from './test-database'

const SqliteStore = require('better-sqlite3-session-store')(session)

export default function setup() {
  const db = new Database(process.env.TEST_DATABASE_FILE ?? ':memory:')
  db.exec(PRAGMAS)
  db.exec(readFileSync(join(process.env.RECIPES ?? '', 'better-sqlite3/schema.sql'), 'utf8'))
  const store = new SqliteStore({ client: db, expired: { clear: false } })
  return {
    accounts: { ...accountHooks(db), claimAddress: claimAddress(db) },
    database: { ...testDatabase(db), sessions: sessionsInStore(store) },
  }
}
