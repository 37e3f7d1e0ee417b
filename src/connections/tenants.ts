import type { Request } from 'express'
import { type Connection, configurationError } from '../contract/options'
import {
  bringsOwnClient,
  type ConnectionKey,
  type ConnectionOverride,
  mergeLevels,
  unavailability,
} from '../decisions/connection-levels'
import { isLoopbackURL } from '../options/connection-options'
import { checkDeadOptions, noApplication, parseConnectionsOptions } from '../options/tenants-options'
import { now } from '../time/clock'
import { withDeadline } from '../time/deadline'
import type { KeyedResolver, ListedLevel } from './connection-source'
import { markSource, RESOLVER_DEADLINE_MS } from './resolver-sources'

/** What a tenant overrides, by tenant id; or a function that looks one tenant up, `null` = no such tenant. */
export type TenantSource =
  | Readonly<Record<string, ConnectionOverride>>
  | ((tenant: string) => ConnectionOverride | null | undefined | Promise<ConnectionOverride | null | undefined>)

/** Options of `connections()`. */
export interface ConnectionsOptions {
  /** The application level: a connection, or a function that reads it, `null` = there is none. */
  readonly default?: Connection | null | (() => Connection | null | undefined | Promise<Connection | null | undefined>)
  /** What tenants override. An empty object inherits everything. Default: no tenants. */
  readonly tenants?: TenantSource
  /**
   * The ids of all tenants, so that `callbackURLs()` can list them where `tenants` is a function. Default: none, and
   * only the application level is listed.
   */
  readonly tenantIds?: () => readonly string[] | Promise<readonly string[]>
  /**
   * The tenant of a request; `null` = the application level itself. Anything else that is not the id of a tenant,
   * `undefined` included, is offered nothing: a host that is in no table must not end at the application level. It
   * must follow from host or mount path, the same at start and callback; never from a query parameter or a header that
   * a browser can set. It is asked at the host of a central callback, too. Default: always `null`.
   */
  readonly tenant?: (req: Request) => string | null | Promise<string | null>
  /** The application of a request, for `applications`; by the rules of `tenant`. Default: always `null`. */
  readonly application?: (req: Request) => string | null | Promise<string | null>
  /**
   * How long an answer of `default` and `tenants` is kept, in milliseconds. Default 0: a change works at the next
   * request. While an answer is kept, so is a connection that was just switched off.
   */
  readonly cacheMs?: number
}

const MAX_KEY_BYTES = 128
const MAX_CACHED = 10_000

/**
 * Resolves the connection of a request from an application level and tenants that inherit from it. An unknown tenant
 * is not offered anything, least of all the application level's credentials. Values are checked here
 * (`configuration_invalid`); what functions return is checked on each request.
 *
 * @example
 * connections({
 *   default: { clientID, clientSecret, callbackURL },
 *   tenants: (id) => database.findTenant(id), // { enabled: false }, { trustedProvider: true }, {} or null
 *   tenant: (req) => req.subdomains[0] ?? null,
 * })
 */
