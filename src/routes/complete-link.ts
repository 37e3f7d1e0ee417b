import type { GuardedHooks, KnownUser } from '../accounts/account-access'
import type { Accounts } from '../accounts/account-writer'
import { type Linkable, type LinkOutcome, linkIdentity } from '../accounts/link-identity'
import { ownerOf } from '../accounts/resolve-sign-in'
import type { SignInResult } from '../bitbucket/fetch-person'
import { configurationError } from '../contract/options'
import type { Tokens } from '../contract/tokens'
import { judgeEmail } from '../decisions/email-trust'
import { decideReauthentication } from '../decisions/linking'
import { loginOf, otherLogin } from '../session/signed-in-user'
import { assertSessionUnchanged } from '../session/stored-session'
import type { Transaction } from '../state/transaction'
import { now } from '../time/clock'
import { requireUser, tell, type Visit } from './context'
import { destinationOf, takeAskedFor, withReturnTo } from './destination'
import { confirmedMembership, finish, type Outcome, readAllowed, refusal } from './finish'
import { sendOn } from './reply'
import { accountsOf } from './request-hooks'
import { notSignedIn } from './require-signed-in'

/** Completes a callback that was started to link. */
export async function completeLink<User>(
  visit: Visit<User>,
  { person, tokens }: SignInResult,
  transaction: Transaction,
): Promise<void> {
  const current = await sameUser(visit, transaction)
  // Nothing depends on the addresses, but the app may keep them.
  const { list } = await person.emails.needed()
  const { identity, workspaces } = person
  const accounts = accountsOf(visit, 'link', { workspaces, data: transaction.data })
  const profile = { ...person.profile, emails: list }
  const email = judgeEmail(list ?? [], visit.connection.trustedProvider)
  const membership = confirmedMembership(identity, workspaces, now())
  await linkTo(visit, accounts, current, { linkable: { identity, profile, email }, tokens, membership })
  await sendOn(visit, 'linked', destinationOf(visit, transaction.returnTo, 'linked'))
}

/** Without these, the user's identities are unknown, and the page cannot name the account. */
export function requireLinkHooks<User>({ has }: GuardedHooks<User>): void {
  if (has.describe && has.list) return
  throw configurationError('Linking needs the hooks `describeUser` and `listIdentities`. Add them to `accounts`.')
}

/** Links an identity to the signed-in user, if the table allows it: one write, a new session, all others ended. */
export async function linkTo<User>(
  visit: Visit<User>,
  accounts: Accounts<User>,
  current: KnownUser<User>,
  linking: Linking<User>,
): Promise<void> {
  // The session may have been opened before the account was suspended.
  const known = await readAllowed(accounts.hooks, current)
  const outcome = await linkIdentity(linking.linkable, known, accounts, visit.services.policy)
  await finishLink(visit, { accounts, known, outcome, ...linking })
}

/** An identity to be linked, as it came back from Bitbucket. */
type Linking<User> = Required<Pick<Outcome<User>, 'membership'>> & {
  readonly linkable: Linkable
  readonly tokens: Tokens | null
}

/** Carries the outcome of a link to the session. */
export async function finishLink<User>(
  visit: Visit<User>,
  {
    linkable,
    outcome,
    tokens,
    ...rest
  }: Pick<Outcome<User>, 'accounts' | 'known'> & Linking<User> & { readonly outcome: LinkOutcome },
): Promise<void> {
  const { identity, profile } = linkable
  if (outcome.type === 'refuse') throw refusal(outcome.code)
  // Linked by another request of the same user: the outcome is the same.
  if (outcome.type === 'refresh') tell(visit, 'linked', { userId: rest.known.id, identityId: identity.id })
  const signedInWith = { profile, how: 'linked', tokens } as const
  await finish(visit, { ...rest, identity, signedInWith, heldBy: 'user', carry: 'everything', at: null })
}

/** Completes a callback that was started to reauthenticate. */
export async function completeReauthentication<User>(
  visit: Visit<User>,
  { person, tokens }: SignInResult,
  transaction: Transaction,
): Promise<void> {
  const current = await sameUser(visit, transaction)
  const { identity, profile, workspaces } = person
  const accounts = accountsOf(visit, 'reauthenticate', { workspaces, data: transaction.data })
  const owner = ownerOf(await accounts.hooks.findByIdentity(identity), current)
  if (decideReauthentication(owner) === 'mismatch') throw refusal('reauthentication_mismatch')
  const known = await readAllowed(accounts.hooks, current)
  const signedInWith = { profile, how: 'reauthenticated', tokens } as const
  const at = now()
  const membership = confirmedMembership(identity, workspaces, at)
  const end = { heldBy: 'identity', carry: 'everything', at, membership } as const
  await finish(visit, { accounts, known, identity, signedInWith, ...end })
  tell(visit, 'reauthenticated', { userId: known.id, identityId: identity.id })
  // Our own steps may have asked for a page that no link from outside may name, such as the start.
  const asked = takeAskedFor(visit, visit.connection.jar)
  const next = transaction.returnTo === null ? asked : null
  await sendOn(visit, 'reauthenticated', next ?? destinationOf(visit, transaction.returnTo, 'reauthenticated'))
}

/** The user who started this, in the session in which it was started, read anew. */
async function sameUser<User>(visit: Visit<User>, transaction: Transaction): Promise<KnownUser<User>> {
  const { req } = visit
  const { intent, returnTo } = transaction
  const asked = intent === 'link' ? withReturnTo(`${visit.connection.basePath}/link`, returnTo) : returnTo
  const current = requireUser(visit, () => notSignedIn(visit, asked))
  if (transaction.login !== loginOf(req, current)) throw otherLogin(req, current)
  await assertSessionUnchanged(req)
  return current
}
