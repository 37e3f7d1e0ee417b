import type { ClientOwner, Connection } from '../contract/options'

/** What a tenant may override: any field of a connection. Omitted fields are inherited. */
export type ConnectionOverride = Partial<Omit<Connection, 'id' | 'tenant' | 'application'>>

/** The tenant and application that need a connection. */
export interface ConnectionKey {
  readonly tenant: string | null
  readonly application: string | null
}

/** Why there is no connection. */
export type Unavailable = 'disabled' | 'application-not-allowed'

/**
 * Merges the application level and a tenant, field by field; `null` when the result is not a complete connection.
 * `clientID` and `clientSecret` come in pairs. A tenant's own credentials do not inherit trust, because anyone who controls an OAuth
 * client can obtain codes of its users; own `endpoints` inherit no credentials either, or a tenant's server could
 * collect the application's secret.
 */
export function mergeLevels(
  base: Connection | null,
  override: ConnectionOverride | null,
  key: ConnectionKey,
): Connection | null {
  const given = definedFields(override ?? {})
  if (!hasWholeCredentials(given)) return null
  const inherited = definedFields<Partial<Connection>>(base ?? {})
  if ('endpoints' in given) {
    delete inherited.clientID
    delete inherited.clientSecret
  }
  if ('endpoints' in given || bringsOwnClient(base, given)) delete inherited.trustedProvider
  const merged: Partial<Connection> = { ...inherited, ...given }
  const { clientID, clientSecret, callbackURL } = merged
  if (!clientID || !clientSecret || !callbackURL) return null
  const id = key.tenant === null ? (base?.id ?? 'default') : `tenant:${key.tenant}`
  return { ...merged, clientID, clientSecret, callbackURL, id, tenant: key.tenant, application: key.application }
}

/** Whether a tenant's client differs from the application's, in id **or** secret. */
export function bringsOwnClient(base: Connection | null, override: ConnectionOverride): boolean {
  const { clientID, clientSecret } = definedFields(override)
  if (clientID === undefined) return false
  return clientID !== base?.clientID || clientSecret !== base?.clientSecret
}

/** The issuer of a connection's identities, or why the connection must not be used before `tenantClients` is set. */
export type IssuerDecision = { readonly issuer: string } | { readonly refused: 'not-answered' | 'no-tenant' }

/**
 * Names the issuer of a connection's identities. The application's client speaks for the server alone. A client that
 * others control does not: they can obtain the codes of everyone who allowed it, so its identities carry the tenant's
 * name. Not the client id, so that a tenant may rotate its client and keep its users.
 */
export function decideIssuer(
  server: string,
  client: 'application' | 'own',
  tenant: string | null,
  owner: ClientOwner | undefined,
): IssuerDecision {
  if (client === 'application' || owner === 'ours') return { issuer: server }
  if (owner === undefined) return { refused: 'not-answered' }
  // No server has a `#`: endpoints with a fragment are refused.
  return tenant === null ? { refused: 'no-tenant' } : { issuer: `${server}#tenant=${encodeURIComponent(tenant)}` }
}

/** The tenant that an issuer names, `null` when it is a server alone. */
export function tenantOfIssuer(issuer: string): string | null {
  const [, tenant] = /#tenant=(.*)$/s.exec(issuer) ?? []
  try {
    return tenant === undefined ? null : decodeURIComponent(tenant)
  } catch {
    return null
  }
}

/** Whether a level sets both halves of its credentials or neither. */
export function hasWholeCredentials(level: ConnectionOverride): boolean {
  return 'clientID' in level === 'clientSecret' in level
}

/** Why a complete connection is not to be used by its application, `null` when it may be. */
export function unavailability(connection: Connection): Unavailable | null {
  if (connection.enabled === false) return 'disabled'
  const { applications, application } = connection
  if (applications && (application == null || !applications.includes(application))) return 'application-not-allowed'
  return null
}

/** A member's permissions in a workspace. The order is part of what pending sign-ins store. */
export const MEMBER_PERMISSIONS: readonly string[] = ['member', 'create-project', 'owner']

/** Whether a user with these memberships may sign in; everyone may if no workspaces are named. */
export function isAdmitted(
  workspaces: readonly string[],
  memberships: readonly { readonly slug: string; readonly uuid: string }[],
): boolean {
  return (
    workspaces.length === 0 ||
    memberships.some(({ slug, uuid }) => workspaces.includes(slug) || workspaces.includes(uuid))
  )
}

/** The fields that are set: a database row has every column, and an empty one means "omitted". */
export function definedFields<Level extends Partial<Connection>>(
  level: Level,
): { -readonly [Key in keyof Level]?: Level[Key] } {
  return Object.fromEntries(
    Object.entries(level).filter(([, value]) => value !== undefined && value !== null),
  ) as Partial<Level>
}
