import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { accountHookChecks, checkAccountHooks, type LocalAccount } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { User } from '../../recipes/pg/accounts'
import { type Edit, hooksWith } from './edited-recipe'
import { RECIPE, type RecipeDatabase, startRecipeDatabase } from './pg-harness'

const README = readFileSync(join(RECIPE, 'README.md'), 'utf8')

/** The first block of this language below a heading of the recipe's README. */
function blockBelow(heading: string, language: string): string {
  const section = README.slice(README.indexOf(`## ${heading}\n`))
  return new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(section)?.[1] ?? ''
}

/** The hunks of a diff. */
function editsBelow(heading: string): Edit[] {
  return blockBelow(heading, 'diff')
    .split(/^--- /m)
    .flatMap((hunk) => {
      const [name = '', ...lines] = hunk.split('\n')
      const marked = (mark: string) => lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(1))
      const file = name.replace('.ts', '') as Edit['file']
      return name === '' ? [] : [{ file, find: marked('-').join('\n'), replace: marked('+').join('\n') }]
    })
}

/** The database of the recipe, with another way to add accounts. */
function databaseThat(addAccount: (account: LocalAccount) => readonly [string, readonly unknown[]]) {
  return {
    ...server.database,
    async addAccount(account: LocalAccount) {
      const [columns, values] = addAccount(account)
      const sql = `INSERT INTO users (${columns}) VALUES (${values.map((_, index) => `$${index + 1}`)}) RETURNING *`
      return (await server.pool.query<User>(sql, [...values])).rows[0] as User
    },
  }
}

let server: RecipeDatabase

describe('columns that are NOT NULL', () => {
  beforeAll(async () => {
    server = await startRecipeDatabase()
    await server.pool.query('ALTER TABLE users ALTER email SET NOT NULL, ALTER password_hash SET NOT NULL')
  })
  afterAll(() => server.stop())

  const setup = () => ({
    testDatabase: true,
    withoutAddress: false,
    database: databaseThat(({ name, email, emailVerified, password }) => [
      'name, email, email_verified, password_hash',
      [name, email, emailVerified, password ? 'hash' : '!'],
    ]),
  })

  test('the recipe passes with the changes of its README', async () => {
    const edits = editsBelow('Columns that are NOT NULL')
    expect(edits).toHaveLength(5)
    const report = await checkAccountHooks({ ...setup(), accounts: await hooksWith(edits, server.pool) })
    expect(String(report)).toMatch(/ 0 failed,/)
    expect(report.results).toContainEqual(expect.objectContaining({ name: 'claim', status: 'passed' }))
  })

  test('it fails without them', async () => {
    const report = await checkAccountHooks({ ...setup(), accounts: await hooksWith([], server.pool) })
    expect(report.ok).toBe(false)
  })
})

describe('tenants', () => {
  beforeAll(async () => {
    server = await startRecipeDatabase()
    await server.pool.query(blockBelow('Tenants', 'sql'))
  })
  afterAll(() => server.stop())

  const setup = () => ({
    testDatabase: true,
    tenants: ['acme', 'globex'] as const,
    database: databaseThat(({ name, email, emailVerified, password, tenant }) => [
      'name, email, email_verified, password_hash, tenant',
      [name, email, emailVerified, password ? 'hash' : null, tenant],
    ]),
  })
  test('the recipe passes with the changes of its README, the checks of tenants included', async () => {
    const report = await checkAccountHooks({
      ...setup(),
      accounts: await hooksWith(editsBelow('Tenants'), server.pool),
    })
    expect(String(report)).toMatch(/ 0 failed,/)
    for (const name of ['tenants-apart', 'claim-tenant', 'claim', 'unlink-race'])
      expect(report.results).toContainEqual(expect.objectContaining({ name, status: 'passed' }))
  })

  test.each([
    ['a look-up by address', 2, 'tenants-apart'],
    ['the deletion of confirmations in a claim', 7, 'claim-tenant'],
  ])('a check fails when %s ignores the tenant', async (_what, index, name) => {
    const edits = editsBelow('Tenants').filter((_, at) => at !== index)
    const checks = accountHookChecks({ ...setup(), accounts: await hooksWith(edits, server.pool) })
    await expect(checks.find((check) => check.name === name)?.run()).rejects.toThrow('tenant')
  })
})
