import type { Request, RequestHandler, Response } from 'express'

import express = require('express')

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Passport } from 'passport'
import { type BitbucketSignInOptions, BitbucketStrategy, bitbucketSignIn, connections } from 'passport-bitbucket-signin'
import { FAKE_CLIENT, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { expect, vi } from 'vitest'
import { guardHooks } from '../../src/accounts/guarded-hooks'
import { memoryLimiter } from '../../src/state/memory-limiter'
import { NOTHING, TestAccounts, type TestUser } from '../support/accounts'
import { TestBrowser } from '../support/browser'
import { afterwards, browsers, codesOf, MINUTE, startLab, startStrategyApp, test, travel } from '../support/lab'

const SECRET = 'a-secret-that-must-never-be-shown-in-full'

function options(): BitbucketSignInOptions<TestUser> {
  return {
    passport: new Passport(),
    secrets: [SECRET],
    connection: {
      clientID: 'id',
      clientSecret: 'client-secret-that-must-not-be-shown',
      callbackURL: 'https://app.example.com/auth/bitbucket/callback',
    },
    accounts: new TestAccounts().hooks(),
    sendEmailCode: () => {},
  }
}

/** The error that construction throws for a change of the options. */
function complaint(change: object, connection: object = {}): string {
  const given = options()
  try {
    bitbucketSignIn({ ...given, connection: { ...given.connection, ...connection }, ...change } as never).close()
    return 'accepted'
  } catch (error) {
    expect(error).toMatchObject({ code: 'configuration_invalid' })
    const { message } = error as Error
    expect(message).not.toMatch(/must-never-be-shown|must-not-be-shown/)
    return message
  }
}

test('CFG-01: names a missing or empty option at construction, and shows no value', () => {
  expect(complaint({})).toBe('accepted')
  for (const name of ['passport', 'secrets', 'accounts', 'connection']) {
    expect(complaint({ [name]: undefined })).toContain(name)
    expect(complaint({ [name]: '' })).toContain(name)
  }
  for (const name of ['clientID', 'clientSecret', 'callbackURL']) {
    expect(complaint({}, { [name]: undefined })).toContain(name)
    expect(complaint({}, { [name]: '' })).toContain(name)
  }
  expect(complaint({ secrets: [] })).toContain('secrets')
  expect(complaint({ secrets: [undefined] })).toContain('secrets')
  expect(complaint({ secrets: ['short'] })).toContain('32')
  expect(complaint({ sendEmailCode: undefined })).toContain('sendEmailCode')
  for (const hook of ['getUserByIdentity', 'getAccountsByEmail', 'createUser', 'linkIdentity']) {
    expect(complaint({ accounts: { ...new TestAccounts().hooks(), [hook]: undefined } })).toContain(hook)
  }
  expect(complaint({ secert: 1 })).toContain('secert')
  expect(complaint({}, { callbackUrl: 'x' })).toContain('callbackURL')
})

test('CFG-02: refuses plain http for callback, endpoints and domains, except on this machine', () => {
  for (const url of [
    'http://app.example.com',
    'http://10.0.0.1',
    'ftp://x.example',
    'http://localhost.evil.example',
    'http://127.evil.example',
  ]) {
    expect(complaint({}, { callbackURL: `${url}/auth/bitbucket/callback` })).toContain('callbackURL')
    expect(complaint({}, { origins: [url] })).toContain('origins')
    const endpoints = { authorizationURL: `${url}/a`, tokenURL: `${url}/t`, apiURL: `${url}/2` }
    expect(complaint({}, { endpoints })).toContain('endpoints')
  }
  for (const callbackURL of [
    '/auth/bitbucket/callback',
    'app.example.com/callback',
    'https://u:p@app.example.com/callback',
  ]) {
    expect(complaint({}, { callbackURL })).toContain('callbackURL')
  }
  expect(complaint({}, { callbackURL: 'https://app.example.com/callback?x=1' })).toContain('callbackURL')
  expect(complaint({}, { callbackURL: 'http://localhost:3000/auth/bitbucket/callback' })).toBe('accepted')
})

test('CFG-04: signs no user in when a hook returns nonsense', async () => {
  const nonsense: unknown[] = [undefined, true, 1, 'u1', [], {}, { id: '' }, { id: {} }, { id: null }, () => {}]
  for (const hook of [
    'getUserByIdentity',
    'createUser',
    'getAccountsByEmail',
    'listIdentities',
    'canSignIn',
  ] as const) {
    // Fewer hooks, so that none of them trips over the invalid user first.
    const few = hook === 'getUserByIdentity' || hook === 'createUser'
    const lab = await startLab(few ? { without: ['listIdentities', 'storeTokens', 'updateProfile', 'canSignIn'] } : {})
    const victim = new TestBrowser()
    for (const answer of nonsense) {
      lab.accounts.users.clear()
      lab.store.clear()
      if (hook === 'listIdentities' || hook === 'canSignIn')
        lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
      const url = await lab.callback(victim, 'alice')
      lab.accounts.intercept = (name) => (name === hook ? (answer === undefined ? NOTHING : answer) : undefined)
      const got = await victim.get(url)
      const harmless = hook === 'canSignIn' && answer === true
      const empty = Array.isArray(answer) && (hook === 'getAccountsByEmail' || hook === 'listIdentities')
      if (harmless || empty) continue
      // A string is the reason of a refusal.
      const isReason = hook === 'canSignIn' && typeof answer === 'string'
      const status = isReason ? 403 : 500
      expect([hook, String(answer), got.status]).toEqual([hook, String(answer), status])
      expect(codesOf(got)).toContain(isReason ? 'account_disabled' : 'hook_failed')
      expect(await lab.me(victim)).toBeNull()
      expect(lab.signedIn()).toEqual([])
    }
    lab.accounts.intercept = () => {}
    lab.store.clear()
    await lab.signIn(victim, 'alice')
    expect(await lab.me(victim)).not.toBeNull()
  }
})

test('CFG-04: refuses a second change of accounts in one request', async () => {
  const accounts = new TestAccounts()
  const context = { connection: 'c', tenant: null, application: null, origin: 'https://app.example', workspaces: [] }
  const input = { req: {} as Request, context: { ...context, intent: 'sign-in' as const } }
  const hooks = guardHooks(accounts.hooks(), { idOf: (user: TestUser) => user.id, reread: async () => null }, input)
  const identity = { issuer: 'https://bitbucket.org', id: '{1}' }
  const profile = { id: '{1}', displayName: 'One' } as never
  const created = await hooks.create({ identity, profile, email: null })
  expect(created).toMatchObject({ id: 'u1' })
  const other = accounts.add()
  const known = { user: other, id: other.id }
  const second = hooks.link({ known, identity: { ...identity, id: '{2}' }, profile, email: null })
  await expect(second).rejects.toMatchObject({ code: 'hook_failed' })
  expect(other.identities).toEqual([])
  expect(accounts.writes()).toEqual(['createUser'])
})

test('CFG-04: gives up a hook that never settles, and signs no user in', async ({ lab, victim }) => {
  for (const hook of ['getUserByIdentity', 'getAccountsByEmail', 'createUser']) {
    const url = await lab.callback(victim, 'alice')
    let hanging = false
    lab.accounts.intercept = (name) => {
      if (name !== hook) return undefined
      hanging = true
      return new Promise(() => {})
    }
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const answer = victim.get(url)
    while (!hanging) await new Promise((resolve) => setImmediate(resolve))
    await vi.advanceTimersByTimeAsync(15_001)
    expect((await answer).status).toBe(500)
    vi.useRealTimers()
    expect(await lab.me(victim)).toBeNull()
  }
  lab.accounts.intercept = () => {}
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('CFG-04: ends the request and not the process when another function of the app throws or returns nonsense', async () => {
  const { fake } = await startLab()
  const mistakes: Partial<BitbucketSignInOptions<TestUser>>[] = [
    {
      userId: () => {
        throw undefined
      },
    },
    { userId: (() => Promise.reject(new Error('the database is down'))) as never },
    { renderPage: () => 42 as never },
  ]
  for (const mistake of mistakes) {
    const lab = await startLab({ fake, options: { ...mistake, policy: { missingEmail: 'reject' } } })
    const { attacker } = browsers()
    const member = lab.accounts.add({ email: 'member@example.com', emailVerified: true })
    await lab.localSignIn(attacker, member)
    // One of our pages, or a step for the signed-in user.
    const answers = [await lab.get(attacker, '/link'), await lab.get(new TestBrowser(), '/email')]
    expect(answers.some(({ status }) => status === 500)).toBe(true)
    expect(answers.some(({ text }) => text === 'home')).toBe(false)
    expect(lab.accounts.writes()).toEqual([])
  }
  const control = await startLab({ fake, options: { userId: ({ id }) => id, renderPage: () => 'mine' } })
  expect((await control.get(new TestBrowser(), '/email')).text).toBe('mine')
})

test('CFG-04: ends the request and not the process when a function that must be synchronous rejects', async () => {
  const { fake } = await startLab()
  const express = process.env.ATTACKS_EXPRESS === '4' ? 4 : 5
  const rejects = async () => {
    throw new Error('the database is down')
  }
  const own = { clientID: 'own', clientSecret: 'own-secret' }
  const open = (isAsync: boolean) =>
    startLab({
      fake,
      express,
      options: {
        tenantClients: isAsync ? (rejects as never) : () => 'ours',
        limiter: isAsync ? (rejects as never) : memoryLimiter,
      },
      resolver: (given) =>
        connections({ default: given, tenant: (req) => req.get('x-tenant') ?? null, tenants: () => ({ ...own }) }),
      routes: (app, bitbucket) => {
        const returnTo = isAsync ? (rejects as never) : () => '/board'
        app.get('/board', bitbucket.requireSignedIn({ returnTo }), (_req, res) => void res.send('board'))
      },
    })
  const statuses = async (isAsync: boolean) => {
    const lab = await open(isAsync)
    const { victim } = browsers()
    const tenant = await lab.get(victim, '', { headers: { 'x-tenant': 'acme' } })
    const board = await victim.get(`${lab.url}/board`)
    const callback = await victim.get(await lab.callback(victim, 'alice'))
    const named = [...lab.errors, ...lab.faults].map((error) => String((error as Error).cause ?? error))
    return { statuses: [tenant, board, callback].map(({ status }) => status), named }
  }
  expect(await statuses(true)).toEqual({
    statuses: [500, 500, 503],
    named: ['tenantClients', 'limiter', 'returnTo'].map((name) => expect.stringContaining(`\`${name}\` must be sync`)),
  })
  expect(await statuses(false)).toEqual({ statuses: [302, 302, 302], named: [] })
})

test('CFG-06: refuses switches of the wrong type', () => {
  for (const value of ['false', 1, {}, null]) {
    for (const name of ['trustedProvider', 'enabled', 'signUp', 'visible']) {
      expect(complaint({}, { [name]: value })).toContain(name)
    }
    for (const name of ['codeOpensAccount', 'localAddresses'])
      expect(complaint({ policy: { [name]: value } })).toContain(name)
  }
  expect(complaint({ policy: { untrustedEmail: 'trust' } })).toContain('untrustedEmail')
  expect(complaint({ policy: { matchingAccount: true } })).toContain('matchingAccount')
  expect(complaint({ session: { keep: ['passport'] } })).toContain('passport')
  expect(complaint({ session: { keep: ['__proto__'] } })).toContain('prototype')
  for (const value of [true, false]) {
    expect(complaint({}, { trustedProvider: value, enabled: value, signUp: value, visible: value })).toBe('accepted')
    expect(complaint({ policy: { codeOpensAccount: value } })).toBe('accepted')
  }
  expect(complaint({ session: { keep: ['cart'] } })).toBe('accepted')
})

test('CFG-06: refuses options of guards with which users confirm in circles, or the guard checks something else', () => {
  const plugin = bitbucketSignIn(options())
  const complaints = (guard: 'requireSignedIn' | 'requireRecentSignIn' | 'requireMembership', given: unknown[]) =>
    given.filter((each) => {
      try {
        plugin[guard](each as never)
        return false
      } catch (error) {
        expect(error).toMatchObject({ code: 'configuration_invalid' })
        expect((error as Error).message).toMatch(new RegExp(`^${guard}: `))
        return true
      }
    })
  const ages = [Number.NaN, Number.POSITIVE_INFINITY, 0, -5, null, '600000', {}].map((maxAgeMs) => ({ maxAgeMs }))
  const common = [null, 7, 'x', { returnTo: '/x' }, { returnTo: null }]
  const recent = [...ages, ...common, { maxAge: 1000 }, { maxAgeMs: 1, workspaces: ['acme'] }]
  expect(complaints('requireRecentSignIn', recent)).toEqual(recent)
  const rules = { maxAgeMs: 1, graceMs: 0 }
  const memberships = [
    ...[...ages, ...common].map((each) => (typeof each === 'object' && each ? { ...rules, ...each } : each)),
    ...['acme', [], [1], [''], ['a/b'], null, {}].map((workspaces) => ({ ...rules, workspaces })),
    ...[undefined, {}, { maxAgeMs: 1 }, { ...rules, graceMs: -1 }, { ...rules, workspace: ['acme'] }],
  ]
  expect(complaints('requireMembership', memberships)).toEqual(memberships)
  expect(complaints('requireSignedIn', [...common, { maxAgeMs: 1 }])).toEqual([...common, { maxAgeMs: 1 }])
  expect(complaints('requireRecentSignIn', [undefined, {}, { maxAgeMs: 1, returnTo: () => '/' }])).toEqual([])
  expect(complaints('requireMembership', [rules, { ...rules, workspaces: ['Acme'] }])).toEqual([])
  plugin.close()
})

test('CFG-06: refuses to count in memory in one of several processes, unless the app says that it runs alone', () => {
  vi.stubEnv('pm_id', '0')
  expect(complaint({})).toContain('limiter')
  expect(complaint({ limiter: 'memory' })).toBe('accepted')
  vi.unstubAllEnvs()
  expect(complaint({})).toBe('accepted')
})

test('CFG-07: refuses a callback without a session or without Passport before anything is consumed', async () => {
  const fake = (await startLab()).fake
  const accounts = new TestAccounts()
  const app = express()
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  afterwards(() => new Promise((resolve) => server.close(resolve)))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const base = { clientID: 'fake-client-id', clientSecret: 'fake-client-secret', trustedProvider: true }
  const plugin = bitbucketSignIn<TestUser>({
    passport: new Passport(),
    secrets: [SECRET],
    connection: { ...base, callbackURL: `${url}/auth/bitbucket/callback`, endpoints: fake.endpoints },
    accounts: accounts.hooks(),
    sendEmailCode: () => {},
  })
  afterwards(() => plugin.close())
  app.use('/auth/bitbucket', plugin.router)
  const browser = new TestBrowser()
  const started = await browser.get(`${url}/auth/bitbucket`)
  const answer = await browser.get(await fake.signIn(started.location, { person: 'alice' }))
  expect([answer.status, fake.count('token')]).toEqual([500, 0])
  expect(answer.text).toContain('session_missing')
  expect(accounts.calls).toEqual([])
  const post = await browser.post(`${url}/auth/bitbucket/link`, {})
  expect(post.text).toContain('session_missing')
})

test('CFG-07: finds a session that Passport does not read before calling Bitbucket', async () => {
  const lab = await startLab({ passportMiddleware: null })
  const { victim } = browsers()
  const url = await lab.callback(victim, 'alice')
  await lab.refused(victim, () => victim.get(url), { code: 'session_missing', upstream: 0 })
  const passport = new Passport()
  const half = await startLab({ passportMiddleware: passport.initialize() as RequestHandler })
  const { sessions } = half.store as unknown as { sessions: Record<string, string> }
  const browser = new TestBrowser()
  const other = await startLab({ fake: half.fake })
  await other.signIn(browser, 'carol')
  Object.assign(sessions, (other.store as unknown as { sessions: object }).sessions)
  const late = await half.callback(browser, 'alice')
  await half.refused(browser, () => browser.get(late), { code: 'session_missing' })
  expect(half.accounts.calls).toEqual([])
})

test('CFG-07: finds a secure session cookie behind an undeclared proxy before calling Bitbucket', async () => {
  const lab = await startLab({ session: { cookie: { secure: true } } })
  const { victim } = browsers()
  const url = await lab.callback(victim, 'alice')
  await lab.refused(victim, () => victim.get(url), { code: 'configuration_invalid', upstream: 0 })
})

test('CFG-09: passes a new account the documented fields and nothing else from upstream', async ({ lab }) => {
  lab.fake.updatePerson('alice', {
    user: { role: 'admin', is_admin: true, password: 'x', email_verified: true, permissions: ['*'], id: 1, __v: 1 },
  })
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  const [call] = lab.accounts.calls.filter(({ name }) => name === 'createUser')
  expect(Object.keys(call?.input ?? {}).sort()).toEqual(['context', 'email', 'identity', 'profile', 'req'])
  expect(Object.keys(call?.input.identity as object).sort()).toEqual(['id', 'issuer'])
  expect(call?.input.email).toEqual({ address: 'alice@example.com', verified: true, verifiedBy: 'bitbucket' })
  const { profile, identity, email, context } = (call?.input ?? {}) as Record<string, object>
  expect(JSON.stringify({ profile, identity, email, context })).not.toMatch(/admin|password|permissions|role/)
  for (const each of [profile, identity, email, context]) expect(Object.isFrozen(each)).toBe(true)
})

test('CFG-10: reports every outcome with its connection and result, and ignores a broken listener', async ({
  untrusted: lab,
  victim,
}) => {
  await victim.get(lab.callbackURL({ code: 'x' }))
  const { code } = await lab.pendingCode(victim, 'alice')
  await lab.verify(victim, 'BBBB-BBBB')
  await lab.verify(victim, code)
  expect(lab.events.map(({ type }) => type)).toEqual(['refused', 'started', 'code_sent', 'code_failed', 'signed_up'])
  for (const event of lab.events) {
    expect(event).toMatchObject({ connection: 'default', tenant: null })
    expect(event.durationMs).toBeGreaterThanOrEqual(0)
  }
  expect(lab.events[0]).toMatchObject({ code: 'state_invalid', userId: null })
  expect(lab.events.at(-1)).toMatchObject({ code: null, userId: 'u1', identityId: lab.fake.person('alice').uuid })
  for (const broken of [
    () => {
      throw new Error('the log is full')
    },
    () => Promise.reject(new Error('the log is full')),
  ]) {
    const other = await startLab({ options: { onEvent: broken } })
    const browser = new TestBrowser()
    await other.signIn(browser, 'alice')
    expect(await other.me(browser)).toBe('u1')
  }
})

test('CFG-11: extends no lifetime when the wall clock jumps back', async ({ lab, victim }) => {
  const late = await lab.callback(victim, 'alice')
  travel(11 * MINUTE)
  const wall = performance.timeOrigin - 60 * MINUTE
  vi.spyOn(Date, 'now').mockImplementation(() => wall)
  await lab.refused(victim, () => victim.get(late), { code: 'state_expired', upstream: 0 })
  travel(0)
  const early = await lab.callback(victim, 'alice')
  vi.spyOn(Date, 'now').mockImplementation(() => wall)
  await victim.get(early)
  vi.restoreAllMocks()
  expect(await lab.me(victim)).toBe('u1')
})

test('CFG-12: keeps two plugins in one process, and one mounted twice, apart', async ({ lab }) => {
  const other = await startLab({ fake: lab.fake, options: { name: 'other', basePath: '/auth/bitbucket' } })
  const { victim } = browsers()
  const url = await lab.callback(victim, 'alice')
  await other.refused(victim, () => victim.get(url.replace(lab.url, other.url)), { code: 'state_invalid', upstream: 0 })
  const slots = await other.get(victim, '')
  expect(slots.setCookies.every((line) => line.startsWith('other.t'))).toBe(true)
  await victim.get(url)
  expect(await lab.me(victim)).toBe('u1')
  const twice = await startLab({
    before: (app) => {
      app.use((_req: Request, res: Response, next) => next(res.headersSent ? new Error('answered twice') : undefined))
    },
  })
  twice.app.use('/auth/bitbucket', twice.bitbucket.router)
  const browser = new TestBrowser()
  await twice.signIn(browser, 'alice')
  expect(await twice.me(browser)).toBe('u1')
  expect(twice.accounts.count('createUser')).toBe(1)
  expect(twice.faults).toEqual([])
})

test('CFG-12: does not let one strategy finish what another with the same client started', async () => {
  const fake = await startFakeBitbucket()
  afterwards(() => fake.close())
  const { clientID, clientSecret } = FAKE_CLIENT
  const verified: string[] = []
  const app = await startStrategyApp(
    (callbackURL, verify) =>
      new BitbucketStrategy({ clientID, clientSecret, callbackURL, endpoints: fake.endpoints }, verify),
    {
      before: (express) => {
        express.get('/other/callback', (req, res, next) => {
          const callbackURL = `${req.protocol}://${req.get('host')}/other/callback`
          const other = new BitbucketStrategy(
            { clientID, clientSecret, callbackURL, endpoints: fake.endpoints },
            (_access: string, _refresh: string, profile: { id: string }, done: (error: null, user: false) => void) => {
              verified.push(profile.id)
              done(null, false)
            },
          )
          ;(new Passport().authenticate(other as never) as RequestHandler)(req, res, next)
        })
      },
    },
  )
  const { victim } = browsers()
  const url = await fake.signIn((await victim.get(`${app.url}/start`)).location, { person: 'alice' })
  expect((await victim.get(url.replace('/callback', '/other/callback'))).status).toBe(403)
  expect([fake.count('token'), verified]).toEqual([0, []])
  await victim.get(url)
  expect(app.verified).toEqual([fake.person('alice').uuid])
})

test('CFG-12: keeps the users of one strategy instance apart', async () => {
  const fake = await startFakeBitbucket({ latencyMs: 15 })
  afterwards(() => fake.close())
  const { clientID, clientSecret } = FAKE_CLIENT
  const app = await startStrategyApp(
    (callbackURL, verify) =>
      new BitbucketStrategy({ clientID, clientSecret, callbackURL, endpoints: fake.endpoints }, verify),
    { by: 'instance' },
  )
  for (let round = 0; round < 5; round++) {
    const people = await Promise.all(
      ['alice', 'carol', 'erin'].map(async (person) => {
        const browser = new TestBrowser()
        const url = await fake.signIn((await browser.get(`${app.url}/start`)).location, { person })
        return { browser, person, url }
      }),
    )
    await Promise.all(people.map(({ browser, url }) => browser.get(url)))
    for (const { browser, person } of people) {
      expect((await browser.get(`${app.url}/me`)).json().user).toBe(fake.person(person).uuid)
    }
  }
})
