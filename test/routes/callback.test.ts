import { describe, expect, test } from 'vitest'
import type { Answer } from '../support/browser'
import { app, browser, fake, open } from '../support/one-app'

/** Start and consent: the address at which Bitbucket sends the browser back. */
async function consented(person = 'alice', from = browser): Promise<string> {
  return fake.signIn(await app.start(from), { person })
}

const upstream = () => fake.count('token') + fake.count('user') + fake.count('emails')

/** A refusal with everything that belongs to one. */
async function expectRefused(answer: Answer, code: string, status: number): Promise<void> {
  expect(answer.text).toContain(`Error code: <bdi>${code}</bdi>`)
  expect(answer.status).toBe(status)
  expect(await app.me(browser)).toBeNull()
  expect(app.accounts.writes()).toEqual([])
  expect(Object.keys((app.store as unknown as { sessions: object }).sessions)).toEqual([])
  expect(app.faults).toEqual([])
}

describe.each([4, 5] as const)('the callback on Express %i', (express) => {
  test('shows a friendly page after a denial, with links to retry and back', async () => {
    await open({ express })
    const callback = await fake.signIn(await app.start(browser), { person: 'alice', decision: 'deny' })
    const answer = await browser.get(callback)
    await expectRefused(answer, 'access_denied', 403)
    expect(answer.text).toContain('href="/auth/bitbucket"')
    expect(answer.text).toContain('href="/login"')
    expect(answer.text).not.toContain('access+denied')
    expect(upstream()).toBe(0)
    expect(app.events.map(({ type, code }) => [type, code])).toEqual([
      ['started', null],
      ['refused', 'access_denied'],
    ])
  })

  test('explains a denial without state if a sign-in is open, and consumes nothing', async () => {
    await open({ express })
    const denial = `${app.url}/auth/bitbucket/callback?error=access_denied`
    expect((await browser.get(denial)).text).toContain('state_invalid')
    const location = await app.start(browser, '/board')
    for (const _again of [1, 2]) {
      const answer = await browser.get(denial)
      await expectRefused(answer, 'access_denied', 403)
      expect(answer.text).toContain('href="/auth/bitbucket?returnTo=%2Fboard"')
    }
    // A stranger's link says the same: it must not end the sign-in that is open.
    for (const query of ['&code=x', '&state=x', '&iss=https%3A%2F%2Fevil.example']) {
      expect((await browser.get(denial + query)).text).toContain('state_invalid')
    }
    expect((await browser.get(denial.replace('access_denied', 'server_error'))).text).toContain('state_invalid')
    // With two that lead to different pages none is guessed.
    await app.start(browser, '/notes')
    expect((await browser.get(denial)).text).toContain('href="/auth/bitbucket"')
    expect((await browser.get(await fake.signIn(location, { person: 'alice' }))).location).toBe('/board')
  })

  test('answers HEAD, POST and OPTIONS with 405 and consumes nothing', async () => {
    await open({ express })
    const callback = await consented()
    for (const method of ['HEAD', 'POST', 'OPTIONS', 'PUT']) {
      const answer = await browser.get(callback, { method })
      expect([method, answer.status, answer.headers.allow]).toEqual([method, 405, 'GET'])
      expect(answer.setCookies).toEqual([])
    }
    expect(upstream()).toBe(0)
    expect((await browser.get(callback)).status).toBe(302)
    expect(await app.me(browser)).toBe('u1')
  })

  test.each<[string, unknown]>([
    ['off', false],
    ['simple', 'simple'],
    ['extended', 'extended'],
    ['one that drops keys', () => ({})],
    ['one that renames keys', (query: string) => ({ query })],
  ])('works with any `query parser` of the app: %s', async (_which, parser) => {
    await open({ express, before: (app) => void app.set('query parser', parser) })
    expect(
      (await browser.get(await fake.signIn(await app.start(browser, '/there'), { person: 'alice' }))).location,
    ).toBe('/there')
    expect(await app.me(browser)).toBe('u1')
  })

  test('finishes two tabs of one browser in either order, each at its own place', async () => {
    await open({ express })
    const first = await fake.signIn(await app.start(browser, '/first'), { person: 'alice' })
    const second = await fake.signIn(await app.start(browser, '/second'), { person: 'alice' })
    expect((await browser.get(second)).location).toBe('/second')
    expect((await browser.get(first)).location).toBe('/first')
    expect(await app.me(browser)).toBe('u1')
  })
})

describe('parameters', () => {
  test.each([
    ['code and error together', (url: URL) => url.searchParams.set('error', 'access_denied'), 'state_invalid'],
    ['neither code nor error', (url: URL) => url.searchParams.delete('code'), 'state_invalid'],
  ])('refuses %s, consumes the transaction and sends nothing', async (_what, alter, code) => {
    await open()
    const callback = await consented()
    const altered = new URL(callback)
    alter(altered)
    await expectRefused(await browser.get(altered.href), code, 403)
    expect(upstream()).toBe(0)
    expect((await browser.get(callback)).status).toBe(403)
  })

  test('redirects to the return URL byte for byte, and encodes what a header line cannot hold', async () => {
    await open()
    expect((await app.signIn(browser, 'alice', { returnTo: '/a%20b?c=%2F&d=[x]#é' })).location).toBe(
      '/a%20b?c=%2F&d=[x]#%C3%A9',
    )
  })
})

describe('faults of Bitbucket', () => {
  test('ends the whole exchange at one deadline, however its requests share it', async () => {
    await open({ options: { http: { timeoutMs: 400 } } })
    fake.script('token', { delayMs: 250 })
    fake.script('user', { delayMs: 250 })
    await expectRefused(await browser.get(await consented()), 'upstream_timeout', 504)
  })
})
