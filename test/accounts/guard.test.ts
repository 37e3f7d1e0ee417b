import type { Request } from 'express'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { GuardedHooks } from '../../src/accounts/account-access'
import { frozen, guardHooks } from '../../src/accounts/guarded-hooks'
import { LostWrite } from '../../src/accounts/lost-write'
import { BitbucketSignInError, EmailTakenError, IdentityTakenError } from '../../src/contract/errors'
import type { AccountHooks, HookContext } from '../../src/contract/hooks'
import type { Identity, Profile } from '../../src/contract/identity'
import { defaultUserId } from '../../src/options/app-functions'

interface User {
  readonly id: string
}

const IDENTITY: Identity = { issuer: 'https://bitbucket.org', id: '{12345678-1234-4123-8123-123456789abc}' }
const PROFILE: Profile = {
  id: IDENTITY.id,
  accountId: null,
  username: 'alice',
  nickname: null,
  displayName: 'Alice',
  avatarUrl: null,
  profileUrl: null,
  emails: [{ address: 'alice@example.com', primary: true, confirmed: true }],
}
const EMAIL = { address: 'alice@example.com', verified: true, verifiedBy: 'bitbucket' } as const
const ALICE: User = { id: 'u1' }
const CAROL: User = { id: 'u3' }
const KNOWN = { user: ALICE, id: 'u1' }
const CONTEXT = Object.freeze({ connection: 'default', intent: 'sign-in' }) as unknown as HookContext
const REQ = {} as Request

/** Hooks that a test replaces; all of them there, all of them content. */
type AnyHooks = { [Name in keyof AccountHooks<User>]?: (input: never) => unknown }
const CONTENT: AnyHooks = {
  getUserByIdentity: () => ALICE,
  getUserById: () => ALICE,
  getAccountsByEmail: () => [],
  createUser: () => ALICE,
  linkIdentity: () => undefined,
  claimAddress: () => ({ user: CAROL }),
  unlinkIdentity: () => 'unlinked',
  listIdentities: () => [],
  describeUser: () => ({ label: 'Alice', email: null, emailVerified: false }),
  storeTokens: () => undefined,
  updateProfile: () => undefined,
  beforeSignIn: () => undefined,
  canSignIn: () => true,
  endOtherSessions: () => undefined,
}

function guarded(hooks: AnyHooks = {}, idOf: (user: User) => string | null = ({ id }) => id): GuardedHooks<User> {
  const access = { idOf, reread: async () => ALICE }
  return guardHooks({ ...CONTENT, ...hooks } as AccountHooks<User>, access, { req: REQ, context: CONTEXT })
}

afterEach(() => {
  vi.useRealTimers()
})

