import { describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import type { TestAppOptions } from '../support/app'
import type { Answer } from '../support/browser'
import { travel } from '../support/clock'
import { app, browser, open as startApp } from '../support/one-app'
import { errorOf, giveAddress, handleOf } from '../support/steps'

const BASE = '/auth/bitbucket'
const MINUTE = 60_000
/** The headers of a browser that submits a form and will show the answer. */
const SUBMITTED = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
const UNTRUSTED = { connection: { trustedProvider: false } }

let user: TestUser

async function open(options: TestAppOptions = {}): Promise<void> {
  await startApp(options)
  user = app.accounts.add({ email: 'local@example.com', emailVerified: true })
  await app.localSignIn(browser, user)
  travel(11 * MINUTE)
}

const submit = (path: string, fields: Record<string, string> = {}) =>
  browser.post(`${app.url}${BASE}${path}`, fields, { headers: SUBMITTED })
const get = (path: string, headers = {}) => browser.get(`${app.url}${path}`, { headers })
const hrefs = ({ text }: Answer) => [...text.matchAll(/<a[^>]*href="([^"]*)"/g)].map(([, href = '']) => href)
const alertOf = ({ text }: Answer) => /role="alert">([^<]*)/.exec(text)?.[1] ?? null

describe.each([4, 5] as const)('a refused form, on Express %i', (express) => {
  test('redirects a browser to a page with the reason and the way on, which Back and reload show again', async () => {
    await open({ express })
    const answer = await submit('/link', { returnTo: '/settings' })
    expect([answer.status, answer.location, answer.text]).toEqual([303, `${BASE}/notice`, ''])
    for (let visit = 0; visit < 2; visit++) {
      const page = await get(`${BASE}/notice`)
      expect([page.status, errorOf(page)]).toEqual([403, 'recent_sign_in_required'])
      expect(page.headers['cache-control']).toBe('no-store')
      expect(hrefs(page)).toEqual([
        `${BASE}/sign-in-again?returnTo=${encodeURIComponent(`${BASE}/link?returnTo=%2Fsettings`)}`,
        '/',
      ])
    }
    expect(app.events.filter(({ type }) => type === 'refused')).toHaveLength(1)
  })

  test('redirects home or to the sign-in page when the notice is gone', async () => {
    await open({ express })
    expect((await get(`${BASE}/notice`)).location).toBe('/')
    await submit('/link')
    travel(10 * MINUTE + 1000)
    expect((await get(`${BASE}/notice`)).location).toBe('/')
    await submit('/link')
    await browser.post(`${app.url}/logout`, {})
    expect((await get(`${BASE}/notice`)).location).toBe('/login')
  })

  test.each<[string, Record<string, string>]>([
    ['a script', { accept: 'application/json', ...SUBMITTED }],
    ['a client without Sec-Fetch-Mode', {}],
    ["a page's fetch", { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }],
  ])('answers %s immediately', async (_who, headers) => {
    await open({ express })
    const answer = await browser.post(`${app.url}${BASE}/link`, {}, { headers })
    expect([answer.status, errorOf(answer)]).toEqual([403, 'recent_sign_in_required'])
    expect(answer.setCookies.some((line) => line.startsWith('bitbucket.e='))).toBe(false)
  })
})

test('a refusal whose links do not fit into the notice is answered immediately', async () => {
  await open()
  const answer = await submit('/link', { returnTo: `/${'ä'.repeat(250)}` })
  expect([answer.status, errorOf(answer)]).toEqual([403, 'recent_sign_in_required'])
})

test('a wrong code and an invalid address are shown once, on the page of the form', async () => {
  await startApp(UNTRUSTED)
  await app.signIn(browser, 'dave')
  const pending = handleOf((await get(`${BASE}/email`)).text)
  expect((await submit('/email/address', { pending, address: 'dave@example' })).location).toBe(`${BASE}/email`)
  const typed = await get(`${BASE}/email`)
  expect([typed.status, alertOf(typed)]).toEqual([400, expect.stringContaining('cannot use this email address')])
  expect(typed.text).toContain('value="dave@example"')
  expect((await get(`${BASE}/email`)).text).not.toContain('dave@example')
  await giveAddress(app, browser, 'dave@example.com')
  expect((await submit('/email/verify', { pending, code: 'BBBB-BBBB' })).location).toBe(`${BASE}/email`)
  const wrong = await get(`${BASE}/email`)
  expect([wrong.status, alertOf(wrong)]).toEqual([400, expect.stringContaining('This code is not correct')])
  expect(alertOf(await get(`${BASE}/email`))).toBeNull()
  expect(app.events.filter(({ code }) => code === 'code_wrong')).toHaveLength(1)
})

test('a confirmation after signing out shows the page to prove at its own URL', async () => {
  await startApp({ options: { policy: { matchingAccount: 'prove' } } })
  const owner = app.accounts.add({ email: 'alice@example.com', emailVerified: true })
  await app.signIn(browser, 'alice')
  await app.localSignIn(browser, owner)
  const pending = handleOf((await get(`${BASE}/continue`)).text)
  browser.jar(app.url).delete('connect.sid')
  const answer = await submit('/continue', { pending, choice: 'confirm' })
  expect([answer.status, answer.location]).toEqual([303, `${BASE}/continue`])
  expect((await get(`${BASE}/continue`)).text).toContain('You already have an account')
})
