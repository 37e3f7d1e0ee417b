import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { run } from '../lib/run.mjs'
import { SERVER, SERVER_EDITS } from './apps.mjs'
import { journey } from './journey.mjs'

/**
 * Takes one app from before `init` to signed-in users: runs `init`, installs what it says, creates the tables, adds the
 * printed lines, runs the written test, then the app. `tools` are what differs between a quick run and one with the
 * tarball: how to install, `init` itself, the fake, databases. Returns the developer's lines and times.
 */
export async function runApp(app, folder, tools) {
  const files = new AppFiles(app, folder, tools)
  files.writeBefore()
  await tools.install(folder, manifest(app))
  const database = app.server && (await tools.createDatabase(app, app.before ?? TABLE[app.server], folder))

  const start = performance.now()
  const printed = await tools.init(folder, ['--yes', '--addresses', app.addresses])
  const packages = [...printed.matchAll(/^ {3}npm install (?:-D )?(\S+)$/gm)].map(([, name]) => name)
  if (packages.length > 0) await tools.add(folder, packages)
  files.edit()
  const tsc = app.language.startsWith('ts')
  if (tsc) await run(process.execPath, [tools.typescript(folder), '-p', '.'], { cwd: folder })
  if (database) await migrate(app, files, database, tools)

  const port = await freePort()
  const env = environment(database, port, tools.fake)
  const { child, output } = startServer(files, folder, env)
  try {
    await reachable(`http://127.0.0.1:${port}/me`, output)
    let firstSignIn
    const codeTo = (address) => output().split(`Mail to ${address}: your code is `).at(-1).slice(0, 9)
    await journey({
      app: { origin: `http://127.0.0.1:${port}`, ...PAGES },
      fake: tools.fake,
      codes: { latest: codeTo },
      onFirstSignIn() {
        firstSignIn = performance.now() - start
      },
    })
    const test = await writtenTest(printed, folder, env, database)
    return { lines: files.lines, firstSignIn, test }
  } catch (error) {
    error.message += `\n${output()}`
    throw error
  } finally {
    child.kill()
  }
}

const TABLE = {
  postgres: 'CREATE TABLE users (id serial PRIMARY KEY, name text, email text UNIQUE, password_hash text)',
  sqlite: 'CREATE TABLE users (id integer PRIMARY KEY, name text, email text UNIQUE, password_hash text)',
}

/** How the pages of the apps work. */
const PAGES = {
  whoAmI: async (browser) => JSON.parse((await browser.visit('/me')).text),
  signUp: (browser, form) => browser.visit('/sign-up', { form }),
  signIn: (browser, form) => browser.visit('/login', { form }),
  signOut: (browser) => browser.visit('/logout', { form: {} }),
}

function manifest({ language, express, packages, types, overrides }) {
  const typescript = language.startsWith('ts')
  return {
    overrides,
    type: language.endsWith('cjs') ? 'commonjs' : 'module',
    packages: [
      `express@${express === 4 ? '4.22.3' : '5.3.0'}`,
      'passport@0.7.0',
      'express-session@1.19.0',
      ...packages,
    ],
    development: [
      ...(typescript
        ? [
            'typescript@5.9.3',
            '@types/node@20',
            `@types/express@${express}`,
            '@types/passport@1',
            '@types/express-session@1',
            ...types,
          ]
        : []),
    ],
  }
}

/** The files of an app: written in one format, kept in the format of the app, with a count of the developer's lines. */
class AppFiles {
  lines = 0
  #app
  #folder
  #tools

  constructor(app, folder, tools) {
    this.#app = app
    this.#folder = folder
    this.#tools = tools
  }

  get isTypeScript() {
    return this.#app.language.startsWith('ts')
  }

