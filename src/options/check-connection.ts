import type { ClientOwner, Connection } from '../contract/options'
import { type ConnectionOverride, definedFields } from '../decisions/connection-levels'
import {
  connectionSchema,
  halvesOf,
  outsideRouter,
  overrideSchema,
  REACHES_INSIDE,
  reachesInside,
} from './connection-options'
import { type ConnectionProblem, problemsOf } from './option-problems'

/** Where fields were entered: a whole connection, or what one tenant of `connections()` overrides. */
export interface CheckConnectionOptions {
  /** `'connection'` (default), or `'tenant'`: fields may be left out, and credentials come in pairs. */
  readonly level?: 'connection' | 'tenant'
  /** The option `basePath`, when the app sets it. */
  readonly basePath?: string
  /**
   * Who controls the client in these fields, as the option `tenantClients` of `bitbucketSignIn` answers for it. At level
   * `'tenant'`, a client is refused without it, and `'theirs'` refuses endpoints inside a private network.
   */
  readonly tenantClients?: ClientOwner
}

/** The result of {@link checkConnection}. */
export type ConnectionCheck<Fields> =
  | { readonly ok: true; readonly connection: Fields }
  | { readonly ok: false; readonly problems: readonly ConnectionProblem[] }

/**
 * Checks the fields of a connection by the rules of `bitbucketSignIn`, for a form in which an operator edits them.
 * Never throws; reports every problem, not only the first. `null` and `undefined` count as left out.
 *
 * @example
 * const checked = checkConnection(fields)
 * if (!checked.ok) return showForm({ problems: checked.problems })
 */
export function checkConnection(
  fields: unknown,
  options?: CheckConnectionOptions & { readonly level?: 'connection' },
): ConnectionCheck<Connection>
export function checkConnection(
  fields: unknown,
  options: CheckConnectionOptions & { readonly level: 'tenant' },
): ConnectionCheck<ConnectionOverride>
export function checkConnection(
  fields: unknown,
  { level = 'connection', basePath, tenantClients }: CheckConnectionOptions = {},
): ConnectionCheck<ConnectionOverride> {
  const given = typeof fields === 'object' && fields !== null ? definedFields(fields as ConnectionOverride) : {}
  const problems = [...problemsOf(level === 'tenant' ? overrideSchema() : connectionSchema(), given)]
  const has = (field: string) => problems.some((problem) => problem.field === field)
  const halves = level === 'tenant' ? halvesOf(given) : undefined
  if (halves && !has(halves.field)) problems.push(halves)
  const owned = level === 'tenant' ? ownerProblem(given, tenantClients) : undefined
  if (owned && !has(owned.field)) problems.push(owned)
  if (given.callbackURL !== undefined && !has('callbackURL')) {
    const outside = outsideRouter(given.callbackURL, basePath)
    if (outside !== undefined) problems.push({ field: 'callbackURL', message: `Must ${outside.slice(5)}.` })
  }
  return problems.length === 0 ? { ok: true, connection: given } : { ok: false, problems }
}

/** What `tenantClients` refuses of a tenant's own client. */
function ownerProblem(given: ConnectionOverride, owner: ClientOwner | undefined): ConnectionProblem | undefined {
  if (given.clientID === undefined || given.clientSecret === undefined) return undefined
  if (owner === undefined) {
    return {
      field: 'clientID',
      message: 'This app does not accept OAuth clients of tenants: its option `tenantClients` is not set.',
    }
  }
  return owner === 'theirs' && reachesInside(given)
    ? { field: 'endpoints', message: `They ${REACHES_INSIDE}` }
    : undefined
}
