import type { Express, RequestHandler } from 'express'
import type { BitbucketSignIn, LimiterFactory } from 'passport-bitbucket-signin'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { TestUser } from '../support/accounts'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { formsOf, type RequestOptions, TestBrowser } from '../support/browser'
import { travel } from '../support/clock'
import { askForCode, choose, consented, enterCode, errorOf, giveAddress } from '../support/steps'

const BASE = '/auth/bitbucket'
const MINUTE = 60_000
let app: TestApp
let browser: TestBrowser
beforeEach(() => {
  browser = new TestBrowser()
})
afterEach(async () => {
  vi.useRealTimers()
  await app?.close()
})

/** The app's own sign-in, as the documents write it: it ends with `signedIn`. */
function ownSignIn(accounts: () => TestApp['accounts'], bitbucket: BitbucketSignIn): RequestHandler {
  return (req, res, next) => {
    const user = accounts().users.get(String(req.params.id)) as TestUser
    req.logIn(user, (error?: unknown) => {
      if (error) return next(error)
      const recent = req.query.remembered === undefined
      bitbucket.signedIn(req, { recent }).then((path) => res.redirect(path ?? '/home'), next)
    })
  }
}

async function open(more: TestAppOptions = {}): Promise<void> {
  const { options, routes, ...rest } = more
  app = await startTestApp({
    ...rest,
    options: { signedInAt: undefined as never, ...options },
    routes: (express: Express, bitbucket) => {
      express.post(
        '/own/:id',
        ownSignIn(() => app.accounts, bitbucket),
      )
      express.get('/secret', bitbucket.requireRecentSignIn(), (_req, res) => {
        res.send('the secret')
      })
      routes?.(express, bitbucket)
    },
  })
}

const signInOwn = async (user: TestUser, query = '') =>
  (await browser.post(`${app.url}/own/${user.id}${query}`, {})).location
const get = (path: string, headers: Record<string, string> = {}) => browser.get(`${app.url}${path}`, { headers })
const hrefs = (html: string) => [...html.matchAll(/<a[^>]*href="([^"]*)"/g)].map(([, href = '']) => href)
const local = (user: Partial<TestUser> = {}) =>
  app.accounts.add({ email: 'local@example.com', emailVerified: true, ...user })

describe.each([4, 5] as const)('a recent sign-in on Express %d', (express) => {
  test('case 9: lets a user with a password link after signedIn, or after signing in again without it', async () => {
    await open({ express })
    const user = local()
    await signInOwn(user)
    expect((await app.submit(browser, `${BASE}/link`, '/link')).status).toBe(303)
    travel(11 * MINUTE)
    const refused = await app.submit(browser, `${BASE}/link`, '/link')
    expect([refused.status, errorOf(refused)]).toEqual([403, 'recent_sign_in_required'])
    const [wayOn = ''] = hrefs(refused.text)
    expect(wayOn).toContain(`${BASE}/sign-in-again`)
    expect((await app.submit(browser, wayOn, '/sign-in-again')).location).toContain('/login?returnTo=')
    expect(await app.me(browser)).toBeNull()
    expect(await signInOwn(user)).toBe(`${BASE}/link`)
    expect((await app.submit(browser, `${BASE}/link`, '/link')).status).toBe(303)
  })

  test('case 9: requireRecentSignIn redirects to a page without a loop, and back to the requested page', async () => {
    await open({ express, routes: (routes) => routes.get('/login', (_req, res) => res.redirect('/')) })
    const user = local()
    await signInOwn(user)
    travel(11 * MINUTE)
    const { answer, url } = await browser.follow(await get('/secret?page=2'), `${app.url}/secret?page=2`)
    expect([answer.status, new URL(url).pathname]).toEqual([200, `${BASE}/sign-in-again`])
    await app.submit(browser, url.slice(app.url.length), '/sign-in-again')
    expect(await signInOwn(user)).toBe('/secret?page=2')
    expect((await get('/secret?page=2')).text).toBe('the secret')
  })

  test("case 9: redirects to the app's own confirmation page if there is one", async () => {
    await open({ express, options: { paths: { confirm: '/confirm' } } })
    const user = local()
    await signInOwn(user)
    travel(11 * MINUTE)
    expect((await get('/secret')).location).toBe('/confirm?returnTo=%2Fsecret')
    expect(await signInOwn(user)).toBe('/secret')
    expect((await get('/secret')).text).toBe('the secret')
  })
})

