import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AccountHooksSetup, accountHookChecks, checkAccountHooks } from 'passport-bitbucket-signin/testing'
import type { Pool } from 'pg'
import { runnerImport } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { User } from '../../recipes/pg/accounts'
import { RECIPE, type RecipeDatabase, startRecipeDatabase } from './pg-harness'
import { PLANTED_FAULTS, type PlantedFault } from './planted-faults'

/** What the recipe needs of the package; the whole of it would be loaded anew for each fault. */
const PACKAGE = join(__dirname, 'package-parts.ts')

let server: RecipeDatabase
beforeAll(async () => {
  server = await startRecipeDatabase()
  // Several unverified holders of one address, so that the checks about them apply.
  await server.pool.query(`DROP INDEX users_email_key;
    CREATE UNIQUE INDEX users_email_key ON users (lower(email COLLATE "C")) WHERE email_verified`)
})
afterAll(() => server.stop())

type Hooks = (pool: Pool) => never

/** The recipe as it stands, with one text replaced. */
async function hooksWith(edit: PlantedFault['edit'], pool: Pool) {
  const plant = {
    name: 'plant',
    enforce: 'pre' as const,
    transform: (code: string, id: string) => {
      const planted = edit && id.endsWith(`/${edit.file}.ts`) ? code.replace(edit.find, () => edit.replace) : code
      return planted.replace("from 'passport-bitbucket-signin'", `from '${PACKAGE}'`)
    },
  }
  const load = async <T>(file: string) =>
    (await runnerImport<T>(join(RECIPE, file), { configFile: false, logLevel: 'error', plugins: [plant] })).module
  const { accountHooks } = await load<{ accountHooks: (pool: Pool) => object }>('accounts.ts')
  const { claimAddress } = await load<{ claimAddress: Hooks }>('claim-address.ts')
  return { ...accountHooks(pool), claimAddress: claimAddress(pool) }
}

async function setupWith(edit: PlantedFault['edit'], pool: Pool): Promise<AccountHooksSetup<User>> {
  const accounts = (await hooksWith(edit, pool)) as unknown as AccountHooksSetup<User>['accounts']
  return { testDatabase: true, accounts, database: server.database }
}

test('the control: the recipe without a fault passes', async () => {
  expect(String(await checkAccountHooks(await setupWith(null, server.pool)))).toMatch(/ 0 failed,/)
})

describe('a planted fault', () => {
  test.each(PLANTED_FAULTS.map((fault) => [fault.mistake, fault.check, fault] as const))(
    '"%s" is found by %s',
    async (_, name, fault) => {
      if (fault.edit) {
        const source = readFileSync(join(RECIPE, `${fault.edit.file}.ts`), 'utf8')
        expect(source.split(fault.edit.find).length - 1, 'the text is there once').toBe(1)
      }
      if (fault.tables) await server.pool.query(fault.tables.change)
      const pool = server.openPool()
      try {
        const check = accountHookChecks(await setupWith(fault.edit, pool)).find((each) => each.name === name)
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
