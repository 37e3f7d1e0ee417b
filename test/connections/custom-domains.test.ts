import type { Connection } from 'passport-bitbucket-signin'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { formsOf } from '../support/browser'
import { clientAt, refusalOf, type Site, type SiteOptions, startSite, TestBrowser, tenantOfHost } from '../support/site'

const STATE_INVALID = { status: 403, code: 'state_invalid' }
const REFUSED_ORIGIN = { status: 403, code: 'origin_not_allowed' }

let site: Site
beforeEach(async () => {
  site = await startDomains()
})
afterEach(async () => {
  vi.useRealTimers()
  await site.close()
})

/** One central callback at `login`, and tenants that bring their own domain. */
function startDomains(options: SiteOptions = {}): Promise<Site> {
  return startSite({
    rows: (at) => ({ tenants: { acme: { origins: [at('acme')] }, globex: { origins: [at('globex')] } } }),
    ...options,
  })
}

/** A sign-in at `acme` up to Bitbucket's redirect, and up to the hand-over. */
async function atCentral(browser: TestBrowser, name = 'acme'): Promise<string> {
  return site.fake.signIn((await site.startAt(browser, name)).location, { person: 'alice' })
}
async function atEnd(browser: TestBrowser, name = 'acme'): Promise<string> {
  return (await browser.get(await atCentral(browser, name))).location
}
async function expectRefused(answer: Awaited<ReturnType<TestBrowser['get']>>, refusal: object): Promise<void> {
  expect(refusalOf(answer)).toEqual(refusal)
  expect(answer.location).toBe('')
  expect(site.fake.count('token')).toBe(0)
  expect(site.accounts.calls).toEqual([])
}

describe.each([4, 5] as const)('on Express %i', (express) => {
  test('signs in from a custom domain over the central callback, and never shows the code', async () => {
    await site.close()
    site = await startDomains({ express })
    const browser = new TestBrowser()
    const started = await browser.get(`${site.at('acme')}/auth/bitbucket?returnTo=/board%3Fx=1`)
    expect(new URL(started.location).searchParams.get('redirect_uri')).toBe(
      `${site.at('login')}/auth/bitbucket/callback`,
    )
    const central = new URL(await site.fake.signIn(started.location, { person: 'alice' }))
    const code = central.searchParams.get('code') ?? ''
    const state = central.searchParams.get('state') ?? ''

    const passedOn = await browser.get(central.href)
    expect(passedOn.status).toBe(302)
    expect(passedOn.headers['cache-control']).toBe('no-store')
    expect(passedOn.headers['referrer-policy']).toBe('no-referrer')
    const next = new URL(passedOn.location)
    expect(next.origin + next.pathname).toBe(`${site.at('acme')}/auth/bitbucket/callback`)
    expect([...next.searchParams.keys()]).toEqual(['handover'])
    expect(next.href).not.toContain(code)
    expect(next.href).not.toContain(state.slice(0, 23))
    expect(Buffer.from(next.searchParams.get('handover') ?? '', 'base64url').toString('latin1')).not.toContain(code)
    expect(site.fake.count('token')).toBe(0)

    const ended = await browser.get(next.href)
    expect(ended.location).toBe('/board?x=1')
    expect(await site.meAt(browser, 'acme')).toBe('u1')
    expect(await site.meAt(browser, 'login')).toBeNull()
    const [token] = site.fake.requests.filter(({ endpoint }) => endpoint === 'token')
    expect(token?.form).toMatchObject({ code, redirect_uri: `${site.at('login')}/auth/bitbucket/callback` })
    expect(site.accounts.calls.find(({ name }) => name === 'createUser')?.input.context).toMatchObject({
      tenant: 'acme',
      connection: 'tenant:acme',
      origin: site.at('acme'),
    })
    expect(site.events.map(({ type, tenant }) => [type, tenant])).toEqual([
      ['started', 'acme'],
      ['signed_up', 'acme'],
    ])
  })
})

test('accepts origins of the application level without tenants, and from a resolver function', async () => {
  for (const resolver of [undefined, (_at: unknown, rows: { default: Connection | null }) => () => rows.default]) {
    await site.close()
    site = await startSite({
      rows: (at, defaults) => ({ default: { ...defaults, origins: [at('acme'), at('www')] } }),
      more: { tenant: () => null },
      ...(resolver && { resolver }),
    })
    for (const name of ['acme', 'www', 'login']) {
      const browser = new TestBrowser()
      const { url } = await site.signInAt(browser, name, 'alice')
      expect(url).toBe(`${site.at(name)}/`)
      expect(await site.meAt(browser, name)).toBe('u1')
    }
  }
})