describe('signedIn', () => {
  test('does not count a remembered session as recent, nor one that the browser brought along', async () => {
    await open({
      routes: (routes, bitbucket) =>
        routes.post('/stamp', (req, res, next) => {
          bitbucket.signedIn(req).then(() => res.send('ok'), next)
        }),
    })
    await signInOwn(local(), '?remembered')
    expect((await get('/secret')).status).toBe(302)
    await browser.post(`${app.url}/stamp`, {})
    expect((await get('/secret')).status).toBe(302)
  })

  test('rejects without a signed-in user', async () => {
    await open({
      routes: (routes, bitbucket) =>
        routes.post('/stamp', (req, res, next) => {
          bitbucket.signedIn(req).then(() => res.send('ok'), next)
        }),
    })
    await browser.post(`${app.url}/stamp`, {})
    expect((app.faults.at(-1) as Error).message).toContain('signedIn: no user is signed in')
  })

  test('case 9: counts a sign-in through bitbucket.strategy as recent', async () => {
    await open({
      behindSession: (routes) => {
        routes.get(
          `${BASE}/callback`,
          (req, res, next) => app.passport.authenticate('bitbucket')(req, res, next),
          (_req, res) => res.redirect('/'),
        )
      },
    })
    const identity = { issuer: new URL(app.fake.url).origin, id: app.fake.person('alice').uuid }
    local({ identities: [identity] })
    app.passport.use(app.bitbucket.strategy)
    // The strategy's callback is mounted before the router's, and signs in known users.
    const callback = await consented(app, browser, 'alice')
    await browser.get(callback)
    expect((await get('/secret')).text).toBe('the secret')
  })

  test('case 10: drops a pending code when its user signs in another way, and keeps the return URL', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice', { returnTo: '/dash' })
    const before = browser.copy()
    expect(await signInOwn(local())).toBe('/dash')
    expect((await get(`${BASE}/email`)).location).toBe('/')
    // Without signedIn the page itself drops it.
    await app.localSignIn(before, local({ email: 'second@example.com' }))
    expect((await before.get(`${app.url}${BASE}/email`)).location).toBe('/dash')
  })

  test('case 10: continues a proof for its holder, and drops it for any other user', async () => {
    await open({ options: { signedInAt: undefined as never, policy: { matchingAccount: 'prove' } } })
    const holder = local({ email: 'alice@example.com' })
    await app.signIn(browser, 'alice')
    await get(`${BASE}/continue`)
    const other = browser.copy()
    expect(await signInOwn(holder)).toBe(`${BASE}/continue`)
    expect((await choose(app, browser, 'confirm')).status).toBe(303)
    expect(holder.identities).toHaveLength(1)
    browser = other
    expect(await signInOwn(local({ email: 'other@example.com' }))).toBe(`${BASE}/sign-in-again`)
    expect((await get(`${BASE}/continue`)).location).toBe('/')
  })

  test('case 10: restarts a choice that needs a recent sign-in after it', async () => {
    await open()
    const user = local()
    await signInOwn(user)
    travel(11 * MINUTE)
    await app.signIn(browser, 'alice', { returnTo: '/dash' })
    const refused = await choose(app, browser, 'link')
    const [wayOn = ''] = hrefs(refused.text)
    await app.submit(browser, wayOn, '/sign-in-again')
    expect(await signInOwn(user)).toBe(`${BASE}?returnTo=%2Fdash`)
    await app.signIn(browser, 'alice')
    expect((await choose(app, browser, 'link')).status).toBe(303)
    expect(user.identities).toHaveLength(1)
  })
})

