import { describe, expect, test, vi } from 'vitest'
import type { TestUser } from '../support/accounts'
import type { TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { app, browser, openBrowser, open as startApp } from '../support/one-app'

const JSON_ONLY = { accept: 'application/json' }
/** The headers of `fetch('/api/orders')` in a page. */
const FETCH = { accept: '*/*', 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin' }

/** An app whose own sign-in ends with `signedIn`, and with pages for signed-in users. */
async function open(options: TestAppOptions = {}): Promise<void> {
  openBrowser()
  await startApp({
    ...options,
    routes: (express, bitbucket) => {
      express.post('/sign-in/:id', (req, res, next) => {
        req.logIn(app.accounts.users.get(req.params.id) as TestUser, async (error?: unknown) => {
          if (error) return next(error)
          res.redirect((await bitbucket.signedIn(req)) ?? '/home')
        })
      })
      express.all(['/orders', '/api/orders'], bitbucket.requireSignedIn(), (_req, res) => {
        res.send('orders')
      })
      options.routes?.(express, bitbucket)
    },
  })
}

const get = (path: string, headers: Record<string, string | undefined> = {}) =>
  browser.get(`${app.url}${path}`, { headers })
const member = () => app.accounts.add({ email: 'local@example.com', emailVerified: true })

describe.each([4, 5] as const)('requireSignedIn, on Express %i', (express) => {
  test('lets a signed-in user pass, however they signed in', async () => {
    await open({ express })
    await app.signIn(browser, 'alice')
    expect((await get('/orders')).text).toBe('orders')
    const other = new TestBrowser()
    await app.localSignIn(other, member())
    expect((await other.get(`${app.url}/api/orders`, { headers: JSON_ONLY })).text).toBe('orders')
  })

  test("redirects to the app's sign-in page, and back after the app's own sign-in", async () => {
    await open({ express })
    const answer = await get('/orders?page=2')
    expect([answer.status, answer.location]).toEqual([302, '/login?returnTo=%2Forders%3Fpage%3D2'])
    expect(answer.headers['cache-control']).toBe('no-store')
    const user = member()
    expect((await browser.post(`${app.url}/sign-in/${user.id}`, {})).location).toBe('/orders?page=2')
    expect((await get('/orders?page=2')).text).toBe('orders')
  })

  test('redirects back after a sign-in with Bitbucket, as the sign-in page passes returnTo on', async () => {
    await open({ express })
    const { location } = await get('/orders')
    const returnTo = new URL(location, app.url).searchParams.get('returnTo') ?? ''
    expect((await app.signIn(browser, 'alice', { returnTo })).location).toBe('/orders')
  })

  test.each([
    ['asks for JSON', JSON_ONLY],
    ['is a fetch that names no type', FETCH],
  ])('answers 401 with the sign-in page to a client that %s, and leads back to its page', async (_, headers) => {
    await open({ express })
    const answer = await get('/api/orders', { ...headers, referer: `${app.url}/app?tab=1` })
    expect([answer.status, answer.json()]).toEqual([
      401,
      { error: 'not_signed_in', message: expect.any(String), next: '/login?returnTo=%2Fapp%3Ftab%3D1' },
    ])
    expect((await get('/api/orders', headers)).json().next).toBe('/login')
  })

  test('keeps the requested page when a background request follows', async () => {
    await open({ express })
    await get('/orders')
    expect((await get('/api/orders', { ...FETCH, referer: `${app.url}/app` })).setCookies).toEqual([])
    expect((await browser.post(`${app.url}/sign-in/${member().id}`, {})).location).toBe('/orders')
  })

  test('leads a user who was signed out meanwhile from a form to the sign-in and back to its page', async () => {
    await open({ express })
    const answer = await browser.post(`${app.url}/orders`, {}, { headers: { referer: `${app.url}/orders?new=1` } })
    expect(answer.status).toBe(401)
    expect(answer.text).toContain('href="/login?returnTo=%2Forders%3Fnew%3D1"')
    expect(app.errors).toEqual([])
  })

  test('turns a page loaded ahead of a click away, and the click goes to the sign-in page', async () => {
    await open({ express })
    const ahead = await get('/orders', { 'sec-purpose': 'prefetch' })
    expect([ahead.status, ahead.text, ahead.headers['cache-control'], ahead.setCookies]).toEqual([
      503,
      '',
      'no-store',
      [],
    ])
    expect((await get('/orders', { 'sec-fetch-dest': 'image' })).status).toBe(503)
    expect((await get('/orders')).location).toBe('/login?returnTo=%2Forders')
  })

  test('returns to the path that the app names behind a proxy that strips it', async () => {
    await open({
      express,
      options: { paths: { signIn: '/app/login' } },
      routes: (router, bitbucket) => {
        router.get('/stripped', bitbucket.requireSignedIn({ returnTo: (req) => `/app${req.originalUrl}` }))
      },
    })
    expect((await get('/stripped')).location).toBe('/app/login?returnTo=%2Fapp%2Fstripped')
  })
})

describe.each([4, 5] as const)('a guard that the app calls by hand, on Express %i', (express) => {
  const thrower = () => {
    throw new Error('thrown by the app')
  }

  test.each<[string, boolean]>([
    ['ends in the error handler of the app', true],
    ['answers 500 where no router is waiting', false],
  ])('%s when its next throws, and the process stays', async (_what, isRouted) => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    try {
      await open({
        express,
        routes: (router, bitbucket) => {
          router.get('/by-hand', (req, res) => {
            const { next } = req
            if (!isRouted) req.next = undefined
            bitbucket.requireSignedIn()(req, res, thrower)
            setImmediate(() => Object.assign(req, { next }))
          })
          router.get('/twice', (req, res, next) => {
            bitbucket.requireRecentSignIn()(req, res, () => {
              next()
              thrower()
            })
          })
        },
      })
      await app.localSignIn(browser, member())
      expect((await get('/by-hand')).status).toBe(500)
      expect(app.faults).toHaveLength(isRouted ? 1 : 0)
      expect(logged.mock.calls).toHaveLength(isRouted ? 0 : 1)
      // It went on, and threw then.
      expect((await get('/twice')).text).toBe('home')
      await new Promise((resolve) => setImmediate(resolve))
      expect(unhandled).not.toHaveBeenCalled()
      expect((await get('/orders')).text).toBe('orders')
    } finally {
      process.off('unhandledRejection', unhandled)
      logged.mockRestore()
    }
  })
})

describe('a guard without an offered connection', () => {
  test('still protects', async () => {
    await open({ resolver: () => () => null })
    expect((await get('/orders')).location).toBe('/login?returnTo=%2Forders')
    expect((await get('/api/orders', JSON_ONLY)).json()).toMatchObject({ error: 'not_signed_in', next: '/login' })
    await app.localSignIn(browser, member())
    expect((await get('/orders')).text).toBe('orders')
  })
})

describe('a guard mounted before the sign-in page', () => {
  test('is named as the mistake instead of redirecting to itself forever', async () => {
    await open({
      routes: (express, bitbucket) => {
        express.get('/login', bitbucket.requireSignedIn())
      },
    })
    expect((await get('/login?returnTo=%2Forders')).status).toBe(500)
    expect(app.faults).toEqual([
      expect.objectContaining({
        code: 'configuration_invalid',
        message: expect.stringContaining('`paths.signIn`: /login is behind a guard'),
      }),
    ])
  })
})

describe('attacks on the return URL', () => {
  const hostile = [
    '//evil.example/',
    '/\\evil.example',
    'https://evil.example/',
    '/%2f%2fevil.example',
    '/.//evil.example',
    'javascript:alert(1)',
    '/a\nb',
    `/${'x'.repeat(600)}`,
    '/logout',
  ]

  const expectHarmless = async (answer: Answer, target = answer.location) => {
    expect(target).toBe('/login')
    expect(answer.setCookies.filter((line) => !line.includes('Max-Age=0'))).toEqual([])
    expect((await browser.post(`${app.url}/sign-in/${member().id}`, {})).location).toBe('/home')
  }

  test.each(hostile)('ignore and forget returnTo %j', async (target) => {
    await open({
      routes: (express, bitbucket) => {
        express.get('/odd', bitbucket.requireSignedIn({ returnTo: () => target }))
        express.get('/recent', bitbucket.requireRecentSignIn({ returnTo: () => target }))
      },
    })
    await expectHarmless(await get('/odd'))
    openBrowser()
    await expectHarmless(await get('/recent'))
    openBrowser()
    const asData = await get('/odd', JSON_ONLY)
    await expectHarmless(asData, String(asData.json().next))
  })

  test.each([4, 5] as const)('ignore a path that begins with two slashes, on Express %i', async (express) => {
    await open({
      express,
      routes: (router, bitbucket) => {
        router.use(bitbucket.requireSignedIn())
      },
    })
    await expectHarmless(await browser.get(`${app.url}//evil.example/x`))
  })

  test.each([4, 5] as const)('ignore it with the router at the root, on Express %i', async (express) => {
    await open({
      express,
      connection: { callbackURL: 'http://127.0.0.1:1/callback' },
      options: { paths: { signedIn: '/home' } },
      routes: (router, bitbucket) => {
        router.use(bitbucket.requireSignedIn())
      },
    })
    await expectHarmless(await browser.get(`${app.url}//evil.example/x`))
  })

  test.each(['https://evil.example/page', '//evil.example', 'nonsense'])(
    'ignore a referring page of %j',
    async (referer) => {
      await open()
      expect((await get('/api/orders', { ...JSON_ONLY, referer })).json().next).toBe('/login')
      expect((await get('/api/orders', { ...JSON_ONLY, referer: `${app.url}/fine` })).json().next).toContain('fine')
    },
  )
})