test('serves tenants with domains without offering the application level at the central host', async () => {
  await site.close()
  site = await startDomains({
    more: { tenant: tenantOfHost, application: (req) => (req.hostname.startsWith('login') ? null : 'board') },
  })
  site.rows.default = { ...(site.rows.default as Connection), applications: ['board'] }
  expect(refusalOf(await site.startAt(new TestBrowser(), 'login')).code).toBe('connection_unavailable')
  const browser = new TestBrowser()
  await site.signInAt(browser, 'acme', 'alice')
  expect(await site.meAt(browser, 'acme')).toBe('u1')
})

test('lets a tenant with its own client share the central callback', async () => {
  const { clientID, clientSecret } = clientAt(site, 'login')
  site.rows.tenants.acme = { ...site.rows.tenants.acme, clientID, clientSecret, trustedProvider: true }
  const browser = new TestBrowser()
  await site.signInAt(browser, 'acme', 'alice')
  expect(await site.meAt(browser, 'acme')).toBe('u1')
  const [token] = site.fake.requests.filter(({ endpoint }) => endpoint === 'token')
  expect(token?.headers.authorization).toBe(`Basic ${btoa(`${clientID}:${clientSecret}`)}`)
})

test('verifies an address and links an account at the custom domain', async () => {
  site.rows.default = { ...(site.rows.default as Connection), trustedProvider: false }
  const browser = new TestBrowser()
  const { url, answer } = await site.signInAt(browser, 'acme', 'alice')
  expect(url).toBe(`${site.at('acme')}/auth/bitbucket/email`)
  const [form] = formsOf(answer.text).filter(({ action }) => action.endsWith('/email/verify'))
  await browser.post(`${site.at('acme')}${form?.action}`, { ...form?.fields, code: site.mails[0]?.code ?? '' })
  expect(await site.meAt(browser, 'acme')).toBe('u1')

  const user = site.accounts.add({ email: 'carol@example.com', emailVerified: true })
  const linking = new TestBrowser()
  await linking.post(`${site.at('acme')}/local/${user.id}`, {})
  const posted = await linking.post(`${site.at('acme')}/auth/bitbucket/link`, {})
  const central = await site.fake.signIn(posted.location, { person: 'carol' })
  const linked = await linking.follow(await linking.get(central), central)
  expect(linked.url).toBe(`${site.at('acme')}/`)
  expect(user.identities).toHaveLength(1)
})

test('hands a refusal by Bitbucket over, and shows it where the sign-in started', async () => {
  const browser = new TestBrowser()
  const { location } = await site.startAt(browser, 'acme')
  const central = await site.fake.signIn(location, { person: 'alice', decision: 'deny' })
  const { answer, url } = await browser.follow(await browser.get(central), central)
  expect(url.startsWith(site.at('acme'))).toBe(true)
  expect(refusalOf(answer)).toEqual({ status: 403, code: 'access_denied' })
})

test('refuses a foreign issuer at the central callback, and accepts the right one', async () => {
  const browser = new TestBrowser()
  const central = await atCentral(browser)
  await expectRefused(await browser.get(`${central}&iss=https%3A%2F%2Fevil.example`), STATE_INVALID)
  const passed = await browser.get(`${central}&iss=${encodeURIComponent(site.fake.url)}`)
  expect(passed.location).toContain('handover=')
})

