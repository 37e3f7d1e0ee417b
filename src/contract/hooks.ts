import type { Request } from 'express'
import type { Identity, Profile } from './identity'
import type { Tokens, WorkspaceMembership } from './tokens'

/** What the user started: a sign-in, a link, or a confirmation with Bitbucket. */
export type Intent = 'sign-in' | 'link' | 'reauthenticate'

/** The origin of a hook call. Frozen; the same for every hook of one request. */
export interface HookContext<Data = unknown> {
  /** Id of the connection. */
  readonly connection: string
  /** Tenant of the connection, `null` if there is none. With `tenantClients: 'theirs'`, look inside it only. */
  readonly tenant: string | null
  /** Application of the connection, `null` if there is none. */
  readonly application: string | null
  /** Origin at which the sign-in started, for example `https://app.example.com`. */
  readonly origin: string
  /** What the user started. */
  readonly intent: Intent
  /** The memberships that opened the `workspaces` gate; empty when there is no gate. */
  readonly workspaces: readonly WorkspaceMembership[]
  /**
   * The result of the option `data` at the start, `undefined` without it. **Untrusted**: a link from anyone can have started
   * this sign-in. Grant by it only after the user confirms, or if it is bound to the proven address.
   */
  readonly data?: Data | undefined
}

/** Every hook takes one object, which always has these two fields. */
export interface HookInput<Data = unknown> {
  /** The request that is being handled. */
  readonly req: Request
  /** Connection, tenant, origin and data of the sign-in. */
  readonly context: HookContext<Data>
}

/** The address that goes with a new or claimed account. */
export interface AccountEmail {
  /** As Bitbucket or the user wrote it. */
  readonly address: string
  /** Store exactly this as the account's verified flag. */
  readonly verified: boolean
  /** Who vouches: `bitbucket` (trusted provider), `code` (our one-time code), `null` when not verified. */
  readonly verifiedBy: 'bitbucket' | 'code' | null
}

/** An address that was proven. Only the policy creates one; `claimAddress` receives nothing less. */
export interface ProvenEmail extends AccountEmail {
  readonly verified: true
  readonly verifiedBy: 'bitbucket' | 'code'
}

/** One local account that holds an address, as `getAccountsByEmail` returns it. */
export interface AccountWithEmail<User> {
  /** Your user, as your other hooks return it. */
  readonly user: User
  /** The address as stored. The package compares it itself, so a loose collation cannot make two addresses one. */
  readonly email: string
  /** Whether the account's owner proved this address to the app. */
  readonly emailVerified: boolean
  /** `false` = never link to this account by address alone (for example after an unlink). Default `true`. */
  readonly autoLink?: boolean
}

/** A stored identity, as `listIdentities` returns it. */
export interface StoredIdentity extends Identity {
  /** The profile as it was stored; the basis of `changes` in `updateProfile`. */
  readonly profile?: Partial<Pick<Profile, 'username' | 'nickname' | 'displayName' | 'avatarUrl'>>
}

/** How the session is opened; passed to `beforeSignIn`. */
export type SignInHow = 'signed_in' | 'signed_up' | 'linked' | 'claimed' | 'reauthenticated'

/** How pages name an account, as `describeUser` returns it. */
export interface UserDescription {
  /** Name or address by which the owner recognises the account. */
  readonly label: string
  /** Address of the account, `null` if it has none. */
  readonly email: string | null
  /** Whether the account's owner proved this address to the app. */
  readonly emailVerified: boolean
}

/**
 * The hooks that find and store your users; six are enough. Hooks may be async. One that throws, returns the wrong type or has not settled in
 * 15 seconds ends the request without a session: `hook_failed` (500), or `store_unavailable` (503) if it throws
 * `new BitbucketSignInError('store_unavailable', '…')` because its database is unavailable.
 *
 * `user` may be stale: it was read earlier in the request. A hook that changes accounts reads it again inside its own
 * transaction and throws if it is gone or may not sign in. A hook must not change the id of a `user` that it receives
 * (`hook_failed`). Read from the primary database: a lagging replica would keep a revoked session valid.
 */
export interface AccountHooks<User, Data = unknown> {
  /**
   * Returns the user who owns this identity, `null` if no such identity is stored, or `'orphaned'` if it is stored but its
   * user is gone. Look up by (issuer, id) only: names and addresses can pass to another person. Required.
   *
   * @example
   * getUserByIdentity: async ({ identity: { issuer, id } }) => (await db.userByIdentity(issuer, id)) ?? null
   */
  getUserByIdentity(
    input: HookInput<Data> & { readonly identity: Identity },
  ): User | null | 'orphaned' | Promise<User | null | 'orphaned'>

  /**
   * Returns the user with this id (what `userId` returns), or `null`. Users are read again before each decision about them
   * and before their session is written, so that a session neither outlives a suspension nor stores old data. Default:
   * Passport's serializer and deserializer; required if the serialized user is an object, because that object would
   * then be the only data to read (`configuration_invalid`).
   */
  getUserById?(input: HookInput<Data> & { readonly id: string }): User | null | Promise<User | null>

  /**
   * Returns all accounts that hold this address, and, as unverified, users whose *username* is that address. An empty array
   * if there are none. Called only if the decision table allows it. Required.
   */
  getAccountsByEmail(
    input: HookInput<Data> & { readonly email: string },
  ): readonly AccountWithEmail<User>[] | Promise<readonly AccountWithEmail<User>[]>

