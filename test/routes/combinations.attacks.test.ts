import https = require('node:https')
import net = require('node:net')

import type { Request } from 'express'
import { BitbucketStrategy, type Connection, connections } from 'passport-bitbucket-signin'
import { FAKE_CLIENT, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { expect } from 'vitest'
import {
  afterwards,
  browsers,
  GOOD_TOKEN,
  jsonBytes,
  MINUTE,
  ourCookies,
  sessionOf,
  startEvil,
  startLab,
  startRawBitbucket,
  startStrategyApp,
  test,
  travel,
} from '../support/lab'
import { type SiteOptions, startSite } from '../support/site'
import { errorOf } from '../support/steps'

const CALLBACK = '/auth/bitbucket/callback'
const express = process.env.ATTACKS_EXPRESS === '4' ? ({ express: 4 } as const) : {}

/** An honest tenant and one whose Bitbucket is a server of the attacker, each with a domain, and a central callback. */
async function startMixUp(more: SiteOptions = {}) {
  const evil = await startEvil()
  const endpoints = {
    authorizationURL: `${evil.url}/authorize`,
    tokenURL: `${evil.url}/token`,
    apiURL: `${evil.url}/2.0`,
  }
  const site = await startSite({
    ...express,
    rows: (at) => ({
      tenants: {
        honest: { origins: [at('honest')] },
        evil: { origins: [at('evil')], clientID: 'evil', clientSecret: 'evil', endpoints },
      },
    }),
    ...more,
  })
  afterwards(() => site.close())
  /** The redirect of the attacker's server for a browser that started there: Bitbucket, with the honest client. */
  async function relay(state: string): Promise<string> {
    const { clientID, callbackURL } = site.rows.default as Connection
    const asked = { response_type: 'code', client_id: clientID, redirect_uri: callbackURL, state }
    return site.fake.signIn(`${site.fake.endpoints.authorizationURL}?${new URLSearchParams(asked)}`, {
      person: 'alice',
    })
  }
  return { site, evil, relay }
}

/** The ways in which the central host can be told which connection it is for. */
const CENTRAL_HOSTS: readonly SiteOptions[] = [
  // It is the application level's, which the tenants inherit from.
  {},
  // Nothing is offered there.
  { more: { tenant: (req: Request) => req.hostname.replace('.localhost', '') } },
  // A resolver of the app's own names all domains there.
  {
    resolver: (at, rows, defaults) => (req) => {
      const name = req.hostname.replace('.localhost', '')
      return { ...defaults, origins: [at('honest'), at('evil')], ...rows.tenants[name], id: name, tenant: name }
    },
  },
]

test("OWN-01: sends a tenant's own server no code of the honest client from the central callback", async () => {
  for (const options of CENTRAL_HOSTS) {
    const { site, evil, relay } = await startMixUp(options)
    const { victim } = browsers()
    const started = new URL((await site.startAt(victim, 'evil')).location)
    expect(started.origin).toBe(evil.url)
    const central = await relay(started.searchParams.get('state') ?? '')
    const { answer, url } = await victim.follow(await victim.get(central), central)
    expect(new URL(url).origin).toBe(site.at('evil'))
    expect([answer.status, errorOf(answer)]).toEqual([403, 'state_invalid'])
    expect(site.errors.at(-1)?.message).toContain('needs a `callbackURL` on its own host')
    expect(evil.requests).toEqual([])
    expect((await site.signInAt(victim, 'honest', 'alice')).url).toBe(`${site.at('honest')}/`)
    expect(await site.meAt(victim, 'honest')).toBe('u1')
  }
})

test('OWN-01: serves a tenant with its own server at a callback of its own host', async () => {
  const gateway = await startFakeBitbucket()
  afterwards(() => gateway.close())
  const { site } = await startMixUp()
  const { endpoints, origins } = { endpoints: gateway.endpoints, origins: [site.at('also')] }
  const client = { clientID: 'gw', clientSecret: 'gw-secret', callbackURL: site.at('gw') + CALLBACK }
  gateway.addClient(client)
  // Two domains of one tenant, `also` and `gw`; the callback is at one of them.
  site.rows.tenants.gw = { ...client, endpoints, origins, trustedProvider: true }
  const { victim } = browsers()
  const started = await site.startAt(victim, 'gw')
  const url = await gateway.signIn(started.location, { person: 'alice' })
  expect((await victim.follow(await victim.get(url), url)).url).toBe(`${site.at('gw')}/`)
  expect(await site.meAt(victim, 'gw')).toBe('u1')
})

/** Sends what is meant for Bitbucket's hosts to one of our servers; nothing leaves this machine. */
class Detour extends https.Agent {
  readonly port: number
  constructor(url: string) {
    super()
    this.port = Number(new URL(url).port)
  }
  override createConnection(): net.Socket {
    return net.connect(this.port, '127.0.0.1')
  }
}

const BITBUCKET = {
  authorizationURL: 'https://bitbucket.org/site/oauth2/authorize',
  tokenURL: 'https://bitbucket.org/site/oauth2/access_token',
  apiURL: 'https://api.bitbucket.org/2.0',
}

test('OWN-02: does not take a file that a tenant pushed to Bitbucket for an identity', async () => {
  const id = '{aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee}'
  const bitbucket = await startRawBitbucket((path, socket) => {
    if (path.endsWith('/access_token')) socket.write(jsonBytes(GOOD_TOKEN))
    else if (path.endsWith('/emails')) socket.write(jsonBytes({ values: [] }))
    else socket.write(jsonBytes({ type: 'user', uuid: id, display_name: 'Victim' }))
  })
  const commit = '0123456789abcdef0123456789abcdef01234567'
  const files = [
    `https://api.bitbucket.org/2.0/repositories/evil/repo/src/${commit}`,
    `https://bitbucket.org/evil/repo/raw/${commit}`,
  ]
  for (const apiURL of [...files, 'https://api.bitbucket.org/2.0/']) {
    const lab = await startLab({
      connection: { endpoints: { ...BITBUCKET, apiURL } },
      options: { http: { agent: new Detour(bitbucket.url) } },
    })
    lab.accounts.add({ identities: [{ issuer: 'https://bitbucket.org', id }] })
    const { attacker } = browsers()
    const answer = await attacker.get(lab.callbackURL({ code: 'c', state: await lab.state(attacker) }))
    const isFile = files.includes(apiURL)
    expect(answer.location).toBe(isFile ? '/auth/bitbucket/email' : '/')
    expect(await lab.me(attacker)).toBe(isFile ? null : 'u1')
  }
})

test("OWN-03: bounds the codes that a tenant's server can have mailed to a stranger by inventing users", async ({
  untrusted: lab,
}) => {
  const emails = [{ address: 'stranger@example.com', primary: true, confirmed: true }]
  for (let index = 0; index < 8; index++) {
    const person = lab.fake.addPerson({ key: `invented${index}`, emails })
    await lab.signIn(browsers().attacker, person.key)
  }
  expect(lab.mails.map(({ to }) => to)).toEqual(Array(5).fill('stranger@example.com'))
  // Other addresses have a budget of their own.
  await lab.pendingCode(browsers().victim, 'alice')
})

test("OWN-03: bounds the codes that a stranger gets from all tenants' servers together", async () => {
  const site = await startSite({ ...express, options: { tenantClients: 'theirs' } })
  afterwards(() => site.close())
  const stranger = 'stranger@example.com'
  for (const name of ['one', 'two', 'three']) {
    const server = await startFakeBitbucket()
    afterwards(() => server.close())
    const client = { clientID: name, clientSecret: `${name}-secret`, callbackURL: site.at(name) + CALLBACK }
    server.addClient(client)
    site.rows.tenants[name] = { ...client, endpoints: server.endpoints }
    for (let index = 0; index < 3; index++) {
      const person = `invented${index}`
      server.addPerson({ key: person, emails: [{ address: stranger, primary: true, confirmed: true }] })
      const { attacker } = browsers()
      await attacker.get(await server.signIn((await site.startAt(attacker, name)).location, { person }))
    }
  }
  expect(site.mails.map(({ to }) => to)).toEqual(Array(5).fill(stranger))
  // Another address has a budget of its own.
  const { victim } = browsers()
  site.rows.default = { ...(site.rows.default as Connection), trustedProvider: false }
  await site.signInAt(victim, 'login', 'alice')
  expect(site.mails.map(({ to }) => to)).toHaveLength(6)
})

test('OWN-04: ends the request and not the process when an app callback throws', async () => {
  const fake = await startFakeBitbucket()
  afterwards(() => fake.close())
  const { clientID, clientSecret } = FAKE_CLIENT
  let throws = true
  const app = await startStrategyApp(
    (callbackURL, verify) =>
      new BitbucketStrategy({ clientID, clientSecret, callbackURL, endpoints: fake.endpoints }, verify),
    {
      handle: (passport, req, res, next) =>
        passport.authenticate('bitbucket', (_error: unknown, user: { id: string } | false) => {
          if (throws) throw new Error('of the app')
          res.json(user)
        })(req, res, next),
    },
  )
  const { victim, attacker } = browsers()
  const arrive = async (browser: typeof victim) =>
    fake.signIn((await browser.get(`${app.url}/start`)).location, { person: 'alice' })
  const bend = (from: string, to: string) => (url: string) => url.replace(from, to)
  for (const bent of [bend('state=', 'state=0'), bend('code=', 'code=x'), bend('', '')])
    expect((await attacker.get(bent(await arrive(attacker)))).status).toBe(500)
  fake.script('user', { status: 500, json: {} })
  expect((await attacker.get(await arrive(attacker))).status).toBe(500)
  expect(app.faults.map(String)).toEqual(Array(4).fill('Error: of the app'))
  throws = false
  fake.clearScripts()
  expect((await victim.get(await arrive(victim))).json().displayName).toBe('Alice Archer')
})

test('OWN-05: gives a user suspended while at Bitbucket neither a link nor a new session', async ({
  lab,
  attacker,
}) => {
  const user = await lab.member(attacker)
  const location = await lab.link(attacker)
  const url = await lab.fake.signIn(location, { person: 'alice' })
  user.disabled = true
  await lab.refused(attacker, () => attacker.get(url), { code: 'account_disabled' })
  user.disabled = false
  const again = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
  expect((await attacker.get(again)).location).toBe('/')
  expect(user.identities).toHaveLength(1)
})

test('OWN-06: prints a list from a query as text on pages and buttons', async () => {
  const script = '"><script>alert(1)</script>'
  const lab = await startLab({
    before: (app, bitbucket) => {
      app.set('query parser', 'extended')
      app.get('/button', async (req, res) => {
        res.send(await bitbucket.button(req, { label: req.query.label as string }))
      })
    },
    options: { hiddenFields: (req) => ({ _csrf: req.query._csrf as string }) },
  })
  const { victim } = browsers()
  await lab.member(victim)
  for (const suffix of ['', '[]', '[x]'])
    for (const path of ['/auth/bitbucket/link?_csrf', '/button?label']) {
      const { text } = await victim.get(`${lab.url}${path}${suffix}=${encodeURIComponent(script)}`)
      expect([path, suffix, text.includes('<script')]).toEqual([path, suffix, false])
      if (suffix !== '[x]') expect(text).toContain('&quot;&gt;&lt;script&gt;')
    }
})

test('OWN-07: lets no domain, endpoint or callback of a tenant change our headers', async () => {
  const secure = { clientID: 'k', clientSecret: 's', callbackURL: `https://app.example${CALLBACK}` }
  const endpoints = {
    authorizationURL: 'https://gw.example/authorize',
    tokenURL: 'https://gw.example/token',
    apiURL: 'https://gw.example/2.0',
  }
  const make = (given: Partial<Connection>) => () => connections({ default: { ...secure, ...given } })
  for (const host of ['a;script-src', "a'b", 'a,b', 'a"b', '*.a.example'].map((each) => `https://${each}`)) {
    expect(make({ origins: [host, 'https://b.example'] })).toThrow('origins')
    expect(make({ endpoints: { ...endpoints, authorizationURL: `${host}/authorize` } })).toThrow('endpoints')
    expect(make({ callbackURL: host + CALLBACK })).toThrow('callbackURL')
  }
  // Two slashes at the start of a path begin another host.
  for (const path of ['//evil.example', '/\\evil.example', '/.//evil.example', '/a/..//evil.example'])
    expect(make({ callbackURL: `https://app.example${path}/callback` })).toThrow('callbackURL')
  expect(make({ endpoints, origins: ['https://b.example:8443', 'https://xn--bcher-kva.example'] })).not.toThrow()
})

test('OWN-08: does not accept an old session as proof of the matching account', async () => {
  const lab = await startLab({ ...express, options: { policy: { untrustedEmail: 'unverified' } } })
  const owner = lab.accounts.add({ email: 'victim@example.com', emailVerified: true })
  const { victim, attacker } = browsers()
  await lab.localSignIn(victim, owner)
  travel(11 * MINUTE)
  // The attacker's Bitbucket account names the victim's address, unconfirmed.
  const named = [{ address: 'victim@example.com', primary: true, confirmed: false }]
  lab.fake.updatePerson('bob', { emails: named })
  expect((await lab.signIn(attacker, 'bob')).location).toBe('/auth/bitbucket/continue')
  const stolen = sessionOf(victim, lab) ?? ''
  attacker.jar(lab.url).set('connect.sid', stolen)
  expect(await lab.me(attacker)).toBe(owner.id)
  await lab.refused(attacker, () => lab.press(attacker, '/continue', '/continue', { choice: 'confirm' }), {
    code: 'recent_sign_in_required',
  })
  expect(owner.identities).toEqual([])
  // Control: anyone who signs in now may confirm.
  await lab.localSignIn(attacker, owner)
  expect((await lab.press(attacker, '/continue', '/continue', { choice: 'confirm' })).status).toBe(303)
  expect(owner.identities).toHaveLength(1)
})

test("OWN-09: does not carry one user's data into the next user's sign-in", async () => {
  const lab = await startLab({
    ...express,
    options: { policy: { matchingAccount: 'prove' }, data: (req) => ({ invited: req.query.invited ?? null }) },
  })
  const { victim: shared } = browsers()
  const first = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
  const started = await lab.get(shared, '?invited=first')
  await shared.get(await lab.fake.signIn(started.location, { person: 'alice' }))
  await lab.localSignIn(shared, first)
  const linked = await lab.press(shared, '/continue', '/continue', { choice: 'confirm' })
  expect(linked.location).toBe('/auth/bitbucket')
  const copy = shared.copy()
  await shared.post(`${lab.url}/logout`, {})
  expect([...ourCookies(shared, lab.url).keys()]).toEqual([])
  await shared.get(await lab.fake.signIn((await lab.get(shared, '?invited=second')).location, { person: 'bob' }))
  const asked = lab.accounts.calls.findLast(({ name }) => name === 'getUserByIdentity')
  expect(asked?.input.context).toMatchObject({ data: { invited: 'second' } })
  // Control: without the sign-out the same cookie carries the first one's on, to fetch their tokens.
  await copy.get(await lab.fake.signIn((await lab.get(copy, '')).location, { person: 'alice' }))
  const stored = lab.accounts.calls.findLast(({ name }) => name === 'storeTokens')
  expect(stored?.input.context).toMatchObject({ data: { invited: 'first' } })
})
