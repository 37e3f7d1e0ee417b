import { afterEach, describe, expect, test, vi } from 'vitest'
import { BitbucketSignInError } from '../../src/contract/errors'
import type { Limiter, LimiterOptions } from '../../src/contract/limiter'
import { type Counter, createLimits } from '../../src/state/limits'
import { chooseLimiter, memoryLimiter } from '../../src/state/memory-limiter'
import { limits, timesTrue } from './messages'

afterEach(() => {
  vi.useRealTimers()
})

/** The points of each counter, and for how many minutes it remembers. */
const POINTS: readonly (readonly [Counter, number, number])[] = [
  ['taken', 1, 16],
  ['done', 1, 66],
  ['tries', 5, 66],
  ['mailPause', 1, 1],
  ['mailsPerHour', 10, 60],
  ['mailsPerDay', 20, 24 * 60],
  ['wrongCodesPerDay', 30, 24 * 60],
  ['addressMailsPerHour', 5, 60],
  ['addressMailsPerDay', 10, 24 * 60],
]

/** A limiter that does what a test says, and the options it was made with. */
function limiter(changes: Partial<Limiter>) {
  const made: LimiterOptions[] = []
  const keys: string[] = []
  const created = createLimits('bitbucket', (options) => {
    made.push(options)
    return {
      consume: async (key) => {
        keys.push(key)
        return { consumedPoints: 1 }
      },
      get: async () => null,
      ...changes,
    }
  })
  return { limits: created, made, keys }
}

describe('limits in memory', () => {
  test.each(POINTS)('allow %s %i times, however many requests are concurrent', async (counter, points) => {
    const counters = limits()
    expect(await timesTrue(() => counters.consume(counter, 'key'))).toBe(points)
    expect(await counters.consume(counter, 'key')).toBe(false)
    expect(await counters.consume(counter, 'another key')).toBe(true)
  })

  test('count keys, counters and plugins separately', async () => {
    const [one, other] = [createLimits('one', memoryLimiter), createLimits('other', memoryLimiter)]
    expect(await one.consume('taken', 'key')).toBe(true)
    expect(await one.consume('done', 'key')).toBe(true)
    expect(await other.consume('taken', 'key')).toBe(true)
  })

  test('read without counting', async () => {
    const counters = limits()
    expect(await counters.read('tries', 'key')).toBe(0)
    await counters.consume('tries', 'key')
    await counters.consume('tries', 'key')
    expect(await counters.read('tries', 'key')).toBe(2)
    expect(await counters.read('tries', 'key')).toBe(2)
  })

  test('count refusals too, so that trying on does not help', async () => {
    const counters = limits()
    for (let count = 0; count < 12; count++) await counters.consume('tries', 'key')
    expect(await counters.read('tries', 'key')).toBe(12)
  })

  test('increment to a different count for each caller', async () => {
    const counters = limits()
    const counts = await Promise.all(Array.from({ length: 50 }, () => counters.increment('generation', 'key')))
    expect([...counts].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  })

  test('forget a key when its time is over, not before', async () => {
    vi.useFakeTimers()
    const counters = limits()
    expect(await counters.consume('mailPause', 'key')).toBe(true)
    await vi.advanceTimersByTimeAsync(59_000)
    expect(await counters.consume('mailPause', 'key')).toBe(false)
    await vi.advanceTimersByTimeAsync(62_000)
    expect(await counters.consume('mailPause', 'key')).toBe(true)
  })

  test('accept invalid keys as keys', async () => {
    const counters = limits()
    for (const key of ['__proto__', 'constructor', 'hasOwnProperty', '', '\u0000', 'k'.repeat(1_000_000)]) {
      expect(await counters.consume('taken', key)).toBe(true)
      expect(await counters.consume('taken', key)).toBe(false)
    }
  })

  test('refuse new keys as a fault when full, keep the old ones, and have room again later', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const memory = memoryLimiter({ keyPrefix: 'full', points: 1, duration: 960 })
    for (let count = 0; count < 100_000; count++) await memory.consume(`key ${count}`)
    await expect(memory.consume('one more')).rejects.toThrow('More than 100000 keys.')
    await expect(memory.consume('key 0')).rejects.toEqual({ consumedPoints: 2, msBeforeNext: 960_000 })
    vi.setSystemTime(Date.now() + 959_000)
    expect(await memory.get('key 0')).toEqual({ consumedPoints: 2, msBeforeNext: 1000 })
    await expect(memory.consume('one more')).rejects.toBeInstanceOf(Error)
    vi.setSystemTime(Date.now() + 1000)
    await expect(memory.consume('one more')).resolves.toMatchObject({ consumedPoints: 1 })
  })
})

test('counters of one identity forget their oldest key when full, and refuse nobody', async () => {
  const memory = memoryLimiter({ keyPrefix: 'full', points: 1, duration: 960 }, true)
  for (let count = 0; count <= 100_000; count++) await memory.consume(`key ${count}`)
  expect([await memory.get('key 0'), (await memory.get('key 1'))?.consumedPoints]).toEqual([null, 1])
})

describe('the choice of a limiter', () => {
  const own = () => memoryLimiter({ keyPrefix: 'own', points: 1, duration: 1 })
  afterEach(() => vi.unstubAllEnvs())

  test.each([
    ['one process', undefined],
    ['PM2', '0'],
  ])('in %s needs an answer only if there may be several', (_what, id) => {
    vi.stubEnv('pm_id', id)
    expect([chooseLimiter(own), chooseLimiter('memory')]).toEqual([own, memoryLimiter])
    if (id === undefined) expect(chooseLimiter(undefined)).toBe(memoryLimiter)
    else expect(() => chooseLimiter(undefined)).toThrow('`limiter` is missing, and this is one of several processes')
  })
})

