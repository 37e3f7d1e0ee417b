import { vi } from 'vitest'

/**
 * Sets the system clock forward, for cookies, codes and counters alike; call `vi.useRealTimers()` afterwards. Timers
 * go on as they are, so requests work as ever.
 */
export function travel(ms: number): void {
  const target = Date.now() + ms
  if (!vi.isFakeTimers()) vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(target)
}

/** Milliseconds of CPU time that some work takes; what other processes do at the same time does not count. */
export function cpuMs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
