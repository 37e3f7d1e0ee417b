import { connections } from 'passport-bitbucket-signin'
import { startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { atDeadline } from '../support/lab'
import { clientAt, refusalOf, type Site, startSite, TestBrowser } from '../support/site'

let site: Site
afterEach(async () => {
  vi.useRealTimers()
  await site?.close()
})

describe('inheritance', () => {
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
})

describe('changes without a restart', () => {
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
})

describe('a list that hangs', () => {
  const connection = {
    clientID: 'id',
    clientSecret: 'secret',
    callbackURL: 'https://login.example/auth/bitbucket/callback',
  }
  const never = () => new Promise<never>(() => {})

  test('a tenant whose row hangs is left out of callbackURLs(), and the doctor names it', async () => {
    const tenants = (id: string) => (id === 'slow' ? never() : { origins: ['https://acme.example'] })
    const tenantIds = () => ['acme', 'slow']
    site = await startSite({
      resolver: () => connections({ default: connection, tenants, tenantIds, tenant: () => null }),
    })
    const listed = await atDeadline(
      () => site.bitbucket.callbackURLs(),
      () => true,
    )
    expect(listed).toMatchObject([{ tenant: null, origins: ['https://login.example', 'https://acme.example'] }])
    const report = await atDeadline(
      () => site.bitbucket.doctor(undefined, { bitbucket: false }),
      () => true,
    )
    expect(report.findings).toContainEqual(
      expect.objectContaining({ check: 'tenant', message: expect.stringContaining('"slow" cannot sign in') }),
    )
  })

  test.each(['tenantIds', 'default'] as const)(
    'callbackURLs() rejects when `%s` hangs, and says so',
    async (option) => {
      const given = { default: connection, tenants: () => ({}), tenantIds: () => ['acme'], tenant: () => null }
      site = await startSite({ resolver: () => connections({ ...given, [option]: never }) })
      const listed = atDeadline(
        () => site.bitbucket.callbackURLs(),
        () => true,
      )
      await expect(listed).rejects.toThrow(`connections: \`${option}\` has not settled in 15 s.`)
    },
  )
})
