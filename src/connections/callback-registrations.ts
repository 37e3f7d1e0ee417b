import type { ConnectionSource } from './connection-source'

/** What to register at Bitbucket: one callback URL for one OAuth client. */
export interface CallbackRegistration {
  /** The URL to register. */
  readonly callbackURL: string
  /** The OAuth client at which to register it. */
  readonly clientID: string
  /** Id of the connection. */
  readonly connection: string
  /** Tenant of the connection, `null` for the application level. */
  readonly tenant: string | null
  /** The origins whose sign-ins end through this callback. */
  readonly origins: readonly string[]
}

/** One entry for each client and callback. A tenant that inherits both needs no other one, but may bring origins. */
export async function callbackRegistrations(source: ConnectionSource): Promise<readonly CallbackRegistration[]> {
  const registrations = new Map<string, CallbackRegistration>()
  const { connections, failures } = await source.list()
  for (const { tenant, error } of failures) warnOfTenant(tenant, error)
  for (const { callbackURL, clientID, id: connection, tenant, origins } of connections) {
    const key = `${clientID} ${callbackURL}`
    const first = registrations.get(key) ?? { callbackURL, clientID, connection, tenant, origins: [] }
    registrations.set(key, { ...first, origins: [...new Set([...first.origins, ...origins])] })
  }
  return [...registrations.values()]
}

/** The others can still be registered; the doctor reports the same as a problem. */
function warnOfTenant(tenant: string | null, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  process.emitWarning(`callbackURLs: tenant "${tenant}" is left out. ${message}`, 'BitbucketSignInWarning')
}
