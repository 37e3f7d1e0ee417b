import type { Request } from 'express'
import type { ListableResolver } from './connection'
import { now } from './flow/clock'
import { type Connection, configurationError } from './options'
import { type ConnectionOverride, effectiveConnection } from './policy/connection'

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
   * The tenant of a request, `null` or `undefined` = the application level itself. It must follow from host or mount
   * path, the same at start and callback; never from a query parameter or a header that a browser can set.
   */
  readonly tenant?: (req: Request) => string | null | undefined
  /** The application of a request, for `applications`. */
  readonly application?: (req: Request) => string | null | undefined
  /**
   * How long an answer of the functions is kept, in milliseconds. Default 0: a change works at the next request.
   * While it is kept, so is a connection that was just switched off.
   */
  readonly cacheMs?: number
}

const MAX_KEY = 128
const MAX_CACHED = 10_000

/**
 * Resolves the connection of a request from an application level and tenants that inherit from it. An unknown tenant
 * is not offered anything, least of all the application level's credentials.
 */
export function connections(options: ConnectionsOptions): ListableResolver {
  const { cacheMs = 0, tenants = {} } = options
  if (!Number.isFinite(cacheMs) || cacheMs < 0)
    throw configurationError('connections: `cacheMs` must be milliseconds, 0 or more.')
  if (options.default === undefined && options.tenants === undefined) {
    throw configurationError('connections: give `default`, `tenants` or both.')
  }
  const cached = cache(cacheMs)

  const readDefault = (): Promise<Connection | null> =>
    cached(
      'default',
      async () => (typeof options.default === 'function' ? await options.default() : options.default) ?? null,
    )

  const readTenant = (tenant: string): Promise<ConnectionOverride | null> =>
    cached(`tenant:${tenant}`, async () => {
      if (typeof tenants === 'function') return (await tenants(tenant)) ?? null
      return Object.hasOwn(tenants, tenant) ? (tenants[tenant] ?? null) : null
    })

  async function resolve(req: Request): Promise<Connection | null> {
    const tenant = options.tenant?.(req) ?? null
    const application = options.application?.(req) ?? null
    if ((tenant !== null && !isKey(tenant)) || (application !== null && !isKey(application))) return null
    const [base, override] = await Promise.all([readDefault(), tenant === null ? null : readTenant(tenant)])
    if (tenant !== null && override === null) return null
    const found = effectiveConnection(base, override, { tenant, application })
    return 'connection' in found ? found.connection : null
  }

  async function list(): Promise<readonly Connection[]> {
    const base = await readDefault()
    const ids = typeof tenants === 'function' ? [] : Object.keys(tenants)
    const overrides = await Promise.all(ids.map(async (id) => [id, await readTenant(id)] as const))
    const entries = [[null, null] as const, ...overrides]
    return entries.flatMap(([tenant, override]) => {
      // Callback URLs are registered before a connection is switched on, whatever application it is for.
      const everywhere = base && { ...base, enabled: true }
      const { applications: _, ...rest } = override ?? {}
      const found = effectiveConnection(
        withoutApplications(everywhere),
        { ...rest, enabled: true },
        { tenant, application: null },
      )
      return 'connection' in found ? [found.connection] : []
    })
  }

  return Object.assign(resolve, { list })
}

/** Odd keys are no tenants: `Object.hasOwn` already refuses prototype keys, this refuses sizes. */
function isKey(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_KEY
}

function withoutApplications(connection: Connection | null): Connection | null {
  if (!connection) return null
  const { applications: _, ...rest } = connection
  return rest
}

function cache(cacheMs: number) {
  const entries = new Map<string, { value: Promise<unknown>; until: number }>()
  return <T>(key: string, read: () => Promise<T>): Promise<T> => {
    if (cacheMs === 0) return read()
    const entry = entries.get(key)
    if (entry && entry.until > now()) return entry.value as Promise<T>
    if (entries.size >= MAX_CACHED) entries.clear()
    const value = read()
    entries.set(key, { value, until: now() + cacheMs })
    // A failure is not an answer to keep.
    value.catch(() => entries.delete(key))
    return value
  }
}
