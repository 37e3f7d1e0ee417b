import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'

let fake: FakeBitbucket
let app: TestApp
afterEach(async () => {
  await app?.close()
  await fake?.close()
})

describe('requests to Bitbucket', () => {
  beforeEach(async () => {
    fake = await startFakeBitbucket()
    app = await startTestApp({ fake })
  })

  test('a sign-in sends the token request first, then profile and addresses concurrently, and nothing else', async () => {
    const open = { now: 0, most: 0 }
    for (const endpoint of ['user', 'emails'] as const) {
      fake.script(endpoint, async () => {
        open.most = Math.max(open.most, ++open.now)
        await new Promise((resolve) => setTimeout(resolve, 30))
        open.now--
        return null
      })
    }
    const browser = new TestBrowser()
    const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
    fake.clearRequests()
    await browser.get(callback)
    const [first, ...others] = fake.requests.map(({ endpoint }) => endpoint)
    expect(first).toBe('token')
    expect(others.sort()).toEqual(['emails', 'user'])
    expect(open.most).toBe(2)
  })

  test('credentials go to the token endpoint by HTTP Basic and tokens to the API in the header, both nowhere else', async () => {
    await app.signIn(new TestBrowser(), 'alice')
    const [token] = fake.requests.filter(({ endpoint }) => endpoint === 'token')
    expect(token?.headers.authorization).toMatch(/^Basic /)
    expect(token?.form).toMatchObject({
      grant_type: 'authorization_code',
      redirect_uri: `${app.url}/auth/bitbucket/callback`,
      code_verifier: expect.stringMatching(/^[\w-]{43}$/),
    })
    expect(token?.form).not.toHaveProperty('client_secret')
    for (const { headers, url } of fake.requests.filter(({ endpoint }) => ['user', 'emails'].includes(endpoint))) {
      expect(headers.authorization).toMatch(/^Bearer /)
      expect(url).not.toContain('access_token')
    }
  })

  test('a start opens the connections of its callback, and a later sign-in reuses them', async () => {
    const browser = new TestBrowser()
    const started = await app.start(browser)
    await vi.waitFor(() => expect(fake.connectionsOpened).toBe(3))
    await browser.get(await fake.signIn(started, { person: 'alice' }))
    expect(fake.connectionsOpened).toBe(3)
    await app.signIn(new TestBrowser(), 'bob')
    expect(fake.connectionsOpened).toBe(3)
    expect(fake.requests.every(({ connection }) => connection <= 3)).toBe(true)
  })

  test('of 60 known users that come back together, all profiles are requested before the thirteenth list of addresses', async () => {
    await app.signIn(new TestBrowser(), 'alice')
    const callbacks: { browser: TestBrowser; url: string }[] = []
    for (let user = 0; user < 60; user++) {
      const browser = new TestBrowser()
      callbacks.push({ browser, url: await fake.signIn(await app.start(browser), { person: 'alice' }) })
    }
    fake.clearRequests()
    const held = { user: [] as (() => void)[], emails: [] as (() => void)[] }
    for (const endpoint of ['user', 'emails'] as const) {
      fake.script(endpoint, () => new Promise((resolve) => held[endpoint].push(() => resolve(null))))
    }
    const answers = Promise.all(callbacks.map(({ browser, url }) => browser.get(url)))
    await vi.waitFor(() => expect(held.user.length + held.emails.length).toBe(50), { timeout: 8000 })
    const lists = fake.count('emails')
    expect(lists).toBeLessThanOrEqual(12)
    // A sign-in that ends also makes room by giving up its addresses.
    while (fake.count('user') < 60) {
      const profiles = fake.count('user')
      held.user.shift()?.()
      await vi.waitFor(() => expect(fake.count('user')).toBeGreaterThan(profiles))
    }
    expect(fake.count('emails')).toBe(lists)
    fake.clearScripts()
    for (const answer of [...held.user, ...held.emails]) answer()
    for (const { status } of await answers) expect(status).toBe(302)
  })

  test('any number of starts opens at most three connections, site and API together', async () => {
    for (let round = 0; round < 10; round++) await app.start(new TestBrowser())
    await vi.waitFor(() => expect(fake.connectionsOpened).toBe(3))
  })
})

