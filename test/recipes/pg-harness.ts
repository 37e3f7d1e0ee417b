import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { Pool } from 'pg'
import type { User } from '../../recipes/pg/accounts'
import { testDatabase } from '../../recipes/pg/test-database'
import { startPostgres } from '../support/postgres'

/** A PostgreSQL server with the tables of the recipe. */
export interface RecipeDatabase {
  readonly pool: Pool
  /** Another pool, for hooks that may not give their connections back. */
  openPool(): Pool
  readonly database: TestDatabase<User>
  stop(): Promise<void>
}

export const RECIPE = join(__dirname, '../../recipes/pg')

export async function startRecipeDatabase(): Promise<RecipeDatabase> {
  process.env.TOKEN_KEY = randomBytes(32).toString('base64')
  const server = await startPostgres()
  const openPool = () => {
    const pool = new Pool({ connectionString: server.url, max: 10 })
    // A server that stops tells its clients, and some of them hear it after the pool let go of them.
    return pool.on('error', () => {}).on('connect', (client) => client.on('error', () => {}))
  }
  const pool = openPool()
  for (const file of ['users.sql', 'schema.sql']) await pool.query(await readFile(join(RECIPE, file), 'utf8'))
  return {
    pool,
    openPool,
    database: { ...testDatabase(pool), sessions: rowsOf(pool) },
    async stop() {
      await pool.end()
      await server.stop()
    },
  }
}

/** Rows as connect-pg-simple writes them; `npm run test:recipes` uses the store itself. */
function rowsOf(pool: Pool): NonNullable<TestDatabase<User>['sessions']> {
  return {
    async open(user) {
      const sid = randomBytes(16).toString('hex')
      const sql = "INSERT INTO session (sid, sess, expire) VALUES ($1, $2, now() + interval '1 hour')"
      await pool.query(sql, [sid, { passport: { user: user.id } }])
      return sid
    },
    isOpen: async (sid) => (await pool.query('SELECT 1 FROM session WHERE sid = $1', [sid])).rowCount === 1,
    close: (sid) => pool.query('DELETE FROM session WHERE sid = $1', [sid]),
  }
}
