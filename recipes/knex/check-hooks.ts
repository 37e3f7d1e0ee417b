import { ConnectSessionKnexStore } from 'connect-session-knex'
import createKnex from 'knex'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { up } from './migration'
import { testDatabase } from './test-database'

const knex = createKnex({ client: 'pg', connection: process.env.TEST_DATABASE_URL ?? '', pool: { min: 0, max: 10 } })

export default async function setup() {
  await up(knex)
  const store = new ConnectSessionKnexStore({ knex, createTable: false, cleanupInterval: 0 })
  return {
    accounts: { ...accountHooks(knex), claimAddress: claimAddress(knex) },
    database: { ...testDatabase(knex), sessions: sessionsInStore(store) },
  }
}

export const close = () => knex.destroy()