test('finds a strict session cookie at a custom domain, under the path of the router there', async () => {
  await site.close()
  const registered = '/oauth/return'
  site = await startDomains({
    session: { cookie: { sameSite: 'strict' } },
    options: { basePath: '/auth/bitbucket' },
    before: (app) =>
      app.use((req, _res, next) => {
        if (req.hostname === 'login.localhost') req.url = req.url.replace(registered, '/auth/bitbucket/callback')
        next()
      }),
  })
  const { trustedProvider: _, ...own } = clientAt(site, 'login')
  const client = { ...own, callbackURL: site.at('login') + registered }
  site.fake.addClient({ ...client, clientID: 'registered' })
  site.rows.default = { ...(site.rows.default as Connection), ...client, clientID: 'registered' }
  const browser = new TestBrowser()
  const crossSite = { headers: { 'sec-fetch-site': 'cross-site' } }
  const page = await browser.get(await atEnd(browser), crossSite)
  const [, href = ''] = /url=([^"]*)"/.exec(page.text) ?? []
  const target = site.at('acme') + href.replaceAll('&amp;', '&')
  expect((await browser.get(target, { headers: { 'sec-fetch-site': 'same-origin' } })).location).toBe('/')
  expect(await site.meAt(browser, 'acme')).toBe('u1')
})

describe('an origin that is not configured', () => {
  test('starts nothing and gets a plain page', async () => {
    for (const name of ['globex.acme', 'acme.evil', 'other']) {
      site.rows.tenants[name] = { origins: [site.at('acme')] }
      const answer = await site.startAt(new TestBrowser(), name)
      await expectRefused(answer, REFUSED_ORIGIN)
      expect(answer.setCookies).toEqual([])
      expect(answer.text).toContain('not available at this web address')
      expect(answer.text).not.toContain(name)
      expect(await site.shownAt(name)).toEqual({ offered: false, button: '' })
    }
  })

  test('is refused when a hand-over arrives after it was removed', async () => {
    const browser = new TestBrowser()
    const end = await atEnd(browser)
    site.rows.tenants.acme = { origins: [site.at('other')] }
    await expectRefused(await browser.get(end), REFUSED_ORIGIN)
    site.rows.tenants.acme = { origins: [] }
    await expectRefused(await browser.get(end), STATE_INVALID)
    site.rows.tenants.acme = { origins: [site.at('acme')] }
    expect((await browser.get(end)).location).toBe('/')
  })
})

describe('state', () => {
  const forgeries: [string, (parts: string[], other: string[]) => string][] = [
    ['names another origin', ([handle, , mac]) => `${handle}.${encode(['http://evil.localhost', null, null])}.${mac}`],
    ['names another tenant', ([handle, point, mac]) => `${handle}.${rename(point)}.${mac}`],
    ['has the handle of another', ([, point, mac], [handle]) => `${handle}.${point}.${mac}`],
    ['has the place of another', ([handle, , mac], [, point]) => `${handle}.${point}.${mac}`],
    ['has no code', ([handle, point]) => `${handle}.${point}.${'A'.repeat(22)}`],
    ['has lost where it started', ([handle]) => handle ?? ''],
  ]
  const encode = (point: unknown) => Buffer.from(JSON.stringify(point)).toString('base64url')
  const rename = (point = '') => {
    const [origin] = JSON.parse(Buffer.from(point, 'base64url').toString())
    return encode([origin, 'globex', null])
  }

  test.each(forgeries)('is refused when it %s', async (_, forge) => {
    const browser = new TestBrowser()
    const central = new URL(await atCentral(browser))
    const other = new URL(await atCentral(new TestBrowser(), 'globex'))
    const parts = (url: URL) => url.searchParams.get('state')?.split('.') ?? []
    const forged = new URL(central)
    forged.searchParams.set('state', forge(parts(central), parts(other)))
    await expectRefused(await browser.get(forged.href), STATE_INVALID)
    expect((await browser.follow(await browser.get(central.href), central.href)).url).toBe(`${site.at('acme')}/`)
  })

  test('is refused when it comes from another site with other secrets', async () => {
    const other = await startDomains({ fake: site.fake, options: { secrets: ['x'.repeat(32)] } })
    const central = new URL(
      await other.fake.signIn((await other.startAt(new TestBrowser(), 'acme')).location, { person: 'alice' }),
    )
    await other.close()
    await expectRefused(
      await new TestBrowser().get(`${site.at('login')}${central.pathname}${central.search}`),
      STATE_INVALID,
    )
  })
})

describe('a hand-over', () => {
  test('ignores added parameters: code, state, error and return URL', async () => {
    const browser = new TestBrowser()
    const end = await atEnd(browser)
    const foreign = site.fake.issueCode({ person: 'bob' })
    const answer = await browser.get(
      `${end}&code=${foreign}&state=${'0'.padEnd(23, 'A')}&error=access_denied&returnTo=//evil.example&origin=http://evil.localhost`,
    )
    expect(answer.location).toBe('/')
    const user = site.accounts.users.get((await site.meAt(browser, 'acme')) ?? '')
    expect(user?.identities[0]?.id).toBe(site.fake.person('alice').uuid)
  })

  test('carries a long code', async () => {
    const browser = new TestBrowser()
    const central = new URL(await atCentral(browser))
    central.searchParams.set('code', 'x'.repeat(2048))
    const end = (await browser.get(central.href)).location
    expect(refusalOf(await browser.get(end))).toEqual({ status: 502, code: 'upstream_failed' })
    expect(site.fake.requests.at(-1)?.form.code).toHaveLength(2048)
  })
})
