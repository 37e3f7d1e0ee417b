import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createPendingSignIns, type Pending, type PendingSignIns } from '../../src/state/pending-sign-in'
import { randomHandle } from '../../src/state/random'
import { cookieJar, seal } from '../../src/state/sealed-cookie'
import { Cookies, keyRing, limits, timesTrue } from './messages'

const JAR = cookieJar('bitbucket', true)
const NAME = JAR.nameOf('p')
const MINUTE = 60_000
const ID = '{12345678-1234-4123-8123-123456789abc}'

let pendings: PendingSignIns
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
  pendings = createPendingSignIns(keyRing('pending'), limits())
})
afterEach(() => {
  vi.useRealTimers()
})

function waiting(changes: Partial<Pending> = {}): Pending {
  return {
    handle: randomHandle(),
    step: 'code',
    identity: { issuer: 'https://bitbucket.org', id: ID },
    profile: {
      id: ID,
      accountId: '557058:c0b72ad0-1cb5-4018-9cdc-0cde8492c443',
      username: 'alice',
      nickname: 'alice',
      displayName: 'Alice Adams',
      avatarUrl: 'https://avatars.example/alice.png',
      profileUrl: 'https://bitbucket.org/alice/',
      emails: [],
    },
    email: { level: 'asserted', address: 'alice@example.com' },
    typed: false,
    confirmed: true,
    code: { hash: 'h'.repeat(22), sentAt: Date.now() },
    pause: null,
    generation: 0,
    context: 'c'.repeat(22),
    origin: 'https://app.example',
    basePath: '/auth/bitbucket',
    returnTo: '/dash',
    login: 'nobody',
    workspaces: [],
    confirmedAt: Date.now(),
    ...changes,
  }
}

function store(cookies: Cookies, pending: Pending, startedAt = Date.now()): void {
  pendings.store(cookies.req(), cookies.res, JAR, pending, startedAt)
}
const read = (cookies: Cookies) => pendings.read(cookies.req(), JAR)
const pass = (ms: number) => vi.setSystemTime(Date.now() + ms)

describe('a pending sign-in', () => {
  test('comes back whole, with its times', () => {
    const cookies = new Cookies()
    const pending = waiting()
    store(cookies, pending)
    expect(read(cookies)).toEqual({ pending, startedAt: Date.now(), endsAt: Date.now() + 30 * MINUTE })
    expect(cookies.lines[0]).toMatch(
      /^__Host-bitbucket\.p=[\w-]+; Path=\/; HttpOnly; SameSite=Lax; Secure; Max-Age=1800$/,
    )
  })

  test('ends 30 minutes after it began, however often it was stored since', () => {
    const cookies = new Cookies()
    const startedAt = Date.now()
    store(cookies, waiting(), startedAt)
    pass(29 * MINUTE)
    store(cookies, waiting({ step: 'address' }), startedAt)
    expect(cookies.lines.at(-1)).toMatch(/Max-Age=60$/)
    pass(MINUTE)
    expect(read(cookies)).toBeDefined()
    pass(1)
    expect(read(cookies)).toBeUndefined()
  })

  test('waits 60 minutes for a proof, which may take a password reset', () => {
    const cookies = new Cookies()
    store(cookies, waiting({ step: 'prove' }))
    expect(cookies.lines[0]).toMatch(/Max-Age=3600$/)
    pass(60 * MINUTE)
    expect(read(cookies)).toBeDefined()
    pass(1)
    expect(read(cookies)).toBeUndefined()
  })

  test.each(['address', 'code', 'choose', 'switch'] as const)('waits 30 minutes in %s', (step) => {
    const cookies = new Cookies()
    store(cookies, waiting({ step }))
    pass(30 * MINUTE + 1)
    expect(read(cookies)).toBeUndefined()
  })

  test('is replaced by a newer one', () => {
    const cookies = new Cookies()
    store(cookies, waiting())
    const newer = waiting({ handle: 'newer' })
    store(cookies, newer)
    expect(read(cookies)?.pending).toEqual(newer)
    expect(cookies.values.size).toBe(1)
  })

  test('is not read from a doubled cookie', () => {
    const cookies = new Cookies()
    store(cookies, waiting())
    expect(pendings.read(cookies.req({ before: `${NAME}=x` }), JAR)).toBeUndefined()
    expect(pendings.read(cookies.req({ after: `${NAME}=${cookies.values.get(NAME)}` }), JAR)).toBeUndefined()
    expect(read(cookies)).toBeDefined()
  })

  test('is not read from nothing or nonsense', () => {
    const cookies = new Cookies()
    expect(read(cookies)).toBeUndefined()
    cookies.values.set(NAME, 'junk')
    expect(read(cookies)).toBeUndefined()
  })

  test('is not read from a started sign-in, because each purpose has its own key', () => {
    const cookies = new Cookies()
    cookies.values.set(NAME, seal(keyRing('transaction'), NAME, { pending: waiting(), startedAt: Date.now() }))
    expect(read(cookies)).toBeUndefined()
  })

  test('is not read without the time when it began', () => {
    const cookies = new Cookies()
    cookies.values.set(NAME, seal(keyRing('pending'), NAME, { pending: waiting() }))
    expect(read(cookies)).toBeUndefined()
  })
})

