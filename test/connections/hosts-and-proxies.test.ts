import type { Express } from 'express'
import { afterEach, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { refusalOf } from '../support/site'

let app: TestApp
afterEach(() => app?.close())

const CALLBACK = 'https://login.example/auth/bitbucket/callback'
const REFUSED = { status: 403, code: 'origin_not_allowed' }
type Headers = Record<string, string | string[] | undefined>

/** An app behind a proxy that ends TLS: one central callback, and `acme.example` as custom domain. */
function startBehindProxy(trustProxy: unknown, options: TestAppOptions = {}): Promise<TestApp> {
  return startTestApp({
    ...options,
    connection: { callbackURL: CALLBACK, origins: ['https://acme.example'], ...options.connection },
    before: (express: Express) => express.set('trust proxy', trustProxy),
  })
}

const start = (headers: Headers, browser = new TestBrowser()) => browser.get(`${app.url}/auth/bitbucket`, { headers })

/** The start went to Bitbucket with exactly what is configured. */
function expectStarted(answer: Answer, callbackURL = CALLBACK): void {
  expect(answer.status).toBe(302)
  const location = new URL(answer.location)
  expect(location.origin).toBe(app.fake.url)
  expect(location.searchParams.get('redirect_uri')).toBe(callbackURL)
  expectClean(answer)
}

function expectRefusedOrigin(answer: Answer): void {
  expect(refusalOf(answer)).toEqual(REFUSED)
  expect(answer.location).toBe('')
  expect(answer.setCookies).toEqual([])
  expectClean(answer)
}

/** Sealed values are random letters, which may spell the name alone. */
function expectClean(answer: Answer): void {
  expect(`${JSON.stringify(answer.headers)}${answer.text}`).not.toMatch(/evil\.example|\/evil/i)
}

/** Where a start believes to be, from the state it gave out. */
function startedAt(answer: Answer): string {
  const state = new URL(answer.location).searchParams.get('state') ?? ''
  return JSON.parse(Buffer.from(state.split('.')[1] ?? '', 'base64url').toString())[0]
}

const HOSTILE: [string, Headers][] = [
  ['Host', { host: 'evil.example' }],
  ['Host with a port', { host: 'login.example:4443' }],
  ['Host with user information', { host: 'login.example@evil.example' }],
  ['Host with a path', { host: 'login.example/evil' }],
  ['X-Forwarded-Host', { 'x-forwarded-host': 'evil.example' }],
  ['X-Forwarded-Proto', { 'x-forwarded-proto': 'javascript' }],
  ['X-Forwarded-Prefix', { 'x-forwarded-prefix': '//evil.example' }],
  ['X-Forwarded-Uri', { 'x-forwarded-uri': 'https://evil.example/' }],
  ['Forwarded', { forwarded: 'host=evil.example;proto=https' }],
  ['X-Original-URL', { 'x-original-url': '/auth/bitbucket/evil' }],
  ['X-Rewrite-URL', { 'x-rewrite-url': '/evil' }],
  ['X-Host', { 'x-host': 'evil.example' }],
  ['Origin', { origin: 'https://evil.example' }],
  ['Referer', { referer: 'https://evil.example/' }],
]

describe('without custom domains', () => {
  describe.each([false, true])('trust proxy %s', (trustProxy) => {
    test.each(HOSTILE)('%s changes neither start, callback, page nor mail', async (_, headers) => {
      app = await startTestApp({
        connection: { trustedProvider: false },
        before: (express) => express.set('trust proxy', trustProxy),
      })
      const browser = new TestBrowser()
      const started = await start(headers, browser)
      expectStarted(started, `${app.url}/auth/bitbucket/callback`)
      expect(await app.bitbucket.callbackURLs()).toMatchObject([{ origins: [app.url] }])
      const callback = await browser.get(await app.fake.signIn(started.location, { person: 'alice' }), { headers })
      expect(callback.location).toBe('/auth/bitbucket/email')
      expectClean(callback)
      const page = await browser.get(`${app.url}/auth/bitbucket/email`, { headers })
      expect(page.status).toBe(200)
      expect(page.text).not.toMatch(/(?:action|href)="(?!\/)/)
      expectClean(page)
      expect(app.mails).toHaveLength(1)
      expect(app.mails[0]?.context.origin).toBe(app.url)
      expect(JSON.stringify(app.mails)).not.toContain('evil')
      expectClean(await browser.get(`${app.url}/auth/bitbucket/callback?state=x`, { headers }))
    })
  })
})

describe('custom domains without a trusted proxy', () => {
  const hosts = {
    connection: { callbackURL: 'http://login.localhost/auth/bitbucket/callback', origins: ['http://acme.localhost'] },
  }
  const callbackURL = hosts.connection.callbackURL

  test.each(HOSTILE.filter(([name]) => !name.startsWith('Host')))('%s changes nothing', async (_, headers) => {
    app = await startBehindProxy(false, hosts)
    const control = await start({ host: 'acme.localhost', ...headers })
    expectStarted(control, callbackURL)
    expect(startedAt(control)).toBe('http://acme.localhost')
    expectRefusedOrigin(await start({ host: 'other.localhost', ...headers }))
    expectRefusedOrigin(await start({ host: 'other.localhost', 'x-forwarded-host': 'acme.localhost' }))
  })

  test.each(HOSTILE.filter(([name]) => name.startsWith('Host')))('%s is refused', async (_, headers) => {
    app = await startBehindProxy(false, hosts)
    expectRefusedOrigin(await start(headers))
  })

  test.each([
    ['ACME.localhost', true],
    ['acme.localhost:80', true],
    ['acme.localhost.', false],
    ['acme.localhost:443', false],
    ['acme.localhost:80:80', false],
    ['acme.localhost:', true],
    ['acme.localhost, evil.localhost', false],
    ['xn--acm-epa.localhost', false],
    ['acme%2elocalhost', false],
    ['acme.localhost#', false],
    ['acme.localhost?', false],
    ['acme.localhost\\@evil.localhost', false],
    ['[::1', false],
    ['', false],
    ['x'.repeat(10_000), false],
  ])('accepts Host "%.40s": %s', async (host, passes) => {
    app = await startBehindProxy(false, hosts)
    const answer = await start({ host })
    if (!passes) return expectRefusedOrigin(answer)
    expectStarted(answer, callbackURL)
    expect(startedAt(answer)).toBe('http://acme.localhost')
  })
})

describe('custom domains behind a trusted proxy that ends TLS', () => {
  const good = { host: 'inside:8080', 'x-forwarded-host': 'acme.example', 'x-forwarded-proto': 'https' }

  test.each([
    ['the control', {}, true],
    ['a list, the configured one first', { 'x-forwarded-host': 'acme.example, evil.example' }, true],
    ['a list, a foreign one first', { 'x-forwarded-host': 'evil.example, acme.example' }, false],
    ['two lines, a foreign one first', { 'x-forwarded-host': ['evil.example', 'acme.example'] }, false],
    ['no forwarded host', { 'x-forwarded-host': undefined }, false],
    ['no forwarded host, the right one in Host', { 'x-forwarded-host': undefined, host: 'acme.example' }, true],
    ['other case', { 'x-forwarded-host': 'ACME.Example' }, true],
    ['the default port', { 'x-forwarded-host': 'acme.example:443' }, true],
    ['another port', { 'x-forwarded-host': 'acme.example:8443' }, false],
    ['a port that is none', { 'x-forwarded-host': 'acme.example:99999' }, false],
    ['a trailing dot', { 'x-forwarded-host': 'acme.example.' }, false],
    ['a suffix', { 'x-forwarded-host': 'acme.example.evil.example' }, false],
    ['a prefix', { 'x-forwarded-host': 'evil-acme.example' }, false],
    ['a subdomain', { 'x-forwarded-host': 'evil.acme.example' }, false],
    ['user information', { 'x-forwarded-host': 'acme.example@evil.example' }, false],
    ['a path and query', { 'x-forwarded-host': 'acme.example/x?evil=#' }, false],
    ['a backslash', { 'x-forwarded-host': 'acme.example\\evil.example' }, false],
    ['half an IPv6 address', { 'x-forwarded-host': '[::1' }, false],
    ['a tab', { 'x-forwarded-host': 'acme.example\tevil' }, false],
    ['10 kB', { 'x-forwarded-host': 'x'.repeat(10_000) }, false],
    ['http', { 'x-forwarded-proto': 'http' }, false],
    ['http before https', { 'x-forwarded-proto': 'http, https' }, false],
    ['https before http', { 'x-forwarded-proto': 'https, http' }, true],
    ['HTTPS', { 'x-forwarded-proto': 'HTTPS' }, true],
    ['no forwarded protocol', { 'x-forwarded-proto': undefined }, false],
    ['a protocol that is none', { 'x-forwarded-proto': 'https://evil.example/?' }, false],
    ['Forwarded beside it', { forwarded: 'for=1.1.1.1;host=evil.example' }, true],
  ] as [string, Headers, boolean][])('accepts %s: %s', async (_, headers, passes) => {
    app = await startBehindProxy('loopback')
    const answer = await start({ ...good, ...headers })
    if (!passes) return expectRefusedOrigin(answer)
    expectStarted(answer)
    expect(startedAt(answer)).toBe('https://acme.example')
    expect(answer.setCookies[0]).toMatch(/^__Host-bitbucket\.t[\da-f]=[\w-]+; Path=\/; HttpOnly; SameSite=Lax; Secure;/)
  })

  test('ignores the headers of a proxy that is not trusted', async () => {
    app = await startBehindProxy('10.0.0.0/8')
    expectRefusedOrigin(await start(good))
  })

  test('signs in over the central callback at the custom domain', async () => {
    app = await startBehindProxy(1, { session: { cookie: { secure: true } } })
    const browser = new TestBrowser()
    const as = (host: string) => ({ headers: { 'x-forwarded-host': host, 'x-forwarded-proto': 'https' } })
    const inside = (url: string) => url.replace(/^https:\/\/[^/]+/, app.url)
    const { location } = await browser.get(`${app.url}/auth/bitbucket`, as('acme.example'))
    app.fake.addClient({ clientID: 'fake-client-id', clientSecret: 'fake-client-secret', callbackURL: CALLBACK })
    const central = await app.fake.signIn(location, { person: 'alice' })
    expect(central.startsWith(CALLBACK)).toBe(true)
    const end = (await browser.get(inside(central), as('login.example'))).location
    expect(end.startsWith('https://acme.example/auth/bitbucket/callback?handover=')).toBe(true)
    const answer = await browser.get(inside(end), as('acme.example'))
    expect(answer.location).toBe('/')
    expect(answer.setCookies.join()).toMatch(/connect\.sid=.*Secure/)
    expect(app.accounts.count('createUser')).toBe(1)
  })
})
