import type { RequestListener } from 'node:http'
import type { Router } from 'express'
import { type ActiveConnection, activateConnection } from '../connections/active-connection'
import type { BitbucketSignInOptions, Connection } from '../contract/options'
import type { Services } from '../routes/services'
import { appFindings } from './app-findings'
import { probeApp } from './app-probe'
import { type AppExpectation, type DoctorFinding, type DoctorReport, problem, reportOf, unknown } from './finding'
import { installationFindings } from './installation'
import type { TlsAt } from './probe-site'
import { setUpFindings } from './setup-findings'
import { upstreamFindings } from './upstream-findings'

/** Options of `bitbucket.doctor`. */
export interface DoctorOptions {
  /** The connection to check, if `connection` is a function whose results cannot be listed. Default: all that can be listed. */
  readonly connection?: Connection
  /** Who terminates TLS if the callback URL is https: a `proxy` (default), or the `app` itself. */
  readonly tlsAt?: TlsAt
  /**
   * Path at which the app mounts the router, if a proxy strips a part of the public path. Default: the public path.
   */
  readonly mountedAt?: string
  /** Whether to check callback URL, credentials, permissions and clock at Bitbucket. Default `true`. */
  readonly bitbucket?: boolean
}

/** The parts that the doctor examines. */
export interface DoctorTarget<User> {
  readonly options: BitbucketSignInOptions<User>
  readonly services: Services<User>
  readonly router: Router
  readonly strategy: object
}

const MOST_CLIENTS = 10

/** Checks an app from inside: what it does to requests, how it is set up, and what Bitbucket says about its client. */
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
    findings.push(unknown('app', 'No app was passed, so its middleware was not checked; call doctor(app).'))
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

/** A tenant whose settings are invalid or incomplete; the others are examined anyway. */
function tenantFinding(tenant: string | null, error: unknown): DoctorFinding {
  const message = error instanceof Error ? error.message.slice(0, 500) : 'no reason given'
  return problem(
    'tenant',
    `Tenant "${tenant}" cannot sign in: ${message}`,
    'Correct its row, or set `tenantClients` if it brings its own client.',
  )
}

/** Path of the callback as the app sees it. `isMoved`: a proxy changes paths; `null` if only the proxy knows. */
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