test('case 9: a user with a Bitbucket identity confirms there and returns to the choice', async () => {
  await open({ options: { policy: { identitiesPerUser: 'many' } } })
  await app.signIn(browser, 'carol')
  const user = app.accounts.users.get('u1') as TestUser
  travel(11 * MINUTE)
  await app.signIn(browser, 'alice', { returnTo: '/dash' })
  const [wayOn = ''] = hrefs((await choose(app, browser, 'link')).text)
  const { location } = await app.submit(browser, wayOn, '/reauthenticate')
  const confirmed = await browser.get(await app.fake.signIn(location, { person: 'carol' }))
  expect(confirmed.location).toBe(`${BASE}?returnTo=%2Fdash`)
  expect(browser.jar(app.url).has('bitbucket.n')).toBe(false)
  await app.signIn(browser, 'alice')
  expect((await choose(app, browser, 'link')).status).toBe(303)
  expect(user.identities).toHaveLength(2)
})

describe('a visitor at a page for signed-in users', () => {
  test.each(['/link', '/reauthenticate', '/membership', '/sign-in-again'])(
    'GET %s redirects through the own sign-in of the app, with a password alone',
    async (page) => {
      await open()
      const shown = await get(`${BASE}${page}?returnTo=/settings`)
      expect([shown.status, errorOf(shown)]).toEqual([401, 'not_signed_in'])
      const asked = page === '/link' ? `${BASE}/link?returnTo=%2Fsettings` : '/settings'
      expect(hrefs(shown.text)).toEqual([`/login?returnTo=${encodeURIComponent(asked)}`, '/'])
      expect(shown.text).toContain('>Sign in</a>')
      expect(shown.text).not.toContain('Sign in with Bitbucket')
      expect(await signInOwn(local())).toBe(asked)
      expect((await get(asked)).status).toBe(200)
      expect(app.accounts.writes()).toEqual([])
    },
  )

  test.each(['link', 'reauthenticate'])(
    'who signed out while at Bitbucket for %s signs in and returns',
    async (step) => {
      await open()
      const identity = { issuer: new URL(app.fake.url).origin, id: app.fake.person('alice').uuid }
      const user = local({ identities: step === 'link' ? [] : [identity] })
      await signInOwn(user)
      const { location } = await app.submit(browser, `${BASE}/${step}?returnTo=/settings`, `/${step}`)
      browser.jar(app.url).delete('connect.sid')
      const back = await browser.get(await app.fake.signIn(location, { person: 'alice' }))
      expect(errorOf(back)).toBe('not_signed_in')
      expect(await signInOwn(user)).toBe(step === 'link' ? `${BASE}/link?returnTo=%2Fsettings` : '/settings')
    },
  )

  test('a picture or a prefetch of the page does not replace the page that the user asked for', async () => {
    await open({
      routes: (routes, bitbucket) =>
        routes.get('/orders', bitbucket.requireSignedIn(), (_req, res) => res.send('orders')),
    })
    await get('/orders')
    await get(`${BASE}/link`, { 'sec-fetch-dest': 'image' })
    await get(`${BASE}/link`, { 'sec-purpose': 'prefetch' })
    expect(await signInOwn(local())).toBe('/orders')
  })

  test('whose choice is open signs in first, and is asked again', async () => {
    await open()
    const user = local()
    await signInOwn(user)
    await app.signIn(browser, 'alice', { returnTo: '/dash' })
    browser.jar(app.url).delete('connect.sid')
    const refused = await get(`${BASE}/continue`)
    expect(errorOf(refused)).toBe('session_changed')
    const start = `${BASE}?returnTo=%2Fdash`
    expect(hrefs(refused.text)[0]).toBe(`/login?returnTo=${encodeURIComponent(start)}`)
    expect(await signInOwn(user)).toBe(start)
    await app.signIn(browser, 'alice', { returnTo: '/dash' })
    expect((await choose(app, browser, 'link')).status).toBe(303)
    expect([app.accounts.users.size, user.identities.length]).toEqual([1, 1])
  })
})

