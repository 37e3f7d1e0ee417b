import type { RequestListener } from 'node:http'
import type { Router } from 'express'
import { type ActiveConnection, activateConnection } from '../connections/active-connection'
import type { BitbucketSignInOptions, Connection } from '../contract/options'
import type { Services } from '../routes/services'
import { type AppExpectation, appFindings } from './app-findings'
import { probeApp, type TlsAt } from './app-probe'
import { type DoctorFinding, type DoctorReport, problem, reportOf, unknown } from './finding'
import { installationFindings } from './installation'
import { setUpFindings } from './setup-findings'
import { upstreamFindings } from './upstream-findings'

/** Options of `bitbucket.doctor`. */
export interface DoctorOptions {
  /** The connection to look at, where `connection` is a function whose answers cannot be listed. Default: all that can. */
  readonly connection?: Connection
  /** Who ends TLS when the callback URL is https: a `proxy` in front (default), or the `app` itself. */
  readonly tlsAt?: TlsAt
  /**
   * Where the router is mounted in the app, when a proxy in front takes a part of the public path off. Default: the
   * public path itself.
   */
  readonly mountedAt?: string
  /** Whether to ask Bitbucket about callback URL, credentials, permissions and time. Default `true`. */
  readonly bitbucket?: boolean
}

/** What the doctor examines. */
export interface DoctorTarget<User> {
  readonly options: BitbucketSignInOptions<User>
  readonly services: Services<User>
  readonly router: Router
  readonly strategy: object
}

const MOST_CLIENTS = 10

/** Looks at an app from inside: what it does to requests, how it was set up, and what Bitbucket says of its client. */
export async function examine<User>(
  { options, services, router, strategy }: DoctorTarget<User>,
  app: RequestListener | undefined,
  { connection, tlsAt = 'proxy', mountedAt, bitbucket = true }: DoctorOptions = {},
): Promise<DoctorReport> {
  const given =
    connection &&
    activateConnection({ id: 'doctor', ...connection }, { name: services.name, basePath: options.basePath })
  const listed = given ? { connections: [given], failures: [] } : await services.source.list()
  const { connections } = listed
  const findings: DoctorFinding[] = [
    ...installationFindings(process.cwd()),
    ...listed.failures.map(({ tenant, error }) => tenantFinding(tenant, error)),
    ...(await setUpFindings(options as never, services.state.limits, strategy, connections)),
  ]
  const [first] = connections
  if (typeof app !== 'function') {
    findings.push(unknown('app', 'No app was given, so its middleware was not checked; call doctor(app).'))
  } else if (first) {
    const { passport } = options
    const mount = (mountedAt ?? first.basePath).replace(/\/+$/, '')
    const callbackPath = callbackPathOf(first, mount, mountedAt !== undefined)
    const { source } = services
    const seen = await probeApp({ app, router, passport, source, connection: first, mount, callbackPath, tlsAt })
    findings.push(...appFindings(seen, expectationOf(first, mount, connections)))
  } else {
    findings.push(
      unknown(
        'connection',
        'The connection is a function whose answers cannot be listed; call doctor(app, { connection }).',
      ),
    )
  }
  if (bitbucket) {
    for (const each of distinctClients(connections)) {
      findings.push(...(await upstreamFindings(services.upstream.transport, each)))
    }
  }
  return reportOf(findings)
}

/** One tenant whose level is invalid or waits for a decision; the others were examined all the same. */
function tenantFinding(tenant: string | null, error: unknown): DoctorFinding {
  const message = error instanceof Error ? error.message.slice(0, 500) : 'no reason given'
  return problem(
    'tenant',
    `Tenant "${tenant}" cannot sign in: ${message}`,
    'Correct its row, or answer `tenantClients` if it brings its own client.',
  )
}

/** Path of the callback as the app sees it. `isMoved`: a proxy changes paths; `null` where only the proxy knows. */
function callbackPathOf({ callbackURL, basePath }: ActiveConnection, mount: string, isMoved: boolean): string | null {
  const { pathname } = new URL(callbackURL)
  if (!isMoved) return pathname
  return pathname.startsWith(`${basePath}/`) ? `${mount}${pathname.slice(basePath.length)}` : null
}

function expectationOf(
  { callbackURL, origin, hasCustomDomains }: ActiveConnection,
  mount: string,
  all: readonly ActiveConnection[],
): AppExpectation {
  const passesOn = all.some((each) => each.hasCustomDomains && each.origin === origin)
  return { callbackURL, mount, hasCustomDomains, passesOn, production: process.env.NODE_ENV === 'production' }
}

function distinctClients(connections: readonly ActiveConnection[]): readonly ActiveConnection[] {
  const byClient = new Map(connections.map((each) => [`${each.clientID} ${each.callbackURL}`, each]))
  return [...byClient.values()].slice(0, MOST_CLIENTS)
}