describe('the size of a pending sign-in', () => {
  const long = (text: string) => text.repeat(Math.floor(256 / text.length))

  test('drops long names and pictures before identity and address', () => {
    const cookies = new Cookies()
    const pending = waiting({
      email: { level: 'asserted', address: `${'a'.repeat(64)}@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}` },
      returnTo: `/${'r'.repeat(511)}`,
      profile: {
        ...waiting().profile,
        displayName: long('n'),
        avatarUrl: `https://avatars.example/${'a'.repeat(480)}`,
        profileUrl: `https://bitbucket.org/${'p'.repeat(480)}`,
      },
    })
    store(cookies, pending)
    const found = read(cookies)?.pending
    expect(cookies.bytes).toBeLessThanOrEqual(3072)
    expect(found).toMatchObject({ handle: pending.handle, identity: pending.identity, email: pending.email })
    expect(found?.profile.displayName).toBe('n'.repeat(64))
    expect(found).toMatchObject({ returnTo: null, profile: { avatarUrl: null, profileUrl: null } })
  })

  test.each([
    ['in Latin', 'n'],
    ['in Chinese', '漢'],
    ['in pictures', '😀'],
    ['in quotes', '"'],
  ])('fits with the longest names %s', (_what, character) => {
    const cookies = new Cookies()
    const name = Array.from({ length: 256 }, () => character).join('')
    const profile = { ...waiting().profile, username: name, nickname: name, displayName: name }
    const pending = waiting({ profile, email: { level: 'asserted', address: `${'a'.repeat(60)}@example.com` } })
    store(cookies, pending)
    expect(cookies.bytes).toBeLessThanOrEqual(3072)
    const found = read(cookies)?.pending
    expect(found?.email).toEqual(pending.email)
    expect(found?.profile.displayName).toMatch(/^.{64,256}$/su)
    expect(found?.profile.displayName).not.toMatch(/\p{Surrogate}/u)
  })

  const memberships = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      slug: `a-workspace-with-a-long-name-${index}`,
      uuid: `{12345678-1234-4123-8123-${String(index).padStart(12, '0')}}`,
      permission: ['member', 'create-project', 'owner', 'something-new'][index % 4] ?? '',
    }))
  const crowded = (count: number) =>
    waiting({ workspaces: memberships(count), data: 'd'.repeat(510), returnTo: `/${'r'.repeat(511)}` })

  test('keeps every membership and the data of the app next to long names', () => {
    const cookies = new Cookies()
    const odd = { slug: 'odd', uuid: 'not-a-uuid', permission: 'owner' }
    const { data, workspaces } = crowded(12)
    const confirmedAt = Date.now() - 5000
    store(cookies, { ...crowded(12), workspaces: [...workspaces, odd], confirmedAt })
    expect(cookies.bytes).toBeLessThanOrEqual(3072)
    expect(read(cookies)?.pending).toMatchObject({ workspaces: [...workspaces, odd], data, confirmedAt })
  })

  test('holds no time of confirmation without memberships', () => {
    const cookies = new Cookies()
    store(cookies, waiting({ confirmedAt: Date.now() - 5000 }))
    expect(read(cookies)?.pending.confirmedAt).toBe(Date.now())
  })

  test('contains a workspace once that the gate names by slug and by uuid', () => {
    const cookies = new Cookies()
    const [one] = memberships(1)
    store(cookies, waiting({ workspaces: [one, one] as never }))
    expect(read(cookies)?.pending.workspaces).toEqual([one])
  })

  test('never drops a membership to fit, because too many are a mistake of the configuration', () => {
    const cookies = new Cookies()
    expect(() => store(cookies, crowded(60))).toThrow(
      expect.objectContaining({ code: 'configuration_invalid', message: expect.stringContaining('a member of 60') }),
    )
    expect(cookies.bytes).toBe(0)
  })

  test('is checked with room for the code before a mail is sent', () => {
    for (let count = 1; count < 60; count++) {
      const pending = { ...crowded(count), code: null, pause: null, generation: 0 }
      const sent: Partial<Pending> = {
        code: { hash: 'h'.repeat(22), sentAt: Date.now(), unsure: true },
        pause: { reason: 'asked', until: Date.now() },
        generation: 99,
      }
      try {
        pendings.assertFits(JAR, pending)
      } catch {
        return expect(count).toBeGreaterThan(12)
      }
      store(new Cookies(), { ...pending, ...sent })
    }
    throw new Error('never refused')
  })
})