  /**
   * Stores a new user **and** the identity in one database transaction. Throw {@link IdentityTakenError} or
   * {@link EmailTakenError} if a unique key refuses; {@link uniqueViolation} tells which. After any failure the accounts
   * are read once more: if another request stored this identity first, its user signs in. Returns the user. Required.
   */
  createUser(
    input: HookInput<Data> & {
      readonly identity: Identity
      readonly profile: Profile
      readonly email: AccountEmail | null
    },
  ): User | Promise<User>

  /**
   * Stores the identity for this user. Inside the transaction, check that the user still exists and may sign in. Throw
   * {@link IdentityTakenError} if the unique key refuses. `email` is the address that this sign-in proved, or `null`: if it
   * is the account's own address, mark it as verified. Required.
   */
  linkIdentity(
    input: HookInput<Data> & {
      readonly user: User
      readonly identity: Identity
      readonly profile: Profile
      readonly email: ProvenEmail | null
    },
  ): unknown

  /**
   * Moves an address that accounts hold *unverified* to the user who proved it, in ONE transaction: check that no holder
   * verified the address meanwhile (throw {@link EmailTakenError}), remove the address from every holder, together with
   * pending changes and any username equal to it, then create a new account with the address marked verified and the
   * identity. Returns the **new** account. Returning a holder is `hook_failed`: a sign-in in flight could enter
   * that account again. Requires `endOtherSessions`, which is called for each holder. Not called while `signUp` is
   * `false`.
   */
  claimAddress?(
    input: HookInput<Data> & {
      readonly holders: readonly User[]
      readonly identity: Identity
      readonly profile: Profile
      readonly email: ProvenEmail
    },
  ): { user: User; dropped?: unknown } | Promise<{ user: User; dropped?: unknown }>

  /**
   * Deletes the identity, by issuer **and** id, only if another way to sign in remains, in one transaction that reads the
   * user again; afterwards `getAccountsByEmail` must return `autoLink: false` for that user, or the next sign-in would
   * link it again. Delete stored tokens as well. Requires `endOtherSessions`.
   */
  unlinkIdentity?(
    input: HookInput<Data> & {
      readonly user: User
      readonly identity: Identity
      /**
       * The user's other identities that an enabled connection serves. Only these count as ways in, if they are still
       * stored: an identity of a tenant whose connection is gone, or now has another issuer, signs no user in.
       */
      readonly remaining: readonly Identity[]
    },
  ): 'unlinked' | 'last' | Promise<'unlinked' | 'last'>

  /** Returns the identities of this user. Required for linking and unlinking. */
  listIdentities?(
    input: HookInput<Data> & { readonly user: User },
  ): readonly StoredIdentity[] | Promise<readonly StoredIdentity[]>

  /**
   * Returns how pages name this account. Required for linking and for proving a matching account. With `getUserById` it
   * receives the user which that returns; otherwise `req.user`.
   */
  describeUser?(input: HookInput<Data> & { readonly user: User }): UserDescription | Promise<UserDescription>

  /**
   * Receives Bitbucket's tokens, at each callback that ends with a known or just stored identity. The only hook that
   * receives them. Each has more than 2500 characters; store them encrypted in your database, never in a session. After a
   * code or a proof the browser is redirected through Bitbucket once more, because tokens are never kept meanwhile.
   */
  storeTokens?(
    input: HookInput<Data> & { readonly user: User; readonly identity: Identity; readonly tokens: Tokens },
  ): unknown

  /**
   * Called when name, nickname or picture changed at Bitbucket. Never change an address because of it:
   * `profile.emails` is `null` here, because a known user signs in without waiting for the addresses.
   */
  updateProfile?(
    input: HookInput<Data> & {
      readonly user: User
      readonly identity: Identity
      readonly profile: Profile
      /** The fields that differ from what `listIdentities` returned. */
      readonly changes: StoredIdentity['profile'] & {}
    },
  ): unknown

  /**
   * Called before each session with Bitbucket is opened, after accounts, tokens and profile are stored: the place to grant
   * or revoke roles. A sign-in may run it twice, so it must be idempotent. Throwing ends the request without a session
   * (`hook_failed`). The user is read again afterwards.
   */
  beforeSignIn?(
    input: HookInput<Data> & {
      readonly user: User
      readonly identity: Identity
      readonly profile: Profile
      readonly how: SignInHow
    },
  ): unknown

  /**
   * Returns `true` if this user may sign in, otherwise `false` or a reason (`'suspended'`), which is `account_disabled`.
   * Called before every session, also for new accounts, and again after the session was saved. Default: all may.
   *
   * @example canSignIn: ({ user }) => !user.suspended
   */
  canSignIn?(input: HookInput<Data> & { readonly user: User }): boolean | string | Promise<boolean | string>

  /**
   * Ends the user's sessions except the one with `req.sessionID`, which is still the id from before the rotation. Called
   * after the change was committed. Required with `claimAddress` and `unlinkIdentity`: otherwise an attacker who was signed
   * in stays signed in.
   */
  endOtherSessions?(
    input: HookInput<Data> & { readonly user: User; readonly reason: 'linked' | 'unlinked' | 'claimed' },
  ): unknown
}
