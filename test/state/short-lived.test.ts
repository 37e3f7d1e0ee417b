import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createAskedFor } from '../../src/state/asked-for'
import { cookieJar, seal } from '../../src/state/sealed-cookie'
import { createSecondPasses, type SecondPass } from '../../src/state/second-pass'
import { Cookies, keyRing } from './messages'

const JAR = cookieJar('bitbucket', true)
const MINUTE = 60_000

let cookies: Cookies
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
  cookies = new Cookies()
})
afterEach(() => {
  vi.useRealTimers()
})

describe('a requested page', () => {
  const keys = keyRing('asked-for')
  const name = JAR.nameOf('n')
  const asked = createAskedFor(keys)
  const remember = (path = '/board?sort=1') => asked.remember(cookies.req(), cookies.res, JAR, path)
  const read = (req = cookies.req()) => asked.read(req, JAR)

  test('is kept for ten minutes, in the browser and inside', () => {
    remember()
    expect(cookies.lines).toEqual([expect.stringMatching(/^__Host-bitbucket\.n=.*; HttpOnly;.*; Max-Age=600$/)])
    vi.advanceTimersByTime(10 * MINUTE)
    expect(read()).toBe('/board?sort=1')
    vi.advanceTimersByTime(1)
    expect(read()).toBeNull()
  })

  test('is null without a cookie, with two, and with one sealed for something else', () => {
    expect(read()).toBeNull()
    remember()
    for (const extra of [{ before: `${name}=x` }, { after: `${name}=x` }]) expect(read(cookies.req(extra))).toBeNull()
    for (const value of ['/board', '', seal(keys, JAR.nameOf('p'), '/board'), seal(keyRing('pending'), name, '/board')])
      expect(read({ headers: { cookie: `${name}=${value}` } } as never)).toBeNull()
    expect(read()).toBe('/board?sort=1')
  })

  test.each([['//evil.example/'], ['https://evil.example/'], ['board'], [''], [null], [{ path: '/board' }]])(
    'is null if %j is sealed',
    (payload) => {
      expect(read({ headers: { cookie: `${name}=${seal(keys, name, payload)}` } } as never)).toBeNull()
    },
  )

  test('is cleared if a browser sent it, and only then', () => {
    asked.clear(cookies.req(), cookies.res, JAR)
    expect(cookies.lines).toEqual([])
    remember()
    asked.clear(cookies.req(), cookies.res, JAR)
    expect(cookies.values.size).toBe(0)
  })
})

describe('a second pass', () => {
  const keys = keyRing('second-pass')
  const name = JAR.nameOf('a')
  const passes = createSecondPasses(keys)
  const pass: SecondPass = {
    identity: { issuer: 'https://bitbucket.org', id: '{1}' },
    how: 'signed_up',
    returnTo: '/board',
    data: { invite: 1 },
  }
  const store = (more: Partial<SecondPass> = {}) => passes.store(cookies.req(), cookies.res, JAR, { ...pass, ...more })
  const take = (returnTo: string | null = '/board', req = cookies.req()) => passes.take(req, cookies.res, JAR, returnTo)

  test('is accepted once, with everything in it', () => {
    expect(take()).toBeUndefined()
    expect(cookies.lines).toEqual([])
    store()
    expect(take()).toEqual(pass)
    expect(take()).toBeUndefined()
  })

  test('lasts a minute, in the browser and inside', () => {
    store()
    expect(cookies.lines[0]).toMatch(/; Max-Age=60$/)
    const past = cookies.copy()
    vi.advanceTimersByTime(MINUTE)
    expect(take()).toEqual(pass)
    vi.advanceTimersByTime(1)
    expect(take('/board', past.req())).toBeUndefined()
  })

  test('is cleared if a browser sent it, and only then', () => {
    passes.clear(cookies.req(), cookies.res, JAR)
    expect(cookies.lines).toEqual([])
    store()
    passes.clear(cookies.req(), cookies.res, JAR)
    expect(cookies.values.size).toBe(0)
  })

  test('belongs to the start with its own return URL, and is gone after any other', () => {
    store()
    expect(take(null)).toBeUndefined()
    expect(cookies.values.size).toBe(0)
    store({ returnTo: null })
    expect(take(null)).toMatchObject({ returnTo: null })
  })

  test('is ignored and cleared if there are two, or if it was sealed for something else', () => {
    for (const extra of [{ before: `${name}=x` }, { after: `${name}=x` }]) {
      store()
      expect(take('/board', cookies.req(extra))).toBeUndefined()
      expect(cookies.values.size).toBe(0)
    }
    for (const value of ['x', seal(keys, JAR.nameOf('n'), pass), seal(keyRing('asked-for'), name, pass)]) {
      cookies.values.set(name, value)
      expect(take()).toBeUndefined()
      expect(cookies.values.size).toBe(0)
    }
  })
})
