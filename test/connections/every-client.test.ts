import type { Connection, ConnectionOverride, Identity } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { type Answer, formsOf } from '../support/browser'
import { refusalOf, type Site, startSite, TestBrowser } from '../support/site'

/** The settings of a tenant. */
const SETTINGS = ['own client, ours', 'own client, theirs', 'shared client', 'own endpoints', 'own trust'] as const
type Setting = (typeof SETTINGS)[number]

/**
 * What each step comes to at a tenant of each setting. Alice's identity at Bitbucket belongs to an account of the
 * application, or an account holds her address. An issuer is `application` (Bitbucket alone), `tenant` (Bitbucket and
 * the tenant) or `server` (the tenant's own).
 */
const TABLE: Readonly<Record<string, readonly [string, string, string, string, string]>> = {
  'sign-in': ["application's user", 'code', "application's user", 'code', "application's user"],
  link: ['application', 'tenant', 'application', 'server', 'application'],
  prove: ['application', 'tenant', 'application', 'server', 'linked without a question'],
  pending: ['void', 'void', 'waits', 'void', 'waits'],
  claim: ['application', 'tenant', 'application', 'server', 'application'],
  unlink: ['application', 'application, tenant', 'application', 'application, server', 'application'],
  're-authenticate': ['confirmed', 'reauthentication_mismatch', 'confirmed', 'reauthentication_mismatch', 'confirmed'],
  'hand-over': ['handed over', 'handed over', 'handed over', 'state_invalid', 'handed over'],
  'resolver function': ['application', 'tenant', 'application', 'server', 'application'],
  'client rotation': ['same user', 'same user', 'same user', 'same user', 'same user'],
  'shared -> own': ["application's user", 'code', "application's user", 'code', "application's user"],
}

let own: FakeBitbucket
let site: Site
let setting: Setting
let answer: 'ours' | 'theirs'
let browser: TestBrowser
beforeAll(async () => {
  own = await startFakeBitbucket()
})
afterAll(() => own.close())
afterEach(() => site.close())

async function open(as: Setting, isFunction = false): Promise<void> {
  own.reset()
  setting = as
  answer = as === 'own client, theirs' ? 'theirs' : 'ours'
  browser = new TestBrowser()
  const row = (at: Site['at']) => rowOf({ at, client: 't' })
  site = await startSite({
    options: { tenantClients: (_clientID, tenant) => (tenant === null ? 'ours' : answer) },
    rows: (at, base) => ({ default: { ...base, trustedProvider: false }, tenants: { t: row(at) } }),
    ...(isFunction && {
      resolver: (at, _rows, base) => (req) =>
        req.hostname === 't.localhost'
          ? ({ ...base, trustedProvider: false, ...row(at), id: 't', tenant: 't' } as Connection)
          : { ...base, origins: [at('t')] },
    }),
  })
  register('t', site.at('t'))
}

/** The fields of the tenant; `callbackAt` is its own host unless another one is named. */
function rowOf({ at, client, callbackAt = 't' }: { at: Site['at']; client: string; callbackAt?: string }) {
  const origins = [at('t')]
  const callbackURL = `${at(callbackAt)}/auth/bitbucket/callback`
  const credentials = { clientID: `${client}-key`, clientSecret: `${client}-secret`, callbackURL }
  const rows: Record<Setting, ConnectionOverride> = {
    'own client, ours': { ...credentials, origins },
    'own client, theirs': { ...credentials, origins },
    'shared client': { origins },
    'own endpoints': { ...credentials, origins, endpoints: own.endpoints },
    'own trust': { origins, trustedProvider: true },
  }
  return rows[setting]
}

const upstream = () => (setting === 'own endpoints' ? own : site.fake)

function register(client: string, origin: string): void {
  if (setting === 'shared client' || setting === 'own trust') return
  const callbackURL = `${origin}/auth/bitbucket/callback`
  upstream().addClient({ clientID: `${client}-key`, clientSecret: `${client}-secret`, callbackURL })
}

const issuers = () => {
  const server = new URL(site.fake.url).origin
  return { application: server, tenant: `${server}#tenant=t`, server: new URL(own.url).origin }
}
const nameOf = (issuer: string | undefined) =>
  Object.entries(issuers()).find(([, each]) => each === issuer)?.[0] ?? `${issuer}`
const issuerHere = () => {
  if (setting === 'own client, theirs') return issuers().tenant
  return setting === 'own endpoints' ? issuers().server : issuers().application
}

const alice = (issuer: string) => ({ issuer, id: site.fake.person('alice').uuid })
const addAlice = (more: Partial<TestUser> = {}) =>
  site.accounts.add({ email: 'alice@example.com', emailVerified: true, ...more })
const url = (path: string) => `${site.at('t')}/auth/bitbucket${path}`
const signInLocally = (user: TestUser) => browser.post(`${site.at('t')}/local/${user.id}`, {})

/** Allows it at the server that the tenant uses, and follows to a page or the app. */
async function allow(started: Answer, person = 'alice'): Promise<{ answer: Answer; url: string }> {
  const back = await upstream().signIn(started.location, { person })
  return browser.follow(await browser.get(back), back)
}
const signIn = async (person = 'alice') => allow(await browser.get(url('')), person)

async function submit(
  page: Answer,
  which: (form: { action: string; fields: Record<string, string> }) => boolean,
  more = {},
) {
  const form = formsOf(page.text).find(which)
  const to = `${site.at('t')}${form?.action}`
  return browser.follow(await browser.post(to, { ...form?.fields, ...more }), to)
}

