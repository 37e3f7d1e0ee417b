import { type Connection, type ConnectionOverride, connections, type TenantClients } from 'passport-bitbucket-signin'
import { FAKE_CLIENT } from 'passport-bitbucket-signin/testing'
import { expect, vi } from 'vitest'
import { Secret } from '../../src/contract/secret'
import { openHandOver } from '../../src/state/hand-over'
import { deriveKeys } from '../../src/state/keys'
import { formsOf, TestBrowser } from '../support/browser'
import { atDeadline, browsers, type Lab, MINUTE, SECOND, startEvil, startLab, test, travel } from '../support/lab'
import { handleOf } from '../support/steps'

type Tenants = Record<string, ConnectionOverride>

/** A lab whose tenant is named by a header: the resolver that DESIGN forbids, so that a browser can switch it. */
function startTenants(tenants: Tenants | ((defaults: Connection) => Tenants), defaults: Partial<Connection> = {}) {
  return startLab({
    options: { tenantClients: 'ours' },
    resolver: (given) => {
      const known = new Map(Object.entries(typeof tenants === 'function' ? tenants(given) : tenants))
      return connections({
        default: { ...given, ...defaults },
        // By a function, as from a database: what is wrong in a row is found when it is read.
        tenants: (id) => known.get(id) ?? null,
        tenant: (req) => req.get('x-tenant') ?? (req.query.tenant as string | undefined) ?? null,
      })
    },
  })
}

const as = (tenant: string) => ({ headers: { 'x-tenant': tenant } })

/** The callback of a sign-in that started at one tenant. */
async function callbackOf(lab: Lab, browser: TestBrowser, tenant: string, person = 'alice'): Promise<string> {
  return lab.fake.signIn((await lab.get(browser, '', as(tenant))).location, { person })
}

const SECOND_CLIENT = { clientID: 'second', clientSecret: 'second-secret', callbackURL: '*' }
const second = { clientID: SECOND_CLIENT.clientID, clientSecret: SECOND_CLIENT.clientSecret }

test('TEN-02: refuses a tenant that is switched between start and callback', async () => {
  const lab = await startTenants({ t1: {}, t2: second })
  lab.fake.addClient(SECOND_CLIENT)
  const { victim } = browsers()
  const url = await callbackOf(lab, victim, 't1')
  await lab.refused(victim, () => victim.get(url, as('t2')), { code: 'state_invalid', upstream: 0 })
  await lab.refused(victim, () => victim.get(`${url}&tenant=t2`), { code: 'state_invalid', upstream: 0 })
  await lab.refused(victim, () => victim.get(url), { upstream: 0 })
  await victim.get(url, as('t1'))
  expect(await lab.me(victim)).toBe('u1')
})

test("TEN-03: refuses a callback that a tenant's server relayed to the honest client", async () => {
  const evil = await startEvil()
  const endpoints = {
    authorizationURL: `${evil.url}/authorize`,
    tokenURL: `${evil.url}/token`,
    apiURL: `${evil.url}/2.0`,
  }
  const lab = await startTenants({ t1: {}, t2: { ...second, endpoints } })
  const { victim } = browsers()
  const started = new URL((await lab.get(victim, '', as('t2'))).location)
  expect(started.origin).toBe(evil.url)
  // The hostile server redirects the browser to the honest client with the honest callback and its own state.
  started.searchParams.set('client_id', FAKE_CLIENT.clientID)
  const relayed = await lab.fake.signIn(`${lab.fake.endpoints.authorizationURL}${started.search}`, { person: 'alice' })
  await lab.refused(victim, () => victim.get(relayed, as('t1')), { code: 'state_invalid', upstream: 0 })
  expect(evil.requests.some((request) => request.includes(FAKE_CLIENT.clientSecret))).toBe(false)
  await victim.get(await callbackOf(lab, victim, 't1'), as('t1'))
  expect(await lab.me(victim)).toBe('u1')
})

