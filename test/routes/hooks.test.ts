import type { AccountHooks, BitbucketSignInOptions } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { TestUser } from '../support/accounts'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { choose, consented, enterCode, errorOf, link } from '../support/steps'

let fake: FakeBitbucket
let app: TestApp
let browser: TestBrowser
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  vi.useRealTimers()
  fake.reset()
  await app.close()
})

type Hook = keyof AccountHooks<TestUser>
type Policy = BitbucketSignInOptions<TestUser>['policy'] & {}

async function open(options: TestAppOptions = {}): Promise<void> {
  app = await startTestApp({ fake, ...options })
  browser = new TestBrowser()
}

/** The accounts that lead a first sign-in of Alice through this hook. */
const arranged: Partial<Record<Hook, () => unknown>> = {
  getUserByIdentity: () => {},
  getAccountsByEmail: () => {},
  createUser: () => {},
  linkIdentity: () => app.accounts.add({ email: 'alice@example.com', emailVerified: true }),
  claimAddress: () => app.accounts.add({ email: 'alice@example.com' }),
  canSignIn: () => app.accounts.add({ email: 'alice@example.com', emailVerified: true }),
  listIdentities: () => app.accounts.add({ email: 'alice@example.com', emailVerified: true }),
  storeTokens: () => {},
  getUserById: () => {},
  beforeSignIn: () => {},
  endOtherSessions: () => app.accounts.add({ email: 'alice@example.com', emailVerified: true }),
  updateProfile: () =>
    app.accounts.add({
      identities: [
        { issuer: new URL(fake.url).origin, id: fake.person('alice').uuid, profile: { displayName: 'Before' } },
      ],
    }),
}
const HOOKS = Object.keys(arranged) as Hook[]

async function expectFailed(answer: Answer, hook: string): Promise<void> {
  expect([answer.status, errorOf(answer)]).toEqual([500, 'hook_failed'])
  expect(answer.text).not.toContain('of the database')
  expect(await app.me(browser)).toBeNull()
  expect(Object.values((app.store as unknown as { sessions: object }).sessions)).toEqual([])
  expect(app.errors.map(({ message }) => message)).toEqual([expect.stringContaining(hook)])
  expect(app.events.at(-1)).toMatchObject({ type: 'refused', code: 'hook_failed' })
  expect(JSON.stringify(app.events)).not.toContain('of the database')
  expect(app.faults).toEqual([])
}

describe('a hook that throws', () => {
  test.each(HOOKS)('%s: hook_failed, no session, and the operator is told why', async (hook) => {
    await open()
    arranged[hook]?.()
    app.accounts.intercept = (name) => {
      if (name === hook) throw new Error('words of the database')
    }
    await expectFailed(await app.signIn(browser, 'alice'), hook)
    expect(app.errors[0]?.cause).toMatchObject({ message: 'words of the database' })
    expect(app.accounts.calls.filter(({ name }) => name === hook)).toHaveLength(1)
    // After a failed write the accounts are read once more, and nothing is written.
    const reads = ['createUser', 'linkIdentity', 'claimAddress'].includes(hook)
    const later = app.accounts.calls.slice(app.accounts.calls.findIndex(({ name }) => name === hook) + 1)
    expect(later.some(({ name }) => name === 'getUserByIdentity')).toBe(reads)
    expect(app.accounts.writes().length).toBeLessThanOrEqual(1)
  })

  test.each(['throws null', 'rejects with a string'])('one that %s fails like any other', async (how) => {
    await open()
    app.accounts.intercept = (name) => {
      if (name !== 'createUser') return
      if (how === 'throws null') throw null
      return Promise.reject('text')
    }
    await expectFailed(await app.signIn(browser, 'alice'), 'createUser')
  })

  test('after a code the code is consumed, and a new sign-in works', async () => {
    await open({ connection: { trustedProvider: false } })
    app.accounts.intercept = (name) => {
      if (name === 'createUser' && app.accounts.count('createUser') === 1) throw new Error('down')
    }
    await app.signIn(browser, 'alice')
    const answer = await enterCode(app, browser)
    expect([answer.status, errorOf(answer)]).toEqual([500, 'hook_failed'])
    expect(await app.me(browser)).toBeNull()
    expect(answer.text).toContain('href="/auth/bitbucket"')
  })

  test('in a connection resolver: hook_failed', async () => {
    await open({ resolver: (defaults) => (req) => (req.get('x-down') ? Promise.reject(new Error('down')) : defaults) })
    const answer = await browser.get(`${app.url}/auth/bitbucket`, { headers: { 'x-down': '1' } })
    expect([answer.status, errorOf(answer)]).toEqual([500, 'hook_failed'])
    expect(app.errors[0]).toMatchObject({ code: 'hook_failed', cause: { message: 'down' } })
  })
})

