import { type Connection, configurationError } from '../contract/options'
import { checkDefaultLevel, checkTenantLevel } from './connection-options'
import { parse } from './option-problems'
import { callable, lazily } from './zod'

const connectionsSchema = lazily((z) => {
  const level = z.union([callable(z), z.looseObject({}), z.null()], {
    error: 'must be an object, a function that returns one, or null',
  })
  const milliseconds = 'must be milliseconds, 0 or more'
  return z.strictObject({
    default: level.optional(),
    tenants: z
      .union([callable(z), z.record(z.string(), z.looseObject({}))], {
        error: 'must hold an object for each tenant id, or be a function that returns one',
      })
      .optional(),
    tenantIds: callable(z).optional(),
    tenant: callable(z, 'a function of the request').optional(),
    application: callable(z, 'a function of the request').optional(),
    cacheMs: z.number({ error: milliseconds }).min(0, milliseconds).default(0),
  })
})

/** Checks the options of `connections()` and the levels that are given as values. */
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
