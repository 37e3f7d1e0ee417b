import type { Request } from 'express'
import type { Identity, Profile } from './identity'
import type { Tokens, WorkspaceMembership } from './tokens'

/** What the user wants to do. */
export type Intent = 'sign-in' | 'link' | 'reauthenticate'

/** Where a hook call comes from. Frozen; the same for every hook of one request. */
export interface HookContext<Data = unknown> {
  /** Id of the connection. */
  readonly connection: string
  readonly tenant: string | null
  readonly application: string | null
  /** Origin at which the sign-in started, for example `https://app.example.com`. */
  readonly origin: string
  readonly intent: Intent
  /** The memberships that opened the `workspaces` gate; empty when there is no gate. */
  readonly workspaces: readonly WorkspaceMembership[]
  /**
   * What the option `data` returned at the start, `undefined` without it. **Untrusted**: anyone's link can have started
   * this sign-in. Grant by it only after the user confirms, or where it is bound to the proven address.
   */
  readonly data?: Data | undefined
}

/** Every hook takes one object, and these two fields are always in it. */
export interface HookInput<Data = unknown> {
  readonly req: Request
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

/** An address that was proven. Only the policy makes one; claiming an address accepts nothing less. */
export interface ProvenEmail extends AccountEmail {
  readonly verified: true
  readonly verifiedBy: 'bitbucket' | 'code'
}

/** One local account that holds an address, as `getAccountsByEmail` returns it. */
export interface AccountWithEmail<User> {
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

/** How the session came about; passed to `beforeSignIn`. */
export type SignInHow = 'signed_in' | 'signed_up' | 'linked' | 'claimed' | 'reauthenticated'

/** How pages name an account, as `describeUser` returns it. */
export interface UserDescription {
  /** Name or address by which the owner recognises the account. */
  readonly label: string
  readonly email: string | null
  readonly emailVerified: boolean
}

/**
 * The app's side of the contract. Hooks may be async. One that throws, returns the wrong type or has not settled in
 * 15 seconds ends the request without a session: `hook_failed` (500), or `store_unavailable` (503) if it throws
 * `new BitbucketSignInError('store_unavailable', '…')` because its database is unavailable.
 *
 * `user` may be stale: it was read earlier in the request. A hook that changes accounts reads it again inside its own
 * transaction and refuses if it is gone or may not sign in. A hook must not change the id of a `user` it is given
 * (`hook_failed`). Read from the primary database: a replica that lags would keep a revoked session alive.
 */
export interface AccountHooks<User, Data = unknown> {
  /**
   * The user who owns this identity, `null` when no such identity is stored, `'orphaned'` when the identity is stored
   * and its user is gone. Look up by (issuer, id) only: names and addresses change hands.
   */
  getUserByIdentity(
    input: HookInput<Data> & { readonly identity: Identity },
  ): User | null | 'orphaned' | Promise<User | null | 'orphaned'>

  /**
   * The user with this id (what `userId` returns), `null` if there is none. Users are read again before they are judged
   * and before their session is written, so that a session neither outlives a suspension nor stores old data. Default:
   * Passport's serializer and deserializer; required if the serialized user is an object, because that object would
   * then be the only data to read (`configuration_invalid`).
   */
  getUserById?(input: HookInput<Data> & { readonly id: string }): User | null | Promise<User | null>

  /**
   * All accounts that hold this address, and users whose *username* is that address (as unverified).
   * Called only where the decision table allows accounts to be consulted.
   */
  getAccountsByEmail(
    input: HookInput<Data> & { readonly email: string },
  ): readonly AccountWithEmail<User>[] | Promise<readonly AccountWithEmail<User>[]>

  /**
   * Stores a new user **and** the identity in one database transaction. Throw {@link IdentityTakenError} or
   * {@link EmailTakenError} when a unique key refuses; `uniqueViolation` tells which. After any failure the accounts are
   * read once more: if another request stored this identity first, its user signs in.
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
   * {@link IdentityTakenError} when the unique key refuses. `email` is the address that this sign-in proved, `null` if
   * none: if it is the account's own address, it may be marked verified.
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
   * verified the address meanwhile (throw {@link EmailTakenError}), take the address from every holder, together with
   * pending changes and any user name equal to it, then create a new account with the address marked verified and the
   * identity. Returns the **new** account. Returning a holder is `hook_failed`: a sign-in that was in flight could enter
   * an emptied account again. Requires `endOtherSessions`, which is called for each holder. Not called while `signUp` is
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

  /** The identities of this user. Needed for linking by address and for unlink. */
  listIdentities?(
    input: HookInput<Data> & { readonly user: User },
  ): readonly StoredIdentity[] | Promise<readonly StoredIdentity[]>

  /**
   * How pages name this account. Needed for linking and for proving a matching account. With `getUserById`, gets the user
   * that it returns; otherwise `req.user`.
   */
  describeUser?(input: HookInput<Data> & { readonly user: User }): UserDescription | Promise<UserDescription>

  /**
   * Receives Bitbucket's tokens, at each callback that ends with a known or just stored identity. The only hook that
   * sees them. They exceed 2500 characters each and belong encrypted in your database, never in a session. After a
   * code or a proof the browser takes a second trip through Bitbucket, because tokens are kept nowhere meanwhile.
   */
  storeTokens?(
    input: HookInput<Data> & { readonly user: User; readonly identity: Identity; readonly tokens: Tokens },
  ): unknown

  /**
   * Called when name, nickname or picture changed upstream. An address is never an instruction to change yours;
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
   * `true` lets this user sign in; `false` or a reason as a string does not: suspended, deleted. Called before every
   * session, new accounts included, and once more after the session was saved.
   */
  canSignIn?(input: HookInput<Data> & { readonly user: User }): boolean | string | Promise<boolean | string>

  /**
   * Ends the user's sessions except the one with `req.sessionID`, which is still the id from before the rotation. Called
   * after the change was committed. Required with `claimAddress` and `unlinkIdentity`: without it, an attacker who was signed in
   * stays inside.
   */
  endOtherSessions?(
    input: HookInput<Data> & { readonly user: User; readonly reason: 'linked' | 'unlinked' | 'claimed' },
  ): unknown
}
