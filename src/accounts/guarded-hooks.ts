import { BitbucketSignInError, EmailTakenError, IdentityTakenError } from '../contract/errors'
import type {
  AccountEmail,
  AccountHooks,
  AccountWithEmail,
  HookInput,
  ProvenEmail,
  StoredIdentity,
  UserDescription,
} from '../contract/hooks'
import type { Identity, Profile } from '../contract/identity'
import type { Tokens } from '../contract/tokens'
import { comparableAddress } from '../decisions/email-trust'
import { now } from '../time/clock'
import { withDeadline } from '../time/deadline'

/** A user with the id that the app gives it. */
export interface KnownUser<User> {
  readonly user: User
  readonly id: string
}

/** The answer to "whose identity is this?". */
export type FoundIdentity<User> =
  | { readonly type: 'nobody' }
  | { readonly type: 'orphaned' }
  | ({ readonly type: 'user' } & KnownUser<User>)

/** A write that the app's unique keys refused, because another request was first. */
export type Taken = 'taken'

/** The app's hooks with the safety around them. One object per request. */
export interface GuardedHooks<User> {
  findByIdentity(identity: Identity): Promise<FoundIdentity<User>>
  findByEmail(address: string): Promise<readonly (AccountWithEmail<User> & { readonly id: string })[]>
  canSignIn(user: User): Promise<boolean>
  /** `null` where the app cannot tell. */
  listIdentities(user: User): Promise<readonly StoredIdentity[] | null>
  describe(user: User): Promise<UserDescription | null>
  create(input: { identity: Identity; profile: Profile; email: AccountEmail | null }): Promise<KnownUser<User> | Taken>
  link(input: { user: User; identity: Identity; profile: Profile }): Promise<'linked' | Taken>
  claim(input: {
    holders: readonly User[]
    identity: Identity
    profile: Profile
    email: ProvenEmail
  }): Promise<KnownUser<User> | Taken>
  unlink(input: { user: User; identity: Identity }): Promise<'unlinked' | 'last'>
  storeTokens(input: { user: User; identity: Identity; tokens: Tokens }): Promise<void>
  updateProfile(input: {
    user: User
    identity: Identity
    profile: Profile
    changes: StoredIdentity['profile'] & {}
  }): Promise<void>
  endOtherSessions(input: { user: User; reason: 'linked' | 'unlinked' | 'claimed' }): Promise<void>
  /** Which optional hooks there are. */
  readonly has: Readonly<Record<'claim' | 'list' | 'describe' | 'unlink' | 'storeTokens' | 'updateProfile', boolean>>
}

const HOOK_DEADLINE_MS = 15_000
const REQUEST_DEADLINE_MS = 30_000

/**
 * Puts deadlines, shape checks and frozen arguments around the app's hooks for one request. Every failure is
 * `hook_failed`: a hook that did not clearly say yes has said no. After one account was written no other is.
 */
