import type { Connection, Limiter, LimiterFactory } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { refusalOf } from '../support/site'

const OLD = 'old-secret-old-secret-old-secret'
const NEW = 'new-secret-new-secret-new-secret'
const STATE_INVALID = { status: 403, code: 'state_invalid' }

let fake: FakeBitbucket
const apps: TestApp[] = []
// A verifier that changed with the secret would be noticed.
beforeAll(async () => {
  fake = await startFakeBitbucket({ behaviour: { pkce: 'enforce' } })
})
afterEach(() => Promise.all(apps.splice(0).map((app) => app.close())))
afterAll(() => fake.close())

/** The counters, shared by all deployments as a database would share them. */
const counters = new Map<string, Limiter>()
const limiter: LimiterFactory = (options) => {
  const counter = counters.get(options.keyPrefix) ?? new RateLimiterMemory(options)
  counters.set(options.keyPrefix, counter)
  return counter
}

/** One deployment of the same site; requests meant for it are sent there by hand. */
async function deploy(secrets: string[], connection: Partial<Connection> = {}): Promise<TestApp> {
  const callbackURL = 'http://127.0.0.1:4000/auth/bitbucket/callback'
  const app = await startTestApp({ fake, connection: { callbackURL, ...connection }, options: { secrets, limiter } })
  apps.push(app)
  return app
}
const to = (app: TestApp, url: string) => url.replace('http://127.0.0.1:4000', app.url)

test('finishes a sign-in sealed with an older secret of the list, and refuses it once that secret is gone', async () => {
  const [before, appended, rotated, removed] = [
    await deploy([OLD]),
    await deploy([OLD, NEW]),
    await deploy([NEW, OLD]),
    await deploy([NEW]),
  ]
  const begin = async (app: TestApp) => {
    const browser = new TestBrowser()
    return { browser, callback: await fake.signIn(await app.start(browser), { person: 'alice' }) }
  }
  for (const [from, end, works] of [
    [before, before, true],
    [before, appended, true],
    [before, rotated, true],
    [appended, before, true],
    [rotated, appended, true],
    [rotated, removed, true],
    [before, removed, false],
    [appended, removed, false],
    [rotated, before, false],
  ] as const) {
    const { browser, callback } = await begin(from)
    fake.clearRequests()
    const answer = await browser.get(to(end, callback))
    if (works) expect(answer.location).toBe('/')
    else expect(refusalOf(answer)).toEqual(STATE_INVALID)
    expect(fake.count('token')).toBe(works ? 1 : 0)
  }
})

test('accepts a code mailed under an older secret of the list', async () => {
  const trustedProvider = false
  const [before, rotated, removed] = [
    await deploy([OLD], { trustedProvider }),
    await deploy([NEW, OLD], { trustedProvider }),
    await deploy([NEW], { trustedProvider }),
  ]
  const browser = new TestBrowser()
  const callback = await fake.signIn(await before.start(browser), { person: 'alice' })
  await browser.get(to(before, callback))
  const past = browser.copy()
  expect(refusalOf(await past.get(`${removed.url}/auth/bitbucket/email`))).toEqual({
    status: 404,
    code: 'pending_missing',
  })
  const answer = await rotated.submit(browser, '/auth/bitbucket/email', '/email/verify', {
    code: before.mails[0]?.code ?? '',
  })
  expect(answer.status).toBe(303)
  expect(rotated.accounts.users.get('u1')).toMatchObject({ email: 'alice@example.com', emailVerified: true })
})

test('accepts state and hand-over of custom domains after a rotation', async () => {
  const central = 'http://login.localhost:4000'
  const custom = 'http://acme.localhost:4000'
  const connection = { callbackURL: `${central}/auth/bitbucket/callback`, origins: [custom] }
  const [before, rotated, removed] = [
    await deploy([OLD], connection),
    await deploy([NEW, OLD], connection),
    await deploy([NEW], connection),
  ]
  const at = (app: TestApp, url: string) => ({
    url: url.replace(/^http:\/\/[\w.]+:4000/, app.url),
    headers: { host: new URL(url).host },
  })
  const get = (browser: TestBrowser, app: TestApp, address: string) => {
    const { url, headers } = at(app, address)
    return browser.get(url, { headers })
  }
  const browser = new TestBrowser()
  const { location } = await get(browser, before, `${custom}/auth/bitbucket`)
  const callback = await fake.signIn(location, { person: 'alice' })
  expect(refusalOf(await get(browser, removed, callback))).toEqual(STATE_INVALID)
  const handedOver = (await get(browser, rotated, callback)).location
  expect(handedOver.startsWith(custom)).toBe(true)
  expect(refusalOf(await get(browser, before, handedOver))).toEqual(STATE_INVALID)
  expect((await get(browser, rotated, handedOver)).location).toBe('/')
})
