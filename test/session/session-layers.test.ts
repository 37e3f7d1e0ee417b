import type { RequestHandler } from 'express'

import session = require('express-session')

import { describe, expect, test } from 'vitest'
import type { TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { app, browser, fake, open as startApp } from '../support/one-app'
import { errorOf } from '../support/steps'

type Data = session.SessionData & Record<string, unknown>
type Done = (error?: unknown) => void

/** As little as express-session asks of a store. */
class MinimalStore extends session.Store {
  readonly rows = new Map<string, string>()
  readonly calls: string[] = []

  override get(id: string, done: (error: unknown, found?: session.SessionData | null) => void): void {
    const row = this.rows.get(id)
    done(null, row === undefined ? null : (JSON.parse(row) as session.SessionData))
  }

  override set(id: string, data: session.SessionData, done: Done = () => {}): void {
    this.calls.push('set')
    this.rows.set(id, JSON.stringify(data))
    done()
  }

  override destroy(id: string, done: Done = () => {}): void {
    this.calls.push('destroy')
    this.rows.delete(id)
    done()
  }

  data(): Data[] {
    return [...this.rows.values()].map((row) => JSON.parse(row) as Data)
  }
}

const later = () => new Promise((resolve) => setTimeout(resolve, 3))

/** Like the stores on PostgreSQL: private fields, and every call takes its time. */
class SlowStore extends MinimalStore {
  readonly #wait = later

  override get(id: string, done: (error: unknown, found?: session.SessionData | null) => void): void {
    void this.#wait().then(() => super.get(id, done))
  }

  override set(id: string, data: session.SessionData, done?: Done): void {
    void this.#wait().then(() => super.set(id, data, done))
  }

  override destroy(id: string, done?: Done): void {
    void this.#wait().then(() => super.destroy(id, done))
  }

  override touch(id: string, data: session.SessionData, done: Done): void {
    void this.#wait().then(() => {
      if (this.rows.has(id)) this.rows.set(id, JSON.stringify({ ...JSON.parse(this.rows.get(id) ?? ''), ...data }))
      done()
    })
  }
}

/** Like the stores on Redis: what a callback throws makes the store call it a second time. */
class TryingStore extends MinimalStore {
  override set(id: string, data: session.SessionData, done: Done = () => {}): void {
    void (async () => {
      try {
        await later()
        super.set(id, data, done)
      } catch (error) {
        done(error)
      }
    })()
  }

  override destroy(id: string, done: Done = () => {}): void {
    void (async () => {
      try {
        await later()
        super.destroy(id, done)
      } catch (error) {
        done(error)
      }
    })()
  }
}

/** Does more than express-session when a session is rotated. */
class CountingStore extends MinimalStore {
  rotations = 0

  override regenerate(req: Parameters<session.Store['regenerate']>[0], done: Done): void {
    this.rotations++
    super.regenerate(req, done)
  }
}

/** Its `generate` is replaced by express-session's, as in every store. */
class GeneratingStore extends MinimalStore {
  generate(): void {
    throw new Error('express-session never calls this one')
  }
}

async function open(store: MinimalStore, options: Partial<session.SessionOptions> = {}, more: TestAppOptions = {}) {
  await startApp({
    session: { store, ...options },
    options: { session: { keep: ['cart'] } },
    behindSession: (express) => {
      express.get('/shop', (req, res) => {
        Object.assign(req.session, { cart: ['book'], note: 'of the anonymous visitor' })
        res.send('ok')
      })
    },
    ...more,
  })
}

const sessionId = (from = browser) => /s%3A(.*)\./.exec(from.jar(app.url).get('connect.sid') ?? '')?.[1] ?? ''
const signedIn = (store: MinimalStore) => store.data().filter((data) => 'passport' in data)

const stores = {
  'a minimal store': () => new MinimalStore(),
  'a store that takes its time': () => new SlowStore(),
  'a store that calls back from within a try': () => new TryingStore(),
  'a store with a regenerate of its own': () => new CountingStore(),
  'a store with a generate of its own': () => new GeneratingStore(),
}
const layers: [string, () => MinimalStore, Partial<session.SessionOptions>][] = [
  ...Object.entries(stores).map(([name, make]): [string, () => MinimalStore, object] => [name, make, {}]),
  ['resave', stores['a store that takes its time'], { resave: true }],
  ['saveUninitialized', stores['a store that takes its time'], { saveUninitialized: true }],
  ['both', stores['a minimal store'], { resave: true, saveUninitialized: true }],
  ['rolling', stores['a store that takes its time'], { rolling: true, cookie: { maxAge: 60_000 } }],
  ["unset: 'destroy'", stores['a store that takes its time'], { unset: 'destroy' }],
  ['a genid', stores['a minimal store'], { genid: () => `id with space ${Math.random()}` }],
]