describe('a hook that answers with the wrong type', () => {
  const user = { id: 'u9' }
  test.each<[Hook, unknown]>([
    ['getUserByIdentity', false],
    ['getUserByIdentity', 'u1'],
    ['getUserByIdentity', [user]],
    ['getUserByIdentity', {}],
    ['getUserByIdentity', { id: '' }],
    ['getUserByIdentity', { id: {} }],
    ['getAccountsByEmail', null],
    ['getAccountsByEmail', { 0: user, length: 1 }],
    ['getAccountsByEmail', [user]],
    ['getAccountsByEmail', [{ user: null, email: 'alice@example.com', emailVerified: true }]],
    ['getAccountsByEmail', [{ user, email: null, emailVerified: true }]],
    ['getAccountsByEmail', [{ user, email: 'alice@example.com', emailVerified: 'true' }]],
    ['getAccountsByEmail', [{ user, email: 'alice@example.com', emailVerified: true, autoLink: 'no' }]],
    ['createUser', null],
    ['createUser', 'u9'],
    ['createUser', {}],
    ['claimAddress', null],
    ['claimAddress', user],
    ['claimAddress', { user: null }],
    ['listIdentities', null],
    ['listIdentities', [{}]],
    ['listIdentities', [{ issuer: 'x', id: 5 }]],
  ])('%s answering %j: hook_failed, no session', async (hook, answer) => {
    await open()
    arranged[hook]?.()
    app.accounts.intercept = (name) => (name === hook ? answer : undefined)
    await expectFailed(await app.signIn(browser, 'alice'), hook)
  })

  test.each([false, null, 0, 'suspended', {}, 'true'])('canSignIn answering %j lets nobody in', async (said) => {
    await open()
    await app.signIn(new TestBrowser(), 'alice')
    app.accounts.intercept = (name) => (name === 'canSignIn' ? said : undefined)
    expect(errorOf(await app.signIn(browser, 'alice'))).toBe('account_disabled')
    expect(await app.me(browser)).toBeNull()
  })

  test.each([null, {}, { label: 5, emailVerified: true }, { label: 'x', emailVerified: 'yes' }])(
    'describeUser answering %j links nothing',
    async (said) => {
      await open()
      const local = app.accounts.add({ email: 'local@example.com', emailVerified: true })
      await app.localSignIn(browser, local)
      app.accounts.intercept = (name) => (name === 'describeUser' ? said : undefined)
      const answer = await browser.post(`${app.url}/auth/bitbucket/link`, {})
      expect([answer.status, errorOf(answer)]).toEqual([500, 'hook_failed'])
    },
  )

  test.each([null, true, 'yes'])('unlinkIdentity answering %j: hook_failed', async (said) => {
    await open()
    const local = app.accounts.add({ email: 'local@example.com', emailVerified: true })
    await app.localSignIn(browser, local)
    await link(app, browser, 'alice')
    app.accounts.intercept = (name) => (name === 'unlinkIdentity' ? said : undefined)
    const answer = await browser.post(`${app.url}/auth/bitbucket/unlink`, { id: fake.person('alice').uuid })
    expect([answer.status, errorOf(answer)]).toEqual([500, 'hook_failed'])
  })

  test.each([5, '', {}, undefined])('userId answering %j: hook_failed, no session', async (id) => {
    await open({ options: { userId: () => id as never } })
    await expectFailed(await app.signIn(browser, 'alice'), 'createUser')
  })

  test.each<[string, unknown, string]>([
    ['text', 'default', 'hook_failed'],
    ['undefined', undefined, 'hook_failed'],
    ['a connection without id', { id: undefined }, 'configuration_invalid'],
    ['a connection with a misspelt key', { trustedprovider: true }, 'configuration_invalid'],
    ['a connection whose trust is text', { trustedProvider: 'false' }, 'configuration_invalid'],
  ])('a connection resolver answering %s: %s', async (_what, said, code) => {
    await open({
      resolver: (defaults) => () => (typeof said === 'object' ? { ...defaults, ...said } : said) as typeof defaults,
    })
    const answer = await browser.get(`${app.url}/auth/bitbucket`)
    expect([answer.status, errorOf(answer)]).toEqual([500, code])
  })

  test('a connection resolver answering null: not offered', async () => {
    await open({ resolver: () => () => null })
    const answer = await browser.get(`${app.url}/auth/bitbucket`)
    expect([answer.status, errorOf(answer)]).toEqual([404, 'connection_unavailable'])
  })
})

