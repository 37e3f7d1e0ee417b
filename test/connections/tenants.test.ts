import type { Connection } from 'passport-bitbucket-signin'
import { connections } from 'passport-bitbucket-signin'
import { startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { travel } from '../support/clock'
import { clientAt, refusalOf, type Site, startSite, TestBrowser } from '../support/site'

let site: Site
afterEach(async () => {
  vi.useRealTimers()
  await site?.close()
})

const UNAVAILABLE = { status: 404, code: 'connection_unavailable' }

describe('inheritance', () => {
  test('lets a tenant override fields one by one and inherit the rest', async () => {
    const base: Connection = {
      clientID: 'base-key',
      clientSecret: 'base-secret',
      callbackURL: 'https://app.example/cb',
      scope: ['repository'],
      trustedProvider: true,
      signUp: false,
      workspaces: ['acme'],
    }
    const resolver = connections({
      default: base,
      tenants: {
        same: {},
        own: { clientID: 'own-key', clientSecret: 'own-secret', scope: false, trustedProvider: false, workspaces: [] },
      },
      tenant: () => null,
    })
    const lookUp = (tenant: string) => resolver.lookUp({ tenant, application: null })
    expect(await lookUp('same')).toEqual({ ...base, id: 'tenant:same', tenant: 'same', application: null })
    expect(await lookUp('own')).toEqual({
      ...base,
      id: 'tenant:own',
      tenant: 'own',
      application: null,
      clientID: 'own-key',
      clientSecret: 'own-secret',
      scope: false,
      trustedProvider: false,
      workspaces: [],
    })
  })

  test('treats an empty column of a row as missing, at both levels', async () => {
    const row = { scope: null, origins: null, workspaces: null, endpoints: null, trustedProvider: null }
    const full = { clientID: 'k', clientSecret: 's', callbackURL: 'https://app.example/cb' }
    const resolver = connections({
      default: async () => ({ ...full, ...row }) as unknown as Connection,
      tenants: async () => ({ ...row, clientID: null, clientSecret: null, signUp: false }) as never,
      tenant: () => null,
    })
    expect(await resolver.lookUp({ tenant: 'acme', application: null })).toEqual({
      ...full,
      signUp: false,
      id: 'tenant:acme',
      tenant: 'acme',
      application: null,
    })
  })

  test('refuses half of the credentials instead of adding the other half from the application level', async () => {
    site = await startSite({
      rows: () => ({ tenants: { half: { clientID: 'k' }, other: { clientSecret: 's' }, whole: {} } }),
    })
    for (const name of ['half', 'other']) {
      expect(refusalOf(await site.startAt(new TestBrowser(), name))).toEqual(UNAVAILABLE)
    }
    expect((await site.startAt(new TestBrowser(), 'whole')).status).toBe(302)
  })

  test('visible: false hides a connection that works', async () => {
    site = await startSite({
      rows: (at) => ({ tenants: { quiet: { callbackURL: `${at('quiet')}/auth/bitbucket/callback`, visible: false } } }),
    })
    expect(await site.shownAt('quiet')).toEqual({ offered: false, button: '' })
    const browser = new TestBrowser()
    await site.signInAt(browser, 'quiet', 'alice')
    expect(await site.meAt(browser, 'quiet')).toBe('u1')
  })

  test('opens or closes sign-up for each tenant separately', async () => {
    site = await startSite({
      rows: (at) => ({
        tenants: {
          open: { callbackURL: `${at('open')}/auth/bitbucket/callback` },
          closed: { callbackURL: `${at('closed')}/auth/bitbucket/callback`, signUp: false },
        },
      }),
    })
    const refused = await site.signInAt(new TestBrowser(), 'closed', 'alice')
    expect(refusalOf(refused.answer)).toEqual({ status: 403, code: 'sign_up_disabled' })
    expect(site.accounts.users.size).toBe(0)
    await site.signInAt(new TestBrowser(), 'open', 'alice')
    const known = new TestBrowser()
    await site.signInAt(known, 'closed', 'alice')
    expect(await site.meAt(known, 'closed')).toBe('u1')
  })

  test('reads the trust flag of each tenant at each request', async () => {
    site = await startSite({
      rows: (at, defaults) => ({
        default: { ...defaults, trustedProvider: false },
        tenants: {
          trusting: { callbackURL: `${at('trusting')}/auth/bitbucket/callback`, trustedProvider: true },
          careful: { callbackURL: `${at('careful')}/auth/bitbucket/callback` },
        },
      }),
    })
    for (const [name, person] of [
      ['trusting', 'p1'],
      ['careful', 'p2'],
      ['trusting', 'p3'],
      ['careful', 'p4'],
    ] as const) {
      site.fake.addPerson({ key: person })
      const before = site.mails.length
      const browser = new TestBrowser()
      const { url } = await site.signInAt(browser, name, person)
      const trusted = name === 'trusting'
      expect(new URL(url).pathname).toBe(trusted ? '/' : '/auth/bitbucket/email')
      expect(site.mails.length - before).toBe(trusted ? 0 : 1)
      expect((await site.meAt(browser, name)) !== null).toBe(trusted)
    }
    site.fake.addPerson({ key: 'unconfirmed', emails: [{ address: 'x@example.com', primary: true, confirmed: false }] })
    const { url } = await site.signInAt(new TestBrowser(), 'trusting', 'unconfirmed')
    expect(new URL(url).pathname).toBe('/auth/bitbucket/email')
  })

  test('gives own endpoints their own issuer, without inherited credentials or trust', async () => {
    const gateway = await startFakeBitbucket()
    try {
      site = await startSite({
        rows: (at, defaults) => ({
          default: { ...defaults, trustedProvider: true },
          tenants: {
            bare: { endpoints: gateway.endpoints },
            own: {
              endpoints: gateway.endpoints,
              clientID: 'gw-key',
              clientSecret: 'gw-secret',
              callbackURL: `${at('own')}/auth/bitbucket/callback`,
            },
          },
        }),
      })
      gateway.addClient({ clientID: 'gw-key', clientSecret: 'gw-secret', callbackURL: '*' })
      expect(refusalOf(await site.startAt(new TestBrowser(), 'bare'))).toEqual(UNAVAILABLE)

      const browser = new TestBrowser()
      const started = await site.startAt(browser, 'own')
      const callback = await browser.get(await gateway.signIn(started.location, { person: 'alice' }))
      expect(callback.location).toBe('/auth/bitbucket/email')
      const [call] = site.accounts.calls.filter(({ name }) => name === 'getUserByIdentity').slice(-1)
      expect(call?.input.identity).toEqual({ issuer: gateway.url, id: gateway.person('alice').uuid })
      expect(gateway.requests.some(({ headers }) => headers.authorization?.includes(btoa('fake-client-id:')))).toBe(
        false,
      )
    } finally {
      await gateway.close()
    }
  })

  test('builds the issuer from all three servers, so that no gateway can borrow the name of another', async () => {
    const [gateway, evil] = await Promise.all([startFakeBitbucket(), startFakeBitbucket()])
    try {
      site = await startSite({
        rows: (at) => {
          const callbackURL = `${at('own')}/auth/bitbucket/callback`
          const endpoints = { ...evil.endpoints, authorizationURL: gateway.endpoints.authorizationURL }
          return {
            tenants: { own: { endpoints, clientID: 'k', clientSecret: 's', callbackURL, trustedProvider: true } },
          }
        },
      })
      evil.addClient({ clientID: 'k', clientSecret: 's', callbackURL: '*' })
      const browser = new TestBrowser()
      const { location } = await site.startAt(browser, 'own')
      expect(location.startsWith(gateway.endpoints.authorizationURL)).toBe(true)
      const atEvil = location.replace(gateway.url, evil.url)
      expect((await browser.get(await evil.signIn(atEvil, { person: 'alice' }))).location).toBe('/')
      const [user] = site.accounts.users.values()
      expect(user?.identities[0]?.issuer).toBe(`${gateway.url} ${evil.url}`)
    } finally {
      await Promise.all([gateway.close(), evil.close()])
    }
  })
})

describe('keys', () => {
  const ODD = [
    ['__proto__', '__proto__'],
    ['constructor', 'constructor'],
    ['toString', 'toString'],
    ['hasOwnProperty', 'hasOwnProperty'],
    ['empty', ''],
    ['a dot', '.'],
    ['two dots', '..'],
    ['10 kB', 'x'.repeat(10_240)],
    ['a zero byte', 'acme\0'],
    ['a lone surrogate', '\ud800'],
    ['unknown', 'nobody'],
    ['undefined', undefined],
    ['a number', 0],
    ['true', true],
    ['a list', ['acme']],
    ['an object', { toString: () => 'acme' }],
  ] as const
  const full = { clientID: 'k', clientSecret: 's', callbackURL: 'https://app.example/auth/bitbucket/callback' }
  // What a plain object answers to the name of a prototype's property.
  const careless: Record<string, object> = { acme: {} }

  test.each(ODD)('refuses %s as tenant or application, also with a careless look-up', async (_, key) => {
    // The last one finds anything, as one that reads files or folds names might: an odd key never gets that far.
    const finds = key === 'nobody' ? null : {}
    for (const tenants of [careless, (tenant: string) => careless[tenant] ?? null, () => finds]) {
      const resolve = connections({ default: full, tenants, tenant: () => key as never })
      expect(await resolve({} as never)).toBeNull()
    }
    const allowed = connections({
      default: { ...full, applications: ['board'] },
      application: () => key as never,
    })
    expect(await allowed({} as never)).toBeNull()
  })

  test('control: accepts a known tenant, and the application level for null', async () => {
    for (const tenants of [careless, (tenant: string) => careless[tenant] ?? null]) {
      expect(await connections({ default: full, tenants, tenant: () => 'acme' })({} as never)).toMatchObject(full)
      expect(await connections({ default: full, tenants, tenant: async () => null })({} as never)).toMatchObject(full)
    }
  })

  test.each([
    ['true', true],
    ['a text', 'acme'],
    ['a list', []],
    ['a number', 1],
    ['a function', () => ({})],
  ])(
    'treats %s from `tenants` or `default` as a fault, not as a tenant that inherits everything',
    async (_, nonsense) => {
      site = await startSite({
        resolver: (_at, { default: base }) =>
          connections({ default: base, tenants: () => nonsense as never, tenant: () => 'acme' }),
      })
      expect(refusalOf(await site.startAt(new TestBrowser(), 'acme'))).toEqual({ status: 500, code: 'hook_failed' })
      expect(String(site.errors[0]?.cause)).toContain('`tenants` must return an object, or null')
      const none = connections({ default: () => nonsense as never }).lookUp({ tenant: null, application: null })
      await expect(none).rejects.toThrow('`default` must return an object, or null')
    },
  )
})

describe('values of connections', () => {
  const full = { clientID: 'k', clientSecret: 's', callbackURL: 'https://app.example/auth/bitbucket/callback' }
  const endpoints = {
    authorizationURL: 'https://gw.example/authorize',
    tokenURL: 'https://gw.example/token',
    apiURL: 'https://gw.example/2.0',
  }
  test.each([
    [{ tenants: {}, tennant: () => null }, 'connections: unknown option `tennant`. Did you mean `tenant`?'],
    [{}, 'connections: neither `default` nor `tenants` is set.'],
    [{ default: { ...full, trustedProvider: 'false' } }, 'connections: default: `trustedProvider` must be a boolean'],
    [{ default: { ...full, clientSecret: '' } }, 'connections: default: `clientSecret`'],
    [{ default: 'https://bitbucket.org' }, 'connections: `default` must be an object'],
    [{ default: full, tenants: { acme: { trustedProvidr: true } } }, 'Did you mean `trustedProvider`?'],
    [{ default: full, tenants: { acme: { id: 'x' } } }, 'connections: tenants.acme: unknown option `id`'],
    [{ default: full, tenants: { acme: { clientID: 'k' } } }, 'tenants.acme: Set both `clientID` and `clientSecret`'],
    [
      { default: full, tenants: { acme: { endpoints } } },
      'tenants.acme: A level with its own `endpoints` needs its own `clientID`',
    ],
    [{ default: full, tenants: { constructor: {} } }, 'connections: tenants: `constructor` cannot be an id'],
    [{ default: full, tenants: { acme: true } }, 'connections: `tenants` must hold an object for each tenant id'],
    [{ default: full, cacheMs: -1 }, 'connections: `cacheMs` must be milliseconds, 0 or more'],
    [{ default: full, cacheMs: Number.NaN }, 'connections: `cacheMs` must be milliseconds, 0 or more'],
    [{ default: full, tenants: { acme: {} } }, 'connections: `tenants` is set and `tenant` is not'],
    [{ default: full, tenants: () => null }, 'connections: `tenants` is set and `tenant` is not'],
    [{ default: full, tenantIds: () => [] }, 'connections: `tenantIds` is only for `tenants` as a function'],
    [{ default: { ...full, applications: ['a'] } }, 'connections: `applications` is set and `application` is not'],
    [
      { default: full, tenants: { acme: { applications: [] } }, tenant: () => null },
      'connections: `applications` is set and `application` is not',
    ],
    [{ default: full, tenant: 'acme' }, 'connections: `tenant` must be a function of the request'],
  ])('case 26: are refused if they are invalid: %j', (options, message) => {
    expect(() => connections(options as never)).toThrow(message)
  })

  test.each([
    'http://gw.example',
    'file:///etc/passwd',
    'https://user:pass@gw.example',
    'https://169.254.169.254',
    'http://169.254.169.254',
    'https://10.0.0.1',
    'https://[fd00::1]',
    'https://metadata.internal',
    'javascript:alert(1)',
  ])('refuse endpoints at %s, for the application level and for a later row', async (url) => {
    const bad = { authorizationURL: `${url}/a`, tokenURL: `${url}/t`, apiURL: `${url}/2.0` }
    expect(() => connections({ default: { ...full, endpoints: bad } })).toThrow('endpoints')
    site = await startSite({
      rows: (at) => ({
        tenants: { acme: { ...full, callbackURL: `${at('acme')}/auth/bitbucket/callback`, endpoints: bad } },
      }),
    })
    expect(refusalOf(await site.startAt(new TestBrowser(), 'acme'))).toEqual({
      status: 500,
      code: 'configuration_invalid',
    })
    expect(site.errors[0]?.message).toContain('connection of tenant "acme": `endpoints')
    expect(await site.shownAt('acme')).toEqual({ offered: false, button: '' })
  })
})

describe('changes without a restart', () => {
  test('refuse the next request of a disabled connection, also one in flight', async () => {
    site = await startSite({
      rows: (at) => ({ tenants: { acme: { callbackURL: `${at('acme')}/auth/bitbucket/callback` } } }),
    })
    const { acme } = site.rows.tenants
    const browser = new TestBrowser()
    const callback = await site.fake.signIn((await site.startAt(browser, 'acme')).location, { person: 'alice' })
    site.rows.tenants.acme = { ...acme, enabled: false }
    site.fake.clearRequests()
    expect(await site.shownAt('acme')).toEqual({ offered: false, button: '' })
    expect(refusalOf(await browser.get(callback))).toEqual(UNAVAILABLE)
    expect(site.fake.count()).toBe(0)
    site.rows.tenants.acme = acme ?? {}
    await browser.get(callback)
    expect(await site.meAt(browser, 'acme')).toBe('u1')
  })

  test('apply trust at the next callback', async () => {
    site = await startSite({
      rows: (at) => ({ tenants: { acme: { callbackURL: `${at('acme')}/auth/bitbucket/callback` } } }),
    })
    const { acme } = site.rows.tenants
    for (const [trustedProvider, person, path] of [
      [false, 'alice', '/auth/bitbucket/email'],
      [true, 'carol', '/'],
      [false, 'erin', '/auth/bitbucket/email'],
    ] as const) {
      const browser = new TestBrowser()
      site.rows.tenants.acme = { ...acme, trustedProvider: !trustedProvider }
      const callback = await site.fake.signIn((await site.startAt(browser, 'acme')).location, { person })
      site.rows.tenants.acme = { ...acme, trustedProvider }
      expect((await browser.get(callback)).location).toBe(path)
    }
  })

  test('void a pending sign-in when trust is withdrawn', async () => {
    site = await startSite({
      rows: (at) => ({
        tenants: { acme: { callbackURL: `${at('acme')}/auth/bitbucket/callback`, trustedProvider: true } },
      }),
      options: { policy: { matchingAccount: 'prove' } },
    })
    const user = site.accounts.add({ email: 'alice@example.com', emailVerified: true })
    const browser = new TestBrowser()
    expect((await site.signInAt(browser, 'acme', 'alice')).url).toContain('/continue')
    await browser.post(`${site.at('acme')}/local/${user.id}`, {})
    const page = () => browser.get(`${site.at('acme')}/auth/bitbucket/continue`)
    expect((await page()).status).toBe(200)
    site.rows.tenants.acme = { ...site.rows.tenants.acme, trustedProvider: false }
    expect(refusalOf(await page())).toEqual({ status: 404, code: 'pending_missing' })
    const post = await browser.post(`${site.at('acme')}/auth/bitbucket/continue`, { choice: 'confirm' })
    expect(refusalOf(post)).toEqual({ status: 404, code: 'pending_missing' })
    expect(user.identities).toEqual([])
  })

  test('use a rotated client secret at the next request, also for a sign-in in flight', async () => {
    site = await startSite()
    const acme = clientAt(site, 'acme')
    site.rows.tenants.acme = acme
    const browser = new TestBrowser()
    const callback = await site.fake.signIn((await site.startAt(browser, 'acme')).location, { person: 'alice' })
    const { trustedProvider: _, ...client } = acme
    site.fake.addClient({ ...client, clientSecret: 'rotated' })
    site.rows.tenants.acme = { ...acme, clientSecret: 'rotated' }
    await browser.get(callback)
    expect(await site.meAt(browser, 'acme')).toBe('u1')
  })

  test.each([
    ['client', (acme: object) => ({ ...acme, clientID: 'other-key', clientSecret: 'other-secret' })],
    ['callback', (acme: object) => ({ ...acme, callbackURL: 'https://moved.example/auth/bitbucket/callback' })],
    [
      'endpoints',
      (acme: object) => ({
        ...acme,
        endpoints: {
          authorizationURL: 'http://127.0.0.1:1/a',
          tokenURL: 'http://127.0.0.1:1/t',
          apiURL: 'http://127.0.0.1:1/2',
        },
      }),
    ],
  ])('void the sign-ins in flight on a connection whose %s changed, and no others', async (_, change) => {
    site = await startSite()
    const acme = clientAt(site, 'acme')
    site.rows.tenants = { acme, globex: clientAt(site, 'globex') }
    const started = async (name: string) => {
      const browser = new TestBrowser()
      const callback = await site.fake.signIn((await site.startAt(browser, name)).location, { person: 'alice' })
      return { browser, callback }
    }
    const [ended, other] = [await started('acme'), await started('globex')]
    site.rows.tenants.acme = change(acme)
    site.fake.clearRequests()
    const answer = await ended.browser.get(ended.callback)
    expect(refusalOf(answer)).toEqual({ status: 403, code: 'state_invalid' })
    expect(answer.text).toContain('belongs to settings that have changed since')
    expect(site.fake.count()).toBe(0)
    expect((await other.browser.get(other.callback)).location).toBe('/')
  })

  test('take effect after cacheMs, and never cache a failure', async () => {
    let reads = 0
    let fails = false
    let enabled = true
    const resolve = connections({
      default: async () => {
        reads++
        if (fails) throw new Error('database down')
        return { clientID: 'k', clientSecret: 's', callbackURL: 'https://app.example/cb', enabled }
      },
      cacheMs: 1000,
    })
    fails = true
    await expect(resolve({} as never)).rejects.toThrow('database down')
    fails = false
    expect(await resolve({} as never)).not.toBeNull()
    enabled = false
    expect(await resolve({} as never)).not.toBeNull()
    expect(reads).toBe(2)
    travel(1001)
    expect(await resolve({} as never)).toBeNull()
    expect(reads).toBe(3)
  })
})