describe.each([4, 5] as const)('on Express %i', (express) => {
  describe.each(layers)('with %s', (_name, makeStore, options) => {
    test('rotates: the planted session is gone, the named keys are kept, and one session is signed in', async () => {
      const store = makeStore()
      await open(store, options, { express })
      await browser.get(`${app.url}/shop`)
      const planted = browser.copy()
      const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
      store.calls.length = 0
      const answer = await browser.get(callback)
      expect([answer.status, answer.location]).toEqual([302, '/'])
      expect(store.calls).toEqual(['destroy', 'set'])
      expect(sessionId()).not.toBe(sessionId(planted))
      expect(store.rows.has(decodeURIComponent(sessionId(planted)))).toBe(false)
      expect(await app.me(browser)).toBe('u1')
      expect(await app.me(planted)).toBeNull()
      expect(signedIn(store)).toMatchObject([{ cart: ['book'], passport: { user: 'u1' } }])
      expect(signedIn(store)[0]).not.toHaveProperty('note')
      if (store instanceof CountingStore) expect(store.rotations).toBe(1)
    })

    test('signs in at the first request of a browser, and keeps the session of the same user', async () => {
      const store = makeStore()
      await open(store, options, { express })
      await app.signIn(browser, 'alice')
      expect(signedIn(store)).toHaveLength(1)
      await browser.get(`${app.url}/shop`)
      const before = browser.copy()
      await app.signIn(browser, 'alice')
      expect(signedIn(store)).toMatchObject([{ cart: ['book'], note: 'of the anonymous visitor' }])
      expect(await app.me(browser)).toBe('u1')
      expect(await app.me(before)).toBeNull()
      await browser.post(`${app.url}/logout`, {})
      expect(await app.me(browser)).toBeNull()
      expect(signedIn(store)).toEqual([])
      expect(app.faults).toEqual([])
    })
  })
})

describe('the session store', () => {
  test('is written once by the first sign-in of a browser, whose session was never stored', async () => {
    const store = new MinimalStore()
    await open(store)
    await app.signIn(browser, 'alice')
    expect(store.calls).toEqual(['set'])
  })

  test.each([
    ['a regenerate of its own', (store: MinimalStore) => store],
    [
      'a regenerate that was put on it later',
      (store: MinimalStore) => Object.assign(store, { regenerate: store.regenerate.bind(store) }),
    ],
  ])('rotates with %s in any case', async (_how, change) => {
    const store = new CountingStore()
    await open(change(store) as MinimalStore)
    await app.signIn(browser, 'alice')
    expect([store.rotations, store.calls]).toEqual([1, ['destroy', 'set']])
  })

  test('makes the new session by a generate that was set later', async () => {
    const store = new MinimalStore()
    await open(store)
    const made = store as unknown as { generate(req: { session: Record<string, unknown> }): void }
    const { generate } = made
    made.generate = (req) => {
      generate.call(made, req)
      req.session.madeBy = 'the app'
    }
    await app.signIn(browser, 'alice')
    expect(signedIn(store)).toMatchObject([{ madeBy: 'the app' }])
  })

  test('leaves a session with its own regenerate to it', async () => {
    const store = new MinimalStore()
    let calls = 0
    await open(
      store,
      {},
      {
        behindSession: (express) => {
          express.use((req, _res, next) => {
            const regenerate = req.session.regenerate.bind(req.session)
            req.session.regenerate = (done) => {
              calls++
              return regenerate(done)
            }
            next()
          })
        },
      },
    )
    await app.signIn(browser, 'alice')
    expect(calls).toBe(1)
    expect(await app.me(browser)).toBe('u1')
  })
})