test('TEN-04: refuses at one tenant a code that was issued to another', async () => {
  const lab = await startTenants({ t1: {}, t2: { ...second, trustedProvider: true } })
  lab.fake.addClient(SECOND_CLIENT)
  const { victim, attacker } = browsers()
  const code = new URL(await callbackOf(lab, victim, 't2')).searchParams.get('code') ?? ''
  const state = new URL(await callbackOf(lab, attacker, 't1', 'bob')).searchParams.get('state') ?? ''
  const mixed = lab.callbackURL({ code, state })
  await lab.refused(attacker, () => attacker.get(mixed, as('t1')), { code: 'upstream_failed', upstream: 1 })
  const form = lab.fake.requests.filter(({ endpoint }) => endpoint === 'token').at(-1)
  const basic = Buffer.from(form?.headers.authorization?.slice(6) ?? '', 'base64').toString()
  expect(basic).toBe(`${FAKE_CLIENT.clientID}:${FAKE_CLIENT.clientSecret}`)
  await victim.get(await callbackOf(lab, victim, 't2'), as('t2'))
  expect(await lab.me(victim)).toBe('u1')
})

test('TEN-06: takes invalid tenant names for no tenant, and least of all for the application level', async () => {
  const lab = await startTenants({ t1: {} })
  const { victim } = browsers()
  const odd = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '..',
    '../t1',
    'T1',
    't1 x',
    'unknown',
    'x'.repeat(10_000),
  ]
  for (const tenant of odd) {
    const answer = await lab.get(victim, `?tenant=${encodeURIComponent(tenant)}`)
    expect([tenant.slice(0, 20), answer.status, answer.location]).toEqual([tenant.slice(0, 20), 404, ''])
  }
  for (const query of ['?tenant=', '?tenant=t1&tenant=t1']) {
    expect((await lab.get(victim, query)).status).toBe(404)
  }
  await victim.get(await callbackOf(lab, victim, 't1'), as('t1'))
  expect(await lab.me(victim)).toBe('u1')
  // A table that answers with what every object has: an empty override would inherit everything.
  const table: Tenants = { t1: {} }
  const careless = await startLab({
    resolver: (given) =>
      connections({ default: given, tenants: (id) => table[id] ?? null, tenant: (req) => req.get('x-tenant') ?? null }),
  })
  for (const tenant of ['__proto__', 'constructor', 'toString', '..', ' ']) {
    expect([tenant, (await careless.get(victim, '', as(tenant))).status]).toEqual([tenant, 404])
  }
  expect((await careless.get(victim, '', as('t1'))).status).toBe(302)
})

test('TEN-08: the operator is notified of a foreign issuer, which may be how the server calls itself now', async () => {
  const told: string[] = []
  const lab = await startLab({ options: { onError: ({ code, message }) => void told.push(`${code}: ${message}`) } })
  try {
    const victim = new TestBrowser()
    const url = await lab.callback(victim, 'alice')
    await lab.refused(victim, () => victim.get(`${url}&iss=https%3A%2F%2Fevil.example`), {
      code: 'state_invalid',
      upstream: 0,
    })
    expect(told).toEqual([expect.stringMatching(/^state_invalid: The parameter `iss` .* differs/)])
    // Without a sign-in of this browser it is anyone's link.
    await lab.refused(victim, () => new TestBrowser().get(`${url}&iss=x`), { code: 'state_invalid', upstream: 0 })
    expect(told).toHaveLength(1)
  } finally {
    await lab.close()
  }
})

