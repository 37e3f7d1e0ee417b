import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import pg from 'pg'

/**
 * Where an app keeps sessions: express-session's MemoryStore, or a PostgreSQL table.
 *
 * @typedef {object} BenchStore
 * @property {session.Store} sessions for express-session
 * @property {Map<string, string>} values for contenders that bring sessions of their own
 * @property {pg.Pool | undefined} pool present when sessions are in PostgreSQL
 * @property {() => number} bytes what the memory store holds
 * @property {() => Promise<void>} clear
 */

/**
 * @param {string | undefined} databaseUrl
 * @param {string} [schema] of this app alone: two contenders call their tables the same
 * @returns {Promise<BenchStore>}
 */
export async function openStore(databaseUrl, schema) {
  const values = new Map()
  if (!databaseUrl) {
    const sessions = new session.MemoryStore()
    return {
      sessions,
      values,
      pool: undefined,
      bytes: () => totalLength(Object.values(sessions.sessions)) + totalLength(values.values()),
      async clear() {
        sessions.sessions = Object.create(null)
        values.clear()
      },
    }
  }
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 10, options: `-c search_path=${schema}` })
  await pool.query(`drop schema if exists ${schema} cascade; create schema ${schema}`)
  const Store = connectPgSimple(session)
  const sessions = new Store({ pool, createTableIfMissing: true, pruneSessionInterval: false })
  return {
    sessions,
    values,
    pool,
    bytes: () => 0,
    async clear() {
      await pool.query('truncate session').catch(() => {})
      values.clear()
    },
  }
}

function totalLength(texts) {
  let bytes = 0
  for (const text of texts) bytes += Buffer.byteLength(text)
  return bytes
}
