import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { Pool } from 'pg'
import { DataSource } from 'typeorm'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { entities } from './entities'
import { testDatabase } from './test-database'

const url = process.env.TEST_DATABASE_URL ?? ''
const db = new DataSource({ type: 'postgres', url, entities, poolSize: 10 })
const pool = new Pool({ connectionString: url })

export default async function setup() {
  await db.initialize()
  await db.synchronize()
  const Store = connectPgSimple(session)
  const store = new Store({ pool, createTableIfMissing: true, pruneSessionInterval: false })
  return {
    accounts: { ...accountHooks(db), claimAddress: claimAddress(db) },
    database: { ...testDatabase(db), sessions: sessionsInStore(store) },
  }
}

export const close = () => Promise.all([db.destroy(), pool.end()])
