import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { TestBrowser } from '../support/browser'
import { consented, enterCode, errorOf, handleOf } from '../support/steps'

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
  app = await startTestApp({
    fake,
    ...options,
    behindSession: (express, bitbucket) =>
      express.get('/pending', (req, res) => {
        res.json({ pending: bitbucket.pending(req) })
      }),
  })
  browser = new TestBrowser()
}

const BASE = '/auth/bitbucket'
const logout = (from = browser) => from.post(`${app.url}/logout`, {})
const pending = async (from = browser) => (await from.get(`${app.url}/pending`)).json().pending
const ours = (from = browser) => [...from.jar(app.url).keys()].filter((name) => name.startsWith('bitbucket.'))

describe("forget, as the app's sign-out calls it", () => {
  test('burns every open transaction, also for copies of the cookies', async () => {
    await open()
    const callbacks = [await consented(app, browser, 'alice'), await consented(app, browser, 'alice')]
    const copy = browser.copy()
    expect(ours()).toHaveLength(2)
    await logout()
    expect(ours()).toEqual([])
    for (const callback of callbacks) {
      for (const who of [browser, copy]) expect(errorOf(await who.get(callback))).toBe('state_invalid')
    }
    expect(fake.count('token')).toBe(0)
  })

  test('burns what waits, also for copies of the cookie and with the right code', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice')
    const copy = browser.copy()
    const handle = handleOf((await browser.get(`${app.url}${BASE}/email`)).text)
    await logout()
    expect(ours()).toEqual([])
    expect(await pending()).toBeNull()
    const answer = await copy.post(`${app.url}${BASE}/email/verify`, {
      pending: handle,
      code: app.mails[0]?.code ?? '',
    })
    expect(errorOf(answer)).toBe('pending_replaced')
    expect(app.accounts.users.size).toBe(0)
  })

  test('ends a link that was started before the sign-out', async () => {
    await open()
    const user = app.accounts.add({ email: 'local@example.com', emailVerified: true })
    await app.localSignIn(browser, user)
    const { location } = await app.submit(browser, `${BASE}/link`, '/link')
    const callback = await fake.signIn(location, { person: 'alice' })
    await logout()
    await app.localSignIn(browser, user)
    expect((await browser.get(callback)).location).toBe('/')
    expect(app.events.at(-1)).toMatchObject({ type: 'refused', code: 'state_invalid' })
    expect(user.identities).toEqual([])
  })

  test('with nothing open it does nothing, and a later sign-in works', async () => {
    await open()
    expect((await logout()).status).toBe(302)
    await app.signIn(browser, 'alice')
    expect(await app.me(browser)).toBe('u1')
    await logout()
    expect(await app.me(browser)).toBeNull()
  })
})

describe('pending', () => {
  test('is null when nothing waits, and names person and place when something does', async () => {
    await open({ connection: { trustedProvider: false } })
    expect(await pending()).toBeNull()
    await app.signIn(browser, 'alice')
    expect(await pending()).toEqual({ label: 'Alice Archer', next: `${BASE}/email` })
    await enterCode(app, browser)
    expect(await pending()).toBeNull()
  })

  test('leads a sign-in page back to the account to prove, before and after the sign-in', async () => {
    await open({ options: { policy: { matchingAccount: 'prove' } } })
    const owner = app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    await app.signIn(browser, 'alice')
    expect(await pending()).toEqual({ label: 'Alice Archer', next: `${BASE}/continue` })
    await app.localSignIn(browser, owner)
    expect(await pending()).toEqual({ label: 'Alice Archer', next: `${BASE}/continue` })
  })

  test('is null for a cookie that was changed or sent twice', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice')
    const value = browser.jar(app.url).get('bitbucket.p') ?? ''
    const asked = async (cookie: string) =>
      (await new TestBrowser().get(`${app.url}/pending`, { headers: { cookie } })).json().pending
    expect(await asked(`bitbucket.p=${value}`)).not.toBeNull()
    expect(await asked(`bitbucket.p=${value}; bitbucket.p=${value}`)).toBeNull()
    expect(await asked(`bitbucket.p=${value.slice(0, -2)}AA`)).toBeNull()
    expect(await asked(`bitbucket.t0=${value}`)).toBeNull()
  })
})