describe('the lifetime of a session', () => {
  const DAY = 86_400_000
  const lifetime = (data: Data | undefined) => data?.cookie.originalMaxAge
  const near = (ms: number) => [expect.closeTo(ms, -4)]
  const maxAge = (answer: Answer) => {
    const line = answer.setCookies.find((each) => each.startsWith('connect.sid=')) ?? ''
    const expires = /Expires=([^;]*)/.exec(line)?.[1]
    return expires === undefined ? null : new Date(expires).getTime() - Date.now()
  }

  /** The first request of a browser to this app is its callback. */
  const arrive = async (store: MinimalStore) => {
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    browser.jar(app.url).delete('connect.sid')
    store.rows.clear()
    store.calls.length = 0
    return browser.get(callback)
  }

  /** Sets the lifetime of the new session behind our own save, in the same request. */
  const afterwards = (change: (cookie: session.Cookie) => void): TestAppOptions => ({
    behindSession: (express) => {
      express.use((req, res, next) => {
        const end = res.end.bind(res) as (...args: unknown[]) => typeof res
        res.end = ((...args: unknown[]) => {
          if (req.originalUrl.includes('/callback')) change(req.session.cookie)
          return end(...args)
        }) as typeof res.end
        next()
      })
    },
  })

  test.each<[string, (cookie: session.Cookie) => void, number | null]>([
    ['maxAge', (cookie) => Object.assign(cookie, { maxAge: 30 * DAY }), 30 * DAY],
    ['expires', (cookie) => Object.assign(cookie, { expires: new Date(Date.now() + 30 * DAY) }), 30 * DAY],
    ['a shorter maxAge', (cookie) => Object.assign(cookie, { maxAge: 20_000 }), 20_000],
    ['maxAge: null', (cookie) => Object.assign(cookie, { maxAge: null }), null],
  ])('is saved when the app changes it after our save: %s', async (_how, change, expected) => {
    for (const options of [{}, { rolling: true }, { resave: true }]) {
      const store = new MinimalStore()
      await open(store, { cookie: { maxAge: DAY }, ...options }, afterwards(change))
      const answer = await arrive(store)
      if (expected === null) expect([lifetime(signedIn(store)[0]), maxAge(answer)]).toEqual([null, null])
      else {
        expect(signedIn(store).map(lifetime)).toEqual(near(expected))
        expect(maxAge(answer)).toEqual(expect.closeTo(expected, -4))
      }
      expect(store.calls).toEqual(['set', 'set'])
      await app.close()
    }
    await open(new MinimalStore())
  })

  test('is saved once when nothing changes it, whatever a touch does to its end', async () => {
    for (const options of [{}, { rolling: true }, { resave: true }, { saveUninitialized: true }]) {
      const store = new MinimalStore()
      await open(store, { cookie: { maxAge: DAY }, ...options })
      const answer = await arrive(store)
      expect(store.calls).toEqual(['set'])
      expect(signedIn(store).map(lifetime)).toEqual(near(DAY))
      expect(maxAge(answer)).toEqual(expect.closeTo(DAY, -4))
      await app.close()
    }
    await open(new MinimalStore())
  })

  const remembering = (path: string): TestAppOptions => ({
    behindSession: (express) => {
      express.get(path, (req, res) => {
        req.session.cookie.maxAge = 30 * DAY
        Object.assign(req.session, { cart: ['book'] })
        res.send('ok')
      })
    },
  })

  test('is the one that a hook sets on the signed-in session', async () => {
    const store = new MinimalStore()
    await open(store, { cookie: { maxAge: DAY } })
    app.accounts.intercept = (name, input) => {
      if (name === 'createUser') (input as { req: { session: session.Session } }).req.session.cookie.maxAge = 30 * DAY
    }
    await app.signIn(browser, 'alice')
    expect(signedIn(store).map(lifetime)).toEqual(near(30 * DAY))
    await app.signIn(new TestBrowser(), 'alice')
    expect(signedIn(store).map(lifetime)).toEqual([...near(30 * DAY), ...near(DAY)])
  })

  test('is not the one of an anonymous visitor', async () => {
    const store = new MinimalStore()
    await open(store, { cookie: { maxAge: DAY } }, remembering('/shop'))
    await browser.get(`${app.url}/shop`)
    expect(store.data().map(lifetime)).toEqual(near(30 * DAY))
    await app.signIn(browser, 'alice')
    expect(signedIn(store).map(lifetime)).toEqual(near(DAY))
  })

  test('is kept for a user who signs in again, links or re-authenticates', async () => {
    const store = new MinimalStore()
    await open(store, {}, remembering('/remember'))
    const user = app.accounts.add({ email: 'local@example.com', emailVerified: true })
    await app.localSignIn(browser, user)
    await browser.get(`${app.url}/remember`)
    for (const [page, form] of [
      ['/link', '/link'],
      ['/reauthenticate', '/reauthenticate'],
    ] as const) {
      const before = sessionId()
      const { location } = await app.submit(browser, `/auth/bitbucket${page}`, form)
      const answer = await browser.get(await app.fake.signIn(location, { person: 'alice' }))
      expect(answer.status).toBe(302)
      expect(sessionId()).not.toBe(before)
      expect(signedIn(store).map(lifetime)).toEqual(near(30 * DAY))
      expect(maxAge(answer)).toEqual(expect.closeTo(30 * DAY, -4))
    }
    await app.signIn(browser, 'alice')
    expect(signedIn(store).map(lifetime)).toEqual(near(30 * DAY))
  })
})

