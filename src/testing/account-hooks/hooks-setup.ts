import type { Request } from 'express'
import type { AccountHooks } from '../../contract/hooks'
import type { Identity } from '../../contract/identity'

/** Which app it is: one that verifies its users' addresses, only stores them, or has none. */
export type LocalAddresses = 'verified' | 'unverified' | 'none'

/** An account as your own sign-up creates it. Every value is unique to one check. */
export interface LocalAccount {
  /** `null` in one check; refuse it by an error if your app requires a name, and that check does not apply. */
  readonly name: string | null
  /** Under `.invalid`; `null` only when `localAddresses` is `none`. */
  readonly email: string | null
  /** Whether the owner proved the address to your app. */
  readonly emailVerified: boolean
  /** Only with `usernames: true`; may be an email address. */
  readonly username: string | null
  /** Whether the account has a password, or another way to sign in that is not Bitbucket. */
  readonly password: boolean
  /** Only with `tenants`. */
  readonly tenant: string | null
}

/** Sessions of your app. For a store of express-session use {@link sessionsInStore}. */
export interface TestSessions<User> {
  /** Stores a session in which this user is signed in. Returns its id, as `req.sessionID` would be. */
  open(user: User): string | Promise<string>
  /** Whether a browser with this session is still signed in. */
  isOpen(sessionID: string): boolean | Promise<boolean>
  /** Removes the session, if it is still there. */
  close(sessionID: string): unknown
}

/** Functions on your test database. The first two are required; each of the others makes more checks possible. */
export interface TestDatabase<User> {
  /** Stores an account the way your sign-up does, and returns it as your hooks return users. */
  addAccount(account: LocalAccount): User | Promise<User>
  /** Deletes an account the way your app does. Must not fail when the account is gone. */
  removeAccount(user: User): unknown
  /** Confirms the address the account holds, the way your confirmation link does. */
  verifyAddress?(user: User): unknown
  /** Suspends the account, so that `canSignIn` refuses it. */
  suspend?(user: User): unknown
  /** Returns the number of accounts. Finds accounts that were stored without their identity. */
  countAccounts?(): number | Promise<number>
  /** Whether tokens are stored for this identity. */
  hasTokens?(identity: Identity): boolean | Promise<boolean>
  readonly sessions?: TestSessions<User>
  /** Changes of address that are not confirmed yet. */
  readonly pendingChanges?: {
    /** Stores one for this account, to this address. */
    add(user: User, address: string): unknown
    /** Returns how many changes to this address are pending, of all accounts. */
    count(address: string): number | Promise<number>
  }
}

/** The setup of {@link checkAccountHooks}. */
export interface AccountHooksSetup<User> {
  /**
   * Confirms that the database behind the hooks is a test database. The checks add, change and delete accounts in it,
   * and run many concurrent transactions. Nothing runs unless this is `true`.
   */
  readonly testDatabase: boolean
  /** The hooks you pass to `bitbucketSignIn`. */
  readonly accounts: AccountHooks<User>
  readonly database: TestDatabase<User>
  /** As in `bitbucketSignIn`. Default: `user.id`. */
  readonly userId?: (user: User) => string | null
  /** As `policy.localAddresses`. Default `verified`. */
  readonly localAddresses?: LocalAddresses
  /** As `policy.identitiesPerUser`. Default `one`. */
  readonly identitiesPerUser?: 'one' | 'many'
  /**
   * Whether an account may have no address. Set `false` for a `NOT NULL` column, and never ask the package for such
   * accounts: no `untrustedEmail: 'omit'`, no `missingEmail: 'allow'`. Default `true`.
   */
  readonly withoutAddress?: boolean
  /** Whether your users have usernames that may look like an email address. Default `false`. */
  readonly usernames?: boolean
  /** Two tenants that must not see each other's accounts. For apps with `tenantClients: 'theirs'`. */
  readonly tenants?: readonly [string, string]
  /** Builds the `req` of a hook call, if your hooks need more of it than `req.sessionID`. */
  readonly request?: (given: { readonly sessionID: string }) => Request
}
