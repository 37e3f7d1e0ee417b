import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { Pool } from 'pg'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { testDatabase } from './test-database'

const pool = new Pool({ connectionString: process.env.TEST_DATABASE_URL })
const Store = connectPgSimple(session)

export default {
  accounts: { ...accountHooks(pool), claimAddress: claimAddress(pool) },
  database: { ...testDatabase(pool), sessions: sessionsInStore(new Store({ pool, pruneSessionInterval: false })) },
}

export const close = () => pool.end()
