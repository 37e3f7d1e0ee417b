// npm run check:init: `init` of the packed tarball in nine apps, from their tables to signed-in users. Needs the registry.
// `npm run check:init -- Knex` runs those whose name has that word.
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startPostgres } from '../../../recipes/servers.mjs'
import { run } from '../lib/run.mjs'
import { APPS } from './apps.mjs'
import { runApp } from './run-app.mjs'

const MOST_LINES = 60
const project = fileURLToPath(new URL('../../..', import.meta.url))
const require = createRequire(import.meta.url)
const root = mkdtempSync(join(tmpdir(), 'init-apps-'))
const postgres = await startPostgres()
const { startFakeBitbucket } = require(join(project, 'dist/testing/index.js'))
const { inFormat } = require(join(project, 'dist/init/recipe-files.js'))
const packed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', root], { cwd: project })
const tarball = join(root, basename(/[\w.-]+\.tgz/.exec(packed)?.[0] ?? ''))

const npmInstall = (cwd, ...args) =>
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...args], { cwd })

/** With the driver that the app has. */
async function executeSqlite({ url, folder }, code) {
  const load = createRequire(join(folder, 'package.json'))
  if (existsSync(join(folder, 'node_modules/better-sqlite3')))
    return new (load('better-sqlite3'))(url).exec(code).close()
  const database = new (load('sqlite3').Database)(url)
  await promisify(database.exec.bind(database))(code)
  await promisify(database.close.bind(database))()
}

/** What `runApp` needs, with real installations. */
const tools = {
  inFormat,
  typescript: (folder) => join(folder, 'node_modules/typescript/bin/tsc'),

  async install(folder, { type, overrides, packages, development }) {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, type, overrides }))
    // Compiled once, by the recipes, where they are installed.
    const compiled = ['better-sqlite3', 'sqlite3']
      .filter((name) => packages.some((each) => each.startsWith(`${name}@`)))
      .map((name) => `node_modules/${name}/build`)
      .filter((build) => existsSync(join(project, 'recipes', build)))
    await npmInstall(folder, ...(compiled.length > 0 ? ['--ignore-scripts'] : []), tarball, ...packages)
    for (const build of compiled) cpSync(join(project, 'recipes', build), join(folder, build), { recursive: true })
    if (development.length > 0) await npmInstall(folder, '--ignore-scripts', '-D', ...development)
  },
  add: (folder, names) => npmInstall(folder, '--ignore-scripts', ...names),

  async init(folder, args) {
    const cli = ['--no-install', 'passport-bitbucket-signin', 'init', ...args]
    return (await promisify(execFile)('npx', cli, { cwd: folder })).stdout
  },

  async createDatabase({ name, server }, users, folder) {
    if (server === 'postgres') {
      const url = await postgres.createDatabase(`app_${APPS.findIndex((app) => app.name === name)}`, users)
      return { server, url }
    }
    const database = { server, url: join(folder, 'app.db'), folder }
    await executeSqlite(database, users)
    return database
  },
  async execute(database, code) {
    const { server, url } = database
    if (server === 'sqlite') return executeSqlite(database, code)
    const { default: pg } = await import('pg')
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(code).finally(() => client.end())
  },
}

// A stopping server notifies its clients; a pool that was just ended no longer listens and would raise an unhandled error.
process.on('uncaughtException', (error) => {
  if (error.code === '57P01') return
  console.error(error)
  process.exit(1)
})

const chosen = APPS.filter(({ name }) => !process.argv[2] || name.includes(process.argv[2]))
let passed = 0
for (const app of chosen) {
  const folder = join(root, String(APPS.indexOf(app)))
  mkdirSync(folder)
  const fake = await startFakeBitbucket()
  try {
    const { lines, firstSignIn, test } = await runApp(app, folder, { ...tools, fake })
    const seconds = (firstSignIn / 1000).toFixed(1)
    const enough = lines <= MOST_LINES
    if (enough) passed++
    console.log(
      `${enough ? 'ok  ' : 'FAIL'}  ${app.name.padEnd(60)}${String(lines).padStart(3)} lines by hand   ${seconds.padStart(6)} s from init to the first sign-in   ${test} tests passed`,
    )
  } catch (error) {
    console.error(`FAIL  ${app.name}\n${error.stack}`)
  } finally {
    await fake.close()
  }
}
await postgres.close()
if (passed === chosen.length) rmSync(root, { recursive: true })
else console.log(`The apps are in ${root}.`)
console.log(`\n${passed} of ${chosen.length} apps passed.`)
process.exit(passed === chosen.length ? 0 : 1)