describe('a sign-in to another account than the one to prove', () => {
  const prove = { options: { signedInAt: undefined as never, policy: { matchingAccount: 'prove' as const } } }

  test.each(['signedIn', 'the page'])('is told once by %s, and leads to the right account', async (by) => {
    await open(prove)
    const holder = local({ name: 'The holder', email: 'alice@example.com' })
    const other = local({ name: 'The other', email: 'other@example.com' })
    await app.signIn(browser, 'alice', { returnTo: '/dash' })
    await get(`${BASE}/continue`)
    if (by === 'signedIn') expect(await signInOwn(other)).toBe(`${BASE}/sign-in-again?returnTo=%2Fdash`)
    else await app.localSignIn(browser, other)
    const told = await get(by === 'signedIn' ? `${BASE}/sign-in-again?returnTo=%2Fdash` : `${BASE}/continue`)
    expect(told.status).toBe(409)
    expect(told.text).toContain('<h1>The accounts were not connected</h1>')
    expect(told.text).toContain('You are signed in as <bdi>The other</bdi>')
    expect(told.text).not.toMatch(/Alice|The holder|a\*\*\*/)
    expect(hrefs(told.text)).toEqual(['/dash'])
    expect((await get(`${BASE}/sign-in-again`)).text).toContain('<h1>Please sign in again</h1>')
    // As the page says: sign out, Bitbucket, the right account.
    const { location } = await app.submit(browser, `${BASE}/sign-in-again?returnTo=/dash`, '/sign-in-again')
    expect(location).toBe('/login?returnTo=%2Fdash')
    await app.signIn(browser, 'alice', { returnTo: '/dash' })
    await get(`${BASE}/continue`)
    expect(await signInOwn(holder)).toBe(`${BASE}/continue`)
    expect((await choose(app, browser, 'confirm')).status).toBe(303)
    expect([holder.identities.length, other.identities.length]).toEqual([1, 0])
  })

  test('says nothing if the identity is linked to that account by now', async () => {
    await open(prove)
    const holder = local({ email: 'alice@example.com' })
    await app.signIn(browser, 'alice', { returnTo: '/dash' })
    holder.identities.push({ issuer: new URL(app.fake.url).origin, id: app.fake.person('alice').uuid })
    const past = browser.copy()
    expect(await signInOwn(holder)).toBe('/dash')
    browser = past
    await app.localSignIn(browser, holder)
    expect((await get(`${BASE}/continue`)).location).toBe('/dash')
  })

  test('names a suspended account as such', async () => {
    await open(prove)
    const holder = local({ email: 'alice@example.com' })
    await app.signIn(browser, 'alice')
    await app.localSignIn(browser, holder)
    holder.disabled = true
    expect(errorOf(await get(`${BASE}/continue`))).toBe('account_disabled')
  })
})

test.each([
  ['account_exists', { policy: { matchingAccount: 'reject' as const } }, 1],
  ['email_ambiguous', {}, 2],
])('%s leads to the sign-in page of the app, which returns to the requested page', async (code, options, accounts) => {
  await open({ options })
  for (let n = 0; n < accounts; n++) local({ email: 'alice@example.com' })
  const refused = await app.signIn(browser, 'alice', { returnTo: '/dash' })
  expect(errorOf(refused)).toBe(code)
  expect(hrefs(refused.text)[0]).toBe('/login?returnTo=%2Fdash')
  expect(await signInOwn(local())).toBe('/dash')
})

describe('confirming without Bitbucket', () => {
  const user = () =>
    local({ identities: [{ issuer: new URL(app.fake.url).origin, id: app.fake.person('alice').uuid }], password: null })

  test('says that it signs out, and a user who has only Bitbucket returns through it', async () => {
    await open()
    await signInOwn(user())
    travel(11 * MINUTE)
    const asked = await get((await get('/secret')).location)
    expect(asked.text).toContain('>Sign out and sign in again</a>')
    expect(asked.text).not.toContain('Confirm another way')
    const other = hrefs(asked.text)[0] ?? ''
    expect((await app.submit(browser, other, '/sign-in-again')).location).toBe('/login?returnTo=%2Fsecret')
    expect((await app.signIn(browser, 'alice', { returnTo: '/secret' })).location).toBe('/secret')
    expect((await get('/secret')).text).toBe('the secret')
  })

  test('redirects to the page of the app, if it has one', async () => {
    await open({ options: { paths: { confirm: '/confirm' } } })
    await signInOwn(user())
    travel(11 * MINUTE)
    const asked = await get((await get('/secret')).location)
    expect(asked.text).toContain('>Confirm another way</a>')
    expect(hrefs(asked.text)[0]).toBe('/confirm?returnTo=%2Fsecret')
  })
})