export function connections(options: ConnectionsOptions): KeyedResolver {
  const { cacheMs, tenants = {} } = parseConnectionsOptions(options)
  if (typeof tenants !== 'function') {
    const odd = Object.keys(tenants).find((id) => !isKey(id))
    if (odd !== undefined) throw configurationError(`connections: tenants: \`${odd.slice(0, 64)}\` cannot be an id.`)
  }
  checkDeadOptions(options)
  const cached = cache(cacheMs)

  const readDefault = (): Promise<Connection | null> =>
    cached('default', async () =>
      levelOf('default', typeof options.default === 'function' ? await options.default() : options.default),
    )

  const readTenant = (tenant: string): Promise<ConnectionOverride | null> =>
    cached(`tenant:${tenant}`, async () => {
      if (typeof tenants === 'function') return levelOf('tenants', await tenants(tenant))
      return Object.hasOwn(tenants, tenant) ? levelOf('tenants', tenants[tenant]) : null
    })

  /** Both levels, merged, even if not offered. */
  async function merged(key: ConnectionKey): Promise<Connection | null> {
    if (!isKey(key.tenant) || !isKey(key.application)) return null
    const { tenant } = key
    const [base, override] = await Promise.all([readDefault(), tenant === null ? null : readTenant(tenant)])
    return tenant !== null && override === null ? null : mergeMarked(base, override, key)
  }

  async function lookUp(key: ConnectionKey): Promise<Connection | null> {
    const connection = await merged(key)
    return connection && unavailability(connection) === null ? connection : null
  }

  async function resolve(req: Request): Promise<Connection | null> {
    const [tenant, application] = await Promise.all([
      options.tenant ? options.tenant(req) : null,
      options.application ? options.application(req) : null,
    ])
    const connection = await merged({ tenant, application })
    if (connection?.applications && !options.application) throw noApplication()
    return connection && unavailability(connection) === null ? connection : null
  }

  const registered = (tenant: string | null) => merged({ tenant, application: null })

  async function list(): Promise<readonly ListedLevel[]> {
    const readIds = async () =>
      typeof tenants === 'function' ? ((await options.tenantIds?.()) ?? []) : Object.keys(tenants)
    const ids = await withDeadline(readIds(), RESOLVER_DEADLINE_MS, 'connections: `tenantIds`')
    return Promise.all(
      [null, ...ids].map(async (tenant) => {
        try {
          const what = tenant === null ? 'connections: `default`' : 'connections: `tenants`'
          return { tenant, connection: await withDeadline(registered(tenant), RESOLVER_DEADLINE_MS, what) }
        } catch (error) {
          return { tenant, error }
        }
      }),
    )
  }

  return Object.assign(resolve, { lookUp, registered, list, fixed: fixedLevels(options) })
}

function mergeMarked(base: Connection | null, override: ConnectionOverride | null, key: ConnectionKey) {
  const connection = mergeLevels(base, override, key)
  if (!connection) return null
  const client = bringsOwnClient(base, override ?? {}) ? 'own' : 'application'
  markSource(connection, client, override?.endpoints == null || isLoopbackURL(base?.callbackURL))
  return connection
}

/** The tenants that can be checked at construction, because both levels are values. */
function fixedLevels({ default: base = null, tenants }: ConnectionsOptions): readonly Connection[] {
  if (typeof base === 'function' || typeof tenants === 'function') return []
  return Object.entries(tenants ?? {}).flatMap(
    ([tenant, override]) => mergeMarked(base, override, { tenant, application: null }) ?? [],
  )
}

/**
 * Whether an id may be looked up: not the name of a prototype's property, which a plain object would answer with a value
 * of its prototype, nor a path, nor anything long or invisible.
 */
function isKey(value: unknown): boolean {
  if (value === null) return true
  if (typeof value !== 'string' || value === '.' || value === '..' || value in Object.prototype) return false
  return /^\P{C}+$/u.test(value) && Buffer.byteLength(value) <= MAX_KEY_BYTES
}

/** A boolean, string or array would count as a tenant that overrides nothing, and so inherits everything. */
function levelOf<Level extends ConnectionOverride>(option: string, value: Level | null | undefined): Level | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'object' && !Array.isArray(value)) return value
  throw configurationError(`connections: \`${option}\` must return an object, or null if there is none.`)
}

function cache(cacheMs: number) {
  const entries = new Map<string, { value: Promise<unknown>; until: number }>()
  return <T>(key: string, read: () => Promise<T>): Promise<T> => {
    if (cacheMs === 0) return read()
    const entry = entries.get(key)
    if (entry && entry.until > now()) return entry.value as Promise<T>
    if (entries.size >= MAX_CACHED) entries.clear()
    const value = withDeadline(read(), RESOLVER_DEADLINE_MS, 'This look-up')
    entries.set(key, { value, until: now() + cacheMs })
    // Failures are not cached, nor is a look-up that hangs.
    value.catch(() => entries.delete(key))
    return value
  }
}