  get source() {
    return join(this.#folder, this.isTypeScript ? 'src' : '.')
  }

  get ending() {
    return this.isTypeScript ? '.ts' : '.js'
  }

  writeBefore() {
    mkdirSync(this.source, { recursive: true })
    for (const [name, code] of Object.entries(this.#before())) this.write(name, code)
    if (!this.isTypeScript) return
    const module = { module: 'nodenext', esModuleInterop: true, target: 'es2023', strict: true }
    writeFileSync(
      join(this.#folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...module, noEmit: true, skipLibCheck: true }, include: ['src'] }),
    )
  }

  #before() {
    const { store, users } = this.#app
    const option = store ? `${store.option} ` : ''
    return { server: SERVER.replace('STORE_IMPORT\n', store?.import ?? '').replace('STORE_OPTION ', option), users }
  }

  write(name, code) {
    writeFileSync(join(this.source, name + this.ending), this.format(code))
  }

  format(code) {
    const typed = this.isTypeScript
      ? code.replace(/\/\*([^*]*?)\*\//g, '$1')
      : code.replace(/(?:, )?\/\*[^*]*?\*\//g, (all) => (all.startsWith(', ') ? ' ' : ''))
    const language = this.isTypeScript ? 'typescript' : this.#app.language === 'cjs' ? 'commonjs' : 'esm'
    const importsNeedEnding = this.#app.language.endsWith('esm')
    const loaded = this.#tools.inFormat(typed, { language, importsNeedEnding, ending: this.ending })
    return importsNeedEnding ? loaded.replace(/from '(\.\/bitbucket\/[\w-]+)'/g, "from '$1.js'") : loaded
  }

  /** The developer's edits: the printed lines, then those of the database. */
  edit() {
    const edits = [...SERVER_EDITS.map(([find, replace]) => ['server', find, replace]), ...(this.#app.edits ?? [])]
    const sources = new Map(Object.entries(this.#before()))
    for (const [file, find, replace] of edits) {
      const name = file.replace('.ts', '')
      const code = sources.get(name)
      assert.ok(typeof find === 'string' ? code.split(find).length === 2 : find.test(code), `${name}: ${find}`)
      sources.set(
        name,
        code.replace(find, () => replace),
      )
      const before = typeof find === 'string' ? find.split('\n') : []
      this.lines += replace.split('\n').filter((line) => line !== '' && !before.includes(line)).length
    }
    for (const [name, code] of sources) this.write(name, code)
    this.lines += (this.#app.developerSql ?? '').split('\n').filter(Boolean).length
  }

  read(name) {
    return readFileSync(join(this.source, 'bitbucket', name), 'utf8')
  }
}

async function migrate(app, files, database, tools) {
  if (app.migration) {
    const { loader, script } = migrationScript(files)
    await run(process.execPath, [...loader, script], { cwd: files.source, env: { DATABASE_URL: database.url } })
    return
  }
  const code = app.sql.map((name) => files.read(name)).join('\n')
  // drizzle-kit generates the difference; its new tables are those of the recipe.
  const tables = app.developerSql ? code.slice(code.indexOf('CREATE TABLE identities')) : code
  await tools.execute(
    database,
    `${app.developerSql ?? ''}${tables.replace(/CREATE TABLE session \(/, 'CREATE TABLE IF NOT EXISTS session (')}`,
  )
}

/** As the command of a migration tool would. */
function migrationScript(files) {
  files.write(
    'migrate',
    "import { up } from './bitbucket/migration'\nimport { database } from './users'\n\nup(database).then(() => database.destroy())\n",
  )
  return { loader: files.isTypeScript ? ['--import', 'tsx'] : [], script: join(files.source, `migrate${files.ending}`) }
}

function environment(database, port, fake) {
  return {
    PORT: String(port),
    ...(database && { DATABASE_URL: database.url }),
    FAKE_BITBUCKET: fake.url,
    BITBUCKET_CLIENT_ID: 'fake-client-id',
    BITBUCKET_CLIENT_SECRET: 'fake-client-secret',
    BITBUCKET_CALLBACK_URL: `http://127.0.0.1:${port}/auth/bitbucket/callback`,
    BITBUCKET_COOKIE_SECRET: 'only-for-this-test-only-for-this-test',
    TOKEN_KEY: Buffer.alloc(32, 7).toString('base64'),
    NODE_ENV: 'development',
    NODE_OPTIONS: '',
    VITEST: '',
  }
}

function startServer(files, folder, env) {
  const script = join(files.source, `server${files.ending}`)
  const loader = files.isTypeScript ? ['--import', 'tsx'] : []
  const child = spawn(process.execPath, [...loader, script], { cwd: folder, env: { ...process.env, ...env } })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += chunk
    })
  }
  return { child, output: () => text }
}

async function reachable(url, output) {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return
    await setTimeout(100)
  }
  throw new Error(`The app does not answer at ${url}.\n${output()}`)
}

/** Runs the command that `init` printed, on a database of the same tables. */
async function writtenTest(printed, folder, env, database) {
  const command = /^ {3}((?:node|npx) .*bitbucket\.test\.\w+)$/m.exec(printed)?.[1]
  assert.ok(command, printed)
  const url = database && { TEST_DATABASE_URL: database.url }
  const [program, ...args] = command.split(' ')
  const output = await run(program, program === 'npx' ? ['--no-install', ...args] : args, {
    cwd: folder,
    env: { ...env, ...url },
  })
  return /# pass (\d+)/.exec(output)?.[1] ?? /Tests +(?:.*?)(\d+) passed/.exec(output)?.[1]
}

async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}
