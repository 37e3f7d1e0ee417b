import type { RequestHandler } from 'express'
import { Passport } from 'passport'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { TestBrowser } from '../support/browser'

let fake: FakeBitbucket
let app: TestApp
let browser: TestBrowser
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  fake.reset()
  await app.close()
})

async function open(options: TestAppOptions = {}): Promise<void> {
  app = await startTestApp({ fake, ...options })
  browser = new TestBrowser()
}

const sessions = () => Object.values((app.store as unknown as { sessions: Record<string, string> }).sessions)
const sessionId = (from = browser) => from.jar(app.url).get('connect.sid')

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
  test('a sign-in rotates the session: the id that a stranger planted is dead', async () => {
    await open({ express, session: { saveUninitialized: true } })
    await browser.get(`${app.url}/me`)
    const planted = browser.copy()
    expect(sessionId()).toBeDefined()
    await app.signIn(browser, 'alice')
    expect(sessionId()).not.toBe(sessionId(planted))
    expect(await app.me(browser)).toBe('u1')
    expect(await app.me(planted)).toBeNull()
  })

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

  test('the start works mounted ahead of express-session, and reads none', async () => {
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

test('a Passport without serializers: the fault names them, and no user is signed in', async () => {
  await open({ passportMiddleware: new Passport().session() })
  const answer = await app.signIn(browser, 'alice')
  expect([answer.status, answer.text.includes('configuration_invalid')]).toEqual([500, true])
  expect(app.errors).toEqual([expect.objectContaining({ message: expect.stringContaining('passport.serializeUser') })])
  expect(sessions()).toEqual([])
})

describe('a session layer that cannot be signed in to', () => {
  const given = (session: object): RequestHandler => {
    return (req, _res, next) => {
      ;(req as unknown as { session: unknown }).session = session
      next()
    }
  }
  const withoutUser: RequestHandler = (req, _res, next) => {
    // What passport.initialize() of older setups leaves behind: logIn is there, the session was never read.
    ;(req.session as unknown as Record<string, unknown>).passport = { user: 'u1' }
    Object.assign(req, { logIn: () => {}, _sessionManager: { _key: 'passport' } })
    next()
  }

  test.each<[string, TestAppOptions, string]>([
    ['without any session', { sessionMiddleware: null, passportMiddleware: null }, 'There is no req.session'],
    ['with cookie-session', { sessionMiddleware: given({ isNew: true }) }, 'cookie-session is not supported'],
    ['without passport.session()', { passportMiddleware: null }, 'app.use(passport.session()) after express-session'],
    ['with passport.initialize() alone', { passportMiddleware: withoutUser }, 'alone does not read the session'],
  ])('an app %s is refused with the fix before anything is sent or consumed', async (_what, layer, words) => {
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

  test('a secure session cookie behind an undeclared proxy names trust proxy; a declared one works', async () => {
    await open({ session: { cookie: { secure: true } } })
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    const forwarded = { headers: { 'x-forwarded-proto': 'https' } }
    const refused = await browser.get(callback, forwarded)
    expect([refused.status, refused.text.includes('configuration_invalid')]).toEqual([500, true])
    expect(app.errors[0]?.message).toContain('app.set("trust proxy", 1)')
    expect(fake.count('token')).toBe(0)
    app.app.set('trust proxy', 1)
    expect((await browser.get(callback, forwarded)).status).toBe(302)
    expect((await browser.get(`${app.url}/me`, forwarded)).json()).toEqual({ user: 'u1' })
  })

  test('behind a proxy that ends TLS all our cookies are __Host- and Secure', async () => {
    const callbackURL = 'https://app.example.com/auth/bitbucket/callback'
    fake.addClient({ ...FAKE_CLIENT, clientID: 'https-app', callbackURL })
    await open({
      connection: { clientID: 'https-app', callbackURL, trustedProvider: false },
      session: { cookie: { secure: true } },
      before: (express) => express.set('trust proxy', 1),
    })
    const forwarded = { headers: { 'x-forwarded-proto': 'https' } }
    const started = await browser.get(`${app.url}/auth/bitbucket`, forwarded)
    const callback = await fake.signIn(started.location, { person: 'alice' })
    const answer = await browser.get(callback.replace('https://app.example.com', app.url), forwarded)
    expect(answer.location).toBe('/auth/bitbucket/email')
    for (const line of [...started.setCookies, ...answer.setCookies]) {
      expect(line).toMatch(
        /^__Host-bitbucket\.(t[\da-f]|p)=[\w-]*; Path=\/; HttpOnly; SameSite=Lax; Secure; Max-Age=\d+$/,
      )
    }
    expect(started.setCookies).toHaveLength(1)
  })

  test('an app without onError finds the fault on standard error', async () => {
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

describe('a session store that fails', () => {
  test.each([
    ['saving', 'set'],
    ['rotating', 'destroy'],
  ] as const)('%s: store_unavailable, nobody is signed in here or at the next request', async (_what, method) => {
    await open({ session: { saveUninitialized: false } })
    const local = app.accounts.add()
    await app.localSignIn(browser, local)
    await browser.post(`${app.url}/logout`, {})
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    const original = app.store[method]
    ;(app.store as unknown as Record<string, unknown>)[method] = (...args: unknown[]) =>
      (args.at(-1) as (error: Error) => void)(new Error('store down'))
    const answer = await browser.get(callback)
    expect([answer.status, answer.text.includes('store_unavailable')]).toEqual([503, true])
    expect(app.errors[0]).toMatchObject({ code: 'store_unavailable', cause: { message: 'store down' } })
    ;(app.store as unknown as Record<string, unknown>)[method] = original
    expect(await app.me(browser)).toBeNull()
    expect(sessions().some((session) => session.includes('"user"'))).toBe(false)
    expect(app.events.at(-1)).toMatchObject({ type: 'refused', code: 'store_unavailable' })
    expect((await browser.get(callback)).status).toBe(403)
    expect((await app.signIn(browser, 'alice')).status).toBe(302)
    expect(app.accounts.count('createUser')).toBe(1)
  })

  test('a limiter that fails: store_unavailable before a byte goes to Bitbucket, and the callback works afterwards', async () => {
    let down = true
    const counts = new Map<string, number>()
    await open({
      options: {
        limiter: () => ({
          consume: async (key) => {
            if (down) throw new Error('limiter down')
            const consumedPoints = (counts.get(key) ?? 0) + 1
            counts.set(key, consumedPoints)
            return { consumedPoints }
          },
          get: async () => null,
        }),
      },
    })
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    const refused = await browser.get(callback)
    expect([refused.status, refused.text.includes('store_unavailable')]).toEqual([503, true])
    expect(fake.count('token')).toBe(0)
    down = false
    expect((await browser.get(callback)).status).toBe(302)
  })
})

describe('rotation', () => {
  /** Passport as it was before 0.6: logIn keeps the session as it is. */
  function patchPassport(): void {
    const manager = (app.passport as unknown as { _sm: Record<string, unknown> })._sm
    manager.logIn = (req: { session: Record<string, unknown> }, user: { id: string }, ...rest: unknown[]) => {
      req.session.passport = { user: user.id }
      ;(rest.at(-1) as (error?: unknown) => void)()
    }
  }

  test('a Passport that does not rotate is made up for', async () => {
    await open({ session: { saveUninitialized: true } })
    patchPassport()
    await browser.get(`${app.url}/me`)
    const planted = browser.copy()
    expect((await app.signIn(browser, 'alice')).status).toBe(302)
    expect(sessionId()).not.toBe(sessionId(planted))
    expect(await app.me(browser)).toBe('u1')
    expect(await app.me(planted)).toBeNull()
  })

  test('only the keys of session.keep cross over, also where Passport was told to keep everything', async () => {
    await open({
      options: { session: { keep: ['cart'] } },
      behindSession: (express) =>
        express.get('/shop', (req, res) => {
          Object.assign(req.session, { cart: ['book'], note: 'of the anonymous visitor' })
          res.send('ok')
        }),
    })
    await browser.get(`${app.url}/shop`)
    await app.signIn(browser, 'alice')
    const session = JSON.parse(sessions()[0] ?? '{}')
    expect(session).toMatchObject({ cart: ['book'], passport: { user: 'u1' } })
    expect(session).not.toHaveProperty('note')
  })

  test('the same person signing in again keeps the content of the session under a new id', async () => {
    await open({
      behindSession: (express) =>
        express.get('/shop', (req, res) => {
          Object.assign(req.session, { cart: ['book'] })
          res.send('ok')
        }),
    })
    await app.signIn(browser, 'alice')
    await browser.get(`${app.url}/shop`)
    const before = browser.copy()
    expect((await app.signIn(browser, 'alice')).status).toBe(302)
    expect(JSON.parse(sessions()[0] ?? '{}')).toMatchObject({ cart: ['book'], passport: { user: 'u1' } })
    expect(await app.me(before)).toBeNull()
    expect(sessions()).toHaveLength(1)
  })
})

describe('a SameSite=Strict session', () => {
  test('the callback answers with an inert page that loads itself once from this site, and nothing is spent', async () => {
    await open({ session: { cookie: { sameSite: 'strict' } } })
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    const answer = await browser.get(callback, { headers: { 'sec-fetch-site': 'cross-site' } })
    expect(answer.status).toBe(200)
    expect(answer.headers['content-security-policy']).not.toContain('script-src')
    expect(fake.count('token')).toBe(0)
    const target = /http-equiv="refresh" content="0;url=([^"]*)"/.exec(answer.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
    expect(target).toMatch(/^\/auth\/bitbucket\/callback\?/)
    // A browser that calls the reload cross-site as well is not redirected in a loop.
    const again = await browser.get(`${app.url}${target}`, { headers: { 'sec-fetch-site': 'cross-site' } })
    expect(again.status).toBe(302)
    expect(await app.me(browser)).toBe('u1')
  })

  test('a callback that comes from this site goes straight on', async () => {
    await open({ session: { cookie: { sameSite: 'strict' } } })
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    expect((await browser.get(callback, { headers: { 'sec-fetch-site': 'same-origin' } })).status).toBe(302)
  })

  test('linking finds the session again behind the resume page', async () => {
    await open({ session: { cookie: { sameSite: 'strict' } } })
    const user = app.accounts.add({ email: 'local@example.com', emailVerified: true })
    await app.localSignIn(browser, user)
    const { location } = await app.submit(browser, '/auth/bitbucket/link', '/link')
    const callback = await fake.signIn(location, { person: 'alice' })
    const withoutSession = browser.copy()
    withoutSession.jar(app.url).delete('connect.sid')
    const page = await withoutSession.get(callback, { headers: { 'sec-fetch-site': 'cross-site' } })
    expect(page.text).toContain('http-equiv="refresh"')
    const resumed = await browser.get(`${callback}&resumed=1`, { headers: { 'sec-fetch-site': 'same-origin' } })
    expect(resumed.status).toBe(302)
    expect(user.identities).toHaveLength(1)
  })
})
