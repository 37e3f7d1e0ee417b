import { createCipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import {
  type BitbucketSignInOptions,
  bitbucketSignIn,
  type Connection,
  connections,
  type LimiterFactory,
  type TenantClients,
} from 'passport-bitbucket-signin'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { Secret } from '../../src/contract/secret'
import { mailboxOf } from '../../src/routes/mail-code'
import { deriveKeys, type KeyPurpose } from '../../src/state/keys'
import { open, seal } from '../../src/state/sealed-cookie'
import { formsOf } from '../support/browser'
import { clientAt, refusalOf, type Site, startSite, TestBrowser } from '../support/site'

let site: Site
afterEach(() => site?.close())

/** `acme` shares the application's client; `evil` brings its own, with its callback on its own host. */
async function startEvil(tenantClients: TenantClients | undefined, more: object = {}): Promise<Site> {
  site = await startSite({
    options: { tenantClients, ...more } as never,
    rows: (at, base) => ({
      default: { ...base, origins: [at('acme')] },
      tenants: { acme: { origins: [at('acme')] } },
    }),
  })
  site.rows.tenants.evil = { ...clientAt(site, 'evil'), trustedProvider: false }
  return site
}

const BITBUCKET = () => new URL(site.fake.url).origin
const victimOf = () =>
  site.accounts.add({
    email: 'alice@example.com',
    emailVerified: true,
    identities: [{ issuer: BITBUCKET(), id: site.fake.person('alice').uuid }],
  })

/** The attacker starts at evil's host and ends with a code that the victim allowed for evil's client. */
async function attack(browser: TestBrowser, tenant = 'evil'): Promise<string> {
  const victim = new TestBrowser()
  const allowed = new URL(await site.fake.signIn((await site.startAt(victim, tenant)).location, { person: 'alice' }))
  const own = new URL(await site.fake.signIn((await site.startAt(browser, tenant)).location, { person: 'bob' }))
  own.searchParams.set('code', allowed.searchParams.get('code') ?? '')
  return own.href
}

describe('a domain whose DNS an attacker controls', () => {
  /** A start in the attacker's browser that a victim consents to; the attacker's server at that host gets the answer. */
  async function received(browser: TestBrowser, tenant: string): Promise<string> {
    const consented = await site.fake.signIn((await site.startAt(browser, tenant)).location, { person: 'alice' })
    return (await new TestBrowser().get(consented)).location || consented
  }

  test("of the shared client opens the account, because `origins` are for the app's own hosts", async () => {
    await startEvil('theirs')
    const victim = victimOf()
    const browser = new TestBrowser()
    await browser.get(await received(browser, 'acme'))
    expect(await site.meAt(browser, 'acme')).toBe(victim.id)
  })

  test("of a client that is 'theirs' does not", async () => {
    await startEvil('theirs')
    const victim = victimOf()
    const browser = new TestBrowser()
    await browser.get(await received(browser, 'evil'))
    expect(await site.meAt(browser, 'evil')).not.toBe(victim.id)
    const asked = site.accounts.calls.find(({ name }) => name === 'getUserByIdentity')
    expect(asked?.input.identity).toMatchObject({ issuer: `${BITBUCKET()}#tenant=evil` })
  })
})

describe("case 1: a code that a victim allowed for a tenant's own client", () => {
  test("opens the victim's account under 'ours', because the app says that the client is its own", async () => {
    await startEvil('ours')
    const victim = victimOf()
    const browser = new TestBrowser()
    await browser.get(await attack(browser))
    expect(await site.meAt(browser, 'evil')).toBe(victim.id)
  })

  test("is another identity under 'theirs', with an issuer that names the tenant", async () => {
    await startEvil('theirs')
    victimOf()
    const browser = new TestBrowser()
    await browser.get(await attack(browser))
    expect(await site.meAt(browser, 'evil')).toBeNull()
    const { input } = site.accounts.calls.filter(({ name }) => name === 'getUserByIdentity').at(-1) ?? {}
    expect(input).toMatchObject({
      identity: { issuer: `${BITBUCKET()}#tenant=evil`, id: site.fake.person('alice').uuid },
      context: { tenant: 'evil' },
    })
  })

  test('is never requested without an answer: nothing is offered, and each attempt is reported', async () => {
    await startEvil(undefined)
    const browser = new TestBrowser()
    expect(refusalOf(await site.startAt(browser, 'evil'))).toEqual({ status: 404, code: 'connection_unavailable' })
    expect(site.errors.map(({ code }) => code)).toEqual(['connection_unavailable'])
    expect(site.errors[0]?.message).toContain('`tenantClients` is missing: tenant "evil" brings its own OAuth client')
    expect(await site.shownAt('evil')).toEqual({ offered: false, button: '' })
    expect((await site.signInAt(browser, 'acme', 'alice')).url).toBe(`${site.at('acme')}/`)
  })
})

describe('tenantClients', () => {
  const values = { clientID: 'k', clientSecret: 's', callbackURL: 'https://app.example/auth/bitbucket/callback' }
  const own = { clientID: 'own', clientSecret: 's', callbackURL: 'https://evil.example/auth/bitbucket/callback' }
  const construct = (tenants: object, tenantClients?: unknown) =>
    bitbucketSignIn({
      passport: { authenticate: () => undefined },
      secrets: ['x'.repeat(32)],
      connection: connections({ default: values, tenants: tenants as never, tenant: () => null }),
      ...(tenantClients !== undefined && { tenantClients }),
      sendEmailCode: () => undefined,
      accounts: {
        getUserByIdentity: () => null,
        getAccountsByEmail: () => [],
        createUser: () => ({ id: '1' }),
        linkIdentity: () => undefined,
        listIdentities: () => [],
        describeUser: () => ({ label: '', email: null, emailVerified: false }),
      },
    } as unknown as BitbucketSignInOptions<{ id: string }>).close()

  test.each([
    ['its own id', own],
    ["the application's id with another secret", { clientID: 'k', clientSecret: 'other' }],
  ])('is required at construction for a tenant value that sets %s', (_what, tenant) => {
    expect(() => construct({ evil: tenant })).toThrow(/`tenantClients` is missing: tenant "evil"/)
    for (const answer of ['ours', 'theirs', () => 'ours']) construct({ evil: tenant }, answer)
    expect(() => construct({ evil: tenant }, () => 'mine')).toThrow("must return 'ours' or 'theirs'")
    expect(() => construct({ evil: tenant }, 'mine')).toThrow("must be 'ours', 'theirs' or a function")
  })

  test("does not count the application's client as the tenant's own", () => {
    construct({ same: { clientID: 'k', clientSecret: 's' } })
  })

  test('is refused as a field of a connection or of a row', () => {
    expect(() => construct({ evil: { ...own, tenantClients: 'ours' } })).toThrow('unknown option `tenantClients`')
  })

  test('is called as a function for each client except the shared one', async () => {
    const asked: unknown[] = []
    await startEvil((clientID, tenant) => {
      asked.push([clientID, tenant])
      return 'theirs'
    })
    await site.signInAt(new TestBrowser(), 'acme', 'alice')
    expect(asked).toEqual([])
    await site.startAt(new TestBrowser(), 'evil')
    expect(asked).toEqual([['evil-key', 'evil']])
  })
})

describe('a resolver function', () => {
  const open = async (name: 'named' | 'unnamed', tenantClients?: TenantClients) => {
    site = await startSite({
      options: { tenantClients } as never,
      resolver: (at, _rows, base) => (req) => {
        const tenant = req.hostname.startsWith('evil') ? 'evil' : null
        if (tenant === null) return base
        const client = { clientID: 'evil-key', clientSecret: 'evil-secret' }
        const callbackURL = `${at('evil')}/auth/bitbucket/callback`
        return { ...base, ...client, callbackURL, id: 'evil', ...(name === 'named' && { tenant }) }
      },
    })
    clientAt(site, 'evil')
  }

  test.each(['named', 'unnamed'] as const)(
    'with a second client is refused for it without an answer: %s',
    async (name) => {
      await open(name)
      expect((await site.startAt(new TestBrowser(), 'login')).status).toBe(302)
      expect(refusalOf(await site.startAt(new TestBrowser(), 'evil')).code).toBe('connection_unavailable')
      expect(site.errors).toHaveLength(1)
      expect((await site.startAt(new TestBrowser(), 'login')).status).toBe(302)
    },
  )

  test.each([
    [undefined, 1],
    ['theirs', 1],
    ['ours', 0],
  ] as const)(
    "warns once that the first client counts as the application's: tenantClients %s",
    async (answer, count) => {
      const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
      onTestFinished(() => warned.mockRestore())
      await open('unnamed', answer)
      for (let visit = 0; visit < 2; visit++) await site.startAt(new TestBrowser(), 'login')
      expect(warned.mock.calls.filter(([text]) => String(text).includes('counts as the application'))).toHaveLength(
        count,
      )
    },
  )

  test('refuses a named tenant however early it comes, and an unnamed one cannot be theirs', async () => {
    await open('named')
    expect(refusalOf(await site.startAt(new TestBrowser(), 'evil')).code).toBe('connection_unavailable')
    await site.close()
    await open('unnamed', 'theirs')
    await site.startAt(new TestBrowser(), 'login')
    expect(refusalOf(await site.startAt(new TestBrowser(), 'evil')).code).toBe('connection_unavailable')
    expect(site.errors[0]?.message).toContain('names none. Return `tenant`')
  })

  test('asks a function about a client that names no tenant, so that coming first is no way in', async () => {
    await open('unnamed', (clientID) => (clientID === 'evil-key' ? 'theirs' : 'ours'))
    expect((await site.startAt(new TestBrowser(), 'evil')).status).toBeGreaterThanOrEqual(400)
    expect((await site.startAt(new TestBrowser(), 'login')).status).toBe(302)
    expect(refusalOf(await site.startAt(new TestBrowser(), 'evil')).code).toBe('connection_unavailable')
  })

  test("separates a named tenant under 'theirs', whichever came first", async () => {
    await open('named', 'theirs')
    // The fake is on loopback, which a tenant may only reach where the application's callback is as well.
    await site.startAt(new TestBrowser(), 'login')
    await site.signInAt(new TestBrowser(), 'evil', 'alice')
    await site.signInAt(new TestBrowser(), 'login', 'alice')
    const created = site.accounts.calls.filter(({ name }) => name === 'getUserByIdentity')
    expect(new Set(created.map(({ input }) => (input as { identity: { issuer: string } }).identity.issuer))).toEqual(
      new Set([`${BITBUCKET()}#tenant=evil`, BITBUCKET()]),
    )
  })
})

// Every step at every kind of tenant is in every-client.test.ts.
describe("under 'theirs'", () => {
  test('inherits no trust for an own client, and does for the shared one', async () => {
    await startEvil('theirs')
    const { trustedProvider: _, ...own } = site.rows.tenants.evil ?? {}
    site.rows.tenants.evil = own
    expect((await site.signInAt(new TestBrowser(), 'evil', 'alice')).url).toBe(
      `${site.at('evil')}/auth/bitbucket/email`,
    )
    expect((await site.signInAt(new TestBrowser(), 'acme', 'carol')).url).toBe(`${site.at('acme')}/`)
  })

  test('lists and unlinks identities of every issuer on /link, and counts those that a connection serves', async () => {
    await startEvil('theirs')
    const { uuid } = site.fake.person('alice')
    const issuers = [BITBUCKET(), `${BITBUCKET()}#tenant=evil`, `${BITBUCKET()}#tenant=gone`]
    const user = site.accounts.add({
      email: 'alice@example.com',
      emailVerified: true,
      password: null,
      identities: issuers.map((issuer) => ({ issuer, id: uuid })),
    })
    const browser = new TestBrowser()
    await browser.post(`${site.at('evil')}/local/${user.id}`, {})
    const unlink = async (issuer: string) => {
      const forms = formsOf((await browser.get(`${site.at('evil')}/auth/bitbucket/link`)).text)
      const form = forms.find(({ fields, action }) => action.endsWith('/unlink') && fields.issuer === issuer)
      return browser.post(`${site.at('evil')}${form?.action}`, form?.fields ?? {})
    }
    const left = () => user.identities.map(({ issuer }) => issuers.indexOf(issuer))
    await unlink(issuers[0] as string)
    expect(left()).toEqual([1, 2])
    expect(refusalOf(await unlink(issuers[1] as string)).code).toBe('last_sign_in_method')
    expect(left()).toEqual([1, 2])
    await unlink(issuers[2] as string)
    expect(left()).toEqual([1])
  })
})

test('reports the other tenants in callbackURLs() and the doctor next to an invalid row', async () => {
  site = await startSite({
    options: { tenantClients: undefined } as never,
    more: { tenantIds: () => ['acme', 'evil', 'broken'] },
    rows: (at) => ({ tenants: { acme: { origins: [at('acme')] }, broken: { callbackURL: 'nonsense' } } }),
  })
  site.rows.tenants.evil = clientAt(site, 'evil')
  expect(await site.bitbucket.callbackURLs()).toMatchObject([
    { tenant: null, origins: [site.at('login'), site.at('acme')] },
  ])
  const { ok, findings } = await site.bitbucket.doctor(undefined, { bitbucket: false })
  const tenants = findings.filter(({ check }) => check === 'tenant').map(({ message }) => message)
  expect(ok).toBe(false)
  expect(tenants).toEqual([
    expect.stringContaining('"evil" cannot sign in: `tenantClients` is missing'),
    expect.stringContaining('"broken" cannot sign in: connection of tenant "broken": `callbackURL`'),
  ])
})

test("a tenant that is 'theirs' cannot reach this machine by writing its own callback on loopback", async () => {
  const inside = 'http://127.0.0.1:6379'
  for (const [base, status] of [
    ['https://app.example', 500],
    ['https://app.corp.internal', 500],
    ['http://localhost:3000', 302],
  ] as const) {
    await startEvil('theirs')
    const callback = '/auth/bitbucket/callback'
    site.rows.default = { ...(site.rows.default as Connection), callbackURL: `${base}${callback}`, origins: [] }
    const endpoints = { authorizationURL: inside, tokenURL: inside, apiURL: inside }
    const callbackURL = `http://localhost:3000${callback}`
    // First a row with the application's client, whose callback must not count as the application's.
    site.rows.tenants.evil = { callbackURL, origins: [] }
    await site.startAt(new TestBrowser(), 'evil')
    site.rows.tenants.evil = { clientID: 'k', clientSecret: 's', callbackURL, endpoints, origins: [] }
    expect([base, (await site.startAt(new TestBrowser(), 'evil')).status]).toEqual([base, status])
    await site.close()
  }
  await startEvil('theirs')
})

test("a refresh with a connection of a tenant that is 'theirs' does not reach this machine either", async () => {
  await startEvil('theirs')
  site.rows.default = {
    ...(site.rows.default as Connection),
    callbackURL: 'https://app.example/auth/bitbucket/callback',
  }
  const inside = 'http://127.0.0.1:6379'
  const endpoints = { authorizationURL: inside, tokenURL: inside, apiURL: inside }
  const own = { clientID: 'k', clientSecret: 's', callbackURL: 'https://evil.example/auth/bitbucket/callback' }
  const connection = { ...own, endpoints, id: 'evil', tenant: 'evil' }
  await expect(site.bitbucket.refreshTokens({ refreshToken: 'r', connection })).rejects.toThrow('private network')
})

describe('emails to one address are counted together', () => {
  const ADDRESS = 'alice@example.com'
  const asked = (id: string, confirmed: boolean) => ({ identity: { issuer: 'x', id }, confirmed })

  test.each([
    ['for each user of Bitbucket that confirmed it', 'https://bitbucket.org', true, 2],
    ['for all users of other servers that confirmed it', 'https://evil.example', true, 1],
    ['for everyone if no server confirmed it', 'https://bitbucket.org', false, 1],
  ])('%s', (_what, server, confirmed, mailboxes) => {
    const keys = ['{alice}', '{mallory}'].map((id) => mailboxOf(server, asked(id, confirmed), ADDRESS))
    expect(new Set(keys).size).toBe(mailboxes)
    expect(keys).not.toContain(mailboxOf(server, asked('{alice}', !confirmed), ADDRESS))
    const other = server.replace('//', '//2.')
    expect(keys.includes(mailboxOf(other, asked('{alice}', confirmed), ADDRESS))).toBe(mailboxes === 1)
  })

  test("for the tenant of a client that is 'theirs' and for the application", async () => {
    const keys = new Set<string>()
    const limiter: LimiterFactory = ({ keyPrefix }) => {
      const count = (key: string) => {
        keys.add(`${keyPrefix} ${key}`)
        return Promise.resolve({ consumedPoints: 1 })
      }
      return { consume: count, get: count }
    }
    await startEvil('theirs', { limiter })
    site.rows.default = { ...(site.rows.default as Connection), trustedProvider: false }
    for (const name of ['evil', 'login']) await site.signInAt(new TestBrowser(), name, 'alice')
    expect(site.mails).toHaveLength(2)
    expect([...keys].filter((key) => key.startsWith('bitbucket.addressMailsPerHour '))).toHaveLength(1)
  })
})

/** Seals as version 0.1 (commit 593a2e6) did: its bytes, under keys of its derivation. */
function sealedByVersion01(purpose: string, name: string, payload: unknown): string {
  const secret = 'test-secret-test-secret-test-secret'
  const key = Buffer.from(hkdfSync('sha256', secret, '', `passport-bitbucket-signin/1/bitbucket/${purpose}`, 32))
  const head = Buffer.alloc(11)
  head.writeUInt8(1)
  createHash('sha256').update(key).digest().copy(head, 1, 0, 4)
  head.writeUIntBE(Date.now(), 5, 6)
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  cipher.setAAD(Buffer.concat([Buffer.from(name), head]))
  const body = Buffer.concat([cipher.update(JSON.stringify(payload)), cipher.final()])
  return Buffer.concat([head, iv, body, cipher.getAuthTag()]).toString('base64url')
}

test('opens nothing that version 0.1 sealed, and the same sealed today', async () => {
  await startEvil('ours')
  const browser = new TestBrowser()
  await site.signInAt(browser, 'evil', 'alice')
  const name = 'bitbucket.p'
  const keysOf = (purpose: KeyPurpose) =>
    deriveKeys([new Secret('test-secret-test-secret-test-secret')], 'bitbucket', purpose)
  const pending = keysOf('pending')
  const payload = open(pending, name, browser.jar(site.at('evil')).get(name) ?? '')?.payload
  expect(payload).toBeDefined()
  const statusWith = async (cookie: string) => {
    const other = new TestBrowser()
    other.jar(site.at('evil')).set(name, cookie)
    return (await other.get(`${site.at('evil')}/auth/bitbucket/email`)).status
  }
  expect(await statusWith(seal(pending, name, payload))).toBe(200)
  expect(await statusWith(sealedByVersion01('pending', name, payload))).toBe(404)
  const purposes = ['transaction', 'pending', 'hand-over', 'state', 'code'] as const
  for (const purpose of purposes) {
    expect(open(keysOf(purpose), 'x', sealedByVersion01(purpose, 'x', { a: 1 }))).toBeUndefined()
    const old = hkdfSync(
      'sha256',
      'test-secret-test-secret-test-secret',
      '',
      `passport-bitbucket-signin/1/bitbucket/${purpose}`,
      32,
    )
    expect(keysOf(purpose)[0].key.export()).not.toEqual(Buffer.from(old))
  }
})