export function guardHooks<User>(
  accounts: AccountHooks<User>,
  idOf: (user: User) => string | null,
  input: HookInput,
): GuardedHooks<User> {
  const endsAt = now() + REQUEST_DEADLINE_MS
  let written = false

  /** Calls one hook; whatever it throws is a fault. */
  async function call<T>(name: keyof AccountHooks<User>, argument: object): Promise<T> {
    const hook = accounts[name] as ((argument: object) => unknown) | undefined
    if (!hook) throw hookFailed(name, 'is not given')
    const left = Math.max(1, Math.min(HOOK_DEADLINE_MS, endsAt - now()))
    const { req, context } = input
    try {
      const result = hook.call(accounts, { ...argument, req, context })
      // An answer that is there needs no deadline.
      return (isThenable(result) ? await withDeadline(Promise.resolve(result), left, `accounts.${name}`) : result) as T
    } catch (error) {
      // "Try again" is the one thing a hook may say for itself; everything else is "somebody has to look".
      if (error instanceof BitbucketSignInError && error.code === 'store_unavailable') throw error
      throw hookFailed(name, 'failed; see `cause`', error)
    }
  }

  /** Calls a hook that changes accounts; the two errors about unique keys are an answer here, and only here. */
  async function write<T>(name: keyof AccountHooks<User>, argument: object): Promise<T | Taken> {
    if (written) throw hookFailed(name, 'would be a second change of accounts in one request')
    try {
      const result = await call<T>(name, argument)
      written = true
      return result
    } catch (error) {
      if (error instanceof BitbucketSignInError && isTaken(error.cause)) return 'taken'
      throw error
    }
  }

  function known(name: string, user: User, others = ''): KnownUser<User> {
    if (!isUser(user)) throw hookFailed(name, `must return a user${others}, not ${kindOf(user)}`)
    const id: unknown = idOf(user)
    // An id that is an object would be another one at each reading.
    if (typeof id !== 'string' || id === '') {
      throw hookFailed(name, 'must return a user with an id: `user.id`, or what the option `userId` makes of a user')
    }
    return { user, id }
  }

  return {
    has: {
      claim: accounts.claimAddress !== undefined,
      list: accounts.listIdentities !== undefined,
      describe: accounts.describeUser !== undefined,
      unlink: accounts.unlinkIdentity !== undefined,
      storeTokens: accounts.storeTokens !== undefined,
      updateProfile: accounts.updateProfile !== undefined,
    },

    async findByIdentity(identity) {
      const { issuer, id } = identity
      const asked = Object.freeze({ issuer, id })
      const found = await call<User | null | 'orphaned'>('getUserByIdentity', { identity: asked })
      if (found === null) return { type: 'nobody' }
      if (found === 'orphaned') return { type: 'orphaned' }
      // Not `undefined` for nobody: it is also what a forgotten `return` gives, and everybody would be new each time.
      return { type: 'user', ...known('getUserByIdentity', found, ", null for nobody (`?? null`) or 'orphaned'") }
    },

    async findByEmail(address) {
      const found = await call<unknown>('getAccountsByEmail', { email: address })
      if (!Array.isArray(found)) throw hookFailed('getAccountsByEmail', 'must return an array')
      const accountsFound = found.map((each) => {
        if (!isAccount<User>(each)) {
          throw hookFailed(
            'getAccountsByEmail',
            'must return { user, email, emailVerified } for each account, `email` a text and `emailVerified` true or false itself',
          )
        }
        return { ...each, ...known('getAccountsByEmail', each.user) }
      })
      // A collation that folds accents or widths finds more than was asked for.
      return accountsFound.filter(({ email }) => comparableAddress(email) === comparableAddress(address))
    },

    async canSignIn(user) {
      return accounts.canSignIn ? (await call<unknown>('canSignIn', { user })) === true : true
    },

    async listIdentities(user) {
      if (!accounts.listIdentities) return null
      const list = await call<unknown>('listIdentities', { user })
      if (!Array.isArray(list) || !list.every(isIdentity)) {
        throw hookFailed('listIdentities', 'must return an array of { issuer, id }')
      }
      return list as readonly StoredIdentity[]
    },

    async describe(user) {
      if (!accounts.describeUser) return null
      const description = await call<UserDescription | undefined>('describeUser', { user })
      if (typeof description?.label !== 'string' || typeof description.emailVerified !== 'boolean') {
        throw hookFailed(
          'describeUser',
          'must return { label, email, emailVerified }, `label` a text and `emailVerified` true or false itself',
        )
      }
      return description
    },

    async create(argument) {
      const user = await write<User>('createUser', frozen(argument))
      return user === 'taken' ? 'taken' : known('createUser', user)
    },

    async link({ user, identity, profile }) {
      const result = await write('linkIdentity', { user, identity: frozen(identity), profile: frozen(profile) })
      return result === 'taken' ? 'taken' : 'linked'
    },

    async claim({ holders, ...rest }) {
      const result = await write<{ user: User } | undefined>('claimAddress', {
        ...frozen(rest),
        holders: Object.freeze([...holders]),
      })
      return result === 'taken' ? 'taken' : known('claimAddress', result?.user as User)
    },

    async unlink({ user, identity }) {
      const result = await write<unknown>('unlinkIdentity', { user, identity: frozen(identity) })
      if (result !== 'unlinked' && result !== 'last')
        throw hookFailed('unlinkIdentity', "must return 'unlinked' or 'last'")
      return result
    },

    async storeTokens({ user, identity, tokens }) {
      if (accounts.storeTokens) await call('storeTokens', { user, identity: frozen(identity), tokens })
    },

    async updateProfile({ user, ...rest }) {
      if (accounts.updateProfile) await call('updateProfile', { user, ...frozen(rest) })
    },

    async endOtherSessions(argument) {
      if (accounts.endOtherSessions) await call('endOtherSessions', argument)
    },
  }
}

function hookFailed(name: string, what: string, cause?: unknown): BitbucketSignInError {
  return new BitbucketSignInError(
    'hook_failed',
    `accounts.${name} ${what}.`,
    cause === undefined ? undefined : { cause },
  )
}

/** By name as well: an app may have two copies of this package, and a lost race must not look like a fault. */
function isTaken(error: unknown): boolean {
  return (
    error instanceof IdentityTakenError ||
    error instanceof EmailTakenError ||
    (error instanceof Error && (error.name === 'IdentityTakenError' || error.name === 'EmailTakenError'))
  )
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : typeof value
}

function isUser(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isAccount<User>(value: unknown): value is AccountWithEmail<User> {
  if (typeof value !== 'object' || value === null) return false
  const { user, email, emailVerified, autoLink } = value as Partial<AccountWithEmail<User>>
  return (
    isUser(user) &&
    typeof email === 'string' &&
    typeof emailVerified === 'boolean' &&
    (autoLink === undefined || typeof autoLink === 'boolean')
  )
}

function isIdentity(value: unknown): boolean {
  const { issuer, id } = (value ?? {}) as Partial<Identity>
  return typeof issuer === 'string' && typeof id === 'string'
}

/** A deep copy that a hook cannot change: what was decided is what is stored. */
export function frozen<T extends object>(value: T): T {
  return deepFreeze(copyOf(value)) as T
}

/** Our own plain data, as `structuredClone` would copy it at several times the cost. */
function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyOf)
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, copyOf(each)]))
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFreeze)
  return Object.freeze(value)
}

/** The default `userId`: `user.id`, when it identifies. `[object Object]` and empty strings do not. */
export function defaultUserId(user: unknown): string | null {
  const id: unknown = (user as { id?: unknown } | null | undefined)?.id
  if (typeof id === 'string') return id
  if (typeof id === 'number' || typeof id === 'bigint') return String(id)
  if (typeof id === 'object' && id !== null && id.toString !== Object.prototype.toString && !Array.isArray(id))
    return String(id)
  return ''
}
