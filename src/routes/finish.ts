import type { GuardedHooks, KnownUser } from '../accounts/account-access'
import type { Accounts } from '../accounts/account-writer'
import { BitbucketSignInError } from '../contract/errors'
import type { SignInHow, StoredIdentity } from '../contract/hooks'
import type { Identity, Profile } from '../contract/identity'
import type { Tokens, WorkspaceMembership } from '../contract/tokens'
import type { Membership } from '../decisions/membership'
import { type Carry, signIn } from '../session/rotate-session'
import { sessionChanged } from '../session/signed-in-user'
import { membershipEntry, membershipOf } from '../session/stamps'
import { tell, type Visit } from './context'

/** The outcome of a step that leaves a user signed in. All changes of accounts are committed. */
export interface Outcome<User> {
  readonly accounts: Accounts<User>
  readonly known: KnownUser<User>
  readonly identity: Identity
  /** `null` after an unlink: nothing came from Bitbucket. */
  readonly signedInWith: {
    readonly profile: Profile
    readonly how: SignInHow
    readonly tokens: Tokens | null
    /** Whether it only fetches tokens after a wait: `beforeSignIn` was called before. */
    readonly isSecondPass?: boolean
  } | null
  /**
   * Why the user may have a session: Bitbucket vouched for the `identity`, or the `user` was signed in by other means
   * before.
   */
  readonly heldBy: 'identity' | 'user'
  /** What crosses over: everything of the same user, nothing of another one. */
  readonly carry: Carry
  /** The time that stamps the sign-in; `null` keeps the old stamp. */
  readonly at: number | null
  /** What happens to the membership in the old session. Default: it is kept. */
  readonly membership?: (before: Membership | null) => Membership | null
}

/** The membership that Bitbucket confirmed at this time; without a gate there is none, and the earlier one is kept. */
export function confirmedMembership(
  identity: Identity,
  workspaces: readonly WorkspaceMembership[],
  at: number,
): Outcome<never>['membership'] & {} {
  return (before) =>
    workspaces.length === 0
      ? before
      : { identity, workspaces: workspaces.map(({ slug, uuid }) => ({ slug, uuid })), at }
}

/** The session entry of the membership after this step. */
export function membershipEntryOf<User>(
  { req }: Visit<User>,
  { known, membership }: Outcome<User>,
): Readonly<Record<string, unknown>> {
  const before = membershipOf(req, known)
  const after = membership ? membership(before) : before
  return after === before ? {} : membershipEntry(known.id, after)
}

/** The one ending of every signed-in outcome. When it returns, the session is saved and still justified. */
export async function finish<User>(visit: Visit<User>, outcome: Outcome<User>): Promise<void> {
  const known = await prepare(visit, outcome)
  await dropWaiting(visit)
  const entries = membershipEntryOf(visit, outcome)
  await signIn(visit.req, known, outcome.carry, outcome.at, () => assertEntitled(outcome), entries)
}

/**
 * Everything before the session: tokens, profile, the app's own hook, then the user read again and judged, because hooks
 * change rows. Returns the user to store in the session.
 */
export async function prepare<User>(visit: Visit<User>, outcome: Outcome<User>): Promise<KnownUser<User>> {
  const { accounts, known, identity, signedInWith } = outcome
  const { hooks } = accounts
  if (signedInWith) {
    const { profile, how, tokens, isSecondPass } = signedInWith
    if (tokens) await hooks.storeTokens({ known, identity, tokens })
    await updateProfile(visit, hooks, known, identity, profile)
    if (!isSecondPass) await hooks.beforeSignIn({ known, identity, profile, how })
  }
  return readAllowed(hooks, known)
}

/** The user as it is now; refuses one that is gone or may not sign in. */
export async function readAllowed<User>(hooks: GuardedHooks<User>, known: KnownUser<User>): Promise<KnownUser<User>> {
  const fresh = await hooks.readAgain(known)
  if (!fresh || !(await hooks.canSignIn(fresh))) throw refusal('account_disabled')
  return fresh
}

/**
 * Called after the session was saved. A change of accounts commits first and ends sessions afterwards: it either sees the
 * saved session and ends it, or was committed earlier and is seen here.
 */
export async function assertEntitled<User>({ accounts, known, identity, heldBy }: Outcome<User>): Promise<void> {
  const { hooks } = accounts
  if (heldBy === 'user') {
    await readAllowed(hooks, known)
    return
  }
  const found = await hooks.findByIdentity(identity)
  if (found.type !== 'user' || found.id !== known.id) throw sessionChanged()
  if (!(await hooks.canSignIn(found))) throw refusal('account_disabled')
}

async function updateProfile<User>(
  visit: Visit<User>,
  hooks: GuardedHooks<User>,
  known: KnownUser<User>,
  identity: Identity,
  profile: Profile,
): Promise<void> {
  if (!hooks.has.updateProfile || !hooks.has.list) return
  const stored = (await hooks.listIdentities(known))?.find(
    (each) => each.issuer === identity.issuer && each.id === identity.id,
  )
  const changes = changesOf(stored?.profile, profile)
  if (!changes) return
  await hooks.updateProfile({ known, identity, profile, changes })
  tell(visit, 'profile_changed', { userId: known.id, identityId: identity.id })
}

/** The stored fields that differ from Bitbucket's, `undefined` if there are none. */
function changesOf(stored: StoredIdentity['profile'], profile: Profile): (StoredIdentity['profile'] & {}) | undefined {
  if (!stored) return undefined
  const fields = ['username', 'nickname', 'displayName', 'avatarUrl'] as const
  const changed = fields.filter((field) => stored[field] !== undefined && stored[field] !== profile[field])
  return changed.length === 0 ? undefined : Object.fromEntries(changed.map((field) => [field, profile[field]]))
}

/** A signed-in user has no pending sign-in. */
async function dropWaiting<User>({ req, res, services, connection }: Visit<User>): Promise<void> {
  const found = services.state.pendings.read(req, connection.jar)
  // Not `finish`: after a lost response the record is consumed, and its cookie still here.
  if (found) await services.state.pendings.drop(res, connection.jar, found.pending)
}

/** The `workspaces` gate refuses this user. */
export function workspaceRequired(): BitbucketSignInError {
  return new BitbucketSignInError(
    'workspace_required',
    'The user is in none of the workspaces that this connection admits.',
  )
}

/** A refusal by decision: expected, and explained to the user by its code alone. */
export function refusal(code: BitbucketSignInError['code']): BitbucketSignInError {
  return new BitbucketSignInError(code, `The sign-in was refused: ${code}.`)
}