/** The failure of a call: thrown, or handed back because it may be a lost race. */
async function failed(work: Promise<unknown>): Promise<BitbucketSignInError> {
  const error = await work.then(
    (value) =>
      (value instanceof LostWrite ? value.error : undefined) ?? new Error(`resolved with ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof BitbucketSignInError)) throw error
  expect(error.code).toBe('hook_failed')
  return error
}

/** Each guarded call, by the hook it reaches. */
const CALLS: { [Name in keyof AccountHooks<User>]-?: (hooks: GuardedHooks<User>) => Promise<unknown> } = {
  getUserByIdentity: (hooks) => hooks.findByIdentity(IDENTITY),
  getUserById: (hooks) => hooks.readAgain(KNOWN),
  getAccountsByEmail: (hooks) => hooks.findByEmail('alice@example.com'),
  createUser: (hooks) => hooks.create({ identity: IDENTITY, profile: PROFILE, email: EMAIL }),
  linkIdentity: (hooks) => hooks.link({ known: KNOWN, identity: IDENTITY, profile: PROFILE, email: EMAIL }),
  claimAddress: (hooks) => hooks.claim({ holders: [KNOWN], identity: IDENTITY, profile: PROFILE, email: EMAIL }),
  unlinkIdentity: (hooks) => hooks.unlink({ known: KNOWN, identity: IDENTITY, remaining: [] }),
  listIdentities: (hooks) => hooks.listIdentities(KNOWN),
  describeUser: (hooks) => hooks.describe(KNOWN),
  storeTokens: (hooks) =>
    hooks.storeTokens({
      known: KNOWN,
      identity: IDENTITY,
      tokens: { accessToken: 'T', refreshToken: null, expiresAt: null, scopes: null },
    }),
  updateProfile: (hooks) =>
    hooks.updateProfile({ known: KNOWN, identity: IDENTITY, profile: PROFILE, changes: { displayName: 'Alice' } }),
  beforeSignIn: (hooks) => hooks.beforeSignIn({ known: KNOWN, identity: IDENTITY, profile: PROFILE, how: 'signed_in' }),
  canSignIn: (hooks) => hooks.canSignIn(KNOWN),
  endOtherSessions: (hooks) => hooks.endOtherSessions({ known: KNOWN, reason: 'linked' }),
}
const NAMES = Object.keys(CALLS) as (keyof AccountHooks<User>)[]
const WRITES = ['createUser', 'linkIdentity', 'claimAddress', 'unlinkIdentity'] as const

describe.each(NAMES)('%s', (name) => {
  const call = CALLS[name]

  test("is called once, on the app's own object, with request and context", async () => {
    const hook = vi.fn(CONTENT[name] as () => unknown)
    await call(guarded({ [name]: hook }))
    expect(hook).toHaveBeenCalledTimes(1)
    expect(hook).toHaveBeenCalledWith(expect.objectContaining({ req: REQ, context: CONTEXT }))
    expect(hook.mock.contexts[0]).toHaveProperty('getUserByIdentity')
  })

  test.each([
    ['throws', () => Promise.reject(new Error('of the database'))],
    [
      'throws at once',
      () => {
        throw new Error('of the database')
      },
    ],
  ])('fails with hook_failed and a separate cause when it %s', async (_how, hook) => {
    const error = await failed(call(guarded({ [name]: hook })))
    expect(error.message).toBe(`accounts.${name} failed; see \`cause\`.`)
    expect(error.cause).toMatchObject({ message: 'of the database' })
  })

  test.each([undefined, null, 'text', 0])('fails with hook_failed when it throws %j', async (thrown) => {
    await failed(call(guarded({ [name]: () => Promise.reject(thrown) })))
  })

  test('fails with hook_failed if it has not settled after 15 seconds', async () => {
    vi.useFakeTimers()
    let outcome: unknown
    call(guarded({ [name]: () => new Promise(() => {}) })).catch((error: unknown) => {
      outcome = error
    })
    await vi.advanceTimersByTimeAsync(14_999)
    expect(outcome).toBeUndefined()
    await vi.advanceTimersByTimeAsync(1)
    expect(outcome).toMatchObject({ code: 'hook_failed' })
    expect(vi.getTimerCount()).toBe(0)
  })

  test('may report that its store is unavailable', async () => {
    const away = new BitbucketSignInError('store_unavailable', 'no database')
    await expect(call(guarded({ [name]: () => Promise.reject(away) }))).rejects.toBe(away)
  })

  test('cannot choose another of our error codes', async () => {
    const own = new BitbucketSignInError('account_exists', 'own words')
    expect((await failed(call(guarded({ [name]: () => Promise.reject(own) })))).cause).toBe(own)
  })
})

