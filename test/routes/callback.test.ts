import { setTimeout as wait } from 'node:timers/promises'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { travel } from '../support/clock'

let fake: FakeBitbucket
let app: TestApp
let browser: TestBrowser
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  vi.useRealTimers()
  fake.reset()
  await app.close()
})

async function open(options: TestAppOptions = {}): Promise<void> {
  app = await startTestApp({ fake, ...options })
  browser = new TestBrowser()
}

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
  test('a person who denies gets a friendly page with a way to retry and a link back', async () => {
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

  test('a denial without state is told as one where a sign-in is open, and uses nothing up', async () => {
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

  test.each([
    ['none', (url: URL) => url.searchParams.delete('state')],
    ['empty', (url: URL) => url.searchParams.set('state', '')],
    ['invented', (url: URL) => url.searchParams.set('state', `0${'A'.repeat(22)}`)],
    ['of another cookie', (url: URL) => url.searchParams.set('state', otherCookie(url))],
    ['with one character changed', (url: URL) => url.searchParams.set('state', changed(url))],
    ['cut short', (url: URL) => url.searchParams.set('state', (url.searchParams.get('state') ?? '').slice(0, -1))],
    ['sent twice', (url: URL) => url.searchParams.append('state', url.searchParams.get('state') ?? '')],
    ['nested', (url: URL) => renamed(url, 'state', 'state[a]')],
    ['enormous', (url: URL) => url.searchParams.set('state', 'A'.repeat(10_000))],
  ])(
    'a state that is %s is refused before anything is sent or spent, and the right one still works',
    async (_, alter) => {
      await open({ express })
      const callback = await consented()
      const altered = new URL(callback)
      alter(altered)
      await expectRefused(await browser.get(altered.href), 'state_invalid', 403)
      expect(upstream()).toBe(0)
      expect((await browser.get(callback)).status).toBe(302)
      expect(await app.me(browser)).toBe('u1')
    },
  )

  test('a callback of another browser is refused, and the victim stays who they are', async () => {
    await open({ express })
    const attackers = await consented('bob', new TestBrowser())
    await app.start(browser)
    await expectRefused(await browser.get(attackers), 'state_invalid', 403)
    expect(upstream()).toBe(0)
  })

  test('a replayed callback is refused without a request to Bitbucket, and the session goes on', async () => {
    await open({ express })
    const callback = await consented()
    const copy = browser.copy()
    await browser.get(callback)
    const before = upstream()
    // The browser that is signed in is led home, once; the other one is told.
    expect((await browser.get(callback)).location).toBe('/')
    for (const who of [browser, copy]) {
      const answer = await who.get(callback)
      expect(answer.status).toBe(403)
      expect(answer.text).toContain('state_invalid')
    }
    expect(upstream()).toBe(before)
    expect(await app.me(browser)).toBe('u1')
    expect(await app.me(copy)).toBeNull()
  })

  test.each([2, 3])('%i callbacks at once with one state cause exactly one token request', async (count) => {
    await open({ express })
    const callback = await consented()
    const copies = Array.from({ length: count }, () => browser.copy())
    const answers = await Promise.all(copies.map((copy) => copy.get(callback)))
    expect(fake.count('token')).toBe(1)
    expect(answers.map(({ status }) => status).sort()).toEqual([302, ...Array(count - 1).fill(403)])
    expect(app.accounts.users.size).toBe(1)
  })

  test('HEAD, POST and OPTIONS are answered 405 and spend nothing', async () => {
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

  test('two tabs of one browser finish in either order, each at its own place', async () => {
    await open({ express })
    const first = await fake.signIn(await app.start(browser, '/first'), { person: 'alice' })
    const second = await fake.signIn(await app.start(browser, '/second'), { person: 'alice' })
    expect((await browser.get(second)).location).toBe('/second')
    expect((await browser.get(first)).location).toBe('/first')
    expect(await app.me(browser)).toBe('u1')
  })
})

const changed = (url: URL) => {
  const state = url.searchParams.get('state') ?? ''
  return `${state.slice(0, 5)}${state[5] === 'A' ? 'B' : 'A'}${state.slice(6)}`
}
const otherCookie = (url: URL) => {
  const state = url.searchParams.get('state') ?? ''
  return `${state.startsWith('A') ? 'B' : 'A'}${state.slice(1)}`
}
function renamed(url: URL, from: string, to: string): void {
  const value = url.searchParams.get(from) ?? ''
  url.searchParams.delete(from)
  url.searchParams.set(to, value)
}

describe('parameters', () => {
  test.each([
    ['code and error together', (url: URL) => url.searchParams.set('error', 'access_denied'), 'state_invalid'],
    ['neither code nor error', (url: URL) => url.searchParams.delete('code'), 'state_invalid'],
  ])('%s spend the transaction and send nothing', async (_what, alter, code) => {
    await open()
    const callback = await consented()
    const altered = new URL(callback)
    alter(altered)
    await expectRefused(await browser.get(altered.href), code, 403)
    expect(upstream()).toBe(0)
    expect((await browser.get(callback)).status).toBe(403)
  })

  test('a foreign issuer is refused, the right one passes', async () => {
    await open()
    const callback = await consented()
    await expectRefused(await browser.get(`${callback}&iss=https%3A%2F%2Fevil.example`), 'state_invalid', 403)
    expect((await browser.get(`${callback}&iss=${encodeURIComponent(new URL(fake.url).origin)}`)).status).toBe(302)
  })

  test('a returnTo at the callback is ignored', async () => {
    await open()
    expect((await browser.get(`${await consented()}&returnTo=/elsewhere`)).location).toBe('/')
  })

  test.each([
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    '/auth/bitbucket',
    '/AUTH/bitbucket/link/',
    '/login',
    '/a/logout',
    `/${'a'.repeat(600)}`,
  ])('the returnTo %s ends on the default page instead', async (returnTo) => {
    await open()
    expect((await app.signIn(browser, 'alice', { returnTo })).location).toBe('/')
  })

  test('a returnTo is given back byte for byte, and what a header line cannot hold is encoded', async () => {
    await open()
    expect((await app.signIn(browser, 'alice', { returnTo: '/a%20b?c=%2F&d=[x]#é' })).location).toBe(
      '/a%20b?c=%2F&d=[x]#%C3%A9',
    )
  })

  test('parameters of a callback on the start route are ignored: a new sign-in starts', async () => {
    await open()
    const callback = new URL(await consented())
    const again = await browser.get(
      `${app.url}/auth/bitbucket${callback.search}&error=x&redirect_uri=https://evil.example`,
    )
    expect(again.status).toBe(302)
    const target = new URL(again.location)
    expect(target.searchParams.getAll('redirect_uri')).toEqual([`${app.url}/auth/bitbucket/callback`])
    expect(target.searchParams.get('state')).not.toBe(callback.searchParams.get('state'))
    expect((await browser.get(callback.href)).status).toBe(302)
  })

  test('a callback eleven minutes after its start is refused as expired, one after nine passes', async () => {
    await open()
    const late = await consented()
    travel(9 * 60_000)
    const inTime = browser.copy()
    expect((await inTime.get(await fake.signIn(await app.start(inTime), { person: 'alice' }))).status).toBe(302)
    travel(2 * 60_000)
    const answer = await browser.get(late)
    expect(answer.text).toContain('state_expired')
    expect(fake.count('token')).toBe(1)
  })

  test('errors of Bitbucket other than a denial become our own codes, and its words are shown nowhere', async () => {
    await open()
    for (const [error, code, status] of [
      ['unauthorized_client', 'client_rejected', 500],
      ['invalid_scope', 'scope_missing', 500],
      ['server_error', 'upstream_failed', 502],
      ['<script>', 'upstream_failed', 502],
    ] as const) {
      const callback = new URL(await consented())
      callback.searchParams.delete('code')
      callback.searchParams.set('error', error)
      callback.searchParams.set('error_description', 'words of the provider')
      const answer = await browser.get(callback.href)
      await expectRefused(answer, code, status)
      expect(answer.text).not.toContain('words of the provider')
      expect(answer.text).not.toContain('<script')
    }
  })
})

describe('faults of Bitbucket', () => {
  test.each(['stall', 'stall-in-body'] as const)(
    'a token endpoint that answers with %s ends at the deadline with upstream_timeout',
    async (delivery) => {
      await open({ options: { http: { timeoutMs: 300 } } })
      fake.script('token', { delivery })
      const callback = await consented()
      const start = performance.now()
      await expectRefused(await browser.get(callback), 'upstream_timeout', 504)
      expect(performance.now() - start).toBeLessThan(1500)
      expect(fake.count('token')).toBe(1)
      expect(app.events.at(-1)).toMatchObject({ type: 'upstream_failed', code: 'upstream_timeout' })
    },
  )

  test('the deadline holds for the whole exchange: a slow token and a slow profile do not add up', async () => {
    await open({ options: { http: { timeoutMs: 400 } } })
    fake.script('token', { delayMs: 250 })
    fake.script('user', { delayMs: 250 })
    await expectRefused(await browser.get(await consented()), 'upstream_timeout', 504)
  })

  test('a token answer of 200 MiB is given up after 1 MiB and memory stays flat', async () => {
    await open()
    fake.script('token', { hugeBytes: 200 * 1024 * 1024 })
    const callback = await consented()
    globalThis.gc?.()
    const before = process.memoryUsage().rss
    let peak = before
    const sampler = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss)
    }, 2)
    await expectRefused(await browser.get(callback), 'upstream_failed', 502)
    clearInterval(sampler)
    expect(peak - before).toBeLessThan(40 * 1024 * 1024)
  })

  test.each(['token', 'user', 'emails'] as const)(
    'a body of null from %s ends in a refusal, process alive',
    async (at) => {
      await open()
      fake.script(at, { json: null })
      const code = at === 'user' ? 'profile_invalid' : 'upstream_failed'
      await expectRefused(await browser.get(await consented()), code, 502)
      fake.clearScripts()
      expect((await app.signIn(browser, 'alice')).status).toBe(302)
    },
  )

  test.each([
    ['token', { problem: 'rate-limited' }, 'rate_limited', 503],
    ['token', { status: 400, json: { error: 'unauthorized_client' } }, 'client_rejected', 500],
    ['token', { status: 400, json: { error: 'invalid_grant' } }, 'upstream_failed', 502],
    ['token', { status: 500, html: '<h1>secret words</h1>' }, 'upstream_failed', 502],
    ['token', { redirect: 'http://127.0.0.1:1/' }, 'upstream_failed', 502],
    ['token', { delivery: 'reset' }, 'upstream_failed', 502],
    ['token', { json: { access_token: 'a b', token_type: 'bearer' } }, 'upstream_failed', 502],
    ['user', { problem: 'invalid-token' }, 'upstream_failed', 502],
    ['user', { json: { type: 'team', uuid: '{00000000-0000-4000-8000-000000000000}' } }, 'profile_invalid', 502],
    ['user', { json: { type: 'user', uuid: 'alice' } }, 'profile_invalid', 502],
    ['emails', { status: 500, text: 'secret words' }, 'upstream_failed', 502],
  ] as const)('%s answering %j is %s', async (endpoint, fault, code, status) => {
    await open()
    fake.script(endpoint, fault)
    const answer = await browser.get(await consented())
    await expectRefused(answer, code, status)
    expect(answer.text).not.toContain('secret words')
    expect(fake.count('token')).toBe(1)
  })

  test('addresses that cannot be read do not keep a known person out', async () => {
    await open()
    await app.signIn(new TestBrowser(), 'alice')
    fake.script('emails', { status: 500, text: 'down' })
    expect((await app.signIn(browser, 'alice')).status).toBe(302)
    expect(await app.me(browser)).toBe('u1')
  })

  test('a browser that goes away ends the requests of its callback', async () => {
    await open()
    fake.script('token', { delivery: 'stall' })
    const callback = new URL(await consented())
    const aborted = new AbortController()
    const cookie = [...browser.jar(app.url)].map(([name, value]) => `${name}=${value}`).join('; ')
    const request = fetch(callback, { headers: { cookie }, signal: aborted.signal }).catch(() => {})
    await vi.waitFor(() => expect(fake.count('token')).toBe(1))
    aborted.abort()
    await request
    await vi.waitFor(() => expect(app.events.at(-1)).toMatchObject({ code: 'upstream_failed' }))
    expect(app.faults).toEqual([])
    await wait(10)
  })
})
