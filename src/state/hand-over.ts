import { isAlive } from '../time/clock'
import type { KeyRing } from './keys'
import { open, seal } from './sealed-cookie'

/** What the central callback passes to the origin where the sign-in started. */
export interface HandOver {
  /** The first part of `state`, which finds the transaction. */
  readonly state: string
  /** The only origin that may use it. */
  readonly origin: string
  /**
   * The server whose answers the central callback takes. Not the issuer: a tenant's own client has another one of the
   * same server, and comes back through the central callback as well. Bitbucket names no issuer in its answer, so a server that was asked in
   * its place could send the browser on to Bitbucket and have the code that comes back traded at its own token endpoint.
   */
  readonly server: string
  readonly code: string | null
  readonly error: string | null
}

const LIFETIME_MS = 60 * 1000
const NAME = 'handover'

/** Seals a hand-over: a code never travels in clear from one origin to another. */
export function sealHandOver(keys: KeyRing, handOver: HandOver): string {
  return seal(keys, NAME, handOver)
}

/** Opens a hand-over made for this origin in the last minute; `undefined` otherwise. */
export function openHandOver(keys: KeyRing, sealed: string, origin: string): HandOver | undefined {
  const opened = open(keys, NAME, sealed)
  if (!opened || !isAlive(opened.issuedAt, LIFETIME_MS)) return undefined
  const handOver = opened.payload as HandOver
  return handOver.origin === origin ? handOver : undefined
}
