import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import session from 'express-session'
import { accountHookChecks, checkAccountHooks, sessionsInStore } from 'passport-bitbucket-signin/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { dispatch } from '../../src/cli/dispatch'

const MODULE = join(__dirname, 'fixtures/memory-accounts.mjs')

afterEach(() => {
  delete process.env.MEMORY_ACCOUNTS_FAULT
  delete process.env.MEMORY_ACCOUNTS_LEFT
})

async function run(...args: string[]) {
  let output = ''
  let errors = ''
  const code = await dispatch(['check-hooks', ...args], {
    write: (text) => {
      output += text
    },
    writeError: (text) => {
      errors += text
    },
    untilStopped: async () => {},
  })
  return { code, output, errors }
}

/** The module, read anew, so that a planted fault takes effect. */
const fresh = async () => (await import(`${MODULE}?${Math.random()}`)).default()

describe('check-hooks', () => {
  test('runs nothing without --test-database', async () => {
    const { code, output, errors } = await run(MODULE)
    expect({ code, output }).toEqual({ code: 2, output: '' })
    expect(errors).toContain('--test-database')
  })

  test('accepts hooks that keep the contract, closes the module and leaves nothing behind', async () => {
    const { code, output } = await run(MODULE, '--test-database')
    expect(output).toMatch(/ 0 failed,/)
    expect(code).toBe(0)
    // Only what this app does not have: tenants, and pending changes of address.
    expect(output.match(/^skipped .*/gm)).toEqual([
      'skipped  claimAddress changes no accounts and pending changes of other tenants',
      'skipped  claimAddress removes pending changes to the address',
    ])
    expect(process.env.MEMORY_ACCOUNTS_LEFT).toBe('0')
  })

  test('reports a fault with what was seen, its effect and the fix, and exits with 1', async () => {
    process.env.MEMORY_ACCOUNTS_FAULT = 'no rollback'
    const report = await checkAccountHooks({ ...(await fresh()), testDatabase: true })
    expect(report.ok).toBe(false)
    const result = report.results.find(({ name }) => name === 'create-rollback')
    expect(result).toMatchObject({
      status: 'failed',
      seen: 'The user of a failed `createUser` is still stored, without an identity.',
      effect: expect.stringContaining('nor sign up again'),
      fix: expect.stringContaining('one transaction'),
    })
    expect(String(report)).toContain('[create-rollback]')
  })

  test('finds a describeUser that names users by a name that may be missing', async () => {
    process.env.MEMORY_ACCOUNTS_FAULT = 'no label'
    const report = await checkAccountHooks({ ...(await fresh()), testDatabase: true })
    const failed = report.results.filter(({ status }) => status === 'failed')
    expect(failed).toMatchObject([
      { name: 'describe-nameless-user', seen: '`label` is null for an account without a name.' },
    ])
  })

  test('does not ask for a label of accounts that the app refuses to store without a name', async () => {
    process.env.MEMORY_ACCOUNTS_FAULT = 'no label'
    const setup = await fresh()
    const addAccount = (account: { readonly name: string | null }) => {
      if (account.name === null) throw new Error('name is NOT NULL')
      return setup.database.addAccount(account)
    }
    const database = { ...setup.database, addAccount }
    const report = await checkAccountHooks({ ...setup, database, testDatabase: true })
    expect(report.results.find(({ name }) => name === 'describe-nameless-user')).toMatchObject({ status: 'skipped' })
    expect(report.ok).toBe(true)
  })

  test.each([
    [['nothing-here.mjs', '--test-database'], 'There is no file nothing-here.mjs.'],
    [['--test-database'], 'expects one module'],
    [[MODULE, '--test-database', '--jsom'], "Unknown option '--jsom'"],
    [[join(__dirname, 'client.ts'), '--test-database'], 'the default export must have'],
  ])('refuses %j', async (args, message) => {
    const { code, errors } = await run(...args)
    expect(code).toBe(2)
    expect(errors).toContain(message)
  })

  test('ends although the module left a connection open', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'check-hooks-'))
    const file = join(folder, 'open.mjs')
    writeFileSync(file, `import setup from '${MODULE}'\nsetInterval(() => {}, 1000)\nexport default setup`)
    const cli = join(__dirname, '../../dist/cli/index.js')
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [cli, 'check-hooks', file, '--test-database'])
      expect(stdout).toMatch(/ 0 failed,/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('prints JSON without the errors of the driver', async () => {
    const { output } = await run(MODULE, '--test-database', '--json')
    const results = JSON.parse(output) as { name: string; status: string }[]
    expect(results.find(({ name }) => name === 'create')).toMatchObject({ status: 'passed' })
    expect(output).not.toContain('"error"')
  })
})

describe('accountHookChecks', () => {
  test('refuses to run unless it is told that this is a test database', async () => {
    const setup = await fresh()
    const expected = '`testDatabase` must be `true`'
    expect(() => accountHookChecks({ ...setup, testDatabase: false })).toThrow(expected)
    expect(() => accountHookChecks({ ...setup, testDatabase: 'true' })).toThrow(expected)
    await expect(checkAccountHooks(setup)).rejects.toThrow(expected)
  })

  test('refuses to run in production', async () => {
    const setup = { ...(await fresh()), testDatabase: true }
    process.env.NODE_ENV = 'production'
    try {
      expect(() => accountHookChecks(setup)).toThrow('`NODE_ENV` is `production`')
    } finally {
      process.env.NODE_ENV = 'test'
    }
  })

  test('lists checks that a test runner can run one by one, with the reason of a skip', async () => {
    const setup = await fresh()
    const checks = accountHookChecks({ ...setup, tenants: undefined, testDatabase: true })
    expect(checks.find(({ name }) => name === 'tenants-apart')?.skip).toBe('`tenants` is not set')
    await checks.find(({ name }) => name === 'create')?.run()
    const broken = { ...setup.accounts, getUserByIdentity: () => undefined }
    const [check] = accountHookChecks({ ...setup, accounts: broken, testDatabase: true }).filter(
      ({ name }) => name === 'unknown-identity',
    )
    await expect(check?.run()).rejects.toThrow(/returned undefined[\s\S]*Effect: [\s\S]*Fix: /)
  })
})

test('sessionsInStore opens, sees and closes sessions as Passport writes them', async () => {
  const store = new session.MemoryStore()
  const sessions = sessionsInStore<{ id: number }>(store)
  const sid = await sessions.open({ id: 7 })
  expect(await sessions.isOpen(sid)).toBe(true)
  const stored = await new Promise((resolve) => store.get(sid, (_, found) => resolve(found)))
  expect(stored).toMatchObject({ passport: { user: 7 }, cookie: { path: '/' } })
  await sessions.close(sid)
  expect(await sessions.isOpen(sid)).toBe(false)
})

test('names missing functions once, and runs nothing', async () => {
  const setup = { testDatabase: true, accounts: {}, database: {} } as never
  await expect(checkAccountHooks(setup)).rejects.toThrow(
    '`database.addAccount`, `database.removeAccount`, `accounts.getUserByIdentity`',
  )
})
