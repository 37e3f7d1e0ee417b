// npm run test:recipes: runs the checks on every recipe, each on a new database, and prints on which server it ran.
// `npm run test:recipes -- knex pg` runs those two.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startMongoStandIn } from './mongo-stand-in.mjs'
import { openSqlite, startMariaDB, startPostgres } from './servers.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const root = join(here, '..')
const require = createRequire(import.meta.url)

/** Every recipe with the server it runs on. */
const RECIPES = {
  pg: 'postgres',
  'better-sqlite3': 'sqlite',
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

async function runRecipe(name) {
  const server = await serverFor(RECIPES[name])
  const { checkAccountHooks } = require('passport-bitbucket-signin/testing')
  const schema = join(here, name, 'schema.sql')
  const url = await server.createDatabase(
    name.replace('-', '_'),
    existsSync(schema) ? readFileSync(schema, 'utf8') : '',
  )
  const TOKEN_KEY = randomBytes(32).toString('base64')
  Object.assign(process.env, { TEST_DATABASE_URL: url, TEST_DATABASE_FILE: url, TOKEN_KEY })
  const module = require(join(here, 'dist', name, 'check-hooks.js'))
  const setup = typeof module.default === 'function' ? await module.default() : module.default
  let ok = true
  try {
    for (const [variant, change] of Object.entries(VARIANTS)) {
      const report = await checkAccountHooks({ ...change(setup), testDatabase: true })
      const summary = String(report).trim().split('\n').at(-1)
      console.log(`${name.padEnd(16)}${variant.padEnd(12)}${summary.padEnd(42)}${server.version}`)
      for (const failure of String(report).match(/^FAILED[^\n]*(?:\n {9}.*)*/gm) ?? []) console.log(failure)
      ok &&= report.ok
    }
  } finally {
    await module.close?.()
  }
  return ok
}

// A stopping server notifies its clients; a pool that was just ended no longer listens and would raise an unhandled error.
process.on('uncaughtException', (error) => {
  if (error.code === '57P01') return
  console.error(error)
  process.exit(1)
})

const words = process.argv.slice(2)
const chosen = Object.keys(RECIPES).filter((name) => words.length === 0 || words.includes(name))
compile(chosen)
let failures = 0
try {
  for (const name of chosen) {
    const ok = await runRecipe(name).catch((error) => console.log(`${name.padEnd(16)}NOT RUN     ${error.stack}`))
    if (!ok) failures++
  }
} finally {
  for (const server of servers.values()) await server.close()
}
console.log(`\n${chosen.length - failures} of ${chosen.length} recipes passed.`)
process.exit(failures === 0 ? 0 : 1)
