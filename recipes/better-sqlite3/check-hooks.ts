import Database from 'better-sqlite3'
import createStore from 'better-sqlite3-session-store'
import session from 'express-session'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { accountHooks, PRAGMAS } from './accounts'
import { claimAddress } from './claim-address'
import { testDatabase } from './test-database'

const db = new Database(process.env.TEST_DATABASE_FILE)
db.exec(PRAGMAS)
const SqliteStore = createStore(session)
// Its timer would keep the process running.
SqliteStore.prototype.startInterval = () => {}
const store = new SqliteStore({ client: db })

export default {
  accounts: { ...accountHooks(db), claimAddress: claimAddress(db) },
  database: { ...testDatabase(db), sessions: sessionsInStore(store) },
}

export const close = () => db.close()
