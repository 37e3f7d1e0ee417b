import { createServer, request, type Server } from 'node:http'
import { pipeline } from 'node:stream'
import { type FakeBitbucket, type FakePersonOptions, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { freePort } from '../support/free-port'
import { type ExampleApp, startExampleApp } from './app'

/** Several processes of the example app on one database, behind a proxy that sends each request to the next one. */
export interface AppProcesses {
  /** Address of the proxy. */
  readonly url: string
  readonly fake: FakeBitbucket
  readonly apps: readonly ExampleApp[]
  /** Kills a process without warning and starts another in its place. */
  replace(index: number): Promise<void>
  stop(): Promise<void>
}

interface Options {
  readonly count: number
  readonly databaseURL: string
  readonly people?: readonly FakePersonOptions[]
  readonly env?: Record<string, string>
}

export async function startProcesses({ count, databaseURL, people, env }: Options): Promise<AppProcesses> {
  const proxyPort = await freePort()
  const url = `http://localhost:${proxyPort}`
  // The client that the app takes for granted in its demo mode.
  const client = {
    clientID: 'corkboard-demo',
    clientSecret: 'corkboard-demo-secret',
    callbackURL: `${url}/auth/bitbucket/callback`,
  }
  const fake = await startFakeBitbucket({ clients: [client], ...(people && { people }) })
  const settings = {
    DATABASE_URL: databaseURL,
    BASE_URL: url,
    SESSION_SECRET: 'the-same-secret-in-every-process-0123456789',
    FAKE_BITBUCKET_URL: fake.url,
    TRUSTED_PROVIDER: 'true',
    LOG_LEVEL: 'error',
    ...env,
  }
  // All at once: their migrations have to wait for each other.
  const apps = await Promise.all(Array.from({ length: count }, () => startExampleApp(settings)))
  const proxy = await startProxy(proxyPort, () => apps.map((app) => app.port))
  return {
    url,
    fake,
    apps,
    replace: async (index) => {
      await apps[index]?.stop('SIGKILL')
      apps[index] = await startExampleApp(settings)
    },
    stop: async () => {
      proxy.closeAllConnections()
      await new Promise((resolve) => proxy.close(resolve))
      await Promise.all(apps.map((app) => app.stop()))
      await fake.close()
    },
  }
}

/** Round robin, no stickiness. A process that does not take the connection is skipped; one that dies answers 502. */
async function startProxy(port: number, targets: () => readonly number[]): Promise<Server> {
  let turn = 0
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk) => chunks.push(chunk))
    req.on('end', () => {
      const pass = (triesLeft: number) => {
        const ports = targets()
        const target = ports[turn++ % ports.length]
        const { method, headers, url: path } = req
        const call = request({ host: '127.0.0.1', port: target, method, headers, path, agent: false }, (answer) => {
          res.writeHead(answer.statusCode ?? 502, answer.headers)
          // Also when the process dies in the middle of an answer.
          pipeline(answer, res, () => {})
        })
        call.on('error', (error: NodeJS.ErrnoException) => {
          if (error.code === 'ECONNREFUSED' && triesLeft > 0) return pass(triesLeft - 1)
          if (res.headersSent) res.destroy()
          else res.writeHead(502).end('The server went away. Try again.')
        })
        call.end(Buffer.concat(chunks))
      }
      pass(3)
    })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return server
}
