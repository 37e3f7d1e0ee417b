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

describe('a tenant that is switched on the way', () => {
  test('by a header: refused, although client and secret are the same', async () => {
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

  test('by the host: the cookie of one host is not known at the other, nor good there when it is carried over', async () => {
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

  test('by the mount path: refused', async () => {
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

  test('by the application: refused', async () => {
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

describe('another tenant that means harm', () => {
  test("relays the browser to an honest tenant's client and callback: refused there", async () => {
    site = await startSite()
    site.rows.tenants = { evil: clientAt(site, 'evil'), honest: clientAt(site, 'honest') }
    const browser = new TestBrowser()
    const started = new URL((await site.startAt(browser, 'evil')).location)
    started.searchParams.set('client_id', 'honest-key')
    started.searchParams.set('redirect_uri', site.at('honest') + CALLBACK)
    const callback = await site.fake.signIn(started, { person: 'alice' })
    site.fake.clearRequests()
    expect(callback.startsWith(site.at('honest'))).toBe(true)
    expect(refusalOf(await browser.get(callback))).toEqual(STATE_INVALID)
    expect(site.fake.count()).toBe(0)
  })

  test('injects a code of its own client with an honest state: the exchange fails, no user is signed in', async () => {
    site = await startSite()
    site.rows.tenants = { evil: clientAt(site, 'evil'), honest: clientAt(site, 'honest') }
    const browser = new TestBrowser()
    const callback = new URL(
      await site.fake.signIn((await site.startAt(browser, 'honest')).location, { person: 'bob' }),
    )
    callback.searchParams.set(
      'code',
      site.fake.issueCode({ person: 'alice', client: 'evil-key', redirectUri: site.at('evil') + CALLBACK }),
    )
    expect(refusalOf(await browser.get(callback.href))).toEqual({ status: 502, code: 'upstream_failed' })
    expect(site.accounts.calls).toEqual([])
    expect(await site.meAt(browser, 'honest')).toBeNull()
  })
})

describe('issuer', () => {
  test.each([
    ['foreign', ['https://evil.example'], false],
    ['repeated', ['SELF', 'SELF'], false],
    ['of another path', ['SELF/x'], false],
    ['empty', [''], false],
    ['matching', ['SELF'], true],
    ['absent', [], true],
  ] as const)('%s iss', async (_, values, passes) => {
    site = await startSite()
    site.rows.tenants.acme = clientAt(site, 'acme')
    const browser = new TestBrowser()
    const callback = new URL(
      await site.fake.signIn((await site.startAt(browser, 'acme')).location, { person: 'alice' }),
    )
    for (const iss of values) callback.searchParams.append('iss', iss.replace('SELF', site.fake.url))
    site.fake.clearRequests()
    const answer = await browser.get(callback.href)
    if (passes) expect(answer.location).toBe('/')
    else {
      expect(refusalOf(answer)).toEqual(STATE_INVALID)
      expect(site.fake.count()).toBe(0)
    }
  })
})

describe('a tenant that goes', () => {
  test('removed between start and callback: a clean refusal, and no fall-back to the application level', async () => {
    site = await startSite({
      rows: (at, defaults) => ({ default: { ...defaults, origins: [at('acme')] }, tenants: { acme: {} } }),
    })
    const browser = new TestBrowser()
    const callback = await site.fake.signIn((await site.startAt(browser, 'acme')).location, { person: 'alice' })
    site.rows.tenants = {}
    site.fake.clearRequests()
    expect(refusalOf(await browser.get(callback))).toEqual({ status: 404, code: 'connection_unavailable' })
    expect(site.fake.count()).toBe(0)
    site.rows.tenants = { acme: {} }
    const { url } = await browser.follow(await browser.get(callback), callback)
    expect(url).toBe(`${site.at('acme')}/`)
  })
})

describe('a resolver', () => {
  test('that throws or rejects ends the request, tells the operator, and leaves the sign-in page standing', async () => {
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

  test('that never answers is given up after 15 seconds', async () => {
    site = await startSite({ resolver: () => () => new Promise(() => {}) })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const answers = Promise.all([
      site.startAt(new TestBrowser(), 'login'),
      new TestBrowser().get(`${site.at('login')}${CALLBACK}?code=x&state=${'0'.padEnd(23, 'a')}`),
    ])
    let done = false
    const finished = answers.then(() => {
      done = true
    })
    await vi.waitFor(() => expect(vi.getTimerCount()).toBeGreaterThanOrEqual(2), { interval: 5 })
    await vi.advanceTimersByTimeAsync(14_900)
    expect(done).toBe(false)
    await vi.advanceTimersByTimeAsync(200)
    vi.useRealTimers()
    await finished
    for (const answer of await answers) expect(refusalOf(answer)).toEqual({ status: 500, code: 'hook_failed' })
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
  ])('that answers %s is a setup mistake', async (_, nonsense, code) => {
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

  test('that answers another connection the second time refuses the callback', async () => {
    let count = 0
    site = await startSite({ resolver: (_at, _rows, defaults) => () => ({ ...defaults, id: `c${count++}` }) })
    const browser = new TestBrowser()
    const callback = await site.fake.signIn((await site.startAt(browser, 'login')).location, { person: 'alice' })
    expect(refusalOf(await browser.get(callback))).toEqual(STATE_INVALID)
    expect(site.fake.count('token')).toBe(0)
  })
})

test('50 interleaved sign-ins of two tenants with clients of their own do not meet', async () => {
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

test('values as well as functions resolve tenants, and callback URLs are listed once for each client and domain', async () => {
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
