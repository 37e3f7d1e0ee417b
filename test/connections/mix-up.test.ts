import { connections } from 'passport-bitbucket-signin'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { clientAt, refusalOf, type Site, type SiteOptions, startSite, TestBrowser } from '../support/site'

let site: Site
afterEach(async () => {
  vi.useRealTimers()
  await site?.close()
})

const STATE_INVALID = { status: 403, code: 'state_invalid' }
const CALLBACK = '/auth/bitbucket/callback'

/** Two tenants with the same client, told apart by whatever `tenant` reads; their callback is the app's own address. */
function startTwo(
  tenant: (req: { header: (name: string) => string; path: string }) => string | null,
  more: SiteOptions = {},
) {
  return startSite({
    rows: (_at, defaults) => ({
      default: { ...defaults, callbackURL: defaults.callbackURL.replace('login.localhost', '127.0.0.1') },
      tenants: { acme: {}, globex: {} },
    }),
    more: {
      tenant: (req) => tenant({ header: (name) => req.get(name) ?? '', path: req.originalUrl }),
    },
    ...more,
  })
}

describe('a tenant switched between start and callback', () => {
  test('by a header is refused, although client and secret are the same', async () => {
    site = await startTwo(({ header }) => header('x-tenant') || null)
    const browser = new TestBrowser()
    const as = (tenant: string) => ({ headers: { 'x-tenant': tenant } })
    const { location } = await browser.get(`${site.url}/auth/bitbucket`, as('acme'))
    const callback = await site.fake.signIn(location, { person: 'alice' })
    site.fake.clearRequests()
    expect(refusalOf(await browser.get(callback, as('globex')))).toEqual(STATE_INVALID)
    expect(refusalOf(await browser.get(callback))).toEqual(STATE_INVALID)
    expect(refusalOf(await browser.get(callback, as('nobody'))).code).toBe('connection_unavailable')
    expect(site.fake.count()).toBe(0)
    expect(site.errors[0]?.message).toContain('let it follow from host or mount path')
    expect((await browser.get(callback, as('acme'))).location).toBe('/')
    expect(site.accounts.count('createUser')).toBe(1)
  })

  test('by the host is refused, also when the cookie is copied to the other host', async () => {
    site = await startSite({ rows: () => ({ tenants: {} }) })
    site.rows.tenants = { acme: clientAt(site, 'acme'), globex: clientAt(site, 'globex') }
    const browser = new TestBrowser()
    const callback = await site.fake.signIn((await site.startAt(browser, 'acme')).location, { person: 'alice' })
    const atGlobex = callback.replace(site.at('acme'), site.at('globex'))
    site.fake.clearRequests()
    expect(refusalOf(await browser.get(atGlobex))).toEqual(STATE_INVALID)
    browser.cookies.set('globex.localhost', new Map(browser.jar(site.at('acme'))))
    expect(refusalOf(await browser.get(atGlobex))).toEqual(STATE_INVALID)
    expect(site.fake.count()).toBe(0)
    expect((await browser.get(callback)).location).toBe('/')
  })

  test('by the mount path is refused', async () => {
    site = await startTwo(({ path }) => path.split('/')[1] ?? null, {
      behindSession: (app, bitbucket) => app.use('/:tenant/auth/bitbucket', bitbucket.router),
    })
    const own = (tenant: string) => ({ callbackURL: `${site.url}/${tenant}${CALLBACK}` })
    site.rows.tenants = { acme: own('acme'), globex: own('globex') }
    const browser = new TestBrowser()
    const { location } = await browser.get(`${site.url}/acme/auth/bitbucket`)
    const callback = await site.fake.signIn(location, { person: 'alice' })
    expect(refusalOf(await browser.get(callback.replace('/acme/', '/globex/')))).toEqual(STATE_INVALID)
    expect((await browser.get(callback)).location).toBe('/')
  })

  test('by the application is refused', async () => {
    site = await startSite({
      rows: (_at, defaults) => ({
        default: { ...defaults, callbackURL: defaults.callbackURL.replace('login.localhost', '127.0.0.1') },
      }),
      more: { tenant: () => null, application: (req) => req.get('x-application') ?? null },
    })
    const browser = new TestBrowser()
    const { location } = await browser.get(`${site.url}/auth/bitbucket`, { headers: { 'x-application': 'board' } })
    const callback = await site.fake.signIn(location, { person: 'alice' })
    expect(refusalOf(await browser.get(callback, { headers: { 'x-application': 'desk' } }))).toEqual(STATE_INVALID)
    expect((await browser.get(callback, { headers: { 'x-application': 'board' } })).location).toBe('/')
  })
})

