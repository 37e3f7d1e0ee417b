import Database from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { type Tables, up } from './schema'
import { testDatabase } from './test-database'

const database = new Database(process.env.TEST_DATABASE_FILE)
// Without it, SQLite ignores REFERENCES, and deleted users leave unusable identities behind.
database.pragma('foreign_keys = ON')
const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })

export default async function setup() {
  await up(db)
  return { accounts: { ...accountHooks(db), claimAddress: claimAddress(db) }, database: testDatabase(db) }
}

export const close = () => db.destroy()