describe('a limiter of the app', () => {
  test.each([
    [30_000, 30_000],
    [0, 0],
    [60_000, 60_000],
    [60_001, 60_000],
    [-1, 60_000],
    [Number.NaN, 60_000],
    ['30', 60_000],
    [undefined, 60_000],
  ])('that reports a wait of %j until a key is free means %i ms, at most its whole time', async (msBeforeNext, ms) => {
    const { limits } = limiter({ consume: () => Promise.reject({ consumedPoints: 2, msBeforeNext }) })
    expect(await limits.spend('mailPause', 'key')).toBe(ms)
  })

  test('is made once for each counter, with a prefix, points and seconds', async () => {
    const { limits, made } = limiter({})
    for (const [counter] of POINTS) await Promise.all([limits.consume(counter, 'a'), limits.consume(counter, 'b')])
    expect(made).toEqual(
      POINTS.map(([counter, points, minutes]) => ({
        keyPrefix: `bitbucket.${counter}`,
        points,
        duration: minutes * 60,
      })),
    )
  })

  test('receives short keys and no address', async () => {
    const { limits, keys } = limiter({})
    await limits.consume('mailsPerDay', 'alice@example.com')
    await limits.consume('mailsPerDay', 'k'.repeat(100_000))
    for (const key of keys) expect(key).toMatch(/^[\w-]{27}$/)
    expect(new Set(keys).size).toBe(2)
  })

  test('refuses by a rejection that is not an error', async () => {
    const { limits } = limiter({ consume: () => Promise.reject({ msBeforeNext: 1000, consumedPoints: 2 }) })
    expect(await limits.consume('taken', 'key')).toBe(false)
  })

  const failures: readonly (readonly [string, Partial<Limiter>])[] = [
    ['rejects', { consume: () => Promise.reject(new Error('no store')), get: () => Promise.reject(new Error('no')) }],
    [
      'throws',
      {
        consume: () => {
          throw new Error('no store')
        },
        get: () => {
          throw new Error('no store')
        },
      },
    ],
  ]

  test.each(failures)('fails with store_unavailable and its cause if it %s', async (_what, changes) => {
    const { limits } = limiter(changes)
    for (const call of [
      limits.consume('taken', 'key'),
      limits.increment('generation', 'key'),
      limits.read('done', 'key'),
    ]) {
      const error = await call.catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(BitbucketSignInError)
      expect(error).toMatchObject({
        code: 'store_unavailable',
        status: 503,
        message: 'The store of the limits failed; see `cause`.',
        cause: expect.any(Error),
      })
    }
  })

  const nonsense: readonly unknown[] = [
    ...[undefined, true, 1, 'OK', [], {}, { consumedPoints: '1' }, { consumedPoints: Number.NaN }],
    ...[{ consumedPoints: -1 }, { remainingPoints: 4 }],
  ]

  test.each(nonsense.map((answer) => [answer]))(
    'has no count with an answer of %j, and what is not counted is refused',
    async (answer) => {
      const { limits } = limiter({ consume: () => answer as never, get: async () => answer as never })
      for (const call of [
        limits.consume('taken', 'key'),
        limits.increment('generation', 'key'),
        limits.read('done', 'key'),
      ]) {
        await expect(call).rejects.toMatchObject({
          code: 'store_unavailable',
          cause: new TypeError('The limiter must resolve with its count, `{ consumedPoints: number }`.'),
        })
      }
    },
  )

  test('counts nothing if nothing is consumed, and is never over the points by reading or incrementing', async () => {
    const { limits } = limiter({ consume: async () => ({ consumedPoints: 0 }), get: () => Promise.reject(undefined) })
    await expect(limits.consume('taken', 'key')).rejects.toMatchObject({ code: 'store_unavailable' })
    await expect(limits.read('done', 'key')).rejects.toMatchObject({ code: 'store_unavailable' })
    const over = limiter({ consume: () => Promise.reject({ consumedPoints: 2 }) })
    await expect(over.limits.increment('generation', 'key')).rejects.toMatchObject({ code: 'store_unavailable' })
  })

  test('refuses by too many points without a rejection', async () => {
    const { limits } = limiter({ consume: async () => ({ consumedPoints: 2 }) })
    expect(await limits.consume('taken', 'key')).toBe(false)
    expect(await limits.consume('tries', 'key')).toBe(true)
  })

  test('fails with store_unavailable if it cannot be made', async () => {
    const broken = createLimits('bitbucket', () => {
      throw new Error('no store')
    })
    await expect(broken.consume('taken', 'key')).rejects.toMatchObject({ code: 'store_unavailable' })
  })

  test('fails with store_unavailable after five seconds without an answer', async () => {
    vi.useFakeTimers()
    const { limits } = limiter({ consume: () => new Promise(() => {}), get: () => new Promise(() => {}) })
    for (const call of [() => limits.consume('taken', 'key'), () => limits.read('done', 'key')]) {
      const outcome = call().then(
        () => 'settled',
        (error: BitbucketSignInError) => error.code,
      )
      let known: string | undefined
      outcome.then((value) => {
        known = value
      })
      await vi.advanceTimersByTimeAsync(4999)
      expect(known).toBeUndefined()
      await vi.advanceTimersByTimeAsync(1)
      expect(known).toBe('store_unavailable')
    }
    expect(vi.getTimerCount()).toBe(0)
  })
})
