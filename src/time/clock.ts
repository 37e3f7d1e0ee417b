const startedAt = Date.now() - performance.now()

/**
 * Milliseconds since 1970, never behind what a monotonic clock says: setting the system clock back does not make an
 * expired code or cookie valid again.
 */
export function now(): number {
  return Math.max(Date.now(), Math.floor(startedAt + performance.now()))
}

/** How far two machines' clocks may differ. */
export const CLOCK_SKEW_MS = 60_000

/** Whether something issued then is still valid: not older than its lifetime, and not from the future. */
export function isAlive(issuedAt: number, lifetimeMs: number): boolean {
  const age = now() - issuedAt
  return age <= lifetimeMs && age >= -CLOCK_SKEW_MS
}
