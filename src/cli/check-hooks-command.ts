import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { checkAccountHooks } from '../testing/account-hooks/check-account-hooks'
import type { AccountHooksSetup } from '../testing/account-hooks/hooks-setup'
import { type Command, UsageError } from './command'

const USAGE = `Usage: passport-bitbucket-signin check-hooks <module> --test-database [options]

Runs your account hooks against your own test database: races, accounts stored without
their identity, upper and lower case, unlinking the only way to sign in, and more.
Accounts are added, changed and deleted there, with addresses under .invalid.
Exit code: 0 = no check failed, 1 = some did, 2 = wrong arguments.

The module's default export is what checkAccountHooks() of passport-bitbucket-signin/testing
takes, or a function that returns it (or a promise of it):
  export default { accounts, database: { addAccount, removeAccount, … } }
It may also export a function close(), which is called at the end.

Options:
  --test-database  Confirms that the module uses a test database. Always required.
  --json           Print the results as JSON.

For TypeScript:
  node --import tsx node_modules/passport-bitbucket-signin/dist/cli/index.js check-hooks <module.ts> --test-database
`

/** `check-hooks`: runs the checks of `passport-bitbucket-signin/testing` on a module's setup. */
export const checkHooks: Command = {
  name: 'check-hooks',
  usage: USAGE,
  async run(args, terminal) {
    const { path, json } = readArguments(args)
    const { setup, close } = await load(path)
    try {
      const report = await checkAccountHooks({ ...setup, testDatabase: true })
      terminal.write(json ? `${JSON.stringify(report.results, withoutErrors, 2)}\n` : String(report))
      return report.ok ? 0 : 1
    } finally {
      await close?.()
    }
  },
}

function readArguments(args: readonly string[]): { path: string; json: boolean } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { 'test-database': { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
  })
  const [path, ...more] = positionals
  if (path === undefined || more.length > 0) throw new UsageError('check-hooks expects one module.')
  if (!values['test-database']) {
    throw new UsageError(
      'The checks add, change and delete accounts. Confirm with --test-database that the module uses a test database.',
    )
  }
  if (!existsSync(path)) throw new UsageError(`There is no file ${path}.`)
  return { path, json: values.json }
}

interface Loaded {
  readonly setup: AccountHooksSetup<unknown>
  readonly close: (() => unknown) | undefined
}

async function load(path: string): Promise<Loaded> {
  const module = await import(pathToFileURL(resolve(path)).href)
  // A CommonJS module compiled from ESM has its default export one level deeper.
  const exported = module.default?.default ?? module.default
  const setup = typeof exported === 'function' ? await exported() : exported
  if (!setup?.accounts || !setup.database) {
    throw new UsageError(`${path}: the default export must have \`accounts\` and \`database\`, or return them.`)
  }
  return { setup, close: module.close ?? module.default?.close }
}

/** Errors contain values of the database, and JSON would omit their message. */
function withoutErrors(key: string, value: unknown): unknown {
  return key === 'error' ? undefined : value
}