describe('a hook that returns a wrong value', () => {
  const noUser = [undefined, false, true, 0, '', 'u1', [], [ALICE], {}, { id: '' }, { id: null }]

  test.each([...noUser, 'Orphaned', { id: ['u1'] }])(
    'getUserByIdentity: fails with hook_failed for %j',
    async (answer) => {
      const idOf = ({ id }: User) => (typeof id === 'string' ? id : null)
      await failed(guarded({ getUserByIdentity: () => answer }, idOf).findByIdentity(IDENTITY))
    },
  )

  test('getUserByIdentity: treats null as no user, and an orphan as an identity without a user', async () => {
    expect(await guarded({ getUserByIdentity: () => null }).findByIdentity(IDENTITY)).toEqual({ type: 'nobody' })
    expect(await guarded({ getUserByIdentity: () => 'orphaned' }).findByIdentity(IDENTITY)).toEqual({
      type: 'orphaned',
    })
    expect(await guarded().findByIdentity(IDENTITY)).toEqual({ type: 'user', user: ALICE, id: 'u1' })
  })

  test('getUserByIdentity: tells "no row" of a database library from a user without an id', async () => {
    const message = async (answer: unknown) =>
      (await failed(guarded({ getUserByIdentity: () => answer }).findByIdentity(IDENTITY))).message
    expect(await message(undefined)).toBe(
      "accounts.getUserByIdentity must return a user, null for no user (`?? null`) or 'orphaned', not undefined.",
    )
    expect(await message([ALICE])).toContain('not an array')
    expect(await message({ _id: 'u1' })).toBe(
      'accounts.getUserByIdentity must return a user with an id: `user.id`, or the result of the option `userId`.',
    )
  })

  test.each([...noUser, null])('createUser: fails with hook_failed for %j', async (answer) => {
    await failed(CALLS.createUser(guarded({ createUser: () => answer })))
  })

  test.each([undefined, null, true, ALICE, {}, { user: null }, { user: 'u1' }, { user: [] }, { user: {} }])(
    'claimAddress: fails with hook_failed for %j',
    async (answer) => {
      await failed(CALLS.claimAddress(guarded({ claimAddress: () => answer })))
    },
  )

  const account = { user: ALICE, email: 'alice@example.com', emailVerified: true }
  test.each([
    undefined,
    null,
    account,
    'text',
    [null],
    [ALICE],
    [{ ...account, user: null }],
    [{ ...account, user: 'u1' }],
    [{ ...account, user: {} }],
    [{ ...account, email: null }],
    [{ ...account, email: ['alice@example.com'] }],
    [{ ...account, emailVerified: undefined }],
    [{ ...account, emailVerified: 1 }],
    [{ ...account, emailVerified: 'false' }],
    [{ ...account, emailVerified: new Date() }],
    [{ ...account, autoLink: null }],
    [{ ...account, autoLink: 0 }],
    [account, null],
  ])('getAccountsByEmail: fails with hook_failed for %j', async (answer) => {
    await failed(CALLS.getAccountsByEmail(guarded({ getAccountsByEmail: () => answer })))
  })

  test.each([false, 'suspended', '', 'true'])('canSignIn: treats %j as no; only true is yes', async (answer) => {
    expect(await guarded({ canSignIn: () => answer }).canSignIn(KNOWN)).toBe(false)
  })

  test.each([null, undefined, 1, 0, {}, []])('canSignIn: fails with hook_failed for %j', async (answer) => {
    await failed(guarded({ canSignIn: () => answer }).canSignIn(KNOWN))
  })

  test.each([undefined, null, {}, 'text', [null], ['{id}'], [{ issuer: 'x' }], [{ issuer: 1, id: 'x' }]])(
    'listIdentities: fails with hook_failed for %j',
    async (answer) => {
      await failed(CALLS.listIdentities(guarded({ listIdentities: () => answer })))
    },
  )

  test.each([
    undefined,
    null,
    'Alice',
    {},
    { label: 'Alice' },
    { label: 1, emailVerified: true },
    { emailVerified: true },
  ])('describeUser: fails with hook_failed for %j', async (answer) => {
    await failed(CALLS.describeUser(guarded({ describeUser: () => answer })))
  })

  test('describeUser: says what to do about users without a name', async () => {
    const nameless = guarded({ describeUser: () => ({ label: null, email: null, emailVerified: false }) as never })
    await expect(CALLS.describeUser(nameless)).rejects.toThrow('Fall back to the address for users without a name')
  })

  test.each([undefined, null, true, false, 'done', {}, ['unlinked']])(
    'unlinkIdentity: fails with hook_failed for %j',
    async (answer) => {
      await failed(CALLS.unlinkIdentity(guarded({ unlinkIdentity: () => answer })))
    },
  )

  test('unlinkIdentity: accepts its two outcomes', async () => {
    expect(await CALLS.unlinkIdentity(guarded())).toBe('unlinked')
    expect(await CALLS.unlinkIdentity(guarded({ unlinkIdentity: () => 'last' }))).toBe('last')
  })

  test.each([null, '', undefined, 7, {}])('fails with hook_failed if userId returns %j', async (id) => {
    await failed(guarded({}, () => id as string).findByIdentity(IDENTITY))
  })
})

describe('optional hooks that are missing', () => {
  const without = (...names: (keyof AccountHooks<User>)[]) =>
    guarded(Object.fromEntries(names.map((name) => [name, undefined])))

  test('are reported as missing', () => {
    expect(guarded().has).toEqual({ list: true, describe: true, unlink: true, updateProfile: true })
    expect(without('listIdentities', 'describeUser', 'unlinkIdentity', 'updateProfile').has).toEqual({
      list: false,
      describe: false,
      unlink: false,
      updateProfile: false,
    })
  })

  test('return the answer that lets nobody in and changes nothing', async () => {
    const hooks = without(
      'listIdentities',
      'describeUser',
      'canSignIn',
      'storeTokens',
      'updateProfile',
      'endOtherSessions',
    )
    expect(await hooks.listIdentities(KNOWN)).toBeNull()
    expect(await hooks.describe(KNOWN)).toBeNull()
    expect(await hooks.canSignIn(KNOWN)).toBe(true)
    for (const name of ['storeTokens', 'updateProfile', 'endOtherSessions'] as const) {
      expect(await CALLS[name](hooks)).toBeUndefined()
    }
  })

  test.each(['claimAddress', 'unlinkIdentity'] as const)(
    '%s fails with hook_failed when it is needed all the same',
    async (name) => {
      await failed(CALLS[name](without(name)))
    },
  )
})

