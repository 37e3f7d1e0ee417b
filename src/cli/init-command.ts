import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { type InitPlan, planInit, type TestDatabaseSource } from '../init/init-plan'
import type { InitAnswers } from '../init/init-templates'
import { type AppInspection, inspectApp } from '../init/inspect-app'
import { type Command, UsageError } from './command'
import { addressesOf, ask, pathOf } from './init-questions'

const USAGE = `Usage: passport-bitbucket-signin init [options]

Looks at the app in this folder, asks three questions, and writes the connection, the
account hooks for its database, an .env.example, and a test. It never overwrites a file
and never edits yours: it prints the lines to add.

Options:
  --yes               Ask nothing; take the defaults and the options below.
  --dry-run           Print what would be written.
  --addresses <kind>  verified (the app confirms its users' addresses), unverified
                      (it only stores them, default) or none (it has none).
  --mount <path>      Where the router is mounted. Default /auth/bitbucket.
  --sign-in <path>    The app's sign-in page. Default /login.
  --recipe <name>     Instead of the one for the database library found: memory, pg, …
  --directory <path>  Where the files go. Default src/bitbucket, or bitbucket without src.
`

/** `init`: writes the parts of a first setup into an app. */
export const init: Command = {
  name: 'init',
  usage: USAGE,
  async run(args, terminal) {
    const options = readOptions(args)
    const app = inspectApp(process.cwd())
    if (!app)
      throw new UsageError('package.json is missing here, or is not valid JSON. Run init in the folder of your app.')
    terminal.write(describe(app))
    const silent = options.yes || !process.stdin.isTTY
    const answers = silent ? options.answers : await ask(options.answers, process.stdin, process.stdout)
    const directory = options.directory ?? (app.hasSourceFolder ? 'src/bitbucket' : 'bitbucket')
    const plan = planInit(app, answers, directory, options.recipe)
    terminal.write(options.dryRun ? preview(plan) : write(plan))
    const assumed = silent && options.assumesAddresses ? [addressesAssumed(directory)] : []
    terminal.write(nextSteps({ ...plan, notes: [...assumed, ...plan.notes] }, app))
    return 0
  },
}

interface InitOptions {
  readonly yes: boolean
  readonly dryRun: boolean
  readonly answers: InitAnswers
  /** Whether nothing says what the app knows about its users' addresses. */
  readonly assumesAddresses: boolean
  readonly recipe: string | undefined
  readonly directory: string | undefined
}

function readOptions(args: readonly string[]): InitOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      yes: { type: 'boolean', default: false },
      'dry-run': { type: 'boolean', default: false },
      addresses: { type: 'string' },
      mount: { type: 'string', default: '/auth/bitbucket' },
      'sign-in': { type: 'string', default: '/login' },
      recipe: { type: 'string' },
      directory: { type: 'string' },
    },
  })
  const { directory, recipe } = values
  if (recipe !== undefined && !/^[\w-]+$/.test(recipe)) throw new UsageError('--recipe must be a name such as pg.')
  if (directory !== undefined && !/^(?!\/|.*\.\.)[\w./-]+$/.test(directory))
    throw new UsageError('--directory must be a path below this folder, such as src/bitbucket.')
  return {
    yes: values.yes,
    dryRun: values['dry-run'],
    answers: {
      // Not `verified`: `claimAddress` takes addresses from accounts, which is wrong in an app that verifies none.
      localAddresses: addressesOf('--addresses', values.addresses ?? 'unverified'),
      mount: pathOf('--mount', values.mount),
      signIn: pathOf('--sign-in', values['sign-in']),
    },
    assumesAddresses: values.addresses === undefined,
    recipe,
    directory: directory?.replace(/\/+$/, ''),
  }
}

function addressesAssumed(directory: string): string {
  return `Without --addresses, init takes addresses as unverified. If your app confirms them by a link or a code, delete what it wrote to ${directory}, and run init with --addresses verified.`
}

function describe(app: AppInspection): string {
  const version = (name: string, found: string | null) => (found === null ? `${name} (not found)` : `${name} ${found}`)
  const language = { typescript: 'TypeScript', esm: 'ES modules', commonjs: 'CommonJS' }[app.language]
  return `Found: ${language}, ${app.packageManager}, ${version('express', app.express)}, ${version('passport', app.passport)}, ${version('express-session', app.expressSession)}
  database: ${app.recipe ?? 'not recognised'}   session store: ${app.sessionStore ?? (app.expressSession === null ? 'not found' : 'MemoryStore, as no other is installed')}   tests: ${app.testRunner === 'node' ? 'node:test' : app.testRunner}\n\n`
}

function preview({ files }: InitPlan): string {
  return [...files].map(([path, content]) => `--- ${path}\n${content}\n`).join('\n')
}

/** Writes what is not there yet. */
function write({ files }: InitPlan): string {
  const lines = [...files].map(([path, content]) => {
    const target = join(process.cwd(), path)
    if (existsSync(target)) return `kept      ${path} (it exists; run with --dry-run to see what init would write)`
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, content, { flag: 'wx' })
    return `written   ${path}`
  })
  return `${lines.join('\n')}\n`
}

const TEST_SAYS: Readonly<Record<TestDatabaseSource, string>> = {
  memory:
    'It passes with users in memory. Replace `MemoryDatabase` in accounts and bitbucket.test with your users; then each failure is something left to do',
  sql: 'It passes with the users table of users.sql. Change that file to the table that your app has; then each failure is something left to do',
  url: 'Each failure is something left to do',
  unwritten: 'Each failure is something left to do',
}

function nextSteps(
  { install, tables, appLines, notes, testCommand, testDatabase }: InitPlan,
  app: AppInspection,
): string {
  const add = app.packageManager === 'npm' ? 'npm install' : `${app.packageManager} add`
  const steps = [
    ...(install.length > 0
      ? [`Install what is missing:\n\n${install.map((each) => `   ${add} ${each}`).join('\n')}\n`]
      : []),
    ...(tables === null ? [] : [`${tables}\n`]),
    `Run the test${testDatabase === 'url' ? ', with TEST_DATABASE_URL naming a test database that has these tables' : ''}. ${TEST_SAYS[testDatabase]}:\n\n   ${testCommand}\n`,
    `Add to your app:\n\n${appLines.replace(/^/gm, '   ').trimEnd()}\n`,
    `Read in node_modules/passport-bitbucket-signin/docs/existing-app.md: step 2 if passport.serializeUser stores an object, step 3 if your users have passwords, steps 7 to 9 if your app has sensitive pages, guards before the router (CSRF, required sign-in) or guests.\n`,
    `Try it without Bitbucket: copy .env.example to .env, then\n\n   npx passport-bitbucket-signin fake\n\n   and start your app with node --env-file=.env. In production, use another BITBUCKET_COOKIE_SECRET.\n`,
    'Check the setup with the doctor:\n\n   console.log(String(await bitbucket.doctor(app)))\n',
  ]
  const numbered = steps.map((step, index) => `${index + 1}. ${step}`).join('\n')
  return `\n${notes.map((note) => `Note: ${note}\n`).join('')}\n${numbered}`
}
