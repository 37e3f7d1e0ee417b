import { BitbucketSignInError } from '../contract/errors'
import type { AccountHooks, AccountWithEmail, HookInput, StoredIdentity, UserDescription } from '../contract/hooks'
import type { Identity } from '../contract/identity'
import { comparableAddress } from '../decisions/email-trust'
import { now } from '../time/clock'
import { DeadlineError, withDeadline } from '../time/deadline'
import type { GuardedHooks, KnownUser, UserAccess } from './account-access'
import { LostWrite } from './lost-write'

const AWAY = 'store_unavailable'
const HOOK_DEADLINE_MS = 15_000
const REQUEST_DEADLINE_MS = 30_000

/**
 * Puts deadlines, shape checks and frozen arguments around the app's hooks for one request. Every failure is
 * `hook_failed`: a hook that does not clearly approve has refused. At most one account is written.
 */
export function guardHooks<User>(
  accounts: AccountHooks<User>,
  { idOf, reread }: UserAccess<User>,
  input: HookInput,
): GuardedHooks<User> {
  const endsAt = now() + REQUEST_DEADLINE_MS
  let written = false

  /** Users are the app's own objects, so they are not frozen: a changed id would let the next hook act on another account. */
  function checkIds(name: string, users: readonly KnownUser<User>[]): void {
    if (users.some(({ user, id }) => idOf(user) !== id)) {
      throw hookFailed(name, 'or an earlier hook changed the id of its `user`; leave it as it is')
    }
  }

  /** Runs code of the app, bounded in time; whatever it throws is a fault. */
  async function run<T>(name: string, work: () => unknown, passedOn: readonly string[] = [AWAY]): Promise<T> {
    const left = Math.max(1, Math.min(HOOK_DEADLINE_MS, endsAt - now()))
    try {
      const result = work()
      // A synchronous answer needs no deadline.
      return (isThenable(result) ? await withDeadline(Promise.resolve(result), left, name) : result) as T
    } catch (error) {
      // `store_unavailable` is the only code a hook may choose; everything else needs an operator.
      if (error instanceof BitbucketSignInError && passedOn.includes(error.code)) throw error
      throw new BitbucketSignInError('hook_failed', `${name} failed; see \`cause\`.`, { cause: error })
    }
  }

  /** Calls one hook about these users. */
  async function call<T>(
    name: keyof AccountHooks<User>,
    argument: object,
    users: readonly KnownUser<User>[] = [],
  ): Promise<T> {
    const hook = accounts[name] as ((argument: object) => unknown) | undefined
    if (!hook) throw hookFailed(name, 'is missing')
    const { req, context } = input
    checkIds(name, users)
    const result = await run<T>(`accounts.${name}`, () => hook.call(accounts, { ...argument, req, context }))
    checkIds(name, users)
    return result
  }

  /** Calls a hook that changes accounts. A failure may be a lost race; one that may still succeed is not. */
  async function write<T>(
    name: keyof AccountHooks<User>,
    argument: object,
    users?: readonly KnownUser<User>[],
  ): Promise<T | LostWrite> {
    if (written) throw hookFailed(name, 'would be a second change of accounts in one request')
    try {
      const result = await call<T>(name, argument, users)
      written = true
      return result
    } catch (error) {
      if (!(error instanceof BitbucketSignInError) || !('cause' in error) || error.code !== 'hook_failed') throw error
      if (error.cause instanceof DeadlineError) throw error
      return new LostWrite(error)
    }
  }

  function known(name: string, user: User, others = ''): KnownUser<User> {
    if (!isUser(user)) throw hookFailed(name, `must return a user${others}, not ${kindOf(user)}`)
    const id: unknown = idOf(user)
    // An object id would be a new one on every read.
    if (typeof id !== 'string' || id === '') {
      throw hookFailed(name, 'must return a user with an id: `user.id`, or the result of the option `userId`')
    }
    return { user, id }
  }

  async function readAgain({ user, id }: KnownUser<User>): Promise<KnownUser<User> | null> {
    const found = accounts.getUserById
      ? await call<User | null>('getUserById', { id })
      : await run<User | null | false>('passport.deserializeUser', () => reread(user, input.req), [
          AWAY,
          'configuration_invalid',
        ])
    if (found === null || found === false) return null
    const again = known('getUserById', found, ', or null if there is none')
    if (again.id !== id) throw hookFailed('getUserById', 'must return the user with the requested id')
    return again
  }

  return {
    has: {
      list: accounts.listIdentities !== undefined,
      describe: accounts.describeUser !== undefined,
      unlink: accounts.unlinkIdentity !== undefined,
      updateProfile: accounts.updateProfile !== undefined,
    },

    async findByIdentity(identity) {
      const { issuer, id } = identity
      const asked = Object.freeze({ issuer, id })
      const found = await call<User | null | 'orphaned'>('getUserByIdentity', { identity: asked })
      if (found === null) return { type: 'nobody' }
      if (found === 'orphaned') return { type: 'orphaned' }
      // Not `undefined` for no user: a forgotten `return` also yields it, and every user would be new each time.
      return { type: 'user', ...known('getUserByIdentity', found, ", null for no user (`?? null`) or 'orphaned'") }
    },

    readAgain,

    async findByEmail(address) {
      const found = await call<unknown>('getAccountsByEmail', { email: address })
      if (!Array.isArray(found)) throw hookFailed('getAccountsByEmail', 'must return an array')
      const accountsFound = found.map((each) => {
        if (!isAccount<User>(each)) {
          throw hookFailed(
            'getAccountsByEmail',
            'must return { user, email, emailVerified } for each account, `email` a string and `emailVerified` a boolean',
          )
        }
        return { ...each, ...known('getAccountsByEmail', each.user) }
      })
      // A collation that folds accents or widths matches too much.
      return accountsFound.filter(({ email }) => comparableAddress(email) === comparableAddress(address))
    },

    async canSignIn(each) {
      if (!accounts.canSignIn) return true
      const answer = await call<unknown>('canSignIn', { user: each.user }, [each])
      if (typeof answer === 'boolean' || typeof answer === 'string') return answer === true
      // A column of SQLite or MySQL is 1, a forgotten `return` undefined: everyone would be refused without a report.
      throw hookFailed('canSignIn', `must return true, false or a reason, not ${kindOf(answer)}`)
    },

    async listIdentities(each) {
      if (!accounts.listIdentities) return null
      const list = await call<unknown>('listIdentities', { user: each.user }, [each])
      if (!Array.isArray(list) || !list.every(isIdentity)) {
        throw hookFailed('listIdentities', 'must return an array of { issuer, id }')
      }
      return list as readonly StoredIdentity[]
    },

    async describe(each) {
      if (!accounts.describeUser) return null
      // A session may hold less than the hooks return: an app that serializes objects returns them unchanged.
      const current = accounts.getUserById ? ((await readAgain(each)) ?? each) : each
      const description = await call<UserDescription | undefined>('describeUser', { user: current.user }, [current])
      if (typeof description?.label !== 'string') {
        const fix = 'Fall back to the address for users without a name'
        throw hookFailed(
          'describeUser',
          `must return { label, email, emailVerified } with a string as \`label\`. ${fix}`,
        )
      }
      if (typeof description.emailVerified !== 'boolean') {
        throw hookFailed(
          'describeUser',
          'must return { label, email, emailVerified } with a boolean as `emailVerified`',
        )
      }
      return description
    },

    async create(argument) {
      const user = await write<User>('createUser', frozen(argument))
      return user instanceof LostWrite ? user : known('createUser', user)
    },

    async link({ known: each, ...rest }) {
      const result = await write('linkIdentity', { user: each.user, ...frozen(rest) }, [each])
      return result instanceof LostWrite ? result : 'linked'
    },

    async claim({ holders, ...rest }) {
      const users = Object.freeze(holders.map(({ user }) => user))
      const result = await write<{ user: User } | undefined>(
        'claimAddress',
        { ...frozen(rest), holders: users },
        holders,
      )
      if (result instanceof LostWrite) return result
      const heir = known('claimAddress', result?.user as User)
      if (holders.every(({ id }) => id !== heir.id)) return heir
      throw hookFailed(
        'claimAddress',
        'must create a new account for the address. It must not return a holder: a sign-in to it in flight could enter it afterwards',
      )
    },

    async unlink({ known: each, ...rest }) {
      const result = await write<unknown>('unlinkIdentity', { user: each.user, ...frozen(rest) }, [each])
      if (result instanceof LostWrite) throw result.error
      if (result !== 'unlinked' && result !== 'last')
        throw hookFailed('unlinkIdentity', "must return 'unlinked' or 'last'")
      return result
    },

    async storeTokens({ known: each, identity, tokens }) {
      if (!accounts.storeTokens) return
      await call('storeTokens', { user: each.user, identity: frozen(identity), tokens }, [each])
    },

    async updateProfile({ known: each, ...rest }) {
      if (accounts.updateProfile) await call('updateProfile', { user: each.user, ...frozen(rest) }, [each])
    },

    async beforeSignIn({ known: each, ...rest }) {
      if (accounts.beforeSignIn) await call('beforeSignIn', { user: each.user, ...frozen(rest) }, [each])
    },

    async endOtherSessions({ known: each, reason }) {
      if (accounts.endOtherSessions) await call('endOtherSessions', { user: each.user, reason }, [each])
    },
  }
}

function hookFailed(name: string, what: string): BitbucketSignInError {
  return new BitbucketSignInError('hook_failed', `accounts.${name} ${what}.`)
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
  const { user, email, emailVerified, autoLink } = (value ?? {}) as Partial<AccountWithEmail<User>>
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

/**
 * A deep copy that a hook cannot change, so that the decided values are stored. Of our own plain data, which
 * `structuredClone` would copy at several times the cost.
 */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  const copy = Array.isArray(value)
    ? value.map(frozen)
    : Object.fromEntries(Object.entries(value).map(([key, each]) => [key, frozen(each)]))
  return Object.freeze(copy) as T
}
