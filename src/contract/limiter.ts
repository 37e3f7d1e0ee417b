/** The state of a key. A limiter also rejects with one when the key is over its points. */
export interface LimiterCount {
  /** Points consumed so far, this one included. */
  readonly consumedPoints: number
  /** Milliseconds until the key resets. Without it, pages show the counter's whole duration as the wait. */
  readonly msBeforeNext?: number
}

/** The part of a `rate-limiter-flexible` limiter that is used. */
export interface Limiter {
  /**
   * Adds one point. Resolves while the key is within its points; rejects with anything but an `Error` when it is over
   * them, and with an `Error` when the store failed.
   */
  consume(key: string): Promise<LimiterCount>
  /** The key's points, `null` when there are none. */
  get(key: string): Promise<LimiterCount | null>
}

/** Options for one counter; pass them to the limiter's constructor. */
export interface LimiterOptions {
  /** Begins the keys of this counter, so that counters can share a table. */
  readonly keyPrefix: string
  /** Points within the lifetime of a key; more are refused. */
  readonly points: number
  /** Lifetime of a key in seconds. */
  readonly duration: number
}

/** Creates one counter, for example `(options) => new RateLimiterPostgres({ storeClient: pool, tableName: 'limits', tableCreated: true, ...options })`. */
export type LimiterFactory = (options: LimiterOptions) => Limiter