describe('generations', () => {
  test('accepts the cookie of the newest one', async () => {
    const cookies = new Cookies()
    const first = waiting()
    expect(await pendings.isCurrent(first)).toBe(true)
    store(cookies, first)
    const backup = cookies.copy()
    const generation = await pendings.advance(first)
    expect(generation).toBe(1)
    store(cookies, { ...first, generation })
    const [now, before] = [read(cookies)?.pending, read(backup)?.pending]
    expect(now && (await pendings.isCurrent(now))).toBe(true)
    expect(before && (await pendings.isCurrent(before))).toBe(false)
  })

  test('differ for 50 concurrent advances', async () => {
    const pending = waiting()
    const generations = await Promise.all(Array.from({ length: 50 }, () => pendings.advance(pending)))
    expect(new Set(generations).size).toBe(50)
    expect(Math.max(...generations)).toBe(50)
  })

  test('count for each user separately', async () => {
    await pendings.advance(waiting())
    expect(await pendings.isCurrent(waiting())).toBe(true)
  })
})

describe('finish', () => {
  test('succeeds for exactly one of 50 concurrent calls, and clears the cookie', async () => {
    const cookies = new Cookies()
    const pending = waiting()
    store(cookies, pending)
    expect(await timesTrue(() => pendings.finish(cookies.res, JAR, pending))).toBe(1)
    expect(cookies.values.size).toBe(0)
  })

  test('is final for a browser restored from a backup', async () => {
    const cookies = new Cookies()
    const pending = waiting()
    store(cookies, pending)
    const backup = cookies.copy()
    await pendings.finish(cookies.res, JAR, pending)
    expect(read(backup)).toBeDefined()
    expect(await pendings.isCurrent(pending)).toBe(false)
    expect(await pendings.finish(backup.res, JAR, pending)).toBe(false)
    expect(backup.values.size).toBe(1)
  })
})

test.each(['drop', 'forget'] as const)('%s consumes it and clears the cookie', async (how) => {
  const cookies = new Cookies()
  const pending = waiting()
  store(cookies, pending)
  if (how === 'drop') await pendings.drop(cookies.res, JAR, pending)
  else await pendings.forget(cookies.req(), cookies.res, JAR)
  expect(cookies.values.size).toBe(0)
  expect(await pendings.isCurrent(pending)).toBe(false)
})

test('forget clears a cookie that cannot be read, and nothing where there is none', async () => {
  const cookies = new Cookies()
  await pendings.forget(cookies.req(), cookies.res, JAR)
  expect(cookies.lines).toEqual([])
  cookies.values.set(NAME, 'junk')
  await pendings.forget(cookies.req(), cookies.res, JAR)
  expect(cookies.values.size).toBe(0)
})