test('TEN-08: refuses a foreign issuer, and accepts the right one and none', async ({ lab, victim }) => {
  const url = await lab.callback(victim, 'alice')
  const own = encodeURIComponent(lab.fake.url)
  const hostile = [
    'https://evil.example',
    'https://bitbucket.org',
    `${lab.fake.url}/`,
    lab.fake.url.toUpperCase(),
    'null',
  ]
  for (const iss of [...hostile.map(encodeURIComponent), `${own}&iss=${own}`, '']) {
    await lab.refused(victim, () => victim.get(`${url}&iss=${iss}`), { code: 'state_invalid', upstream: 0 })
  }
  await victim.get(`${url}&iss=${own}`)
  expect(await lab.me(victim)).toBe('u1')
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('TEN-09: requires endpoints of a tenant to be https, without a login, outside private networks', async () => {
  const hosts = [
    'http://evil.example',
    'file:///etc',
    'ftp://evil.example',
    'https://u:p@evil.example',
    'http://169.254.169.254',
  ]
  hosts.push(
    'https://169.254.169.254',
    'https://10.0.0.1',
    'https://192.168.1.1',
    'https://172.16.0.1',
    'https://[fd00::1]',
  )
  hosts.push(
    'https://[::ffff:10.0.0.1]',
    'https://100.64.0.1',
    'https://0.0.0.0',
    'https://intranet',
    'https://db.internal',
  )
  hosts.push('https://2852039166', 'https://0xa9fea9fe', 'https://[fe80::1]', 'javascript:alert(1)', '//evil.example')
  for (const host of hosts) {
    const endpoints = { authorizationURL: `${host}/a`, tokenURL: `${host}/t`, apiURL: `${host}/2.0` }
    await expect(startLab({ connection: { endpoints } })).rejects.toThrow(/endpoints/)
    const lab = await startTenants({ t1: { ...second, endpoints } })
    const { victim } = browsers()
    const answer = await lab.get(victim, '', as('t1'))
    expect([host, answer.status, answer.location]).toEqual([host, 500, ''])
    expect(answer.text).not.toContain('second-secret')
  }
  const endpoints = {
    authorizationURL: 'https://10.0.0.1/a',
    tokenURL: 'https://10.0.0.1/t',
    apiURL: 'https://10.0.0.1/2',
  }
  await expect(
    startLab({
      connection: { endpoints: { ...endpoints, allowPrivateHosts: true } },
      options: { http: { preconnect: false } },
    }),
  ).resolves.toBeDefined()
})

test("TEN-09: gives a tenant's own endpoints neither the application's secret nor its trust", async () => {
  const evil = await startEvil()
  const endpoints = { authorizationURL: `${evil.url}/a`, tokenURL: `${evil.url}/t`, apiURL: `${evil.url}/2.0` }
  const lab = await startTenants({ t1: { endpoints }, t2: { clientID: 'own' }, t3: {} })
  const { victim } = browsers()
  for (const tenant of ['t1', 't2']) expect((await lab.get(victim, '', as(tenant))).status).toBe(404)
  expect((await lab.get(victim, '', as('t3'))).status).toBe(302)
  expect(evil.requests).toEqual([])
})

test('TEN-10: reads the trust of each tenant separately, off by default', async () => {
  const lab = await startTenants(
    ({ endpoints }) => ({
      trusted: { trustedProvider: true },
      plain: { trustedProvider: false },
      own: { ...second, ...(endpoints && { endpoints }) },
    }),
    { trustedProvider: true },
  )
  lab.fake.addClient(SECOND_CLIENT)
  for (const [tenant, person, confirmed, signedIn] of [
    ['trusted', 'alice', true, true],
    ['plain', 'carol', true, false],
    ['trusted', 'bob', false, false],
    ['plain', 'bob', false, false],
    ['own', 'erin', true, false],
    ['trusted', 'alice', true, true],
  ] as const) {
    const browser = new TestBrowser()
    if (!confirmed) expect(lab.fake.person(person).emails[0]?.confirmed).toBe(false)
    await browser.get(await callbackOf(lab, browser, tenant, person), as(tenant))
    expect([tenant, person, (await lab.me(browser)) !== null]).toEqual([tenant, person, signedIn])
  }
})

test('TEN-12: treats two tenants with one client as two tenants', async () => {
  const lab = await startTenants({ t1: {}, t2: {} })
  const { victim } = browsers()
  const url = await callbackOf(lab, victim, 't1')
  await lab.refused(victim, () => victim.get(url, as('t2')), { code: 'state_invalid', upstream: 0 })
  await victim.get(url, as('t1'))
  expect(await lab.me(victim)).toBe('u1')
})

test('TEN-12: refuses at one tenant a code that is pending at another', async () => {
  const lab = await startTenants({ t1: {}, t2: {} }, { trustedProvider: false })
  const { attacker } = browsers()
  await attacker.get(await callbackOf(lab, attacker, 't1'), as('t1'))
  const code = lab.mails[0]?.code ?? ''
  const { text } = await lab.get(attacker, '/email', as('t1'))
  const pending = handleOf(text)
  await lab.refused(attacker, () => lab.post(attacker, '/email/verify', { pending, code }, as('t2')), {
    code: 'pending_missing',
  })
  await lab.post(attacker, '/email/verify', { pending, code }, as('t1'))
  expect(await lab.me(attacker)).toBe('u1')
})

test('TEN-13: refuses what is under way when its tenant is removed, disabled or gets another client', async () => {
  let tenants: Tenants = { t1: {} }
  const lab = await startLab({
    options: { tenantClients: 'ours' },
    resolver: (defaults) =>
      connections({
        default: defaults,
        tenants: (id) => tenants[id] ?? null,
        tenant: (req) => req.get('x-tenant') ?? null,
      }),
  })
  lab.fake.addClient(SECOND_CLIENT)
  const { victim } = browsers()
  for (const [changed, code] of [
    [{}, 'connection_unavailable'],
    [{ t1: { enabled: false } }, 'connection_unavailable'],
    [{ t1: second }, 'state_invalid'],
  ] as const) {
    const url = await callbackOf(lab, victim, 't1')
    const before = tenants
    tenants = changed
    await lab.refused(victim, () => victim.get(url, as('t1')), { code, upstream: 0 })
    tenants = before
  }
  await victim.get(await callbackOf(lab, victim, 't1'), as('t1'))
  expect(await lab.me(victim)).toBe('u1')
})

test('TEN-14: refuses in bounded time when a resolver throws, hangs or changes its answer', async () => {
  let behave: 'well' | 'throws' | 'rejects' | 'hangs' | 'nonsense' | 'nameless' | 'other' = 'well'
  const lab = await startLab({
    resolver: (defaults) => async () => {
      if (behave === 'throws') throw new Error('the database says secret things')
      if (behave === 'rejects') return Promise.reject(new Error('secret'))
      if (behave === 'hangs') return new Promise<never>(() => {})
      if (behave === 'nonsense') return 'default' as never
      if (behave === 'nameless') return { ...defaults, id: '' }
      return behave === 'other' ? { ...defaults, id: 'other' } : defaults
    },
  })
  const { victim } = browsers()
  const url = await lab.callback(victim, 'alice')
  for (const how of ['throws', 'rejects', 'nonsense', 'nameless', 'other'] as const) {
    behave = how
    await lab.refused(victim, () => victim.get(url), { upstream: 0, reflected: ['secret things'] })
  }
  behave = 'hangs'
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const answer = victim.get(url)
  for (let tick = 0; tick < 100; tick++) await new Promise((resolve) => setImmediate(resolve))
  await vi.advanceTimersByTimeAsync(15_001)
  expect((await answer).status).toBe(500)
  vi.useRealTimers()
  behave = 'well'
  await victim.get(url)
  expect(await lab.me(victim)).toBe('u1')
})

test('TEN-14: caches no look-up that hangs', async () => {
  let asked = 0
  const lookUps: (() => unknown)[] = [() => new Promise(() => {})]
  const lab = await startLab({
    resolver: (given) =>
      connections({
        default: given,
        cacheMs: 10 * MINUTE,
        tenant: () => 't1',
        tenants: () => {
          asked++
          return (lookUps.shift()?.() ?? {}) as ConnectionOverride
        },
      }),
  })
  const start = () => lab.get(browsers().victim, '')
  expect((await atDeadline(start, () => asked > 0)).status).toBe(500)
  expect([(await start()).status, asked]).toEqual([302, 2])
  // What did answer is cached.
  expect([(await start()).status, asked]).toEqual([302, 2])
})

test('TEN-13: voids a pending sign-in when its trust, workspace or client changes', async () => {
  let change: Partial<Connection> = {}
  const lab = await startLab({
    options: { tenantClients: 'ours' },
    resolver: (defaults) => () => ({ ...defaults, ...change }),
  })
  const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true, autoLink: false })
  lab.fake.addClient(SECOND_CLIENT)
  const { victim } = browsers()
  // Confirmed by a trusted provider, and waiting for the owner's own sign-in.
  expect((await lab.signIn(victim, 'alice')).location).toBe('/auth/bitbucket/continue')
  await lab.localSignIn(victim, owner)
  const [form] = formsOf((await lab.get(victim, '/continue')).text)
  for (const [changed, code] of [
    [{ trustedProvider: false }, 'pending_missing'],
    [{ workspaces: ['elsewhere'] }, 'workspace_required'],
    [second, 'pending_missing'],
  ] as const) {
    change = changed
    await lab.refused(victim, () => lab.post(victim, '/continue', { ...form?.fields, choice: 'confirm' }), { code })
  }
  change = {}
  expect((await lab.post(victim, '/continue', { ...form?.fields, choice: 'confirm' })).status).toBe(303)
  expect(owner.identities).toHaveLength(1)
})