describe('a session that cannot be rotated', () => {
  /** cookie-session with what people add to it for Passport 0.6. */
  const shim =
    (more: object = {}): RequestHandler =>
    (req, _res, next) => {
      const done = (callback: Done) => callback()
      Object.assign(req, { session: { regenerate: done, save: done, ...more } })
      next()
    }
  const reload = (done: Done) => done()

  test.each<[string, RequestHandler]>([
    ['regenerate and save', shim()],
    ['a reload as well', shim({ reload })],
    ['an id as well', shim({ reload, id: 'fixed' })],
    ['an empty id', shim({ reload, id: '' })],
  ])('is refused before anything is sent or consumed: cookie-session with %s', async (_what, sessionMiddleware) => {
    await startApp({ sessionMiddleware })
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    const answer = await browser.get(callback)
    expect([answer.status, errorOf(answer)]).toEqual([500, 'session_missing'])
    expect(app.errors[0]?.message).toContain('Use express-session with a store')
    expect([fake.count('token'), app.accounts.calls]).toEqual([0, []])
  })

  test.each<[string, () => unknown]>([
    ['is no text', () => 7],
    ['is empty', () => ''],
  ])('is refused as well if the id from genid %s', async (_what, genid) => {
    await open(new MinimalStore(), { genid: genid as () => string })
    const answer = await app.signIn(browser, 'alice')
    expect([answer.status, errorOf(answer)]).toEqual([500, 'session_missing'])
    expect(fake.count('token')).toBe(0)
  })

  test.each<[string, Partial<session.SessionOptions>, TestAppOptions]>([
    ['genid always gives the same id', { genid: () => 'always-the-same' }, {}],
    [
      'regenerate does nothing',
      {},
      {
        behindSession: (express) => {
          express.use((req, _res, next) => {
            Object.assign(req.session, { planted: true })
            Object.defineProperty(req.session, 'regenerate', { value: (done: Done) => done(), configurable: true })
            next()
          })
        },
      },
    ],
  ])('signs no user in: %s', async (_what, options, more) => {
    const store = new MinimalStore()
    await open(store, options, more)
    await browser.get(`${app.url}/shop`)
    const answer = await app.signIn(browser, 'alice')
    expect([answer.status, errorOf(answer)]).toEqual([500, 'session_missing'])
    expect(app.errors.at(-1)?.message).toContain('left the session id as it was')
    expect(signedIn(store)).toEqual([])
    expect(await app.me(browser)).toBeNull()
  })
})

describe('a Passport that signs in differently', () => {
  type LogIn = (req: Record<string, never> & { session: session.Session }, user: { id: string }, done: Done) => void
  const patch = (logIn: (original: LogIn) => LogIn) => {
    const manager = (app.passport as unknown as { _sm: { logIn(...args: unknown[]): void } })._sm
    const original = manager.logIn.bind(manager) as (...args: unknown[]) => void
    manager.logIn = (req, user, _options, done) =>
      logIn((r, u, d) => original(r, u, {}, d))(req as never, user as never, done as Done)
  }
  const put = (req: { session: session.Session }, user: { id: string }) =>
    Object.assign(req.session, { passport: { user: user.id } })

  test.each<[string, (original: LogIn) => LogIn]>([
    [
      'does not rotate',
      () => (req, user, done) => {
        put(req, user)
        done()
      },
    ],
    [
      'does not rotate, and saves',
      () => (req, user, done) => {
        put(req, user)
        req.session.save(done)
      },
    ],
    ['rotates twice', (original) => (req, user, done) => req.session.regenerate(() => original(req, user, done))],
    [
      'rotates through the store',
      () => (req, user, done) => {
        const { sessionStore } = req as unknown as { sessionStore: session.Store }
        sessionStore.regenerate(req as never, () => {
          put(req, user)
          req.session.save(done)
        })
      },
    ],
  ])('%s: rotates the session and keeps what should cross over', async (_how, logIn) => {
    const store = new SlowStore()
    await open(store)
    patch(logIn)
    await browser.get(`${app.url}/shop`)
    const planted = browser.copy()
    expect((await app.signIn(browser, 'alice')).status).toBe(302)
    expect(sessionId()).not.toBe(sessionId(planted))
    expect(await app.me(browser)).toBe('u1')
    expect(await app.me(planted)).toBeNull()
    expect(signedIn(store)).toMatchObject([{ cart: ['book'], bitbucketSignIn: { user: 'u1' } }])
    expect(signedIn(store)[0]).not.toHaveProperty('note')
    await browser.get(`${app.url}/shop`)
    await app.signIn(browser, 'alice')
    expect(signedIn(store)).toMatchObject([{ cart: ['book'], note: 'of the anonymous visitor' }])
  })
})

