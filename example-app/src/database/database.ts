import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from '@photostructure/sqlite'
import { Kysely, PostgresDialect, type SqliteDatabase, SqliteDialect } from 'kysely'
import pg from 'pg'
import type { Config } from '../config.js'
import type { Log } from '../log.js'
import { migrate } from './migrations.js'
import type { Tables } from './schema.js'

/** Takes a transaction as well. */
export type Db = Kysely<Tables>

export interface Database {
  readonly db: Db
  /** The connections to PostgreSQL, `null` on SQLite; the rate limits share them. */
  readonly pool: pg.Pool | null
}

/** PostgreSQL if `DATABASE_URL` is set, otherwise a file under `DATA_DIR`. Migrated before it is returned. */
export async function openDatabase(config: Config, log: Log): Promise<Database> {
  const pool = config.databaseURL ? openPool(config.databaseURL, log) : null
  const db = new Kysely<Tables>({
    dialect: pool
      ? new PostgresDialect({ pool })
      : new SqliteDialect({ database: openFile(join(config.dataDir, 'app.db')) }),
  })
  await migrate(db, pool ? 'postgres' : 'sqlite')
  return { db, pool }
}

function openPool(connectionString: string, log: Log): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 10, connectionTimeoutMillis: 5000, statement_timeout: 10_000 })
  // Without these listeners, a server that goes away ends the process: one for idle connections, one for those in use.
  const onLost = (error: Error) => log.warn({ reason: error.message }, 'a database connection was lost')
  pool.on('error', onLost)
  pool.on('connect', (client) => client.on('error', onLost))
  return pool
}

function openFile(path: string): SqliteDatabase {
  mkdirSync(dirname(path), { recursive: true })
  const file = new DatabaseSync(path, { timeout: 5000 })
  file.exec('pragma journal_mode = wal; pragma synchronous = full')
  return {
    close: () => file.close(),
    prepare(sql) {
      // A transaction that reads first and writes later fails when another process wrote in between; locking at the
      // start makes it wait instead.
      const statement = file.prepare(sql === 'begin' ? 'begin immediate' : sql)
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...parameters.map(bindable)),
        run: (parameters) => statement.run(...parameters.map(bindable)) as { changes: number; lastInsertRowid: number },
        iterate: (parameters) => statement.iterate(...parameters.map(bindable)) as IterableIterator<unknown>,
      }
    },
  }
}

/** SQLite binds no booleans and would store a Date as NULL without a word. */
function bindable(value: unknown): unknown {
  if (value === undefined) return null
  if (typeof value === 'boolean') return Number(value)
  return value instanceof Date ? value.toISOString() : value
}

/** The table whose unique key refused a row, `null` when the error is something else. Both databases name it. */
export function refusedBy(error: unknown): string | null {
  const { code, errcode, table, message } = error as {
    code?: string
    errcode?: number
    table?: string
    message?: string
  }
  if (code === '23505') return table ?? null
  if (errcode === 2067 || errcode === 1555) return /failed: (\w+)\./.exec(message ?? '')?.[1] ?? null
  return null
}

/** Whether the database could not be reached, as opposed to having refused. Worth a 503 and another try. */
export function isUnreachable(error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string }
  return (
    /^(ECONN|EPIPE|ETIMEDOUT|57P0|08)/.test(String(code)) ||
    /^Connection terminated|^timeout exceeded when/.test(message)
  )
}
