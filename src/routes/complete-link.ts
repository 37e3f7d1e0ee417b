import type { GuardedHooks, KnownUser } from '../accounts/guarded-hooks'
import { hasOtherIdentity } from '../accounts/resolve-sign-in'
import type { SignInResult } from '../bitbucket/exchange'
import { BitbucketSignInError } from '../contract/errors'
import type { UserDescription } from '../contract/hooks'
import type { Identity, Profile } from '../contract/identity'
import { configurationError } from '../contract/options'
import type { Tokens } from '../contract/tokens'
import { decideLink, decideReauthentication } from '../decisions/linking'
import { assertSessionUnchanged, currentUser, loginOf, otherLogin, signIn, stampNow } from '../session/rotate-session'
import type { Transaction } from '../state/transaction'
import { followUp, ownerOf, refusal } from './complete-sign-in'
import { sendOn } from './reply'
import { destinationOf, hooksOf, tell, type Visit } from './visit'

/** Ends a callback that was started to link. */
export async function completeLink<User>(
  visit: Visit<User>,
  result: SignInResult,
  transaction: Transaction,
): Promise<void> {
  const { person, tokens } = result
  const current = await sameUser(visit, transaction)
  const hooks = hooksOf(visit, 'link', person.workspaces)
  // Nothing depends on the addresses, but the app may keep them.
  const { list } = await person.emails
  const profile = { ...person.profile, emails: list }
  await linkTo(visit, hooks, current, { identity: person.identity, profile }, tokens)
  sendOn(visit.req, visit.res, 'linked', destinationOf(visit, transaction.returnTo))
}

/** Without these nobody can tell what the user has already, or that the account is theirs to link to. */
export function requireLinkHooks<User>({ has }: GuardedHooks<User>): void {
  if (has.describe && has.list) return
  throw configurationError('Linking needs the hooks `describeUser` and `listIdentities`. Add them to `accounts`.')
}

/** Links an identity to the signed-in user, if the table allows it: one write, a new session, the other ones ended. */
export async function linkTo<User>(
  visit: Visit<User>,
  hooks: GuardedHooks<User>,
  current: KnownUser<User>,
  { identity, profile }: { identity: Identity; profile: Profile },
  tokens: Tokens | null,
): Promise<void> {
  // The session may have been opened before the account was suspended.
  if (!(await hooks.canSignIn(current.user))) throw refusal('account_disabled')
  const owner = ownerOf(await hooks.findByIdentity(identity), current)
  const facts = {
    owner,
    hasOtherIdentity: (await hasOtherIdentity(current.user, identity, hooks)) ?? true,
    unverifiedAddress: hasUnverifiedAddress(await hooks.describe(current.user)),
  }
  const decision = decideLink(facts, visit.services.policy)
  if (decision.type === 'refuse') throw refusal(decision.code)
  if (decision.type === 'link') {
    const linked = await hooks.link({ user: current.user, identity, profile })
    if (linked === 'taken') await settleLostRace(hooks, identity, current)
  }
  // What is stored is told, whatever becomes of the session.
  tell(visit, 'linked', { userId: current.id, identityId: identity.id })
  if (decision.type === 'link') await hooks.endOtherSessions({ user: current.user, reason: 'linked' })
  await followUp(visit, hooks, current, { identity, profile }, tokens)
  await signIn(visit.req, current, 'everything', null)
}

/** Whether the account was made with an address that its user has not proven. Unknown counts as unverified. */
export function hasUnverifiedAddress(description: UserDescription | null): boolean {
  return description === null || (description.email !== null && !description.emailVerified)
}

/** Somebody stored the identity first: fine when it was this same user in another tab. */
async function settleLostRace<User>(
  hooks: GuardedHooks<User>,
  identity: Identity,
  current: KnownUser<User>,
): Promise<void> {
  if (ownerOf(await hooks.findByIdentity(identity), current) !== 'self') throw refusal('identity_linked_elsewhere')
}

/** Ends a callback that was started to confirm who is at the keyboard. */
export async function completeReauthentication<User>(
  visit: Visit<User>,
  { person, tokens }: SignInResult,
  transaction: Transaction,
): Promise<void> {
  const current = await sameUser(visit, transaction)
  const hooks = hooksOf(visit, 'reauthenticate', person.workspaces)
  const owner = ownerOf(await hooks.findByIdentity(person.identity), current)
  if (decideReauthentication(owner) === 'mismatch') throw refusal('reauthentication_mismatch')
  if (!(await hooks.canSignIn(current.user))) throw refusal('account_disabled')
  await followUp(visit, hooks, current, person, tokens)
  await signIn(visit.req, current, 'everything', stampNow())
  tell(visit, 'reauthenticated', { userId: current.id, identityId: person.identity.id })
  sendOn(visit.req, visit.res, 'reauthenticated', destinationOf(visit, transaction.returnTo))
}

/** The user who started this, in the session in which it was started, read anew. */
async function sameUser<User>(visit: Visit<User>, transaction: Transaction): Promise<KnownUser<User>> {
  const { req, services } = visit
  const current = currentUser(req, services.userId)
  if (!current) throw new BitbucketSignInError('not_signed_in', 'Nobody is signed in any more.')
  visit.about.userId = current.id
  if (transaction.login !== loginOf(req, current)) throw otherLogin(req, current)
  await assertSessionUnchanged(req)
  return current
}
