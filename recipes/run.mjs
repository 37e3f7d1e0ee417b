// npm run test:recipes: runs every check on every recipe, each on a new database, and prints which server it ran on.
// `npm run test:recipes -- knex pg` runs those two.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startMongoStandIn } from './mongo-stand-in.mjs'
import { MissingServerError, openSqlite, startMariaDB, startPostgres } from './servers.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const root = join(here, '..')
const require = createRequire(import.meta.url)

/** Every recipe with the server it runs on. */
const RECIPES = {
  pg: 'postgres',
  'better-sqlite3': 'sqlite',
  sqlite3: 'sqlite',
  kysely: 'sqlite',
  mysql2: 'mariadb',
  knex: 'postgres',
  drizzle: 'postgres',
  prisma: 'postgres',
  sequelize: 'mariadb',
  typeorm: 'postgres',
  mongoose: 'stand-in',
}

/** What is left out of a setup for the other kinds of apps. */
const VARIANTS = {
  verified: (setup) => setup,
  unverified: ({ accounts: { claimAddress: _, ...accounts }, ...setup }) => ({
    ...setup,
    accounts,
    localAddresses: 'unverified',
  }),
}

const STARTS = {
  postgres: startPostgres,
  mariadb: startMariaDB,
  sqlite: openSqlite,
  'stand-in': startMongoStandIn,
}
const servers = new Map()
async function serverFor(kind) {
  if (!servers.has(kind)) servers.set(kind, await STARTS[kind]())
  return servers.get(kind)
}

/** Compiles all recipes: a recipe that cannot run here is still type-checked. */
function compile(names) {
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true' }
  if (names.includes('prisma')) {
    const cli = join(here, 'node_modules/prisma/build/index.js')
    execFileSync(process.execPath, [cli, 'generate'], { cwd: join(here, 'prisma'), env, stdio: 'pipe' })
  }
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', here], { stdio: 'inherit' })
}

/** SQL that creates the tables; empty where the recipe's own code does. */
function schemaOf(name) {
  const files = ['users.sql', 'schema.sql'].map((file) => join(here, name, file))
  return files
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n')
}

async function runRecipe(name) {
  const server = await serverFor(RECIPES[name])
  const { checkAccountHooks } = require('passport-bitbucket-signin/testing')
  const url = await server.createDatabase(name.replace('-', '_'), schemaOf(name))
  const TOKEN_KEY = randomBytes(32).toString('base64')
  Object.assign(process.env, { TEST_DATABASE_URL: url, TEST_DATABASE_FILE: url, TOKEN_KEY })
  const module = require(join(here, 'dist', name, 'check-hooks.js'))
  const setup = typeof module.default === 'function' ? await module.default() : module.default
  const reports = []
  try {
    for (const [variant, change] of Object.entries(VARIANTS)) {
      const report = await checkAccountHooks({ ...change(setup), testDatabase: true })
      const summary = String(report).trim().split('\n').at(-1)
      console.log(`${name.padEnd(16)}${variant.padEnd(12)}${summary.padEnd(42)}${server.version}`)
      for (const failure of String(report).match(/^FAILED[^\n]*(?:\n {9}.*)*/gm) ?? []) console.log(failure)
      reports.push(report)
    }
  } finally {
    await module.close?.()
  }
  return { name, version: server.version, reports }
}

const SIGNS = { passed: '+', skipped: '.', failed: 'F' }

/** Every check, with a column for each recipe and a sign for each variant. */
function table(runs) {
  const checks = runs[0]?.reports[0].results.map(({ name }) => name) ?? []
  const width = Math.max(...checks.map((name) => name.length)) + 2
  const signs = ({ reports }, check) =>
    reports.map(({ results }) => SIGNS[results.find(({ name }) => name === check).status]).join('')
  const columns = runs.map((_, index) => String(index + 1).padEnd(4)).join('')
  return [
    `Two signs for each recipe: ${Object.keys(VARIANTS).join(', ')}. + passed, . skipped, F failed`,
    ...runs.map(({ name, version }, index) => `${String(index + 1).padStart(3)}  ${name.padEnd(16)}${version}`),
    '',
    ''.padEnd(width) + columns,
    ...checks.map((check) => check.padEnd(width) + runs.map((run) => signs(run, check).padEnd(4)).join('')),
  ].join('\n')
}

// A stopping server notifies its clients; a pool that was just ended no longer listens and would raise an unhandled error.
process.on('uncaughtException', (error) => {
  if (error.code === '57P01') return
  console.error(error)
  process.exit(1)
})

const words = process.argv.slice(2)
const unknown = words.filter((name) => !(name in RECIPES))
if (unknown.length > 0) {
  console.error(`There is no recipe ${unknown.join(', ')}. Choose from ${Object.keys(RECIPES).join(', ')}.`)
  process.exit(2)
}
const chosen = Object.keys(RECIPES).filter((name) => words.length === 0 || words.includes(name))
compile(chosen)
const runs = []
const notRun = []
try {
  for (const name of chosen) {
    try {
      runs.push(await runRecipe(name))
    } catch (error) {
      notRun.push(name)
      console.log(`${name.padEnd(16)}NOT RUN     ${error instanceof MissingServerError ? error.message : error.stack}`)
    }
  }
} finally {
  for (const server of servers.values()) await server.close()
}
const passed = runs.filter(({ reports }) => reports.every(({ ok }) => ok))
console.log(`\n${table(runs)}\n\n${passed.length} of ${chosen.length} recipes passed.`)
if (notRun.length > 0) console.log(`Not run: ${notRun.join(', ')}.`)
process.exit(passed.length === chosen.length ? 0 : 1)
