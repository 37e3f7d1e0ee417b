import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkAccountHooks } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Edit, hooksWith } from './edited-recipe'
import { RECIPE, type RecipeDatabase, startRecipeDatabase } from './pg-harness'

let server: RecipeDatabase
beforeAll(async () => {
  server = await startRecipeDatabase()
  await server.pool.query('ALTER TABLE users ALTER email SET NOT NULL, ALTER password_hash SET NOT NULL')
})
afterAll(() => server.stop())

/** The hunks of the diff in the recipe's README. */
function editsOfReadme(): Edit[] {
  const diff = /```diff\n([\s\S]*?)```/.exec(readFileSync(join(RECIPE, 'README.md'), 'utf8'))?.[1] ?? ''
  return diff.split(/^--- /m).flatMap((hunk) => {
    const [name = '', ...lines] = hunk.split('\n')
    const marked = (mark: string) => lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(1))
    const file = name.replace('.ts', '') as Edit['file']
    return name === '' ? [] : [{ file, find: marked('-').join('\n'), replace: marked('+').join('\n') }]
  })
}

/** Accounts as such an app makes them. */
const database = () => ({
  ...server.database,
  async addAccount({ name, email, emailVerified, password }: Parameters<typeof server.database.addAccount>[0]) {
    const sql = 'INSERT INTO users (name, email, email_verified, password_hash) VALUES ($1, $2, $3, $4) RETURNING *'
    return (await server.pool.query(sql, [name, email, emailVerified, password ? 'hash' : '!'])).rows[0]
  },
})

test('the recipe with the changes of its README passes where address and password are NOT NULL', async () => {
  const edits = editsOfReadme()
  expect(edits).toHaveLength(5)
  const setup = { testDatabase: true, database: database(), withoutAddress: false }
  const report = await checkAccountHooks({ ...setup, accounts: await hooksWith(edits, server.pool) })
  expect(String(report)).toMatch(/ 0 failed,/)
  const { name, status } = report.results.find((each) => each.name === 'claim') ?? {}
  expect({ name, status }).toEqual({ name: 'claim', status: 'passed' })
})

test('without them it does not', async () => {
  const accounts = await hooksWith([], server.pool)
  const setup = { testDatabase: true, database: database(), withoutAddress: false, accounts }
  expect((await checkAccountHooks(setup)).ok).toBe(false)
})
