import { type AccountHooksSetup, checkAccountHooks } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { accountHooks, type User } from '../../recipes/pg/accounts'
import { claimAddress } from '../../recipes/pg/claim-address'
import { type RecipeDatabase, startRecipeDatabase } from './pg-harness'

let server: RecipeDatabase
beforeAll(async () => {
  server = await startRecipeDatabase()
})
afterAll(() => server.stop())

async function check(setup: Partial<AccountHooksSetup<User>>) {
  const { pool, database } = server
  const report = await checkAccountHooks({ testDatabase: true, database, accounts: accountHooks(pool), ...setup })
  expect(String(report)).toMatch(/ 0 failed,/)
  const names = (status: string) => report.results.filter((each) => each.status === status).map(({ name }) => name)
  const { rows } = await pool.query(
    'SELECT (SELECT count(*) FROM users) users, (SELECT count(*) FROM session) sessions',
  )
  expect(rows).toEqual([{ users: '0', sessions: '0' }])
  return { passed: names('passed'), skipped: names('skipped') }
}

test('passes every check in an app that verifies addresses, and leaves nothing behind', async () => {
  const accounts = { ...accountHooks(server.pool), claimAddress: claimAddress(server.pool) }
  const { skipped } = await check({ accounts })
  // One address, one account: there is no second holder. The recipe has neither user names nor tenants.
  expect(skipped).toEqual([
    'every-holder',
    'user-name-as-address',
    'claim-two-holders',
    'claim-user-name',
    'claim-tenant',
    'claim-one-verified',
    'before-sign-in',
    'tenants-apart',
  ])
})

test('passes in an app that only stores addresses', async () => {
  const { passed } = await check({ localAddresses: 'unverified' })
  expect(passed).toEqual(expect.arrayContaining(['create-rollback', 'letter-case', 'link', 'unlink-race']))
})

test('passes in an app without addresses', async () => {
  const { passed } = await check({ localAddresses: 'none' })
  expect(passed).toEqual(expect.arrayContaining(['create-without-address', 'create-rollback', 'link', 'unlink-race']))
})
