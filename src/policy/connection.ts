import type { Connection } from '../options'

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
 * Puts the application level and a tenant together, field by field. Two things are never inherited apart from each
 * other: `clientID` and `clientSecret` come together, and own `endpoints` bring their own credentials and their own
 * trust, or a tenant's server could collect the application's secret and vouch for addresses in its name.
 */
export function effectiveConnection(
  base: Connection | null,
  override: ConnectionOverride | null,
  key: ConnectionKey,
): EffectiveConnection {
  const given = definedFields(override ?? {})
  if ('clientID' in given !== 'clientSecret' in given) return { unavailable: 'no-credentials' }
  const inherited: { -readonly [Key in keyof Connection]?: Connection[Key] } = { ...base }
  if ('endpoints' in given) {
    delete inherited.clientID
    delete inherited.clientSecret
    delete inherited.trustedProvider
  }
  const merged: Partial<Connection> = { ...inherited, ...given }
  if (!merged.clientID || !merged.clientSecret || !merged.callbackURL) return { unavailable: 'no-credentials' }
  const connection: Connection = {
    ...(merged as Connection),
    id: key.tenant === null ? (base?.id ?? 'default') : `tenant:${key.tenant}`,
    tenant: key.tenant,
    application: key.application,
  }
  const unavailable = unavailability(connection)
  return unavailable ? { unavailable } : { connection }
}

/** Why a complete connection is not to be used by its application, `null` when it may be. */
export function unavailability(connection: Connection): Unavailable | null {
  if (connection.enabled === false) return 'disabled'
  const { applications, application } = connection
  if (applications && (application == null || !applications.includes(application))) return 'application-not-allowed'
  return null
}

/** `undefined` means "left out": a row of a database has every column. */
function definedFields(override: ConnectionOverride): ConnectionOverride {
  return Object.fromEntries(Object.entries(override).filter(([, value]) => value !== undefined && value !== null))
}