describe('case 11: a used callback', () => {
  test('redirects a signed-in user home once a minute, and is reported as refused', async () => {
    await open({ options: { paths: { signedIn: '/home' } } })
    const callback = await consented(app, browser, 'alice')
    await browser.get(callback)
    const again = await browser.get(callback)
    expect([again.status, again.location]).toEqual([302, '/home'])
    expect(app.events.at(-1)).toMatchObject({ type: 'refused', code: 'state_invalid' })
    expect((await browser.get(callback)).status).toBe(403)
  })

  test('shows a visitor a page that keeps the return URL if it is known', async () => {
    await open()
    const callback = await consented(app, browser, 'alice', '/dash')
    const past = browser.copy()
    await browser.get(callback)
    const page = await past.get(callback)
    expect(page.status).toBe(403)
    expect(hrefs(page.text)[0]).toBe(`${BASE}?returnTo=%2Fdash`)
  })
})

describe('case 11: Back to a page of a sign-in that is over', () => {
  test.each(['/email', '/continue', '/email/verify'])('%s leads a signed-in user home once a minute', async (page) => {
    await open({ options: { paths: { signedIn: '/home' } } })
    await app.signIn(browser, 'alice')
    const back = await browser.follow(await get(BASE + page), app.url + BASE + page)
    expect(new URL(back.url).pathname).toBe('/home')
    expect(app.events.at(-1)).toMatchObject({ type: 'refused', code: 'pending_missing' })
    const again = await browser.follow(await get(BASE + page), app.url + BASE + page)
    expect([again.answer.status, errorOf(again.answer)]).toEqual([404, 'pending_missing'])
    // The browser forgets the cookie after a minute.
    browser.jar(app.url).delete('bitbucket.h')
    expect((await browser.follow(await get(BASE + page), app.url + BASE + page)).answer.status).toBe(200)
  })

  test.each<[string, RequestOptions]>([
    ['HEAD', { method: 'HEAD' }],
    ['prefetch', { headers: { 'sec-purpose': 'prefetch' } }],
    ['image', { headers: { 'sec-fetch-dest': 'image' } }],
  ])('a %s request does not consume the turn of the click', async (_what, options) => {
    await open({ options: { paths: { signedIn: '/home' } } })
    await app.signIn(browser, 'alice')
    for (const page of ['/email', '/continue']) {
      const ahead = await browser.get(app.url + BASE + page, options)
      expect([ahead.status, browser.jar(app.url).has('bitbucket.h')]).toEqual([404, false])
    }
    expect((await get(`${BASE}/email`)).location).toBe('/home')
  })

  test('a sign-out forgets that the browser was led home, at every jar that has the cookie', async () => {
    await open({ options: { paths: { signedIn: '/home' } } })
    await app.signIn(browser, 'alice')
    expect((await get(`${BASE}/email`)).location).toBe('/home')
    expect(browser.jar(app.url).has('bitbucket.h')).toBe(true)
    await browser.post(`${app.url}/logout`, {})
    expect([...browser.jar(app.url).keys()].filter((name) => name.startsWith('bitbucket.'))).toEqual([])
    await app.signIn(browser, 'alice')
    expect((await get(`${BASE}/email`)).location).toBe('/home')
  })

  test('a visitor sees the page with its way on, and a script the refusal', async () => {
    await open()
    const page = await get(`${BASE}/continue`)
    expect([page.status, hrefs(page.text)[0]]).toEqual([404, BASE])
    await app.signIn(browser, 'alice')
    const json = await browser.get(`${app.url}${BASE}/continue`, { headers: { accept: 'application/json' } })
    expect([json.status, errorOf(json)]).toEqual([404, 'pending_missing'])
  })
})