describe('work of a sign-in', () => {
  /** The right to a session is read before it is saved, and once more after. */
  const ENDING = [
    'storeTokens',
    'listIdentities',
    'beforeSignIn',
    'getUserById',
    'canSignIn',
    'getUserByIdentity',
    'canSignIn',
  ]
  const namesOf = (calls: TestApp['accounts']['calls']) => calls.map(({ name }) => name)

  beforeEach(async () => {
    fake = await startFakeBitbucket()
    app = await startTestApp({ fake })
  })

  test('a sign-in of a known user calls nine hooks, two of them before the ending', async () => {
    await app.signIn(new TestBrowser(), 'alice')
    app.accounts.calls.length = 0
    await app.signIn(new TestBrowser(), 'alice')
    expect(namesOf(app.accounts.calls)).toEqual(['getUserByIdentity', 'canSignIn', ...ENDING])
  })

  test('a sign-in of a new user calls ten hooks: one look-up by identity, one by address, one write, and the same ending', async () => {
    await app.signIn(new TestBrowser(), 'alice')
    expect(namesOf(app.accounts.calls)).toEqual(['getUserByIdentity', 'getAccountsByEmail', 'createUser', ...ENDING])
  })

  test('a start calls no hook and touches no session; a callback writes its session once and reads none', async () => {
    await app.signIn(new TestBrowser(), 'alice')
    app.accounts.calls.length = 0
    const store = storeCalls()
    const browser = new TestBrowser()
    const started = await app.start(browser)
    expect(app.accounts.calls).toEqual([])
    expect(store).toEqual([])
    await browser.get(await fake.signIn(started, { person: 'alice' }))
    expect(store).toEqual(['set'])
  })

  test('a signed-in user costs two more reads of the session, before the decision and after the new one is saved', async () => {
    const browser = new TestBrowser()
    await app.signIn(browser, 'alice')
    const started = await app.start(browser)
    const callback = await fake.signIn(started, { person: 'alice' })
    const store = storeCalls()
    await browser.get(callback)
    // The first read is express-session's own.
    expect(store).toEqual(['get', 'get', 'set', 'get', 'destroy'])
  })

  test('a started sign-in adds at most 220 bytes of cookies to each request, and an ended one none', async () => {
    const browser = new TestBrowser()
    const started = await app.start(browser)
    expect(cookieHeader(browser)).toMatch(/^bitbucket\.t[\da-f]=[\w-]+$/)
    expect(cookieHeader(browser).length).toBeLessThanOrEqual(220)
    await browser.get(await fake.signIn(started, { person: 'alice' }))
    expect(cookieHeader(browser)).toMatch(/^connect\.sid=[^;]+$/)
  })

  const cookieHeader = (browser: TestBrowser) =>
    Array.from(browser.jar(app.url), ([name, value]) => `${name}=${value}`).join('; ')

  /** Calls of the session store from now on. */
  function storeCalls(): string[] {
    const calls: string[] = []
    for (const name of ['get', 'set', 'touch', 'destroy'] as const) {
      const original = app.store[name].bind(app.store) as (...given: unknown[]) => void
      vi.spyOn(app.store, name).mockImplementation((...given: unknown[]) => {
        calls.push(name)
        original(...given)
      })
    }
    return calls
  }
})

test('a start opens no connection with preconnect off', async () => {
  fake = await startFakeBitbucket()
  app = await startTestApp({ fake, options: { http: { preconnect: false } } })
  await app.start(new TestBrowser())
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(fake.connectionsOpened).toBe(0)
  expect((await app.signIn(new TestBrowser(), 'alice')).status).toBe(302)
})

/** Modules of the build that a start and the callback of a known user do not need. */
const LOADED_ON_USE = [
  '/dist/cli/',
  '/dist/connections/resolver-sources',
  '/dist/connections/tenants',
  '/dist/doctor/',
  '/dist/options/option-problems',
  '/dist/pages/document',
  '/dist/pages/texts-',
  '/dist/passport/',
  '/dist/routes/continue',
  '/dist/routes/page-routes',
  '/dist/routes/send-',
  '/dist/testing/',
]

