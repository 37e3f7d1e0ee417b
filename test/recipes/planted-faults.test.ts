import { type AccountHooksSetup, accountHookChecks, checkAccountHooks } from 'passport-bitbucket-signin/testing'
import type { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { User } from '../../recipes/pg/accounts'
import { type Edit, hooksWith } from './edited-recipe'
import { type RecipeDatabase, startRecipeDatabase } from './pg-harness'
import { PLANTED_FAULTS } from './planted-faults'

let server: RecipeDatabase
beforeAll(async () => {
  server = await startRecipeDatabase()
  // Several unverified holders of one address, so that the checks about them apply.
  await server.pool.query(`DROP INDEX users_email_lower_key;
    CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email COLLATE "C")) WHERE email_verified`)
})
afterAll(() => server.stop())

async function setupWith(edits: readonly Edit[], pool: Pool): Promise<AccountHooksSetup<User>> {
  return { testDatabase: true, accounts: await hooksWith(edits, pool), database: server.database }
}

test('control: the recipe passes without a fault', async () => {
  expect(String(await checkAccountHooks(await setupWith([], server.pool)))).toMatch(/ 0 failed,/)
})

describe('a planted fault', () => {
  test.each(PLANTED_FAULTS.map((fault) => [fault.mistake, fault.check, fault] as const))(
    '"%s" is found by %s',
    async (_, name, fault) => {
      if (fault.tables) await server.pool.query(fault.tables.change)
      const pool = server.openPool()
      try {
        const check = accountHookChecks(await setupWith(fault.edit ? [fault.edit] : [], pool)).find(
          (each) => each.name === name,
        )
        expect(check?.skip).toBe(false)
        await expect(check?.run()).rejects.toMatchObject({ name: 'AccountHookFailure' })
      } finally {
        // Not awaited: some faults keep connections for ever. They end with the server.
        void pool.end()
        await server.pool.query('DELETE FROM users; DELETE FROM session')
        if (fault.tables) await server.pool.query(fault.tables.undo)
      }
    },
  )
})