describe('a hook that hangs', () => {
  const never = new Promise(() => {})
  test.each(HOOKS)('%s is given up after 15 seconds', async (hook) => {
    await open()
    arranged[hook]?.()
    const callback = await consented(app, browser, 'alice')
    app.accounts.intercept = (name) => (name === hook ? never : undefined)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let settled = false
    const waiting = browser.get(callback).finally(() => {
      settled = true
    })
    await vi.waitUntil(() => app.accounts.count(hook) > 0)
    await vi.advanceTimersByTimeAsync(14_900)
    expect(settled).toBe(false)
    await vi.advanceTimersByTimeAsync(200)
    await expectFailed(await waiting, hook)
  })

  test('all hooks of a request together have 30 seconds', async () => {
    await open()
    const callback = await consented(app, browser, 'alice')
    const release: (() => void)[] = []
    app.accounts.intercept = () => new Promise<void>((resolve) => release.push(resolve))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
    const waiting = browser.get(callback)
    for (const hook of ['getUserByIdentity', 'getAccountsByEmail'] as const) {
      await vi.waitUntil(() => app.accounts.count(hook) === 1)
      await vi.advanceTimersByTimeAsync(14_000)
      release.shift()?.()
    }
    await vi.waitUntil(() => app.accounts.count('createUser') === 1)
    await vi.advanceTimersByTimeAsync(2_500)
    await expectFailed(await waiting, 'createUser')
  })

  test('a connection resolver is given up after 15 seconds', async () => {
    await open({ resolver: () => () => never as never })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const waiting = browser.get(`${app.url}/auth/bitbucket`)
    await vi.waitUntil(() => vi.getTimerCount() > 0)
    await vi.advanceTimersByTimeAsync(15_001)
    expect(errorOf(await waiting)).toBe('hook_failed')
  })
})

