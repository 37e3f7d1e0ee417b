import { describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import type { Answer } from '../support/browser'
import { app, browser, fake, open } from '../support/one-app'
import { otherCode } from '../support/steps'

const BASE = '/auth/bitbucket'
const JSON_ONLY = { accept: 'application/json' }

const get = (path: string) => browser.get(`${app.url}${path}`, { headers: JSON_ONLY })

/** Posts JSON, as `fetch` of a page of this origin does. */
const post = (path: string, body: object = {}): Promise<Answer> =>
  browser.post(
    `${app.url}${path}`,
    {},
    {
      body: JSON.stringify(body),
      headers: { ...JSON_ONLY, 'content-type': 'application/json' },
    },
  )

/** The address at Bitbucket from a start, and the JSON answer of the callback for this person. */
async function signIn(person: string, decision: 'allow' | 'deny' = 'allow'): Promise<Answer> {
  const { next } = (await get(BASE)).json()
  const callback = await fake.signIn(String(next), { person, decision })
  return browser.get(callback, { headers: JSON_ONLY })
}

function expectJson(answer: Answer, status: number, body: Record<string, unknown>): void {
  expect(answer.headers['content-type']).toMatch(/^application\/json/)
  expect(answer.headers['cache-control']).toBe('no-store')
  expect(answer.headers['x-content-type-options']).toBe('nosniff')
  expect([answer.status, answer.json()]).toEqual([status, body])
}

const refused = (error: string) => ({ error, message: expect.any(String) })

describe.each([4, 5] as const)('clients that ask for JSON, on Express %i', (express) => {
  test('answers start, callback and refusals as data', async () => {
    await open({ express })
    const started = await get(`${BASE}?returnTo=/on`)
    expectJson(started, 200, { outcome: 'redirect', next: expect.stringContaining(fake.endpoints.authorizationURL) })
    const callback = await fake.signIn(String(started.json().next), { person: 'alice' })
    expectJson(await browser.get(callback, { headers: JSON_ONLY }), 200, { outcome: 'signed_in', next: '/on' })
    expect(await app.me(browser)).toBe('u1')
    expectJson(await browser.get(callback, { headers: JSON_ONLY }), 403, refused('state_invalid'))
    expectJson(await signIn('alice', 'deny'), 403, refused('access_denied'))
    const head = await browser.get(callback, { headers: JSON_ONLY, method: 'POST' })
    expectJson(head, 405, refused('method_not_allowed'))
  })

  test('answers the whole sign-in by code', async () => {
    await open({ express, connection: { trustedProvider: false }, without: ['storeTokens'] })
    expectJson(await signIn('alice'), 200, { outcome: 'pending', next: `${BASE}/email` })
    const page = await get(`${BASE}/email`)
    expect(page.json()).toMatchObject({
      outcome: 'email-code',
      maskedAddress: 'a***@example.com',
      delivery: 'sent',
      codeSent: true,
      notSentReason: null,
      error: null,
    })
    const fields = (page.json().verify as { fields: { pending: string } }).fields
    const code = app.mails[0]?.code ?? ''
    expectJson(await post(`${BASE}/email/verify`, { ...fields, code: otherCode(code) }), 400, refused('code_wrong'))
    expectJson(await post(`${BASE}/email/code`, fields), 429, refused('too_many_codes'))
    expectJson(await post(`${BASE}/email/verify`, { ...fields, code }), 200, { outcome: 'signed_in', next: '/' })
    expectJson(await get(`${BASE}/email`), 404, refused('pending_missing'))
  })

  test('answers a missing address', async () => {
    await open({ express, without: ['storeTokens'] })
    expectJson(await signIn('dave'), 200, { outcome: 'pending', next: `${BASE}/email` })
    const { submit } = (await get(`${BASE}/email`)).json() as { submit: { action: string; fields: object } }
    expectJson(await post(submit.action, { ...submit.fields, address: 'no' }), 400, refused('email_invalid'))
    const sent = await post(submit.action, { ...submit.fields, address: 'dave@example.com' })
    expectJson(sent, 200, { outcome: 'pending', next: `${BASE}/email` })
    const verified = await post(`${BASE}/email/verify`, { ...submit.fields, code: app.mails[0]?.code })
    expectJson(verified, 200, { outcome: 'signed_in', next: '/' })
  })

  test('answers the questions, linking, unlinking, re-authentication and cancel', async () => {
    await open({ express, without: ['storeTokens'] })
    const user = app.accounts.add({ name: 'Who is here', email: 'local@example.com', emailVerified: true }) as TestUser
    const next = `/login?returnTo=${encodeURIComponent(`${BASE}/link`)}`
    expectJson(await get(`${BASE}/link`), 401, { ...refused('not_signed_in'), next })
    await app.localSignIn(browser, user)
    expectJson(await signIn('alice'), 200, { outcome: 'pending', next: `${BASE}/continue` })
    const question = (await get(`${BASE}/continue`)).json() as Record<string, { fields: object } & string>
    expect(question).toMatchObject({ outcome: 'choose', displayName: 'Alice Archer', accountLabel: 'Who is here' })
    expectJson(await post(`${BASE}/continue`, { choice: 'nothing' }), 400, refused('request_invalid'))
    expectJson(await post(`${BASE}/continue`, question.link?.fields), 200, { outcome: 'linked', next: '/' })
    expect((await get(`${BASE}/link`)).json()).toMatchObject({
      outcome: 'link',
      linked: [{ label: 'alice' }],
      link: null,
    })
    const again = await post(`${BASE}/reauthenticate`, { returnTo: '/secret' })
    expect(again.json().outcome).toBe('redirect')
    const back = await browser.get(await fake.signIn(String(again.json().next), { person: 'alice' }), {
      headers: JSON_ONLY,
    })
    expectJson(back, 200, { outcome: 'reauthenticated', next: '/secret' })
    expectJson(await post(`${BASE}/unlink`, { id: 'x' }), 404, refused('identity_not_found'))
    expectJson(await post(`${BASE}/unlink`, { id: fake.person('alice').uuid }), 200, { outcome: 'unlinked', next: '/' })
    const linking = await post(`${BASE}/link`)
    const linked = await browser.get(await fake.signIn(String(linking.json().next), { person: 'alice' }), {
      headers: JSON_ONLY,
    })
    expectJson(linked, 200, { outcome: 'linked', next: '/' })
    await signIn('bob')
    expectJson(await post(`${BASE}/cancel`), 200, { outcome: 'cancelled', next: '/' })
  })

  test('answers the page to prove and the one to confirm', async () => {
    await open({ express, options: { policy: { matchingAccount: 'prove' } } })
    const owner = app.accounts.add({ name: 'Owner', email: 'alice@example.com', emailVerified: true })
    expectJson(await signIn('alice'), 200, { outcome: 'pending', next: `${BASE}/continue` })
    expect((await get(`${BASE}/continue`)).json()).toMatchObject({
      outcome: 'prove',
      signInHref: `/login?returnTo=${encodeURIComponent(`${BASE}/continue`)}`,
    })
    await app.localSignIn(browser, owner)
    const page = (await get(`${BASE}/continue`)).json() as { confirm: { fields: object } }
    expect(page).toMatchObject({ outcome: 'confirm-link', accountLabel: 'Owner' })
    const answer = await post(`${BASE}/continue`, page.confirm.fields)
    expectJson(answer, 200, { outcome: 'linked', next: BASE })
  })
})

describe('the format of an answer', () => {
  test.each([
    ['text/html,application/xhtml+xml,*/*;q=0.8', 'text/html'],
    ['*/*', 'text/html'],
    ['', 'text/html'],
    ['application/json', 'application/json'],
    ['application/json, text/plain, */*', 'application/json'],
    ['image/png', 'text/html'],
  ])('for Accept: %s is %s', async (accept, type) => {
    await open()
    const answer = await browser.get(`${app.url}${BASE}/email`, { headers: { accept } })
    expect(answer.headers['content-type']).toContain(type)
    expect(answer.status).toBe(404)
  })

  test("is data for a script's fetch without a type, which can do nothing with a page", async () => {
    await open()
    const headers = {
      accept: '*/*',
      'sec-fetch-dest': 'empty',
      'sec-fetch-mode': 'cors',
      'sec-fetch-site': 'same-origin',
    }
    expectJson(await browser.get(`${app.url}${BASE}/email`, { headers }), 404, refused('pending_missing'))
    const page = { ...headers, accept: 'text/html,*/*;q=0.8', 'sec-fetch-mode': 'same-origin' }
    const passedOn = await browser.get(`${app.url}${BASE}/email`, { headers: page })
    expect(passedOn.headers['content-type']).toContain('text/html')
  })

  test('has messages in the language of the texts', async () => {
    await open({ options: { texts: { errors: { pending_missing: 'Nichts wartet.' } } } })
    expectJson(await get(`${BASE}/email`), 404, { error: 'pending_missing', message: 'Nichts wartet.' })
  })

  test("of a refusal is the app's own page if there is one, or data for clients that ask for it", async () => {
    await open({ options: { paths: { failed: '/oops' } } })
    const page = await browser.get(`${app.url}${BASE}/callback?state=x`)
    expect([page.status, page.location]).toEqual([302, `/oops?error=state_invalid&next=${encodeURIComponent(BASE)}`])
    expectJson(await get(`${BASE}/callback?state=x`), 403, refused('state_invalid'))
  })

  test("of a refusal has the way on and the requested page for the app's own page, if there are any", async () => {
    await open({ options: { paths: { failed: '/oops' } } })
    const denied = await fake.signIn(await app.start(browser, '/deep?a=1'), {
      person: 'alice',
      decision: 'deny',
    })
    const { searchParams } = new URL((await browser.get(denied)).location, app.url)
    expect(Object.fromEntries(searchParams)).toEqual({
      error: 'access_denied',
      next: `${BASE}?returnTo=%2Fdeep%3Fa%3D1`,
    })
    const again = await fake.signIn((await browser.get(app.url + searchParams.get('next'))).location, {
      person: 'alice',
    })
    expect((await browser.get(again)).location).toBe('/deep?a=1')
    const forged = await browser.post(`${app.url}${BASE}/cancel`, {}, { headers: { 'sec-fetch-site': 'cross-site' } })
    expect(forged.location).toBe('/oops?error=cross_site_request')
  })
})

describe('a body', () => {
  test('that is too large or not JSON is refused in the requested format', async () => {
    await open()
    expectJson(await post(`${BASE}/cancel`, { filler: 'x'.repeat(9000) }), 413, refused('request_too_large'))
    const broken = await browser.post(
      `${app.url}${BASE}/cancel`,
      {},
      {
        body: '{"a":',
        headers: { ...JSON_ONLY, 'content-type': 'application/json' },
      },
    )
    expectJson(broken, 400, refused('request_invalid'))
    expect(app.faults).toEqual([])
  })

  test('from another site, or from an unknown one, is refused', async () => {
    await open()
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', origin: app.url },
      { 'sec-fetch-site': 'none', origin: app.url },
      { 'sec-fetch-site': undefined, origin: 'null' },
      { 'sec-fetch-site': undefined, origin: 'https://evil.example' },
      { 'sec-fetch-site': undefined },
    ]) {
      const answer = await browser.post(
        `${app.url}${BASE}/cancel`,
        {},
        { headers: { ...JSON_ONLY, ...headers } as never },
      )
      expectJson(answer, 403, refused('cross_site_request'))
    }
    const own = await browser.post(
      `${app.url}${BASE}/cancel`,
      {},
      {
        headers: { ...JSON_ONLY, 'sec-fetch-site': undefined as never, origin: app.url },
      },
    )
    expectJson(own, 200, { outcome: 'cancelled', next: '/login' })
  })
})
