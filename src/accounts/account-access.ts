import type { Request } from 'express'
import type {
  AccountEmail,
  AccountWithEmail,
  ProvenEmail,
  SignInHow,
  StoredIdentity,
  UserDescription,
} from '../contract/hooks'
import type { Identity, Profile } from '../contract/identity'
import type { Tokens } from '../contract/tokens'
import type { LostWrite } from './lost-write'

/** A user with its id in the app. */
export interface KnownUser<User> {
  readonly user: User
  readonly id: string
}

/** The owner of an identity. */
export type FoundIdentity<User> =
  | { readonly type: 'nobody' }
  | { readonly type: 'orphaned' }
  | ({ readonly type: 'user' } & KnownUser<User>)

/** How users are identified, and read without `getUserById`. */
export interface UserAccess<User> {
  /** The id of a user, `null` for a guest. */
  idOf(user: User): string | null
  /** The user as Passport reads it at each request; `null` or `false` if it is gone. */
  reread(user: User, req: Request): Promise<unknown>
}

/** The app's hooks with the safety around them. One object per request. */
export interface GuardedHooks<User> {
  findByIdentity(identity: Identity): Promise<FoundIdentity<User>>
  /** The same user as it is now, `null` if it is gone. */
  readAgain(known: KnownUser<User>): Promise<KnownUser<User> | null>
  findByEmail(address: string): Promise<readonly (AccountWithEmail<User> & { readonly id: string })[]>
  canSignIn(known: KnownUser<User>): Promise<boolean>
  /** `null` if the app cannot tell. */
  listIdentities(known: KnownUser<User>): Promise<readonly StoredIdentity[] | null>
  describe(known: KnownUser<User>): Promise<UserDescription | null>
  create(input: {
    identity: Identity
    profile: Profile
    email: AccountEmail | null
  }): Promise<KnownUser<User> | LostWrite>
  link(input: {
    known: KnownUser<User>
    identity: Identity
    profile: Profile
    email: ProvenEmail | null
  }): Promise<'linked' | LostWrite>
  /** The new account; never one of the holders. */
  claim(input: {
    holders: readonly KnownUser<User>[]
    identity: Identity
    profile: Profile
    email: ProvenEmail
  }): Promise<KnownUser<User> | LostWrite>
  unlink(input: {
    known: KnownUser<User>
    identity: Identity
    remaining: readonly Identity[]
  }): Promise<'unlinked' | 'last'>
  storeTokens(input: { known: KnownUser<User>; identity: Identity; tokens: Tokens }): Promise<void>
  updateProfile(input: {
    known: KnownUser<User>
    identity: Identity
    profile: Profile
    changes: StoredIdentity['profile'] & {}
  }): Promise<void>
  beforeSignIn(input: { known: KnownUser<User>; identity: Identity; profile: Profile; how: SignInHow }): Promise<void>
  endOtherSessions(input: { known: KnownUser<User>; reason: 'linked' | 'unlinked' | 'claimed' }): Promise<void>
  /** Which optional hooks are present. */
  readonly has: Readonly<Record<'list' | 'describe' | 'unlink' | 'updateProfile', boolean>>
}