test('TEN-13: admits no user without a confirmed membership of their own, known or new', async () => {
  const lab = await startLab({ connection: { workspaces: ['acme'] } })
  const { victim, attacker } = browsers()
  const stranger = await lab.callback(attacker, 'carol')
  await lab.refused(attacker, () => attacker.get(stranger), { code: 'workspace_required' })
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
  await victim.post(`${lab.url}/logout`, {})
  const [{ slug = '', uuid = '' } = {}] = lab.fake.person('alice').workspaces
  const membership = (change: object) => ({
    json: { type: 'workspace_membership', permission: 'member', workspace: { slug, uuid }, ...change },
  })
  for (const answer of [
    membership({ user: { uuid: lab.fake.person('alice').uuid } }),
    membership({ workspace: { slug: 'other', uuid } }),
    membership({ type: 'workspace' }),
    membership({ permission: '' }),
    membership({ permission: 'none' }),
    membership({ permission: 'pending-invitation' }),
    membership({ permission: 'membership' }),
    { status: 201, ...membership({}) },
    { status: 500 },
    { delivery: 'truncate' } as const,
  ]) {
    lab.fake.script('workspace', answer)
    const url = await lab.callback(attacker, 'carol')
    await lab.refused(attacker, () => attacker.get(url), { code: 'upstream_failed' })
  }
  const reported = lab.errors.length
  expect(lab.errors.map(({ code }) => code)).toContain('upstream_failed')
  lab.fake.script('workspace', membership({ permission: 'collaborator' }))
  const outsider = await lab.callback(attacker, 'carol')
  await lab.refused(attacker, () => attacker.get(outsider), { code: 'workspace_required' })
  expect(lab.errors).toHaveLength(reported)
  lab.fake.clearScripts()
  // Gone since the last sign-in.
  lab.fake.updatePerson('alice', { workspaces: [] })
  const gone = await lab.callback(victim, 'alice')
  await lab.refused(victim, () => victim.get(gone), { code: 'workspace_required' })
  lab.fake.updatePerson('alice', { workspaces: [{ slug }] })
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('TEN-15: refuses at one domain a sign-in that is pending at another, with the same cookies', async () => {
  const { lab, at, handOver } = await startDomains({ trustedProvider: false })
  const { victim } = browsers()
  expect((await victim.get(await handOver(victim, 'b'))).location).toBe('/auth/bitbucket/email')
  for (const [name, value] of victim.jar(at('b'))) victim.jar(at('c')).set(name, value)
  const { code = '' } = lab.mails[0] ?? {}
  const verify = (name: string) => victim.post(`${at(name)}/auth/bitbucket/email/verify`, { code })
  expect((await verify('c')).status).toBe(404)
  expect((await verify('b')).status).toBe(303)
  expect((await victim.get(`${at('b')}/me`)).json().user).toBe('u1')
})

async function startDomains(change: Partial<Connection> = {}) {
  const lab = await startLab({
    resolver: (defaults) => {
      const { port } = new URL(defaults.callbackURL)
      const origins = [`http://b.localhost:${port}`, `http://c.localhost:${port}`]
      const connection = { ...defaults, ...change, origins }
      return () => connection
    },
  })
  const { port } = new URL(lab.url)
  const at = (name: string) => `http://${name}.localhost:${port}`
  const handOver = async (browser: TestBrowser, name: string, person = 'alice', returnTo = '/x') => {
    const started = await browser.get(`${at(name)}/auth/bitbucket?returnTo=${encodeURIComponent(returnTo)}`)
    return (await browser.get(await lab.fake.signIn(started.location, { person }))).location
  }
  return { lab, at, handOver }
}

test('TEN-15: accepts a hand-over once, at its domain, in its browser, for a minute', async () => {
  const { lab, at, handOver } = await startDomains()
  const { victim, attacker } = browsers()
  const url = await handOver(victim, 'b')
  expect(url.startsWith(`${at('b')}/auth/bitbucket/callback?handover=`)).toBe(true)
  expect(url).not.toContain('code=')
  const past = victim.copy()
  // Another user's browser, with and without its own sign-in.
  expect((await attacker.get(url)).status).toBe(403)
  await handOver(attacker, 'b', 'bob')
  expect((await attacker.get(url)).status).toBe(403)
  // Another domain, even with the cookies copied there.
  for (const [name, value] of victim.jar(at('b'))) victim.jar(at('c')).set(name, value)
  expect((await victim.get(url.replace(at('b'), at('c')))).status).toBe(403)
  const keys = deriveKeys([new Secret('test-secret-test-secret-test-secret')], 'bitbucket', 'hand-over')
  const sealed = new URL(url).searchParams.get('handover') ?? ''
  expect(openHandOver(keys, sealed, at('b'))).toMatchObject({ origin: at('b') })
  expect(openHandOver(keys, sealed, at('c'))).toBeUndefined()
  // Changed on the way. Not in the last character: some of its bits stand for nothing.
  for (const bent of [
    `${url.slice(0, -8)}${url.at(-8) === 'A' ? 'B' : 'A'}${url.slice(-7)}`,
    `${url}xx`,
    `${url}&handover=x`,
    `${url}&state=x`,
  ]) {
    const { status } = await victim.get(bent)
    if (!bent.endsWith('&state=x')) expect(status).toBe(403)
  }
  expect((await past.get(`${at('b')}/me`)).json().user).toBeNull()
  const fresh = new TestBrowser()
  const late = await handOver(fresh, 'b')
  travel(122 * SECOND)
  expect((await fresh.get(late)).status).toBe(403)
  travel(0)
  const before = lab.upstream()
  expect((await past.get(url)).status).toBe(403)
  expect(lab.upstream()).toBe(before)
})

test('TEN-15: ends an honest hand-over where it began, with its return URL', async () => {
  const { lab, at, handOver } = await startDomains()
  const { victim } = browsers()
  const url = await handOver(victim, 'b')
  expect((await victim.get(`${url}&returnTo=//evil.example`)).location).toBe('/x')
  expect((await victim.get(`${at('b')}/me`)).json().user).toBe('u1')
  expect(await lab.me(victim)).toBeNull()
  expect((await victim.get(url)).location).toBe('/')
  expect((await victim.get(url)).status).toBe(403)
})

test('TEN-15: redirects to no domain that a state was changed to name', async () => {
  const { lab, at } = await startDomains()
  const { attacker } = browsers()
  const state = new URL((await attacker.get(`${at('b')}/auth/bitbucket`)).location).searchParams.get('state') ?? ''
  const [handle = '', , mac = ''] = state.split('.')
  const origin = (url: string) => Buffer.from(url).toString('base64url')
  for (const forged of [
    `${handle}.${origin('https://evil.example')}.${mac}`,
    `${handle}.${origin(at('c'))}.${mac}`,
    `${handle}.${origin('https://evil.example')}.${'A'.repeat(22)}`,
    `${handle}.${origin('https://evil.example')}`,
  ]) {
    const answer = await attacker.get(lab.callbackURL({ code: 'x', state: forged }))
    expect([answer.status, answer.location]).toEqual([403, ''])
  }
  const genuine = await attacker.get(lab.callbackURL({ code: 'x', state }))
  expect(genuine.location.startsWith(at('b'))).toBe(true)
})

test('TEN-15: hands no code over to a domain that is no longer configured', async () => {
  let origins: string[] = []
  const lab = await startLab({ resolver: (defaults) => () => ({ ...defaults, origins }) })
  const { port } = new URL(lab.url)
  const [b, c] = [`http://b.localhost:${port}`, `http://c.localhost:${port}`]
  origins = [b, c]
  const { victim } = browsers()
  const begin = async () => lab.fake.signIn((await victim.get(`${b}/auth/bitbucket`)).location, { person: 'alice' })
  const late = await begin()
  origins = [c]
  const refused = await victim.get(late)
  expect([refused.status, refused.location]).toEqual([403, ''])
  origins = [b, c]
  expect((await victim.get(await begin())).location.startsWith(`${b}/`)).toBe(true)
})

test('TEN-16: starts nothing at a domain that is not configured, and uses its name nowhere', async () => {
  const { lab, at } = await startDomains()
  const { attacker } = browsers()
  for (const host of ['evil.example', 'b.localhost', 'b.localhost.evil.example', 'xb.localhost:1']) {
    const answer = await lab.get(attacker, '', { headers: { host } })
    expect([host, answer.status, answer.location]).toEqual([host, 403, ''])
    expect(answer.text).not.toContain('evil.example')
  }
  expect((await attacker.get(`${at('c')}/auth/bitbucket`)).status).toBe(302)
  const plain = await startLab()
  const location = new URL((await plain.get(attacker, '', { headers: { host: 'evil.example' } })).location)
  expect(location.searchParams.get('redirect_uri')).toBe(`${plain.base}/callback`)
})

test("TEN-09: under 'theirs' lets a tenant's endpoints reach nothing on this machine or in its network", async () => {
  const inside = await startEvil()
  const at = (host: string) => ({
    authorizationURL: `${host}/a`,
    tokenURL: `${host}/t?drop=all`,
    apiURL: `${host}/2.0`,
  })
  const tenants: Tenants = {
    loopback: { ...second, endpoints: at(inside.url) },
    private: { ...second, endpoints: { ...at('http://10.0.0.1'), allowPrivateHosts: true } },
    token: { ...second, endpoints: { ...at('https://gateway.example'), tokenURL: `${inside.url}/t` } },
    public: { ...second, endpoints: at('https://gateway.example') },
    inherited: { ...second },
  }
  const start = (tenantClients: TenantClients) =>
    startLab({
      options: { tenantClients, http: { preconnect: false } },
      resolver: (given) =>
        connections({
          default: { ...given, callbackURL: 'https://app.example/auth/bitbucket/callback' },
          tenants: (id) => tenants[id] ?? null,
          tenant: (req) => req.get('x-tenant') ?? null,
        }),
    })
  const { attacker } = browsers()
  const lab = await start('theirs')
  for (const tenant of ['loopback', 'private', 'token']) {
    const answer = await lab.get(attacker, '', as(tenant))
    expect([tenant, answer.status, answer.location]).toEqual([tenant, 500, ''])
    expect(lab.errors.at(-1)?.message).toContain(`tenant "${tenant}": \`endpoints\``)
  }
  // Controls: public servers, and those that the application's operators chose for everybody.
  expect((await lab.get(attacker, '', as('public'))).location).toContain('https://gateway.example/a?')
  expect((await lab.get(attacker, '', as('inherited'))).location).toContain(lab.fake.url)
  expect(inside.requests).toEqual([])
  // Where the operators set clients they may point inside; this is what such a tenant would have reached.
  const trusted = await start('ours')
  const { location } = await trusted.get(attacker, '', as('loopback'))
  const state = new URL(location).searchParams.get('state') ?? ''
  await trusted.get(attacker, `/callback?${new URLSearchParams({ code: 'any', state })}`, as('loopback'))
  expect(inside.requests[0]).toContain('POST /t?drop=all')
})
