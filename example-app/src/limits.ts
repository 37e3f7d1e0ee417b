import { createClient } from '@redis/client'
import type { Limiter, LimiterFactory } from 'passport-bitbucket-signin'
import type { Pool } from 'pg'
import { RateLimiterMemory, RateLimiterPostgres, RateLimiterRedis } from 'rate-limiter-flexible'
import type { Log } from './log.js'

/** How often something may be tried, and in which time. */
const RULES = {
  /** Passwords tried for one address from one network address. */
  password: { points: 10, duration: 15 * 60 },
  /** Passwords tried for one address from anywhere. Beyond it, each network is left with the next rule. */
  passwordPerDay: { points: 100, duration: 24 * 60 * 60 },
  passwordUnderAttack: { points: 3, duration: 24 * 60 * 60 },
  /** Passwords tried in a browser that has signed in with this address before. Strangers cannot use these up. */
  passwordKnownBrowser: { points: 10, duration: 15 * 60 },
  /** Mails to one address that one network, or a browser known for the address, makes us send. */
  mail: { points: 5, duration: 60 * 60 },
  /** Emails to one address, regardless of who requests them. */
  mailPerAddress: { points: 20, duration: 60 * 60 },
  /** Mails one network address makes us send. */
  mailsFromOneSource: { points: 30, duration: 60 * 60 },
} as const

type Counter = RateLimiterMemory | RateLimiterPostgres | RateLimiterRedis
/** Also given to `passport-bitbucket-signin` as its `limiter`. */
export type CounterFactory = (options: { keyPrefix: string; points: number; duration: number }) => Counter

/** Counts where every process sees it: in Redis, otherwise PostgreSQL, otherwise (one process only) in memory. */
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

/** Who has one IPv6 address has a whole network of them. */
export function networkOf(ip = ''): string {
  if (!ip.includes(':') || ip.startsWith('::ffff:')) return ip
  const [start = ''] = ip.split('::')
  return [...start.split(':'), '0', '0', '0', '0'].slice(0, 4).join(':')
}

/** Counters that can all be reset, for the demo: a scenario must not meet the exhausted limits of the last one. */
export function resettable(factory: CounterFactory | null): { factory: LimiterFactory; reset(): void } {
  let round = 0
  const make: CounterFactory = factory ?? ((options) => new RateLimiterMemory(options))
  return {
    reset: () => void round++,
    factory(options) {
      const counter = make(options)
      const key = (name: string) => `${round} ${name}`
      return { consume: (name) => counter.consume(key(name)), get: (name) => counter.get(key(name)) }
    },
  }
}

/** The app's own limits: for guessing passwords and for requesting emails. */
export class Limits {
  readonly #counters: Record<keyof typeof RULES, Limiter>

  constructor(factory: LimiterFactory | null) {
    const make: LimiterFactory = factory ?? ((options) => new RateLimiterMemory(options))
    const entries = Object.entries(RULES).map(([name, rule]) => [name, make({ keyPrefix: `app.${name}`, ...rule })])
    this.#counters = Object.fromEntries(entries)
  }

  /**
   * Counts a password. A stranger must neither guess forever nor lock the owner out: known browsers count
   * apart, and other networks than the stranger's keep some tries.
   */
  async mayTryPassword(email: string, network: string, knownBrowser: string | null): Promise<boolean> {
    if (knownBrowser !== null) return this.allow('passwordKnownBrowser', knownBrowser)
    if (!(await this.allow('password', `${network} ${email}`))) return false
    return (await this.allow('passwordPerDay', email)) || this.allow('passwordUnderAttack', `${network} ${email}`)
  }

  /** Counts an email, with the same care. */
  async mayMail(email: string, network: string, knownBrowser: string | null): Promise<boolean> {
    if (knownBrowser !== null) return this.allow('mail', knownBrowser)
    if (!(await this.allow('mailsFromOneSource', network))) return false
    return (await this.allow('mail', `${network} ${email}`)) && this.allow('mailPerAddress', email)
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