describe('a resolver', () => {
  test('that throws or rejects ends the request, reports it, and leaves the sign-in page usable', async () => {
    let fails = false
    site = await startSite({
      more: {
        tenant: () => {
          if (fails) throw new Error('database down')
          return null
        },
      },
    })
    const browser = new TestBrowser()
    const callback = await site.fake.signIn((await site.startAt(browser, 'login')).location, { person: 'alice' })
    fails = true
    site.fake.clearRequests()
    for (const answer of [await site.startAt(new TestBrowser(), 'login'), await browser.get(callback)]) {
      expect(refusalOf(answer)).toEqual({ status: 500, code: 'hook_failed' })
      expect(answer.text).not.toContain('database down')
    }
    expect(await site.shownAt('login')).toEqual({ offered: false, button: '' })
    expect(site.errors.map(({ cause }) => String(cause))).toEqual(Array(4).fill('Error: database down'))
    expect(site.fake.count()).toBe(0)
    fails = false
    expect((await browser.get(callback)).location).toBe('/')
  })

  test.each([
    ['undefined', undefined, 'hook_failed'],
    ['true', true, 'hook_failed'],
    ['a text', 'acme', 'hook_failed'],
    ['a list', [], 'hook_failed'],
    ['an empty object', {}, 'configuration_invalid'],
    ['an object without credentials', { id: 'x' }, 'configuration_invalid'],
    ['a truthy trust flag', { trustedProvider: 'true' }, 'configuration_invalid'],
    ['a number for enabled', { enabled: 1 }, 'configuration_invalid'],
    ['an unknown field', { trust: true }, 'configuration_invalid'],
    [
      'a callback that is not ours',
      { callbackURL: 'http://app.example/auth/bitbucket/callback' },
      'configuration_invalid',
    ],
  ])('that returns %s is a setup mistake', async (_, nonsense, code) => {
    site = await startSite({
      resolver: (_at, _rows, defaults) => () =>
        (typeof nonsense === 'object' && Object.keys(nonsense).some((key) => key !== 'id')
          ? { ...defaults, ...nonsense }
          : nonsense) as never,
    })
    expect(refusalOf(await site.startAt(new TestBrowser(), 'login'))).toEqual({ status: 500, code })
    expect(await site.shownAt('login')).toEqual({ offered: false, button: '' })
    expect(site.faults).toEqual([])
  })
})

test('keeps 50 interleaved sign-ins of two tenants with their own clients apart', async () => {
  site = await startSite({ express: 5 })
  const clients = { acme: clientAt(site, 'acme'), globex: clientAt(site, 'globex') }
  site.rows.tenants = clients
  const delay = () => ({ delayMs: Math.random() * 40 })
  for (const endpoint of ['token', 'user', 'emails'] as const) site.fake.script(endpoint, delay)
  const people = Array.from({ length: 50 }, (_, index) => ({
    person: site.fake.addPerson({ key: `p${index}` }),
    name: index % 2 === 0 ? ('acme' as const) : ('globex' as const),
    browser: new TestBrowser(),
  }))
  await Promise.all(
    people.map(async ({ person, name, browser }) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 40))
      const { url } = await site.signInAt(browser, name, person.key)
      expect(url).toBe(`${site.at(name)}/`)
    }),
  )

  const tokens = site.fake.requests.filter(({ endpoint }) => endpoint === 'token')
  expect(tokens).toHaveLength(50)
  for (const { headers, form } of tokens) {
    const [clientID, clientSecret] = Buffer.from(headers.authorization?.slice(6) ?? '', 'base64')
      .toString()
      .split(':')
    const client = Object.values(clients).find((each) => each.callbackURL === form.redirect_uri)
    expect(client).toMatchObject({ clientID, clientSecret, callbackURL: form.redirect_uri })
  }
  const created = site.accounts.calls.filter(({ name }) => name === 'createUser')
  expect(created).toHaveLength(50)
  for (const { input } of created) {
    const { context, identity } = input as { context: { tenant: string; connection: string }; identity: { id: string } }
    const { name } = people.find(({ person }) => person.uuid === identity.id) ?? {}
    expect(context).toMatchObject({ tenant: name, connection: `tenant:${name}` })
  }
  for (const { person, name, browser } of people) {
    const user = site.accounts.users.get((await site.meAt(browser, name)) ?? '')
    expect(user?.identities[0]?.id).toBe(person.uuid)
  }
})

test('resolves tenants from values and functions, and lists callback URLs once for each client and domain', async () => {
  const base = { clientID: 'base', clientSecret: 's', callbackURL: 'https://login.example/auth/bitbucket/callback' }
  const acme = { clientID: 'acme', clientSecret: 's', callbackURL: 'https://acme.example/auth/bitbucket/callback' }
  const tenants = {
    acme,
    off: { ...acme, clientID: 'off', enabled: false },
    inherits: { origins: ['https://inherits.example'], applications: ['board'] },
    hides: { enabled: false },
    broken: {},
  }
  const expected = [
    { ...base, connection: 'default', tenant: null, origins: ['https://login.example', 'https://inherits.example'] },
    { ...acme, connection: 'tenant:acme', tenant: 'acme', origins: ['https://acme.example'] },
    { ...acme, clientID: 'off', connection: 'tenant:off', tenant: 'off', origins: ['https://acme.example'] },
  ].map(({ clientSecret: _, ...each }) => each)
  const of = { tenant: () => null, application: () => null }
  const given = [
    connections({ default: base, tenants, ...of }),
    connections({ default: async () => ({ ...base, enabled: false, applications: [] }), tenants, ...of }),
    connections({
      default: () => base,
      tenants: async (id) => tenants[id as keyof typeof tenants] ?? null,
      tenantIds: async () => Object.keys(tenants),
      ...of,
    }),
  ]
  for (const resolver of given) {
    site = await startSite({ resolver: () => resolver })
    expect(await site.bitbucket.callbackURLs()).toEqual(expected)
    await site.close()
  }
  site = await startSite({ resolver: () => connections({ default: base, tenants: async () => acme, ...of }) })
  expect(await site.bitbucket.callbackURLs()).toEqual([{ ...expected[0], origins: ['https://login.example'] }])
})
