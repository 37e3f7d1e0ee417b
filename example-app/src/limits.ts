import { createClient } from '@redis/client'
import type { Pool } from 'pg'
import { RateLimiterMemory, RateLimiterPostgres, RateLimiterRedis } from 'rate-limiter-flexible'
import type { Log } from './log.js'

/** How often something may be tried, and in which time. */
const RULES = {
  /** Passwords tried for one address from one network address. */
  password: { points: 10, duration: 15 * 60 },
  /** Passwords tried for one address from anywhere. */
  passwordPerDay: { points: 100, duration: 24 * 60 * 60 },
  /** Mails we send to one address. */
  mail: { points: 5, duration: 60 * 60 },
  /** Mails one network address makes us send. */
  mailsFromOneSource: { points: 30, duration: 60 * 60 },
} as const

type Counter = RateLimiterMemory | RateLimiterPostgres | RateLimiterRedis
/** Also given to `passport-bitbucket-signin` as its `limiter`. */
export type CounterFactory = (options: { keyPrefix: string; points: number; duration: number }) => Counter

/** Counts where every process sees it: in Redis, else in PostgreSQL, else (one process only) in memory. */
export async function counterFactory(
  pool: Pool | null,
  redisURL: string | undefined,
  log: Log,
): Promise<{ factory: CounterFactory | null; close(): Promise<void> }> {
  if (redisURL) {
    const client = createClient({ url: redisURL, disableOfflineQueue: true })
    client.on('error', (error: Error) => log.warn({ reason: error.message }, 'redis'))
    await client.connect()
    return {
      factory: (options) => new RateLimiterRedis({ storeClient: client, useRedisPackage: true, ...options }),
      close: () => client.close(),
    }
  }
  const factory: CounterFactory | null =
    pool &&
    ((options) =>
      new RateLimiterPostgres({
        storeClient: pool,
        storeType: 'pool',
        tableName: 'limits',
        tableCreated: true,
        ...options,
      }))
  return { factory, close: async () => {} }
}

/** The app's own limits: guessing passwords and having us send mail. */
export class Limits {
  readonly #counters: Record<keyof typeof RULES, Counter>

  constructor(factory: CounterFactory | null) {
    const make: CounterFactory = factory ?? ((options) => new RateLimiterMemory(options))
    const entries = Object.entries(RULES).map(([name, rule]) => [name, make({ keyPrefix: `app.${name}`, ...rule })])
    this.#counters = Object.fromEntries(entries)
  }

  /** Counts one try; `false` = too many. A store that fails is an error, never a free try. */
  async allow(rule: keyof typeof RULES, key: string): Promise<boolean> {
    try {
      await this.#counters[rule].consume(key.toLowerCase().slice(0, 200))
      return true
    } catch (refusal) {
      if (refusal instanceof Error) throw Object.assign(refusal, { status: 503 })
      return false
    }
  }
}
