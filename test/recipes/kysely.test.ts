import { randomBytes } from 'node:crypto'
import { DatabaseSync } from '@photostructure/sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { type AccountHooksSetup, checkAccountHooks } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { accountHooks, type User } from '../../recipes/kysely/accounts'
import { claimAddress } from '../../recipes/kysely/claim-address'
import { type Tables, up } from '../../recipes/kysely/schema'
import { testDatabase } from '../../recipes/kysely/test-database'

const file = new DatabaseSync(':memory:', { enableForeignKeyConstraints: true })
// Two copies of Kysely, once the packages of the recipes are installed: of the same shape, but not the same type.
const db: never = new Kysely<Tables>({
  dialect: new SqliteDialect({
    database: {
      close: () => file.close(),
      prepare(sql) {
        const statement = file.prepare(sql)
        const all = (parameters: readonly unknown[]) => statement.all(...(parameters as string[]))
        return {
          reader: statement.columns().length > 0,
          all,
          run: (parameters) =>
            statement.run(...(parameters as string[])) as { changes: number; lastInsertRowid: number },
          iterate: (parameters) => all(parameters).values() as IterableIterator<unknown>,
        }
      },
    },
  }),
}) as never

beforeAll(async () => {
  process.env.TOKEN_KEY = randomBytes(32).toString('base64')
  await up(db)
})
afterAll(() => file.close())

const verified = { ...accountHooks(db), claimAddress: claimAddress(db) }

test.each<[string, Partial<AccountHooksSetup<User>>]>([
  ['verifies addresses', { accounts: verified }],
  ['only stores addresses', { localAddresses: 'unverified' }],
  ['has no addresses', { localAddresses: 'none' }],
])('passes every check in an app that %s', async (_, setup) => {
  const shared = { testDatabase: true, accounts: accountHooks(db), database: testDatabase(db) }
  const report = await checkAccountHooks({ ...shared, ...setup })
  expect(String(report)).toMatch(/ 0 failed,/)
  expect(await testDatabase(db).countAccounts?.()).toBe(0)
})