describe('the code page of a browser in which no code can work', () => {
  const field = async (at = browser) => (await at.get(`${app.url}${BASE}/email`)).text.includes('id="code"')

  test('offers to send one in another browser, and then a field', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice')
    expect(await field()).toBe(true)
    const phone = new TestBrowser()
    await app.signIn(phone, 'alice')
    expect(await field(phone)).toBe(false)
    expect((await phone.get(`${app.url}${BASE}/email`)).text).toContain('works only there')
    travel(MINUTE + 1000)
    await askForCode(app, phone)
    expect(await field(phone)).toBe(true)
    expect((await enterCode(app, phone)).status).toBe(303)
  })

  test.each<[string, () => Promise<unknown>]>([
    ['expired', async () => travel(10 * MINUTE + 1000)],
    [
      'was tried too often',
      async () => {
        for (let n = 0; n < 5; n++) await enterCode(app, browser, 'BBBB-BBBB')
        travel(MINUTE + 1000)
      },
    ],
  ])('offers to send another one when it %s', async (_what, meanwhile) => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice')
    await meanwhile()
    expect(await field()).toBe(false)
    expect((await get(`${BASE}/email`)).text).toContain('<h1>Confirm your email address</h1>')
    await askForCode(app, browser)
    expect(await field()).toBe(true)
    expect((await enterCode(app, browser)).status).toBe(303)
  })
})

describe('a pending code', () => {
  test('case 12: works if the mailer is slow, and the page says no more than that', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let code = ''
    await open({
      connection: { trustedProvider: false },
      options: {
        sendEmailCode: (mail) => {
          code = mail.code
          return new Promise(() => {})
        },
      },
    })
    const waiting = browser.get(await consented(app, browser, 'alice'))
    await vi.waitFor(() => expect(code).not.toBe(''))
    await vi.advanceTimersByTimeAsync(5001)
    await waiting
    vi.useRealTimers()
    const page = await get(`${BASE}/email`)
    expect(page.text).toContain('it is slow or failed')
    expect((await enterCode(app, browser, code)).status).toBe(303)
    expect(await app.me(browser)).not.toBeNull()
  })

  test('case 13: is not repeated by a second attempt, which shows the reason and the remaining wait', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice')
    travel(MINUTE / 2)
    const second = new TestBrowser()
    await app.signIn(second, 'alice')
    const { text } = await second.get(`${app.url}${BASE}/email`)
    expect(text).toContain('in another attempt')
    const seconds = Number(/<bdi>(\d+)<\/bdi> seconds/.exec(text)?.[1])
    expect(seconds).toBeGreaterThan(20)
    expect(seconds).toBeLessThanOrEqual(30)
  })

  test.each(['fresh', 'the same'])(
    'case 13: reaches an owner who comes every hour within a day (%s strangers)',
    async (who) => {
      await open({ connection: { trustedProvider: false } })
      const name = (key: string) =>
        app.fake.addPerson({ key, emails: [{ address: 'owner@example.com', primary: true, confirmed: false }] })
      name('owner')
      let served = 0
      for (let hour = 0; hour < 24 && served === 0; hour++) {
        for (let n = 0; n < 12; n++) {
          const key = who === 'fresh' ? `s${hour}x${n}` : `s${n}`
          if (who === 'fresh' || hour === 0) name(key)
          await app.signIn(new TestBrowser(), key)
        }
        const before = app.mails.length
        await app.signIn(browser, 'owner')
        served = app.mails.length - before
        if (hour === 0) {
          expect(served).toBe(0)
          expect((await get(`${BASE}/email`)).text).toContain('Too many codes have been requested')
        }
        travel(61 * MINUTE)
      }
      expect(served).toBe(1)
    },
  )

  test('N11: shows a typed address whole, and of another one the domain', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'dave')
    await giveAddress(app, browser, 'typed.here@example.org')
    expect((await get(`${BASE}/email`)).text).toContain('typed.here@example.org')
    const other = new TestBrowser()
    await app.signIn(other, 'alice')
    expect((await other.get(`${app.url}${BASE}/email`)).text).toContain('a***@example.com')
    expect((await askForCode(app, other)).status).toBe(429)
  })
})

