import { openExchange, refreshTokens } from '../bitbucket/exchange'
import type { Transport } from '../bitbucket/transport-parts'
import { BitbucketSignInError } from '../contract/errors'
import { type Connection, configurationError } from '../contract/options'
import type { Tokens } from '../contract/tokens'
import type { ActiveConnection } from './active-connection'
import type { ConnectionSource } from './connection-source'

/** The token to refresh, and whose client it belongs to. */
export interface RefreshInput {
  readonly refreshToken: string
  readonly tenant?: string | null
  readonly connection?: Connection
}

interface Refreshing {
  readonly source: ConnectionSource
  readonly transport: Transport
  readonly timeoutMs: number
}

/** Makes the refresh of one plugin: concurrent calls for one token are one request. */
export function tokenRefresh({ source, transport, timeoutMs }: Refreshing) {
  const inFlight = new Map<string, Promise<Tokens>>()
  return async ({ refreshToken, tenant = null, connection }: RefreshInput): Promise<Tokens> => {
    const client = connection ? source.activate(connection) : await registeredClient(source, tenant)
    const key = `${client.tokenURL} ${client.clientID} ${refreshToken}`
    const running = inFlight.get(key)
    if (running) return running
    const exchange = openExchange(transport, timeoutMs)
    const refreshed = refreshTokens(exchange, client, refreshToken).finally(() => {
      exchange.deadline.end()
      inFlight.delete(key)
    })
    inFlight.set(key, refreshed)
    return refreshed
  }
}

async function registeredClient(source: ConnectionSource, tenant: string | null): Promise<ActiveConnection> {
  const client = await source.registered(tenant)
  if (client) return client
  if (client === undefined)
    throw configurationError('refreshTokens: `connection` is missing. Pass the connection that the tokens belong to.')
  throw new BitbucketSignInError(
    'connection_unavailable',
    'refreshTokens: this tenant has no connection. Disconnect its tokens, or restore the connection.',
  )
}
