import type { Request } from 'express'
import type { BitbucketSignInError } from '../contract/errors'
import { type Connection, type ConnectionResolver, configurationError, type TenantClients } from '../contract/options'
import { type ConnectionKey, unavailability } from '../decisions/connection-levels'
import { type ActiveConnection, activateConnection } from './active-connection'

/** Finds the connection of a request. */
export interface ConnectionSource {
  /** `null` = there is none for this request. */
  resolve(req: Request): Promise<ActiveConnection | null> | ActiveConnection | null
  /**
   * The connection under which a sign-in started, for a callback at another host than the one where it did. A resolver
   * function of the app's own is asked for the connection of the request instead.
   */
  resolveFor(req: Request, key: ConnectionKey): Promise<ActiveConnection | null> | ActiveConnection | null
  /** A connection that the app passes itself, by the same rules as those of requests. */
  activate(connection: Connection): ActiveConnection
  /** The connection of a tenant, offered or not; `null` = it has none, `undefined` = this source cannot tell. */
  registered(tenant: string | null): Promise<ActiveConnection | null | undefined>
  /** Whether an enabled connection serves identities of this issuer; `false` when it cannot be told. */
  serves(issuer: string): Promise<boolean>
  /** All connections that can be listed, and the tenants whose level is invalid. */
  list(): Promise<ListedConnections>
}

/** The listed connections. One tenant's invalid row does not hide the others. */
export interface ListedConnections {
  readonly connections: readonly ActiveConnection[]
  readonly failures: readonly { readonly tenant: string | null; readonly error: unknown }[]
}

/** One level of `connections()` as it was listed. */
export type ListedLevel =
  | { readonly tenant: string | null; readonly connection: Connection | null }
  | { readonly tenant: string | null; readonly error: unknown }

/** A resolver that also finds its connections without a request, as `connections()` makes it. */
export interface KeyedResolver extends ConnectionResolver {
  /** @internal What is offered to this tenant and application, `null` = nothing. */
  readonly lookUp: (key: ConnectionKey) => Promise<Connection | null>
  /** @internal The connection of a tenant as it is registered at Bitbucket, switched on or off, for whichever application. */
  readonly registered: (tenant: string | null) => Promise<Connection | null>
  /** @internal The registered connection of every level that can be listed. */
  readonly list: () => Promise<readonly ListedLevel[]>
  /** @internal The tenants that are values, if the application level is one too. */
  readonly fixed: readonly Connection[]
}

/** Options of {@link connectionSource}. */
export interface SourceOptions {
  /** Name of the plugin. */
  readonly name: string
  readonly basePath: string | undefined
  readonly tenantClients: TenantClients | undefined
  /** Called when a connection is refused until the operator decides about it. */
  readonly report: (error: BitbucketSignInError, req: Request) => void
}

/** Makes the source. A fixed connection is activated once, a resolver's answers once per distinct content. */
export function connectionSource(
  connection: Connection | ConnectionResolver,
  options: SourceOptions,
): ConnectionSource {
  if (typeof connection !== 'function') return fixedSource(connection, options)
  // Loaded on use: most apps have one connection.
  const { functionSource, keyedSource } = require('./resolver-sources') as typeof import('./resolver-sources')
  return 'lookUp' in connection
    ? keyedSource(connection as KeyedResolver, options)
    : functionSource(connection, options)
}

function fixedSource(connection: Connection, { name, basePath }: SourceOptions): ConnectionSource {
  if (connection.applications !== undefined && connection.application == null) {
    throw configurationError(
      'connection: `applications` hides a fixed connection from every request. Remove it, or use `connections({ default, application })`, which resolves the application of a request.',
    )
  }
  const fixed = activateConnection(connection, { name, basePath })
  const offered = unavailability(connection) === null ? fixed : null
  return {
    resolve: () => offered,
    resolveFor: () => offered,
    activate: (each) => activateConnection(each, { name, basePath }),
    registered: async () => fixed,
    serves: async (issuer) => offered?.issuer === issuer,
    list: async () => ({ connections: [fixed], failures: [] }),
  }
}
