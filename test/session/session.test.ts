import type { RequestHandler } from 'express'
import { Passport } from 'passport'
import { describe, expect, test } from 'vitest'
import type { TestAppOptions } from '../support/app'
import { app, browser, fake, open } from '../support/one-app'

const sessions = () => Object.values((app.store as unknown as { sessions: Record<string, string> }).sessions)

/** Counts what reaches the store. */
function countStore(): Record<'set' | 'destroy' | 'get', number> {
  const counts = { set: 0, destroy: 0, get: 0 }
  for (const method of ['set', 'destroy', 'get'] as const) {
    const original = app.store[method].bind(app.store) as (...args: unknown[]) => unknown
    ;(app.store as unknown as Record<string, unknown>)[method] = (...args: unknown[]) => {
      counts[method]++
      return original(...args)
    }
  }
  return counts
}

describe.each([4, 5] as const)('sessions on Express %i', (express) => {
  test('a start writes no session, an abandoned one leaves none, and a sign-in leaves one', async () => {
    await open({ express })
    const counts = countStore()
    for (let tab = 0; tab < 3; tab++) await app.start(browser)
    expect(counts).toEqual({ set: 0, destroy: 0, get: 0 })
    expect(sessions()).toEqual([])
    const answer = await app.signIn(browser, 'alice')
    expect(answer.status).toBe(302)
    // Passport saves; express-session would write the unchanged session once more when the answer ends.
    expect(counts.set).toBe(1)
    expect(sessions()).toHaveLength(1)
  })

  test('a start mounted ahead of express-session works without reading a session', async () => {
    await open({ express, before: (router, bitbucket) => router.get('/auth/bitbucket', bitbucket.start) })
    await app.signIn(browser, 'alice')
    const counts = countStore()
    const answer = await browser.get(`${app.url}/auth/bitbucket?returnTo=/there`)
    expect(answer.status).toBe(302)
    expect(counts.get).toBe(0)
    const callback = await fake.signIn(answer.location, { person: 'alice' })
    expect((await browser.get(callback)).location).toBe('/there')
    expect(await app.me(browser)).toBe('u1')
  })
})

test('a Passport without serializers causes an error that names them, and signs no user in', async () => {
  await open({ passportMiddleware: new Passport().session() })
  const answer = await app.signIn(browser, 'alice')
  expect([answer.status, answer.text.includes('configuration_invalid')]).toEqual([500, true])
  expect(app.errors).toEqual([expect.objectContaining({ message: expect.stringContaining('passport.serializeUser') })])
  expect(sessions()).toEqual([])
})

describe('an unsupported session layer', () => {
  const given = (session: object): RequestHandler => {
    return (req, _res, next) => {
      ;(req as unknown as { session: unknown }).session = session
      next()
    }
  }
  const withoutUser: RequestHandler = (req, _res, next) => {
    // As passport.initialize() of older setups leaves it: logIn exists, and the session was never read.
    ;(req.session as unknown as Record<string, unknown>).passport = { user: 'u1' }
    Object.assign(req, { logIn: () => {}, _sessionManager: { _key: 'passport' } })
    next()
  }

  test.each<[string, TestAppOptions, string]>([
    ['without any session', { sessionMiddleware: null, passportMiddleware: null }, 'There is no req.session'],
    ['with cookie-session', { sessionMiddleware: given({ isNew: true }) }, 'cookie-session is not supported'],
    ['without passport.session()', { passportMiddleware: null }, 'app.use(passport.session()) after express-session'],
    ['with passport.initialize() alone', { passportMiddleware: withoutUser }, 'alone does not read the session'],
  ])('%s is refused with the fix before anything is sent or consumed', async (_what, layer, words) => {
    await open(layer)
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    const answer = await browser.get(callback)
    expect([answer.status, answer.text.includes('session_missing')]).toEqual([500, true])
    expect(answer.setCookies.filter((line) => line.startsWith('bitbucket.'))).toEqual([])
    expect(answer.text).not.toContain('app.use')
    expect(app.errors.map(({ message }) => message)).toEqual([expect.stringContaining(words)])
    expect(fake.count('token')).toBe(0)
    expect(app.accounts.calls).toEqual([])
  })

  test('is reported on standard error by an app without onError', async () => {
    const printed: unknown[] = []
    const original = console.error
    console.error = (error: unknown) => printed.push(error)
    try {
      await open({ passportMiddleware: null, options: { onError: undefined as never } })
      await browser.get(await fake.signIn(await app.start(browser), { person: 'alice' }))
    } finally {
      console.error = original
    }
    expect(printed).toEqual([expect.objectContaining({ code: 'session_missing' })])
  })
})

describe('a SameSite=Strict session', () => {
  test('is found by a callback that comes from this site', async () => {
    await open({ session: { cookie: { sameSite: 'strict' } } })
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    expect((await browser.get(callback, { headers: { 'sec-fetch-site': 'same-origin' } })).status).toBe(302)
  })

  test.each([
    [4, true],
    [4, false],
    [5, true],
    [5, false],
  ] as const)(
    'is found again by a link through the resume page, on Express %i with saveUninitialized %s',
    async (express, saveUninitialized) => {
      await open({ express, session: { saveUninitialized, rolling: true, cookie: { sameSite: 'strict' } } })
      const user = app.accounts.add({ email: 'local@example.com', emailVerified: true })
      await app.localSignIn(browser, user)
      const { location } = await app.submit(browser, '/auth/bitbucket/link', '/link')
      const callback = await fake.signIn(location, { person: 'alice' })
      const jar = browser.jar(app.url)
      // A browser leaves the strict cookie out of the redirect, and accepts a new one.
      const cookie = jar.get('connect.sid') ?? ''
      jar.delete('connect.sid')
      const before = sessions()
      const page = await browser.get(callback, { headers: { 'sec-fetch-site': 'cross-site' } })
      expect(page.text).toContain('http-equiv="refresh"')
      expect(page.setCookies.filter((line) => line.startsWith('connect.sid='))).toEqual([])
      expect(sessions()).toHaveLength(before.length)
      jar.set('connect.sid', jar.get('connect.sid') ?? cookie)
      const resumed = await browser.get(`${callback}&resumed=1`, { headers: { 'sec-fetch-site': 'same-origin' } })
      expect(resumed.status).toBe(302)
      expect(user.identities).toHaveLength(1)
      expect(await app.me(browser)).toBe(user.id)
    },
  )
})
