import type { Limiter, LimiterFactory, LimiterOptions } from '../contract/limiter'
import { configurationError } from '../contract/options'
import { now } from '../time/clock'

/**
 * Memory is enough for one process. With several, each would count alone, and a handle could be used once in each.
 * Cluster workers and PM2 are recognised; other ways of starting several cannot be seen from here.
 */
export function chooseLimiter(limiter: LimiterFactory | 'memory' | undefined): LimiterFactory {
  if (typeof limiter === 'function') return limiter
  if (limiter === undefined && (isClusterWorker() || process.env.pm_id !== undefined)) {
    throw configurationError(
      "bitbucketSignIn: `limiter` is missing, and this is one of several processes (cluster or PM2). Set it to PostgreSQL or Redis, or to 'memory' if only one process serves this site.",
    )
  }
  return memoryLimiter
}

/** Every worker has a channel to its primary process; without one, loading the module would be 2 ms for nothing. */
const isClusterWorker = () =>
  process.send !== undefined && (require('node:cluster') as typeof import('node:cluster').default).isWorker

const MAX_KEYS = 100_000

/**
 * Counters in this process's memory, without a timer for each key. Bounded: a full counter refuses, because forgetting
 * would revive used handles, unless it `forgets` its oldest key.
 */
export const memoryLimiter = ({ points, duration }: LimiterOptions, forgets = false): Limiter => {
  /** In the order in which they expire: all have the same lifetime. */
  const counts = new Map<string, { count: number; readonly endsAt: number }>()

  function find(key: string) {
    const time = now()
    for (const [oldest, { endsAt }] of counts) {
      if (endsAt > time) break
      counts.delete(oldest)
    }
    return counts.get(key)
  }

  function begin(key: string) {
    if (counts.size >= MAX_KEYS) {
      if (!forgets) throw new Error(`More than ${MAX_KEYS} keys. Use a limiter on PostgreSQL or Redis.`)
      counts.delete(counts.keys().next().value as string)
    }
    const begun = { count: 0, endsAt: now() + duration * 1000 }
    counts.set(key, begun)
    return begun
  }

  return {
    async get(key) {
      const found = find(key)
      return found ? { consumedPoints: found.count, msBeforeNext: found.endsAt - now() } : null
    },
    async consume(key) {
      const counter = find(key) ?? begin(key)
      const answer = { consumedPoints: ++counter.count, msBeforeNext: counter.endsAt - now() }
      if (answer.consumedPoints > points) throw answer
      return answer
    },
  }
}
