import type { Connection } from '../contract/options'

/** What a tenant may say: any field of a connection. A field left out is inherited. */
export type ConnectionOverride = Partial<Omit<Connection, 'id' | 'tenant' | 'application'>>

/** Who is asking for a connection. */
export interface ConnectionKey {
  readonly tenant: string | null
  readonly application: string | null
}

/** Why there is no connection. */
export type Unavailable = 'disabled' | 'application-not-allowed' | 'no-credentials'

/** The effective connection, or why there is none. */
export type EffectiveConnection = { readonly connection: Connection } | { readonly unavailable: Unavailable }

/**
 * Puts the application level and a tenant together, field by field; `null` when what comes out is no whole connection.
 * Two things are never inherited apart from each other: `clientID` and `clientSecret` come together, and own
 * `endpoints` bring their own credentials and their own trust, or a tenant's server could collect the application's
 * secret and vouch for addresses in its name.
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
    delete inherited.trustedProvider
  }
  const merged: Partial<Connection> = { ...inherited, ...given }
  const { clientID, clientSecret, callbackURL } = merged
  if (!clientID || !clientSecret || !callbackURL) return null
  const id = key.tenant === null ? (base?.id ?? 'default') : `tenant:${key.tenant}`
  return { ...merged, clientID, clientSecret, callbackURL, id, tenant: key.tenant, application: key.application }
}

/** The effective connection, or why there is none. */
export function effectiveConnection(
  base: Connection | null,
  override: ConnectionOverride | null,
  key: ConnectionKey,
): EffectiveConnection {
  const connection = mergeLevels(base, override, key)
  if (!connection) return { unavailable: 'no-credentials' }
  const unavailable = unavailability(connection)
  return unavailable ? { unavailable } : { connection }
}

/** Whether a level brings both halves of its credentials or none. */
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

/** Whether a person with these memberships may sign in; without a list of workspaces everybody may. */
export function isAdmitted(
  workspaces: readonly string[],
  memberships: readonly { readonly slug: string; readonly uuid: string }[],
): boolean {
  return (
    workspaces.length === 0 ||
    memberships.some(({ slug, uuid }) => workspaces.includes(slug) || workspaces.includes(uuid))
  )
}

/** The fields that say something: a row of a database has every column, and an empty one means "left out". */
export function definedFields<Level extends Partial<Connection>>(
  level: Level,
): { -readonly [Key in keyof Level]?: Level[Key] } {
  return Object.fromEntries(
    Object.entries(level).filter(([, value]) => value !== undefined && value !== null),
  ) as Partial<Level>
}
