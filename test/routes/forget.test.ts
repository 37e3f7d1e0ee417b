import { describe, expect, test } from 'vitest'
import type { TestAppOptions } from '../support/app'
import { TestBrowser } from '../support/browser'
import { app, browser, open as startApp } from '../support/one-app'
import { enterCode } from '../support/steps'

async function open(options: TestAppOptions = {}): Promise<void> {
  await startApp({
    ...options,
    behindSession: (express, bitbucket) =>
      express.get('/pending', (req, res) => {
        res.json({ pending: bitbucket.pending(req) })
      }),
  })
}

const BASE = '/auth/bitbucket'
const logout = (from = browser) => from.post(`${app.url}/logout`, {})
const pending = async (from = browser) => (await from.get(`${app.url}/pending`)).json().pending

describe("forget, as the app's sign-out calls it", () => {
  test('does nothing when nothing is open, and a later sign-in works', async () => {
    await open()
    expect((await logout()).status).toBe(302)
    await app.signIn(browser, 'alice')
    expect(await app.me(browser)).toBe('u1')
    await logout()
    expect(await app.me(browser)).toBeNull()
  })
})

test('forget clears a pending sign-in that a removed secret can no longer open', async () => {
  await open({ connection: { trustedProvider: false } })
  browser.jar(app.url).set('bitbucket.p', 'sealed-with-a-removed-secret')
  await logout()
  expect(browser.jar(app.url).has('bitbucket.p')).toBe(false)
})

describe('pending', () => {
  test('is null without a pending sign-in, and names user and place with one', async () => {
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
