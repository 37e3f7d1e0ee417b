import type { RequestHandler } from 'express'
import { BitbucketStrategy } from 'passport-bitbucket-signin'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'

let fake: FakeBitbucket
let app: TestApp
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  fake.reset()
  await app.close()
})

const NOT_A_CLICK: Record<string, Record<string, string>> = {
  prefetch: { 'sec-purpose': 'prefetch', 'sec-fetch-dest': 'document', 'sec-fetch-mode': 'navigate' },
  prerender: { 'sec-purpose': 'prefetch;prerender' },
  'an old prefetch': { 'x-moz': 'prefetch' },
  image: { 'sec-fetch-dest': 'image', 'sec-fetch-mode': 'no-cors', 'sec-fetch-site': 'cross-site' },
  frame: { 'sec-fetch-dest': 'iframe', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'same-origin' },
  beacon: { 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'no-cors', 'sec-fetch-site': 'cross-site' },
}
const CLICK = {
  'sec-fetch-dest': 'document',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-site': 'cross-site',
  'sec-fetch-user': '?1',
}

/** Every way into the flow: the address of the start, and the path to which its callback comes. */
const DOORS = {
  'the router': ['/auth/bitbucket', '/auth/bitbucket/callback'],
  '`bitbucket.start`': ['/ahead', '/auth/bitbucket/callback'],
  "the plugin's strategy": ['/plugin', '/plugin/callback'],
  BitbucketStrategy: ['/alone', '/alone/callback'],
} as const

async function open(express: 4 | 5, callbackPath: string): Promise<TestBrowser> {
  app = await startTestApp({
    fake,
    express,
    resolver: (defaults) => () => ({
      ...defaults,
      callbackURL: defaults.callbackURL.replace('/auth/bitbucket/callback', callbackPath),
    }),
    before: (express, bitbucket) => express.get('/ahead', bitbucket.start),
    behindSession: (express) => {
      for (const name of ['plugin', 'alone']) {
        const passport = (req: never, res: never, next: never) =>
          (app.passport.authenticate(name, { successRedirect: '/' }) as RequestHandler)(req, res, next)
        express.get([`/${name}`, `/${name}/callback`], passport as RequestHandler)
      }
    },
  })
  app.passport.use('plugin', app.bitbucket.strategy)
  const options = {
    clientID: FAKE_CLIENT.clientID,
    clientSecret: FAKE_CLIENT.clientSecret,
    callbackURL: `${app.url}/alone/callback`,
    endpoints: fake.endpoints,
  }
  const [user] = [
    app.accounts.add({ identities: [{ issuer: new URL(fake.url).origin, id: fake.person('alice').uuid }] }),
  ]
  app.passport.use(
    'alone',
    new BitbucketStrategy(
      options,
      (_access: string, _refresh: string, _profile: object, done: (...of: unknown[]) => void) => done(null, user),
    ),
  )
  return new TestBrowser()
}

function expectTurnedAway({ status, text, headers, setCookies }: Answer): void {
  expect({ status, text, setCookies, cache: headers['cache-control'] }).toEqual({
    status: 503,
    text: '',
    setCookies: [],
    cache: 'no-store',
  })
  expect(headers.location).toBeUndefined()
}

describe.each([4, 5] as const)('on Express %i', (express) => {
  test.each(Object.entries(DOORS))(
    'case 2: %s starts and consumes nothing without a navigation, and the click that follows signs in',
    async (_door, [start, callbackPath]) => {
      const browser = await open(express, callbackPath)
      for (const headers of Object.values(NOT_A_CLICK)) {
        expectTurnedAway(await browser.get(app.url + start, { headers }))
      }
      expect(app.events).toEqual([])
      const { location } = await browser.get(app.url + start, { headers: CLICK })
      const callback = await fake.signIn(location, { person: 'alice' })
      expect(new URL(callback).pathname).toBe(callbackPath)
      for (const headers of Object.values(NOT_A_CLICK)) expectTurnedAway(await browser.get(callback, { headers }))
      expect(fake.count('token')).toBe(0)
      expect((await browser.get(callback, { headers: CLICK })).status).toBe(302)
      expect(await app.me(browser)).toBe('u1')
    },
  )
})

test('case 2: accepts a start by fetch() from a page of the same origin', async () => {
  const browser = await open(5, '/auth/bitbucket/callback')
  const headers = {
    accept: 'application/json',
    'sec-fetch-dest': 'empty',
    'sec-fetch-mode': 'cors',
    'sec-fetch-site': 'same-origin',
  }
  const { status, json } = await browser.get(`${app.url}/auth/bitbucket`, { headers })
  expect([status, json().outcome]).toEqual([200, 'redirect'])
})

test('case 2: the guard of sensitive pages redirects navigations only', async () => {
  app = await startTestApp({
    fake,
    routes: (express, bitbucket) => {
      express.get('/sensitive', bitbucket.requireRecentSignIn(), (_req, res) => void res.send('sensitive'))
    },
  })
  const browser = new TestBrowser()
  for (const headers of Object.values(NOT_A_CLICK)) {
    expectTurnedAway(await browser.get(`${app.url}/sensitive`, { headers }))
  }
  expect((await browser.get(`${app.url}/sensitive`, { headers: CLICK })).status).toBe(302)
  await app.signIn(browser, 'alice')
  // A user who may see the page may also prefetch it.
  expect((await browser.get(`${app.url}/sensitive`, { headers: { 'sec-purpose': 'prefetch' } })).text).toBe('sensitive')
})
