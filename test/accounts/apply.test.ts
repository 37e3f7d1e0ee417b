import type { Request } from 'express'
import { describe, expect, test } from 'vitest'
import { guardHooks } from '../../src/accounts/guarded-hooks'
import { type Resolution, readHolders, resolveSignIn } from '../../src/accounts/resolve-sign-in'
import { EmailTakenError, IdentityTakenError } from '../../src/contract/errors'
import type { AccountHooks, HookContext } from '../../src/contract/hooks'
import type { Identity, Profile } from '../../src/contract/identity'
import type { SignInPolicy } from '../../src/contract/policy'
import type { SignInEmail } from '../../src/decisions/email-trust'

import { TestAccounts, type TestUser } from '../support/accounts'

const ADDRESS = 'alice@example.com'
const IDENTITY: Identity = { issuer: 'https://bitbucket.org', id: '{12345678-1234-4123-8123-123456789abc}' }
const PROFILE: Profile = {
  id: IDENTITY.id,
  accountId: null,
  username: 'alice',
  nickname: null,
  displayName: 'Alice',
  avatarUrl: null,
  profileUrl: null,
  emails: [],
}
const POLICY: SignInPolicy = {
  untrustedEmail: 'verify',
  missingEmail: 'ask',
  matchingAccount: 'link',
  codeOpensAccount: false,
  identitiesPerUser: 'one',
  signUp: true,
  canClaim: true,
  canProve: true,
}

/** Failures that did not end the request. */
const reported: Error[] = []

function guard(hooks: AccountHooks<TestUser>) {
  const context = {} as HookContext
  const access = { idOf: ({ id }: TestUser) => id, reread: async () => null }
  return guardHooks(hooks, access, { req: {} as Request, context })
}

function resolve(
  accounts: TestAccounts,
  level: Exclude<SignInEmail['level'], 'none'> = 'bitbucket',
  policy: Partial<SignInPolicy> = {},
): Promise<Resolution<TestUser>> {
  const subject = { identity: IDENTITY, profile: PROFILE, email: { level, address: ADDRESS } }
  const work = {
    hooks: guard(accounts.hooks()),
    changed: () => {},
    report: (error: Error) => void reported.push(error),
  }
  return resolveSignIn(subject, work, { ...POLICY, ...policy })
}

