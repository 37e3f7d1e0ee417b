import createStore from 'express-mysql-session'
import session from 'express-session'
import { createPool } from 'mysql2/promise'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { testDatabase } from './test-database'

const MySQLStore = createStore(session)
const pool = createPool({ uri: process.env.TEST_DATABASE_URL ?? '' })

export default {
  accounts: { ...accountHooks(pool), claimAddress: claimAddress(pool) },
  database: {
    ...testDatabase(pool),
    sessions: sessionsInStore(new MySQLStore({ createDatabaseTable: false, clearExpired: false }, pool)),
  },
}

export const close = () => pool.end()