describe('what hooks are given', () => {
  test('identity, profile, address and context are frozen to the bottom, and the context says where from', async () => {
    await open()
    await app.signIn(browser, 'carol')
    const input = app.accounts.calls.find(({ name }) => name === 'createUser')?.input ?? {}
    expect(Object.keys(input).sort()).toEqual(['context', 'email', 'identity', 'profile', 'req'])
    const { req: _req, ...rest } = input
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen))
    expect(Object.values(rest).map(frozen)).toEqual([true, true, true, true])
    expect(input.context).toEqual({
      connection: 'default',
      tenant: null,
      application: null,
      origin: app.url,
      intent: 'sign-in',
      workspaces: [],
    })
    expect(input.identity).toEqual({ issuer: new URL(fake.url).origin, id: fake.person('carol').uuid })
    expect(input.profile).toMatchObject({ displayName: 'Carol Côté', nickname: 'carol' })
  })

  test('a hook that changes what it is given changes nothing for the others', async () => {
    await open()
    app.accounts.intercept = (name, input) => {
      if (name !== 'getUserByIdentity') return
      const { identity } = input as { identity: { id: string } }
      expect(() => {
        identity.id = '{33333333-3333-4333-8333-333333333333}'
      }).toThrow(TypeError)
    }
    await app.signIn(browser, 'alice')
    expect(app.accounts.users.get('u1')?.identities[0]?.id).toBe(fake.person('alice').uuid)
  })

  test("the app's own users pass through untouched", async () => {
    await open()
    const local = app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    await app.signIn(browser, 'alice')
    expect(app.accounts.calls.find(({ name }) => name === 'linkIdentity')?.input.user).toBe(local)
    expect(Object.isFrozen(local)).toBe(false)
  })

  test('only storeTokens sees tokens', async () => {
    await open()
    fake.setBehaviour({ tokenLength: 'long' })
    await app.signIn(browser, 'alice')
    const tokens = app.accounts.tokens.get('u1')
    expect(tokens?.accessToken.length).toBeGreaterThan(2500)
    const seeing = app.accounts.calls.filter(({ input: { req: _req, ...input } }) =>
      JSON.stringify(input).includes(tokens?.accessToken ?? '-'),
    )
    expect(seeing.map(({ name }) => name)).toEqual(['storeTokens'])
  })
})

describe('what follows a sign-in', () => {
  test('updateProfile hears what changed upstream, once, and an address is not among it', async () => {
    await open()
    await app.signIn(new TestBrowser(), 'alice')
    await app.signIn(new TestBrowser(), 'alice')
    expect(app.accounts.count('updateProfile')).toBe(0)
    fake.updatePerson('alice', {
      displayName: 'New Name',
      nickname: 'newnick',
      emails: [{ address: 'new@example.com', primary: true }],
    })
    await app.signIn(new TestBrowser(), 'alice')
    await app.signIn(browser, 'alice')
    const calls = app.accounts.calls.filter(({ name }) => name === 'updateProfile')
    expect(calls.map(({ input }) => input.changes)).toEqual([
      expect.objectContaining({ displayName: 'New Name', nickname: 'newnick' }),
    ])
    expect(calls[0]?.input.changes).not.toHaveProperty('emails')
    expect(app.accounts.users.get('u1')?.email).toBe('alice@example.com')
    expect(app.events.filter(({ type }) => type === 'profile_changed')).toHaveLength(1)
  })

  test('after a code the browser passes once more through the start, and then the app has the tokens', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice', { returnTo: '/on' })
    const answer = await enterCode(app, browser)
    expect(app.accounts.tokens.size).toBe(0)
    expect(await app.me(browser)).toBe('u1')
    const started = await browser.get(`${app.url}${answer.location}`)
    const end = await browser.get(await fake.signIn(started.location, { person: 'alice' }))
    expect(end.location).toBe('/on')
    expect(app.accounts.tokens.has('u1')).toBe(true)
  })

  test('after a switch the app gets the tokens of the person switched to', async () => {
    await open()
    const local = app.accounts.add({ email: 'local@example.com', emailVerified: true })
    await app.localSignIn(browser, local)
    await app.signIn(browser, 'alice')
    const answer = await choose(app, browser, 'switch')
    const started = await browser.get(`${app.url}${answer.location}`)
    await browser.get(await fake.signIn(started.location, { person: 'alice' }))
    expect([...app.accounts.tokens.keys()]).toEqual(['u2'])
  })

  test('a refused sign-in stores no tokens', async () => {
    const policy: Policy = { matchingAccount: 'reject' }
    await open({ options: { policy } })
    app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    expect(errorOf(await app.signIn(browser, 'alice'))).toBe('account_exists')
    expect(app.accounts.count('storeTokens')).toBe(0)
  })
})