test('case 14: keeps the return URL after a denial, and says where a denial can be undone', async () => {
  await open()
  const denied = await browser.get(
    await app.fake.signIn(await app.start(browser, '/dash'), { person: 'alice', decision: 'deny' }),
  )
  expect(errorOf(denied)).toBe('access_denied')
  expect(hrefs(denied.text)[0]).toBe(`${BASE}?returnTo=%2Fdash`)
  expect(denied.text).toContain('App authorizations')
  expect(denied.text).toContain('<h1>Sign-in cancelled</h1>')
})

test('case 14: redirects from the button back to our own link page, and to no other page of the router', async () => {
  await open({
    routes: (routes, bitbucket) =>
      routes.get('/button', async (req, res) => {
        res.send(await bitbucket.button(req, { returnTo: String(req.query.to) }))
      }),
  })
  expect((await get(`/button?to=${BASE}/link`)).text).toContain(encodeURIComponent(`${BASE}/link`))
  expect((await get(`/button?to=${BASE}/cancel`)).text).not.toContain('returnTo')
  expect((await app.signIn(browser, 'alice', { returnTo: `${BASE}/link` })).location).toBe(`${BASE}/link`)
})

test.each(['simple', 'extended', false])(
  'returns from the button to where a guard was, with query parser %s',
  async (parser) => {
    await open({
      before: (app) => void app.set('query parser', parser),
      routes: (routes, bitbucket) => {
        routes.get('/reports', bitbucket.requireSignedIn(), (_req, res) => void res.send('the reports'))
        routes.get('/button', async (req, res) => void res.send(await bitbucket.button(req)))
      },
    })
    const { location } = await get('/reports')
    const shown = await get(`/button${location.slice(location.indexOf('?'))}`)
    expect(hrefs(shown.text)).toContain(`${BASE}?returnTo=%2Freports`)
    for (const outside of ['//evil.example', 'https://evil.example/', `${BASE}/cancel`]) {
      expect((await get(`/button?returnTo=${encodeURIComponent(outside)}`)).text).not.toContain('returnTo')
    }
    expect((await get('/button?returnTo=/a&returnTo=/b')).text).not.toContain('returnTo')
  },
)

test('case 16: accepts a form without Sec-Fetch-Site, because its page sends the origin', async () => {
  await open()
  await signInOwn(local())
  const page = await get(`${BASE}/link`)
  expect(page.headers['referrer-policy']).toBe('same-origin')
  const [form] = formsOf(page.text)
  const headers = { 'sec-fetch-site': undefined, origin: app.url }
  expect((await browser.post(`${app.url}${form?.action}`, form?.fields ?? {}, { headers })).status).toBe(303)
  const hidden = { 'sec-fetch-site': undefined, origin: 'null' }
  expect((await browser.post(`${app.url}${form?.action}`, form?.fields ?? {}, { headers: hidden })).status).toBe(403)
  expect((await get(BASE)).headers['referrer-policy']).toBe('no-referrer')
})

test('case 17: clears every cookie at a sign-out while the counters are unavailable, and reports the failure', async () => {
  let down = false
  const limiter: LimiterFactory = () => ({
    consume: async () => {
      if (down) throw new Error('store down')
      return { consumedPoints: 1 }
    },
    get: async () => null,
  })
  await open({ connection: { trustedProvider: false }, options: { limiter } })
  await app.signIn(browser, 'alice')
  await app.start(browser)
  await app.start(browser)
  down = true
  expect((await browser.post(`${app.url}/logout`, {})).status).toBe(302)
  expect([...browser.jar(app.url).keys()].filter((name) => name.startsWith('bitbucket.'))).toEqual([])
  expect(app.errors.map(({ code }) => code)).toContain('store_unavailable')
})
