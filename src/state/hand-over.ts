import { isAlive } from '../time/clock'
import type { KeyRing } from './keys'
import { open, seal } from './sealed-cookie'

/** The data that the central callback passes to the origin where the sign-in started. */
export interface HandOver {
  /** The first part of `state`, which finds the transaction. */
  readonly state: string
  /** The only origin that may use it. */
  readonly origin: string
  /**
   * The server whose answers the central callback accepts. Not the issuer: a tenant's own client has another issuer at the
   * same server, and returns through the central callback as well. Bitbucket sends no issuer, so another server could
   * redirect the browser to Bitbucket, and the code that comes back would be sent to that server's token endpoint.
   */
  readonly server: string
  readonly code: string | null
  readonly error: string | null
}

const HAND_OVER_LIFETIME_MS = 60 * 1000
const NAME = 'handover'

/** Seals a hand-over: a code never travels in clear from one origin to another. */
export function sealHandOver(keys: KeyRing, handOver: HandOver): string {
  return seal(keys, NAME, handOver)
}

/** Opens a hand-over made for this origin in the last minute; `undefined` otherwise. */
export function openHandOver(keys: KeyRing, sealed: string, origin: string): HandOver | undefined {
  const opened = open(keys, NAME, sealed)
  if (!opened || !isAlive(opened.issuedAt, HAND_OVER_LIFETIME_MS)) return undefined
  const handOver = opened.payload as HandOver
  return handOver.origin === origin ? handOver : undefined
}