describe('work of an import', () => {
  const loadedBy = async (code: string) => {
    const script = `${code}; console.log(JSON.stringify(Object.keys(require.cache)))`
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', script])
    return JSON.parse(stdout) as string[]
  }

  test('requiring the package loads what a sign-in needs, and neither a page, a strategy, tenants, zod, undici nor the fake', async () => {
    app = undefined as never
    fake = undefined as never
    const files = await loadedBy("require('passport-bitbucket-signin').bitbucketSignIn")
    expect(files.some((file) => file.includes('/dist/bitbucket-sign-in.js'))).toBe(true)
    expect(files.filter((file) => !file.includes('/node_modules/')).length).toBeLessThanOrEqual(80)
    for (const absent of ['/zod/', '/undici/', '/passport-oauth2/', '/express-session/', ...LOADED_ON_USE]) {
      expect(files.filter((file) => file.includes(absent))).toEqual([])
    }
  })

  test('importing the package finds every name that requiring it has', async () => {
    app = undefined as never
    fake = undefined as never
    const script = `import * as names from 'passport-bitbucket-signin'
      import { createRequire } from 'node:module'
      const required = createRequire(process.cwd() + '/')('passport-bitbucket-signin')
      if (Object.keys(required).length < 10) process.exit(1)
      for (const name in required) if (names[name] === undefined || names[name] !== required[name]) process.exit(1)
      if (Object.keys(names).length !== Object.keys(required).length) process.exit(1)`
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  })

  test('constructing the router loads the small API of zod, no messages in other languages, and neither undici nor cluster', async () => {
    app = undefined as never
    fake = undefined as never
    const files = await loadedBy(`
      const { bitbucketSignIn } = require('passport-bitbucket-signin')
      const { Passport } = require('passport')
      const hook = () => null
      const accounts = { getUserByIdentity: hook, getAccountsByEmail: hook, createUser: hook, linkIdentity: hook }
      const policy = { untrustedEmail: 'reject', missingEmail: 'reject' }
      const connection = { clientID: 'k', clientSecret: 's', callbackURL: 'https://app.example/auth/bitbucket/callback' }
      process.removeAllListeners('warning')
      bitbucketSignIn({ passport: new Passport(), secrets: ['x'.repeat(32)], accounts, connection, policy }).router
      if (process.moduleLoadList.includes('NativeModule cluster')) process.exit(1)
    `)
    const zod = files.flatMap((file) => /\/zod\/(.*)$/.exec(file)?.[1] ?? [])
    expect(zod).toContain('v3/types.cjs')
    expect(zod.filter((file) => !file.startsWith('v3/'))).toEqual([])
    expect(zod.length).toBeLessThanOrEqual(12)
    for (const absent of ['/undici/', ...LOADED_ON_USE]) {
      expect(files.filter((file) => file.includes(absent))).toEqual([])
    }
  })

  test('making a strategy loads no part of undici, and its first request loads the pool only and leaves fetch alone', async () => {
    app = undefined as never
    fake = undefined as never
    const connection = `{ clientID: 'k', clientSecret: 's', callbackURL: 'https://app.example/auth/bitbucket/callback',
      endpoints: { authorizationURL: 'http://127.0.0.1:9/a', tokenURL: 'http://127.0.0.1:9/t', apiURL: 'http://127.0.0.1:9/2.0' } }`
    const files = await loadedBy(`
      const { BitbucketStrategy } = require('passport-bitbucket-signin')
      const strategy = new BitbucketStrategy(${connection}, () => {})
      if (Object.keys(require.cache).some((file) => file.includes('/undici/'))) process.exit(2)
      strategy.userProfile('token', () => {})
      if (Object.getOwnPropertySymbols(globalThis).some((each) => String(each).includes('undici'))) process.exit(1)
    `)
    expect(files.some((file) => file.endsWith('/undici/lib/dispatcher/pool.js'))).toBe(true)
    expect(files.some((file) => file.endsWith('/undici/index.js'))).toBe(false)
  })
})