describe('applySignIn reads', () => {
  test('reads no accounts by address for a stored identity', async () => {
    const accounts = new TestAccounts()
    const user = accounts.add({ identities: [IDENTITY] })
    expect(await resolve(accounts)).toMatchObject({ type: 'signed-in', how: 'signed_in', user, id: user.id })
    expect(accounts.count('getAccountsByEmail')).toBe(0)
    expect(accounts.writes()).toEqual([])
  })

  test('reads no accounts by an asserted address by default', async () => {
    const accounts = new TestAccounts()
    accounts.add({ email: ADDRESS, emailVerified: true })
    expect(await resolve(accounts, 'asserted')).toEqual({ type: 'wait', step: 'code' })
    expect(accounts.calls.map(({ name }) => name)).toEqual(['getUserByIdentity'])
  })

  test("never links by address if one of a user's two rows forbids it", async () => {
    const accounts = new TestAccounts()
    const user = accounts.add({ email: ADDRESS, emailVerified: true })
    for (const autoLinks of [
      [undefined, false],
      [false, undefined],
    ]) {
      const hooks = accounts.hooks()
      hooks.getAccountsByEmail = () =>
        autoLinks.map((autoLink, row) => ({
          user,
          email: ADDRESS,
          emailVerified: row === 0,
          ...(autoLink === false && { autoLink }),
        }))
      const [found, ...more] = await readHolders(ADDRESS, IDENTITY, guard(hooks))
      expect(found?.holder).toMatchObject({ verified: true, autoLink: false })
      expect(more).toEqual([])
    }
  })

  test('counts a user found by address and by name as one holder with a verified address', async () => {
    const user = { id: 'u1' } as TestUser
    const both = [
      { user, email: ADDRESS, emailVerified: false },
      { user: { ...user }, email: ADDRESS, emailVerified: true },
    ]
    for (const found of [both, [...both].reverse()]) {
      const hooks = guard({ ...new TestAccounts().hooks(), getAccountsByEmail: () => found, listIdentities: () => [] })
      const holders = await readHolders(ADDRESS, IDENTITY, hooks)
      expect(holders.map(({ id, holder }) => [id, holder.verified])).toEqual([['u1', true]])
    }
  })

  test('finds the account that verified an address among any number of squatters', async () => {
    const accounts = new TestAccounts()
    for (let count = 0; count < 50; count++) accounts.add({ email: ADDRESS })
    const owner = accounts.add({ email: ADDRESS, emailVerified: true })
    expect(await resolve(accounts)).toMatchObject({ type: 'signed-in', how: 'linked', id: owner.id })
    expect(accounts.writes()).toEqual(['linkIdentity'])
    // Squatters are read up to a limit, so that one sign-in cannot cost a thousand hooks.
    expect(accounts.count('canSignIn')).toBe(21)
  })

  test('refuses two accounts that verified an address as ambiguous, with squatters between them', async () => {
    const accounts = new TestAccounts()
    accounts.add({ email: ADDRESS, emailVerified: true })
    for (let count = 0; count < 50; count++) accounts.add({ email: ADDRESS })
    accounts.add({ email: ADDRESS, emailVerified: true })
    expect(await resolve(accounts)).toEqual({ type: 'refused', code: 'email_ambiguous' })
  })

  test('does not count an identity of another issuer as a second Bitbucket identity', async () => {
    const accounts = new TestAccounts()
    const identities = [{ issuer: 'https://own.example', id: IDENTITY.id }]
    accounts.add({ email: ADDRESS, emailVerified: true, identities })
    expect(await resolve(accounts)).toMatchObject({ how: 'linked' })
  })
})

