import { randomBytes } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { NextFunction, Request, RequestHandler, Response, Router } from 'express'
import { createTransport } from '../bitbucket/transport'
import type { UpstreamAnswer } from '../bitbucket/transport-parts'
import type { ActiveConnection } from '../connections/active-connection'
import type { ConnectionSource } from '../connections/connection-source'
import { ExchangeDeadline } from '../time/deadline'

/** How the public reaches the app: through a proxy that ends TLS, or at the app itself. */
export type TlsAt = 'proxy' | 'app'

/** The dependencies of the probe. */
export interface ProbeParts {
  readonly app: RequestListener
  readonly router: Router
  readonly passport: object
  readonly source: ConnectionSource
  /** The callback URL; requests claim to be for its site. */
  readonly connection: ActiveConnection
  /** Path at which the router should be mounted, without a trailing slash. */
  readonly mount: string
  /** Path of the callback as the app sees it; `null` = only a proxy knows. */
  readonly callbackPath: string | null
  readonly tlsAt: TlsAt
}

/** What a request is looked at for, where it has reached the router. */
type Look = (req: Request, res: Response) => Promise<'answered' | 'pass on'>

/** The route is added once per router; a random key opens it for the length of a probe. */
const probes = new WeakMap<Router, Map<string, Look>>()

const DEADLINE_MS = 10_000

/** The app on a loopback port. */
export interface Site {
  /**
   * Sends a request to the probe's route and inspects it there. `at` replaces the expected mount path, `callback` the
   * probe's route.
   */
  ask(
    look: Look,
    options?: { cookie?: string; at?: string; callback?: string },
  ): Promise<UpstreamAnswer | { fault: string }>
  close(): Promise<void>
}

/** Opens the app on a loopback port. */
export async function openSite({ app, router, connection, mount, tlsAt }: ProbeParts): Promise<Site> {
  const server = createServer(app)
  // Not the plugin's own transport: its agent may use a proxy, which cannot reach our loopback ports.
  const transport = createTransport({ preconnect: false })
  const isSecure = new URL(connection.callbackURL).protocol === 'https:'
  if (isSecure && tlsAt === 'app') {
    // As Express sees a connection that this process decrypted.
    server.on('connection', (socket: Socket & { encrypted?: boolean }) => {
      socket.encrypted = true
    })
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { host } = new URL(connection.callbackURL)
  const headers = {
    host,
    accept: 'text/html',
    ...(isSecure &&
      tlsAt === 'proxy' && { 'x-forwarded-proto': 'https', 'x-forwarded-host': host, 'x-forwarded-for': '192.0.2.1' }),
  }
  const looks = probesOf(router)

  return {
    async ask(look, { cookie, at = mount, callback } = {}) {
      const key = randomBytes(16).toString('hex')
      looks.set(key, look)
      const deadline = new ExchangeDeadline(DEADLINE_MS, undefined)
      try {
        return await transport.request({
          method: 'GET',
          url: new URL(callback ? `${callback}?doctor=${key}` : `${at}/doctor/${key}`, origin),
          headers: { ...headers, connection: 'close', ...(cookie !== undefined && { cookie }) },
          deadline,
        })
      } catch {
        return { fault: `no answer within ${DEADLINE_MS / 1000} s, or a broken connection` }
      } finally {
        deadline.end()
        looks.delete(key)
      }
    },
    close: () =>
      new Promise((resolve) => {
        transport.close()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function probesOf(router: Router): Map<string, Look> {
  const known = probes.get(router)
  if (known) return known
  const looks = new Map<string, Look>()
  probes.set(router, looks)
  const lookAt = (key: string | undefined, req: Request, res: Response, next: NextFunction) => {
    const look = looks.get(String(key))
    if (!look) return next()
    look(req, res).then((outcome) => (outcome === 'answered' ? res.status(204).end() : next()), next)
  }
  router.get('/doctor/:key', (req, res, next) => lookAt(req.params.key, req, res, next))
  // Before the route, which would treat the request as a failed sign-in.
  const walk = router as Router & { handle: RequestHandler }
  const { handle } = walk
  walk.handle = (req, res, next) =>
    lookAt(/^\/callback\?doctor=(\w+)$/.exec(req.url)?.[1], req, res, () => handle.call(walk, req, res, next))
  return looks
}
