import { type Connection, configurationError } from '../contract/options'
import { checkDefaultLevel, checkTenantLevel } from './connection-options'
import { parse } from './parse'
import { anyObject, callable, either, lazily } from './zod'

const connectionsSchema = lazily((z) => {
  const level = either(z, 'must be an object, a function that returns one, or null', [
    callable(z),
    anyObject(z),
    z.null(),
  ])
  const milliseconds = 'must be milliseconds, 0 or more'
  return z.strictObject({
    default: level.optional(),
    tenants: either(z, 'must hold an object for each tenant id, or be a function that returns one', [
      callable(z),
      z.record(anyObject(z)),
    ]).optional(),
    tenantIds: callable(z).optional(),
    tenant: callable(z, 'a function of the request').optional(),
    application: callable(z, 'a function of the request').optional(),
    cacheMs: z.number({ message: milliseconds }).min(0, milliseconds).finite(milliseconds).default(0),
  })
})

interface DeadOptions {
  readonly default?: unknown
  readonly tenants?: unknown
  readonly tenantIds?: unknown
  readonly tenant?: unknown
  readonly application?: unknown
}

/** Refuses options that would never take effect: a tenant's `workspaces` would silently not apply. */
export function checkDeadOptions({ default: base, tenants, tenantIds, tenant, application }: DeadOptions): void {
  const given = typeof tenants === 'function' || Object.keys(tenants ?? {}).length > 0
  if (given && !tenant) {
    throw configurationError(
      'connections: `tenants` is set and `tenant` is not, so no request would ever belong to a tenant. Set `tenant`, a function of the request.',
    )
  }
  if (tenantIds && typeof tenants !== 'function') {
    throw configurationError('connections: `tenantIds` is only for `tenants` as a function. Remove it.')
  }
  if (application) return
  const levels = [base, ...(typeof tenants === 'function' ? [] : Object.values(tenants ?? {}))]
  if (levels.some((level) => (level as Partial<Connection> | null)?.applications != null)) throw noApplication()
}

/** Without `application`, a connection for some applications is offered to none. */
export function noApplication() {
  return configurationError(
    'connections: `applications` is set and `application` is not, so the connection is never offered. Set `application`, a function of the request, or remove `applications`.',
  )
}

/** Checks the options of `connections()` and the levels that are values. */
export function parseConnectionsOptions<Options extends { readonly default?: unknown; readonly tenants?: unknown }>(
  options: Options,
): Options & { readonly cacheMs: number } {
  const { cacheMs } = parse(connectionsSchema(), options, 'connections')
  const { default: base, tenants } = options as {
    default?: Connection | (() => unknown) | null
    tenants?: Record<string, Partial<Connection>> | (() => unknown)
  }
  if (base === undefined && tenants === undefined) {
    throw configurationError('connections: neither `default` nor `tenants` is set. Set one or both.')
  }
  if (base && typeof base === 'object') checkDefaultLevel(base)
  if (tenants && typeof tenants !== 'function') {
    for (const [id, override] of Object.entries(tenants)) checkTenantLevel(override, `connections: tenants.${id}`)
  }
  return { ...options, cacheMs }
}