test('never signs a planted session in when it saves without rotating, even if the store deletes nothing', async () => {
  const store = new MinimalStore()
  await open(store)
  const manager = (app.passport as unknown as { _sm: { logIn: unknown } })._sm
  manager.logIn = (req: { session: session.Session }, user: { id: string }, _options: object, done: Done) => {
    Object.assign(req.session, { passport: { user: user.id } })
    req.session.save(done)
  }
  await browser.get(`${app.url}/shop`)
  const planted = browser.copy()
  const { destroy } = store
  store.destroy = (_id, done = () => {}) => done(new Error('store down'))
  const answer = await app.signIn(browser, 'alice')
  expect([answer.status, errorOf(answer)]).toEqual([503, 'store_unavailable'])
  expect(await app.me(planted)).toBeNull()
  expect(signedIn(store)).toEqual([])
  store.destroy = destroy
  expect((await app.signIn(browser, 'alice')).status).toBe(302)
  expect(await app.me(browser)).toBe('u1')
})

test('keeps the keys of session.keep when it is told to keep everything', async () => {
  const store = new MinimalStore()
  await open(store)
  const manager = (app.passport as unknown as { _sm: { logIn(...args: unknown[]): void } })._sm
  const original = manager.logIn.bind(manager)
  manager.logIn = (req, user, _options, done) => original(req, user, { keepSessionInfo: true }, done)
  await browser.get(`${app.url}/shop`)
  await app.signIn(browser, 'alice')
  expect(signedIn(store)).toMatchObject([{ cart: ['book'], passport: { user: 'u1' } }])
  expect(signedIn(store)[0]).not.toHaveProperty('note')
})

describe("with unset: 'destroy'", () => {
  test('does not end a session in which a user signed in meanwhile when a step is refused', async () => {
    const store = new SlowStore()
    await open(store, { unset: 'destroy' })
    const local = app.accounts.add({ email: 'local@example.com', emailVerified: true })
    const other = app.accounts.add()
    await app.localSignIn(browser, local)
    const { location } = await app.submit(browser, '/auth/bitbucket/link', '/link')
    const callback = await fake.signIn(location, { person: 'alice' })
    const [id = ''] = store.rows.keys()
    app.accounts.intercept = () => {}
    fake.script('token', async () => {
      // Another tab changes the user of this very session, as apps do that do not rotate.
      store.rows.set(id, JSON.stringify({ ...JSON.parse(store.rows.get(id) ?? ''), passport: { user: other.id } }))
      return null
    })
    const answer = await browser.get(callback)
    expect([answer.status, errorOf(answer)]).toEqual([409, 'session_changed'])
    expect(await app.me(browser)).toBe(other.id)
    expect(local.identities).toEqual([])
  })

  test('still answers while the store is down', async () => {
    const store = new SlowStore()
    await open(store, { unset: 'destroy' })
    await browser.get(`${app.url}/shop`)
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    store.destroy = (_id, done = () => {}) => done(new Error('store down'))
    const answer = await browser.get(callback)
    expect([answer.status, errorOf(answer)]).toEqual([503, 'store_unavailable'])
    expect(app.faults).toEqual([])
    expect(signedIn(store)).toEqual([])
  })
})