describe('applySignIn writes', () => {
  test('stores the address of a new user with its proof', async () => {
    const accounts = new TestAccounts()
    expect(await resolve(accounts)).toMatchObject({ type: 'signed-in', how: 'signed_up' })
    expect(accounts.calls.at(-1)?.input.email).toEqual({ address: ADDRESS, verified: true, verifiedBy: 'bitbucket' })
    const byCode = new TestAccounts()
    await resolve(byCode, 'code')
    expect(byCode.calls.at(-1)?.input.email).toEqual({ address: ADDRESS, verified: true, verifiedBy: 'code' })
    const unverified = new TestAccounts()
    await resolve(unverified, 'asserted', { untrustedEmail: 'unverified' })
    expect(unverified.calls.at(-1)?.input.email).toEqual({ address: ADDRESS, verified: false, verifiedBy: null })
    const omitted = new TestAccounts()
    await resolve(omitted, 'asserted', { untrustedEmail: 'omit' })
    expect(omitted.calls.at(-1)?.input.email).toBeNull()
  })

  test('ends the other sessions of an account that it links', async () => {
    const accounts = new TestAccounts()
    const owner = accounts.add({ email: ADDRESS, emailVerified: true })
    await resolve(accounts)
    expect(accounts.endedSessions).toEqual([{ userId: owner.id, reason: 'linked' }])
  })

  test('passes every holder to a claim, gives the address to a new account and ends all their sessions', async () => {
    const accounts = new TestAccounts()
    const holders = [accounts.add({ email: ADDRESS }), accounts.add({ email: ADDRESS })]
    expect(await resolve(accounts)).toMatchObject({ type: 'signed-in', how: 'claimed', id: 'u3' })
    expect(accounts.calls.find(({ name }) => name === 'claimAddress')?.input.holders).toEqual(holders)
    expect(accounts.endedSessions).toEqual(['u1', 'u2', 'u3'].map((userId) => ({ userId, reason: 'claimed' })))
  })

  test('ends the sessions of every holder of a claimed address even if that fails for one, and reports the failure', async () => {
    const accounts = new TestAccounts()
    for (const _ of [1, 2]) accounts.add({ email: ADDRESS })
    const asked: unknown[] = []
    accounts.intercept = (name, input) => {
      if (name !== 'endOtherSessions') return undefined
      const { id } = (input as { user: TestUser }).user
      asked.push(id)
      if (id === 'u1') throw new Error('sessions of u1')
      return undefined
    }
    await expect(resolve(accounts)).rejects.toMatchObject({ code: 'hook_failed', cause: { message: 'sessions of u1' } })
    expect(asked).toEqual(['u1', 'u2', 'u3'])
  })

  test('claims twenty squatters together, and none of twenty-one', async () => {
    const accounts = new TestAccounts()
    const squatters = Array.from({ length: 20 }, () => accounts.add({ email: ADDRESS }))
    const last = accounts.add({ email: ADDRESS })
    for (const level of ['bitbucket', 'code'] as const) {
      expect(await resolve(accounts, level)).toEqual({ type: 'refused', code: 'account_exists_unverified' })
    }
    expect(accounts.writes()).toEqual([])
    accounts.users.delete(last.id)
    expect(await resolve(accounts)).toMatchObject({ type: 'signed-in', how: 'claimed' })
    expect(accounts.calls.find(({ name }) => name === 'claimAddress')?.input.holders).toEqual(squatters)
  })

  test('writes nothing for a question or a refusal', async () => {
    const accounts = new TestAccounts()
    accounts.add({ email: ADDRESS, emailVerified: true })
    expect(await resolve(accounts, 'code')).toEqual({ type: 'wait', step: 'prove' })
    expect(await resolve(accounts, 'bitbucket', { matchingAccount: 'reject' })).toEqual({
      type: 'refused',
      code: 'account_exists',
    })
    expect(accounts.writes()).toEqual([])
  })
})

describe('after a lost race', () => {
  test('signs in by the identity that the other request stored', async () => {
    const accounts = new TestAccounts()
    accounts.intercept = (name) => {
      if (name !== 'createUser' || accounts.byIdentity(IDENTITY)) return
      accounts.add({ identities: [IDENTITY] })
    }
    expect(await resolve(accounts)).toMatchObject({ type: 'signed-in', how: 'signed_in', id: 'u1' })
    expect(accounts.writes()).toEqual(['createUser'])
  })

  test.each([
    ['link', () => ({ email: ADDRESS, emailVerified: true })],
    ['claim', () => ({ email: ADDRESS })],
  ])('enters no account by %s after a lost race', async (_how, winner) => {
    const accounts = new TestAccounts()
    accounts.intercept = (name) => {
      if (name !== 'createUser') return
      accounts.add(winner())
      throw new EmailTakenError()
    }
    expect(await resolve(accounts)).toEqual({ type: 'refused', code: 'account_exists' })
    expect(accounts.writes()).toEqual(['createUser'])
  })

  test('may ask a question', async () => {
    const accounts = new TestAccounts()
    accounts.intercept = (name) => {
      if (name !== 'createUser') return
      accounts.add({ email: ADDRESS, emailVerified: true })
      throw new EmailTakenError()
    }
    expect(await resolve(accounts, 'code')).toEqual({ type: 'wait', step: 'prove' })
    expect(accounts.writes()).toEqual(['createUser'])
  })

  test('refuses after one retry if the store always reports a lost race', async () => {
    const accounts = new TestAccounts()
    accounts.intercept = (name) => {
      if (name === 'createUser') throw new IdentityTakenError()
    }
    expect(await resolve(accounts)).toEqual({ type: 'refused', code: 'account_exists' })
    expect(accounts.count('createUser')).toBe(1)
    expect(accounts.count('getUserByIdentity')).toBe(2)
  })
})
