import { hash } from 'node:crypto'
import { BitbucketSignInError } from '../contract/errors'
import type { Limiter, LimiterCount, LimiterFactory } from '../contract/limiter'
import { withDeadline } from '../time/deadline'
import { memoryLimiter } from './memory-limiter'
import { LONGEST_PENDING_MS } from './pending-sign-in'
import { TRANSACTION_LIFETIME_MS } from './transaction'

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** In seconds; clocks of several processes may differ by some minutes. */
const longerThan = (lifetimeMs: number) => lifetimeMs / 1000 + 6 * MINUTE

/** Every counter, with its points and its lifetime in seconds. What a counter guards must end before it does. */
const COUNTERS = {
  /** A transaction's handle was used. */
  taken: { points: 1, duration: longerThan(TRANSACTION_LIFETIME_MS) },
  /** A pending sign-in was completed or abandoned. */
  done: { points: 1, duration: longerThan(LONGEST_PENDING_MS) },
  /** Tries of one code. */
  tries: { points: 5, duration: longerThan(LONGEST_PENDING_MS) },
  /** Which code or address of a pending sign-in is the current one. */
  generation: { points: 1_000_000, duration: longerThan(LONGEST_PENDING_MS) },
  /** The pause between two emails. */
  mailPause: { points: 1, duration: MINUTE },
  mailsPerHour: { points: 10, duration: HOUR },
  mailsPerDay: { points: 20, duration: DAY },
  wrongCodesPerDay: { points: 30, duration: DAY },
  addressMailsPerHour: { points: 5, duration: HOUR },
  addressMailsPerDay: { points: 10, duration: DAY },
  /** Marks an identity that was refused an email because others exhausted the address: once per period. */
  turnedAway: { points: 1, duration: 50 * MINUTE },
  /** The number of such periods in which it was refused. */
  timesTurnedAway: { points: 1_000_000, duration: DAY },
  /** Emails to an address beyond its limits, for identities that came back, and how many of them one identity gets. */
  reservedMailsPerHour: { points: 2, duration: HOUR },
  reservedMailsOfPair: { points: 1, duration: DAY },
} as const

/**
 * Counters that limit one identity before an email is counted for its address. In memory they forget their oldest key
 * when they are full: only a server that invents identities can fill them, and it is not limited by them anyway. Refusing
 * would close emailed codes to all users for a day.
 */
const OF_IDENTITY: ReadonlySet<string> = new Set<keyof typeof COUNTERS>([
  'mailPause',
  'mailsPerHour',
  'mailsPerDay',
  'turnedAway',
  'timesTurnedAway',
])

/** Names of the counters. */
export type Counter = keyof typeof COUNTERS

/** How often one code may be tried. */
export const MAX_TRIES: number = COUNTERS.tries.points

/** How many wrong codes one identity may enter in a day. */
export const MAX_WRONG_CODES_PER_DAY: number = COUNTERS.wrongCodesPerDay.points

/** The length of the pause between two emails. */
export const MAIL_PAUSE_MS: number = COUNTERS.mailPause.duration * 1000

/** Atomic counters with a lifetime: what a cookie cannot hold, because a cookie can be rolled back. */
export interface Limits {
  /** Adds one; `true` while the key is within its points. With one point, exactly one caller ever gets `true`. */
  consume(counter: Counter, key: string): Promise<boolean>
  /** The same; when the key is over its points, how long until it resets, in milliseconds. `null` = within. */
  spend(counter: Counter, key: string): Promise<number | null>
  /** Adds one and returns the new count. For counters without a practical limit. */
  increment(counter: Counter, key: string): Promise<number>
  /** The count so far. */
  read(counter: Counter, key: string): Promise<number>
}

const STORE_DEADLINE_MS = 5000

/** Makes the counters of one plugin. Any failure of the store is `store_unavailable`: a request that cannot be counted is refused. */
export function createLimits(pluginName: string, factory: LimiterFactory): Limits {
  const inMemory = factory === memoryLimiter
  const limiters = new Map<Counter, Limiter>()
  const limiterOf = (counter: Counter): Limiter => {
    let limiter = limiters.get(counter)
    if (!limiter) {
      const options = { keyPrefix: `${pluginName}.${counter}`, ...COUNTERS[counter] }
      limiter = inMemory ? memoryLimiter(options, OF_IDENTITY.has(counter)) : factory(options)
      limiters.set(counter, limiter)
    }
    return limiter
  }

  // Memory answers immediately; a store may hang.
  const inTime = <T>(answer: Promise<T>) =>
    inMemory ? answer : withDeadline(Promise.resolve(answer), STORE_DEADLINE_MS, 'The limiter')

  /** The count from the store, `null` = over the points. Anything else is a failure of the store. */
  async function ask(call: () => ReturnType<Limiter['get']>): Promise<{ count: number | null; waitMs: unknown }> {
    let answer: Awaited<ReturnType<Limiter['get']>>
    try {
      answer = await inTime(call())
    } catch (error) {
      if (error instanceof Error) throw unavailable(error)
      return { count: null, waitMs: (error as Partial<LimiterCount> | null | undefined)?.msBeforeNext }
    }
    const count: unknown = answer === null ? 0 : answer?.consumedPoints
    if (typeof count === 'number' && count >= 0) return { count, waitMs: answer?.msBeforeNext }
    throw uncounted()
  }

  async function add(counter: Counter, key: string): ReturnType<typeof ask> {
    const counted = await ask(() => limiterOf(counter).consume(shortKey(key)))
    if (counted.count === 0) throw uncounted()
    return counted
  }

  async function spend(counter: Counter, key: string): Promise<number | null> {
    const { points, duration } = COUNTERS[counter]
    const { count, waitMs } = await add(counter, key)
    if (count !== null && count <= points) return null
    const longest = duration * 1000
    return typeof waitMs === 'number' && waitMs >= 0 && waitMs <= longest ? waitMs : longest
  }

  return {
    spend,
    consume: async (counter, key) => (await spend(counter, key)) === null,
    async increment(counter, key) {
      const { count } = await add(counter, key)
      if (count === null) throw uncounted()
      return count
    },
    async read(counter, key) {
      const { count } = await ask(() => limiterOf(counter).get(shortKey(key)))
      if (count === null) throw uncounted()
      return count
    },
  }
}

function unavailable(cause: Error): BitbucketSignInError {
  return new BitbucketSignInError('store_unavailable', 'The store of the limits failed; see `cause`.', { cause })
}

/** Without a count there is no limit, so a missing count must not count as "within the points". */
function uncounted(): BitbucketSignInError {
  return unavailable(new TypeError('The limiter must resolve with its count, `{ consumedPoints: number }`.'))
}

/** Keys hold addresses and identities: they are hashed, short, and do not change when a secret is rotated. */
function shortKey(key: string): string {
  return hash('sha256', key, 'base64url').slice(0, 27)
}
