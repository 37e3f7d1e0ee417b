import type { Request } from 'express'
import { BitbucketSignInError, type Connection, type ConnectionsOptions, connections } from 'passport-bitbucket-signin'
import { afterEach, describe, expect, test, vi } from 'vitest'

const BASE: Connection = {
  clientID: 'key',
  clientSecret: 'client-secret',
  callbackURL: 'https://app.example/auth/bitbucket/callback',
}
/** A request from which tenant and application are read as they are; `null` = the application level, no application. */
const requestOf = (tenant: unknown, application: unknown) => ({ tenant, application }) as unknown as Request
const BY_REQUEST = {
  tenant: (req: Request) => (req as unknown as { tenant: string | null }).tenant,
  application: (req: Request) => (req as unknown as { application: string | null }).application,
}
const resolverOf = (options: ConnectionsOptions) => connections({ default: BASE, ...BY_REQUEST, ...options })

/** Invalid names of tenants and applications. */
const ODD_KEYS = [
  '',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  '.',
  '..',
  'a\u0000b',
  'a\nb',
  'a\u202eb',
  '\ud800',
  'k'.repeat(129),
  'é'.repeat(65),
  'k'.repeat(1_000_000),
  undefined,
  7,
  true,
  {},
  ['t1'],
  { toString: () => 't1' },
]

afterEach(() => {
  vi.useRealTimers()
})

describe('keys', () => {
  test.each(ODD_KEYS)('refuses the tenant %.40j without a look-up', async (key) => {
    const tenants = vi.fn(() => ({}))
    expect(await resolverOf({ tenants })(requestOf(key, null))).toBeNull()
    expect(tenants).not.toHaveBeenCalled()
    expect(await resolverOf({ tenants: { t1: {} } })(requestOf(key, null))).toBeNull()
  })

  test.each(ODD_KEYS)('refuses the application %.40j', async (key) => {
    expect(await resolverOf({ tenants: { t1: {} } })(requestOf('t1', key))).toBeNull()
  })

  test('refuses invalid keys of a table at construction', () => {
    for (const key of ['constructor', '..', 'a\u0000b', '']) {
      expect(() => resolverOf({ tenants: { [key]: {} } })).toThrow(BitbucketSignInError)
    }
    expect(() => resolverOf({ tenants: JSON.parse('{"__proto__":{}}') })).toThrow(BitbucketSignInError)
  })

  test.each(['t1', 'acme.example', 'Ünïcode', 'a b', '7', 'null', 'k'.repeat(128), 'default', 'tenant:t1'])(
    'control: accepts %j as a name',
    async (key) => {
      expect(await resolverOf({ tenants: { [key]: {} } })(requestOf(key, null))).toMatchObject({
        id: `tenant:${key}`,
        tenant: key,
      })
    },
  )

  test('treats a tenant whose name differs in case as another one', async () => {
    expect(await resolverOf({ tenants: { t1: {} } })(requestOf('T1', null))).toBeNull()
  })
})

describe('levels', () => {
  test('uses the application level for null, and nothing for an unknown tenant', async () => {
    const resolve = resolverOf({ tenants: { t1: { clientID: 'k1', clientSecret: 's1' } } })
    expect(await resolve(requestOf(null, null))).toMatchObject({ id: 'default', clientID: 'key' })
    expect(await resolve(requestOf('t1', null))).toMatchObject({ id: 'tenant:t1', clientID: 'k1' })
    expect(await resolve(requestOf('t2', null))).toBeNull()
  })

  test.each([null, undefined])('treats %s from a function as an unknown tenant', async (answer) => {
    expect(await resolverOf({ tenants: () => answer })(requestOf('t1', null))).toBeNull()
  })

  test.each([true, 'enabled', 7, [], [{}]])(
    'treats %j from a function as a fault, not as a tenant that inherits',
    async (answer) => {
      const resolve = resolverOf({ tenants: () => answer as never })
      await expect(resolve(requestOf('t1', null))).rejects.toMatchObject({ code: 'configuration_invalid' })
    },
  )

  test('refuses options without one of the levels', () => {
    expect(() => connections({})).toThrow(/neither `default` nor `tenants` is set/)
  })

  test('lists a registered tenant, enabled or not, for any application', async () => {
    const resolve = resolverOf({
      default: { ...BASE, enabled: false, applications: ['web'] },
      tenants: { t1: { enabled: false }, t2: { applications: [] } },
    })
    expect((await resolve.list()).map(({ tenant }) => tenant)).toEqual([null, 't1', 't2'])
    expect(await resolve(requestOf('t1', 'web'))).toBeNull()
  })
})

describe('answers of functions', () => {
  test('are requested for each request by default', async () => {
    let trustedProvider = false
    const tenants = vi.fn(() => ({ trustedProvider }))
    const resolve = resolverOf({ tenants })
    expect((await resolve(requestOf('t1', null)))?.trustedProvider).toBe(false)
    trustedProvider = true
    expect((await resolve(requestOf('t1', null)))?.trustedProvider).toBe(true)
    expect(tenants).toHaveBeenCalledTimes(2)
  })

  test('are cached for cacheMs, one for each tenant, and requested once by concurrent requests', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const tenants = vi.fn(async (tenant: string) => ({ scope: tenant }))
    const base = vi.fn(async () => BASE)
    const resolve = resolverOf({ default: base, tenants, cacheMs: 1000 })
    const found = await Promise.all(['t1', 't2', 't1', 't2', 't1'].map((tenant) => resolve(requestOf(tenant, null))))
    expect(found.map((each) => each?.scope)).toEqual(['t1', 't2', 't1', 't2', 't1'])
    expect(tenants).toHaveBeenCalledTimes(2)
    expect(base).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(999)
    await resolve(requestOf('t1', null))
    expect(tenants).toHaveBeenCalledTimes(2)
    vi.advanceTimersByTime(1)
    await resolve(requestOf('t1', null))
    expect(tenants).toHaveBeenCalledTimes(3)
  })

  test('are cached when they report an unknown tenant', async () => {
    const tenants = vi.fn(() => null)
    const resolve = resolverOf({ tenants, cacheMs: 1000 })
    await resolve(requestOf('t1', null))
    await resolve(requestOf('t1', null))
    expect(tenants).toHaveBeenCalledTimes(1)
  })

  test('are not cached when they failed', async () => {
    const tenants = vi.fn(async () => {
      if (tenants.mock.calls.length === 1) throw new Error('no database')
      return {}
    })
    const resolve = resolverOf({ tenants, cacheMs: 1000 })
    await expect(resolve(requestOf('t1', null))).rejects.toThrow('no database')
    expect(await resolve(requestOf('t1', null))).toMatchObject({ id: 'tenant:t1' })
  })

  test('are cached for at most 10,000 tenants, so that names cannot fill the memory', async () => {
    const tenants = vi.fn((): null => null)
    const resolve = resolverOf({ tenants, cacheMs: 60_000 })
    for (let count = 0; count < 10_050; count++) await resolve(requestOf(`t${count}`, null))
    tenants.mockClear()
    await resolve(requestOf('t10049', null))
    expect(tenants).toHaveBeenCalledTimes(0)
    await resolve(requestOf('t0', null))
    expect(tenants).toHaveBeenCalledTimes(1)
  })

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, '1000', null])('refuse cacheMs %j', (cacheMs) => {
    expect(() => resolverOf({ cacheMs: cacheMs as number })).toThrow(BitbucketSignInError)
  })
})