async function enterCode(page: Answer) {
  const { code = '' } = site.mails.at(-1) ?? {}
  return submit(page, ({ action }) => action.endsWith('/verify'), { code })
}

/** The first input of a hook. */
function inputOf(hook: string) {
  const call = site.accounts.calls.find(({ name }) => name === hook)
  if (!call) throw new Error(`${hook} was not called`)
  return call.input as { identity: Identity; remaining: readonly Identity[]; context: { tenant: string } }
}

async function signedInAs(user: TestUser, end: { url: string }): Promise<string> {
  if ((await site.meAt(browser, 't')) === user.id) return "application's user"
  return end.url === url('/email') ? 'code' : end.url
}

const STEPS: Readonly<Record<keyof typeof TABLE, () => Promise<string>>> = {
  async 'sign-in'() {
    const user = addAlice({ identities: [alice(issuers().application)] })
    return signedInAs(user, await signIn())
  },
  async link() {
    const user = addAlice()
    await signInLocally(user)
    await allow(await browser.post(url('/link'), {}))
    return nameOf(user.identities[0]?.issuer)
  },
  async prove() {
    const user = addAlice()
    const { answer: page } = await signIn()
    if (user.identities.length > 0) return 'linked without a question'
    await enterCode(page)
    expect(user.identities).toEqual([])
    await signInLocally(user)
    await submit(await browser.get(url('/continue')), ({ fields }) => fields.choice === 'confirm')
    return nameOf(user.identities[0]?.issuer)
  },
  async pending() {
    await signIn('bob')
    expect((await browser.get(url('/email'))).status).toBe(200)
    answer = answer === 'ours' ? 'theirs' : 'ours'
    const page = await browser.get(url('/email'))
    return page.status === 200 ? 'waits' : refusalOf(page).code === 'pending_missing' ? 'void' : page.text
  },
  async claim() {
    const squatter = addAlice({ emailVerified: false })
    const { answer: page } = await signIn()
    if (squatter.email !== null) await enterCode(page)
    const { identity, context } = inputOf('claimAddress')
    expect(context.tenant).toBe('t')
    return nameOf(identity.issuer)
  },
  async unlink() {
    const gone = alice(`${issuers().application}#tenant=gone`)
    const here = new Set([issuers().application, issuerHere()])
    const user = addAlice({ password: null, identities: [...[...here].map(alice), gone] })
    await signInLocally(user)
    const page = await browser.get(url('/link'))
    await submit(page, ({ action, fields }) => action.endsWith('/unlink') && fields.issuer === gone.issuer)
    const { remaining } = inputOf('unlinkIdentity')
    return remaining.map(({ issuer }) => nameOf(issuer)).join(', ')
  },
  async 're-authenticate'() {
    const user = addAlice({ identities: [alice(issuers().application)] })
    await signInLocally(user)
    const end = await allow(await browser.post(url('/reauthenticate'), {}))
    return refusalOf(end.answer).code ?? 'confirmed'
  },
  async 'hand-over'() {
    site.rows.tenants.t = rowOf({ at: site.at, client: 'central', callbackAt: 'login' })
    register('central', site.at('login'))
    const end = await signIn()
    return refusalOf(end.answer).code ?? (end.url.startsWith(site.at('t')) ? 'handed over' : end.url)
  },
  async 'resolver function'() {
    // A tenant may reach the fake on loopback where the application's callback is there as well.
    await new TestBrowser().get(`${site.at('login')}/auth/bitbucket`)
    await signIn()
    return nameOf(inputOf('getUserByIdentity').identity.issuer)
  },
  async 'client rotation'() {
    site.rows.tenants.t = { ...site.rows.tenants.t, trustedProvider: true }
    await signIn()
    const user = await site.meAt(browser, 't')
    const callbackURL = `${site.at('login')}/auth/bitbucket/callback`
    const rotated = { clientID: 'rotated-key', clientSecret: 'rotated-secret', callbackURL }
    if (setting === 'shared client' || setting === 'own trust') {
      site.fake.addClient(rotated)
      site.rows.default = { ...(site.rows.default as Connection), ...rotated }
    } else {
      register('rotated', site.at('t'))
      site.rows.tenants.t = { ...rowOf({ at: site.at, client: 'rotated' }), trustedProvider: true }
    }
    browser = new TestBrowser()
    await signIn()
    return user !== null && (await site.meAt(browser, 't')) === user ? 'same user' : 'another'
  },
  async 'shared -> own'() {
    const { t: after } = site.rows.tenants
    const as = setting
    setting = 'shared client'
    site.rows.tenants.t = { origins: [site.at('t')], trustedProvider: true }
    await signIn()
    const user = [...site.accounts.users.values()][0] as TestUser
    setting = as
    site.rows.tenants.t = after as ConnectionOverride
    browser = new TestBrowser()
    return signedInAs(user, await signIn())
  },
}

const cells = Object.keys(TABLE).flatMap((step) => SETTINGS.map((each, column) => ({ step, each, column })))

describe(`every step at a tenant of every setting, ${cells.length} cells`, () => {
  test.each(cells)('case 1: $step, $each', async ({ step, each, column }) => {
    await open(each, step === 'resolver function')
    expect(await STEPS[step]?.()).toBe(TABLE[step]?.[column])
  })

  test('covers 11 steps of 5 settings', () => {
    expect(cells).toHaveLength(55)
    expect(Object.keys(STEPS)).toEqual(Object.keys(TABLE))
    console.log(`N1: ${cells.length} cells`)
    return open('shared client')
  })
})