describe('a secure session cookie', () => {
  const https = { headers: { 'x-forwarded-proto': 'https' } }
  const http = { headers: { 'x-forwarded-proto': 'http, https' } }
  const arrive = async (options: { headers?: Record<string, string> } = {}) =>
    browser.get(await fake.signIn(await app.start(browser), { person: 'alice' }), options)
  const cookieOf = (answer: Answer) => answer.setCookies.find((line) => line.startsWith('connect.sid=')) ?? ''

  test.each<[string, Partial<session.SessionOptions>]>([
    ['true', { proxy: true, cookie: { secure: true } }],
    ["'auto'", { proxy: true, cookie: { secure: 'auto' } }],
  ])('%s is sent if express-session itself reads the proxy header', async (_what, options) => {
    await open(new MinimalStore(), options)
    const answer = await arrive(https)
    expect(answer.status).toBe(302)
    expect(cookieOf(answer)).toContain('; Secure')
    expect((await browser.get(`${app.url}/me`, https)).json()).toEqual({ user: 'u1' })
  })

  test('true is refused for a request that reached the proxy over http', async () => {
    await open(new MinimalStore(), { proxy: true, cookie: { secure: true } })
    for (const options of [http, {}]) {
      const answer = await arrive(options)
      expect([answer.status, errorOf(answer)]).toEqual([500, 'configuration_invalid'])
    }
    expect(fake.count('token')).toBe(0)
  })

  test.each([undefined, false])('true is refused behind an undeclared proxy (proxy: %s)', async (proxy) => {
    await open(new MinimalStore(), { proxy, cookie: { secure: true } })
    const answer = await arrive(https)
    expect([answer.status, errorOf(answer)]).toEqual([500, 'configuration_invalid'])
    expect(app.errors[0]?.message).toContain('app.set("trust proxy", 1)')
    expect(fake.count('token')).toBe(0)
  })

  test.each([
    ['http', http, 'says `http`'],
    ['nothing', {}, 'sends no `X-Forwarded-Proto`'],
    ['what is no scheme', { headers: { 'x-forwarded-proto': '<b>' } }, 'sends an invalid'],
  ])('case 25: behind a trusted proxy that says %s gets advice about the proxy', async (_what, request, words) => {
    await open(new MinimalStore(), { cookie: { secure: true } }, { before: (express) => express.set('trust proxy', 1) })
    const answer = await arrive(request)
    expect([answer.status, errorOf(answer)]).toEqual([500, 'configuration_invalid'])
    expect(app.errors[0]?.message).toContain(words)
    expect(app.errors[0]?.message).toContain('pass `X-Forwarded-Proto: https`')
    expect(app.errors[0]?.message).not.toContain('app.set(')
  })

  test('case 25: with trust proxy for other addresses gets advice about them', async () => {
    await open(
      new MinimalStore(),
      { cookie: { secure: true } },
      { before: (express) => express.set('trust proxy', '10.0.0.0/8') },
    )
    await arrive(https)
    expect(app.errors[0]?.message).toContain('does not cover the proxy')
  })

  test("'auto' follows the current request, also if the session before it was secure", async () => {
    const store = new MinimalStore()
    await open(store, { proxy: true, cookie: { secure: 'auto' } })
    await browser.get(`${app.url}/shop`, https)
    expect(store.data()).toMatchObject([{ cookie: { secure: true } }])
    const answer = await arrive()
    expect(answer.status).toBe(302)
    expect(cookieOf(answer)).not.toContain('; Secure')
    expect(await app.me(browser)).toBe('u1')
  })

  test('true is sent over TLS to the app itself, whatever a proxy says', async () => {
    await open(
      new MinimalStore(),
      { cookie: { secure: true } },
      {
        before: (express) => {
          express.set('trust proxy', 1)
          express.use((req, _res, next) => {
            Object.assign(req.socket, { encrypted: true })
            next()
          })
        },
      },
    )
    const answer = await arrive(http)
    expect(answer.status).toBe(302)
    expect(cookieOf(answer)).toContain('; Secure')
  })

  test('an examined next session leaves the id of the request as it is', async () => {
    const store = new MinimalStore()
    const seen: (string | undefined)[] = []
    await open(
      store,
      { proxy: true, cookie: { secure: true } },
      {
        before: (express) => {
          express.use((req, res, next) => {
            res.on('finish', () => seen.push(req.sessionID, req.session?.id))
            next()
          })
        },
      },
    )
    await arrive(http)
    expect(seen.at(-2)).toBe(seen.at(-1))
    expect(store.rows.size).toBe(0)
  })
})
