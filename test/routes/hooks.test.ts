import type { AccountHooks, BitbucketSignInOptions } from 'passport-bitbucket-signin'
import { describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { type Answer, TestBrowser } from '../support/browser'
import { app, browser, fake, open } from '../support/one-app'
import { choose, enterCode, errorOf } from '../support/steps'

type Hook = keyof AccountHooks<TestUser>
type Policy = BitbucketSignInOptions<TestUser>['policy'] & {}

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
  test.each(HOOKS)('%s: refuses with hook_failed and without a session, and reports why', async (hook) => {
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

  test.each(['throws null', 'rejects with a string'])('fails the same way when it %s', async (how) => {
    await open()
    app.accounts.intercept = (name) => {
      if (name !== 'createUser') return
      if (how === 'throws null') throw null
      return Promise.reject('text')
    }
    await expectFailed(await app.signIn(browser, 'alice'), 'createUser')
  })

  test('consumes the code, and a new sign-in works', async () => {
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
})

describe('the input of hooks', () => {
  test('is frozen at every depth, and its context says where the sign-in began', async () => {
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

  test("contains the app's own users as they are", async () => {
    await open()
    const local = app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    await app.signIn(browser, 'alice')
    expect(app.accounts.calls.find(({ name }) => name === 'linkIdentity')?.input.user).toBe(local)
    expect(Object.isFrozen(local)).toBe(false)
  })
})

describe('after a sign-in', () => {
  test('updateProfile is called once with what changed upstream, without addresses', async () => {
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

  test('by code the browser passes once more through the start, and then the app has the tokens', async () => {
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

  test('by a switch the app has the tokens of the user switched to', async () => {
    await open()
    const local = app.accounts.add({ email: 'local@example.com', emailVerified: true })
    await app.localSignIn(browser, local)
    await app.signIn(browser, 'alice')
    const answer = await choose(app, browser, 'switch')
    const started = await browser.get(`${app.url}${answer.location}`)
    await browser.get(await fake.signIn(started.location, { person: 'alice' }))
    expect([...app.accounts.tokens.keys()]).toEqual(['u2'])
  })

  test('that is refused no tokens are stored', async () => {
    const policy: Policy = { matchingAccount: 'reject' }
    await open({ options: { policy } })
    app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    expect(errorOf(await app.signIn(browser, 'alice'))).toBe('account_exists')
    expect(app.accounts.count('storeTokens')).toBe(0)
  })
})