describe('addresses of accounts', () => {
  const found = async (email: string, asked = 'alice@example.com') => {
    const hooks = guarded({ getAccountsByEmail: () => [{ user: ALICE, email, emailVerified: true }] })
    return (await hooks.findByEmail(asked)).length
  }

  test('must equal the address asked for, apart from ASCII case', async () => {
    expect(await found('ALICE@example.COM')).toBe(1)
    expect(await found('alice@example.com', 'Alice@Example.com')).toBe(1)
  })

  test.each([
    ['a Kelvin sign', 'kate@example.com', '\u212aate@example.com'],
    ['an accent', 'alice@example.com', 'álice@example.com'],
    ['a sharp s', 'strasse@example.com', 'straße@example.com'],
    ['a dotless i', 'alice@example.com', 'alıce@example.com'],
    ['a full-width letter', 'alice@example.com', 'ａlice@example.com'],
    ['a ligature', 'fi@example.com', 'ﬁ@example.com'],
    ['a space', 'alice@example.com', 'alice@example.com '],
    ['a tag', 'alice@example.com', 'alice+x@example.com'],
    ['another address altogether', 'alice@example.com', 'mallory@example.com'],
  ])('are left out if a loose collation finds them by %s', async (_what, asked, stored) => {
    expect(await found(stored, asked)).toBe(0)
  })
})

describe('the input of hooks', () => {
  test('is a frozen copy, so what was decided is what is stored', async () => {
    const identity = { ...IDENTITY }
    const profile = structuredClone(PROFILE)
    const seen: Record<string, unknown>[] = []
    const hooks = guarded({
      createUser: (input: Record<string, unknown>) => {
        seen.push(input)
        return ALICE
      },
    })
    await hooks.create({ identity, profile, email: { ...EMAIL } })
    const [input] = seen as [{ identity: Identity; profile: Profile; email: object }]
    expect(input).toMatchObject({ identity: IDENTITY, profile: PROFILE, email: EMAIL })
    for (const each of [input.identity, input.profile, input.profile.emails, input.profile.emails?.[0], input.email]) {
      expect(Object.isFrozen(each)).toBe(true)
    }
    expect(input.identity).not.toBe(identity)
    expect(input.profile).not.toBe(profile)
    expect(Object.isFrozen(profile)).toBe(false)
    expect(() => Object.assign(input.identity, { id: 'other' })).toThrow(TypeError)
  })

  test("contains the holders of a claim as the app's own users, in a frozen list", async () => {
    const claimAddress = vi.fn((_input: { holders: readonly User[] }) => ({ user: CAROL }))
    const bob = { id: 'u2' }
    await guarded({ claimAddress }).claim({
      holders: [KNOWN, { user: bob, id: 'u2' }],
      identity: IDENTITY,
      profile: PROFILE,
      email: EMAIL,
    })
    const { holders } = claimAddress.mock.calls[0]?.[0] ?? { holders: [] }
    expect(holders[0]).toBe(ALICE)
    expect(holders[1]).toBe(bob)
    expect(Object.isFrozen(holders)).toBe(true)
    expect(Object.isFrozen(bob)).toBe(false)
  })

  test('contains a token for storeTokens only', async () => {
    const inputs: unknown[] = []
    const spies = Object.fromEntries(
      NAMES.filter((name) => name !== 'storeTokens').map((name) => [
        name,
        (input: unknown) => {
          inputs.push(input)
          return (CONTENT[name] as () => unknown)()
        },
      ]),
    )
    for (const name of NAMES) await CALLS[name](guarded(spies))
    expect(JSON.stringify(inputs)).not.toContain('accessToken')
    // `storeTokens` is left out, and `describeUser` reads the user first.
    expect(inputs).toHaveLength(NAMES.length)
  })

  test('contains the user that getUserById returns, because a session may hold less', async () => {
    const stored = { id: 'u1', name: 'Alice' }
    const describeUser = vi.fn(CONTENT.describeUser as () => unknown)
    await guarded({ getUserById: () => stored, describeUser }).describe(KNOWN)
    await guarded({ getUserById: () => null, describeUser }).describe(KNOWN)
    await guarded({ getUserById: undefined as never, describeUser }).describe(KNOWN)
    const users = (describeUser.mock.calls as unknown as [{ user: unknown }][]).map(([{ user }]) => user)
    expect(users).toEqual([stored, ALICE, ALICE])
  })

  test('is frozen at every depth', () => {
    const value = { a: { b: [{ c: 1 }] }, text: 'x', nothing: null }
    const copy = frozen(value)
    expect(copy).toEqual(value)
    expect(Object.isFrozen(copy.a.b[0])).toBe(true)
    expect(Object.isFrozen(value.a)).toBe(false)
  })
})

