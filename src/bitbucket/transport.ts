import type { Agent } from 'node:http'
import { pooledTransport } from './pooled-transport'
import type { Transport } from './transport-parts'

/** Options of {@link createTransport}. */
export interface TransportOptions {
  /** Open connections while the user is still at Bitbucket. Default `true`. */
  readonly preconnect?: boolean
  /** How long a connection may take to open, in milliseconds: as long as its requests may. Default 10000. */
  readonly timeoutMs?: number
  /** Your own agent, for example one that goes through a proxy. It replaces our connections, preconnect included. */
  readonly agent?: Agent | undefined
}

/** Keep-alive connections to Bitbucket, shared by all sign-ins of one plugin. */
export function createTransport({ preconnect = true, timeoutMs = 10_000, agent }: TransportOptions = {}): Transport {
  if (!agent) return pooledTransport(preconnect, timeoutMs)
  const { agentTransport } = require('./agent-transport') as typeof import('./agent-transport')
  return agentTransport(agent)
}
