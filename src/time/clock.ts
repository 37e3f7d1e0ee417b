const startedAt = Date.now() - performance.now()

/**
 * Milliseconds since 1970, never behind what a monotonic clock says: setting the system clock back does not make an
 * expired code or cookie valid again.
 */
export function now(): number {
  const wall = Date.now()
  const steady = Math.floor(startedAt + performance.now())
  if (steady - wall > CLOCK_SKEW_MS) warnOfSetBack(steady - wall)
  return Math.max(wall, steady)
}

let hasWarned = false

/** A process that started while the clock was ahead, as before a virtual machine asks the time, stays ahead. */
function warnOfSetBack(behindMs: number): void {
  if (hasWarned) return
  hasWarned = true
  process.emitWarning(
    `The system clock was set back by ${Math.round(behindMs / 1000)} s since this process started. Sign-ins that other processes take part in may be refused; restart this process.`,
    'BitbucketSignInWarning',
  )
}

/** How far two machines' clocks may differ. */
export const CLOCK_SKEW_MS = 60_000

/** Whether something issued then is still valid: not older than its lifetime, and not from the future. */
export function isAlive(issuedAt: number, lifetimeMs: number): boolean {
  const age = now() - issuedAt
  return age <= lifetimeMs && age >= -CLOCK_SKEW_MS
}