describe('lost races', () => {
  class IdentityTakenOfAnotherCopy extends Error {
    override readonly name = 'IdentityTakenError'
  }
  const taken = [new IdentityTakenError(), new EmailTakenError(), new IdentityTakenOfAnotherCopy()]

  test.each(WRITES.filter((name) => name !== 'unlinkIdentity'))(
    '%s may report that a unique key refused the write',
    async (name) => {
      for (const error of taken) {
        const lost = await CALLS[name](guarded({ [name]: () => Promise.reject(error) }))
        expect(lost).toMatchObject({ how: 'taken', error: { code: 'hook_failed', cause: error } })
      }
    },
  )

  test('keeps the cause of an error that only looks like one', async () => {
    for (const error of [{ name: 'IdentityTakenError' }, 'IdentityTakenError', new Error('IdentityTakenError')]) {
      const lost = await CALLS.createUser(guarded({ createUser: () => Promise.reject(error) }))
      expect(lost).toMatchObject({ how: 'failed', error: { code: 'hook_failed', cause: error } })
    }
  })

  test('is never reported by a hook that changes nothing', async () => {
    for (const name of NAMES.filter((each) => !(WRITES as readonly string[]).includes(each))) {
      await failed(CALLS[name](guarded({ [name]: () => Promise.reject(new IdentityTakenError()) })))
    }
  })
})

describe('account changes of one request', () => {
  test.each(WRITES)('are refused after %s', async (first) => {
    for (const second of WRITES) {
      const hook = vi.fn(CONTENT[second] as () => unknown)
      const hooks = guarded(first === second ? {} : { [second]: hook })
      await CALLS[first](hooks)
      const error = await failed(CALLS[second](hooks))
      expect(error.message).toContain('second change')
      expect(hook).not.toHaveBeenCalled()
    }
  })

  test('do not include one that a unique key refused', async () => {
    const hooks = guarded({ createUser: () => Promise.reject(new EmailTakenError()) })
    expect(await CALLS.createUser(hooks)).toMatchObject({ how: 'taken' })
    expect(await CALLS.linkIdentity(hooks)).toBe('linked')
  })

  test('do not include reading, tokens, names and sessions', async () => {
    const hooks = guarded()
    await CALLS.createUser(hooks)
    for (const name of NAMES.filter((each) => !(WRITES as readonly string[]).includes(each))) await CALLS[name](hooks)
  })
})

test('end with all other hooks after 30 seconds', async () => {
  vi.useFakeTimers()
  const slow = () => new Promise((resolve) => setTimeout(() => resolve(true), 12_000))
  const hooks = guarded({ canSignIn: slow })
  const outcomes: unknown[] = []
  const run = async () => {
    for (let count = 0; count < 4; count++) {
      outcomes.push(await hooks.canSignIn(KNOWN).catch((error: BitbucketSignInError) => error.code))
    }
  }
  const running = run()
  await vi.advanceTimersByTimeAsync(24_000)
  expect(outcomes).toEqual([true, true])
  await vi.advanceTimersByTimeAsync(6000)
  expect(outcomes).toEqual([true, true, 'hook_failed'])
  await vi.advanceTimersByTimeAsync(1)
  await running
  expect(outcomes).toEqual([true, true, 'hook_failed', 'hook_failed'])
})

describe('defaultUserId', () => {
  test.each([
    [{ id: 'u1' }, 'u1'],
    [{ id: 7 }, '7'],
    [{ id: 0 }, '0'],
    [{ id: 7n }, '7'],
    [{ id: { toString: () => '507f1f77bcf86cd799439011' } }, '507f1f77bcf86cd799439011'],
  ])('returns an id that identifies a user', (user, id) => {
    expect(defaultUserId(user)).toBe(id)
  })

  test.each([
    undefined,
    null,
    {},
    'u1',
    { id: null },
    { id: true },
    { id: {} },
    { id: [] },
    { id: ['u1'] },
    { id: '' },
  ])('returns none for %j', (user) => {
    expect(defaultUserId(user)).toBe('')
  })
})
