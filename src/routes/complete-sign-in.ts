import type { FoundIdentity } from '../accounts/account-access'
import type { Accounts } from '../accounts/account-writer'
import { ownerOf, resolveSignIn, type Subject } from '../accounts/resolve-sign-in'
import type { IdentifiedPerson, SignInResult } from '../bitbucket/fetch-person'
import type { ErrorCode } from '../contract/errors'
import type { SignInHow } from '../contract/hooks'
import type { Identity, Profile } from '../contract/identity'
import type { Tokens } from '../contract/tokens'
import { chooseEmail, judgeEmail } from '../decisions/email-trust'
import { decideSignedIn } from '../decisions/linking'
import type { Carry } from '../session/rotate-session'
import { loginOf } from '../session/signed-in-user'
import { assertSessionUnchanged } from '../session/stored-session'
import type { Pending } from '../state/pending-sign-in'
import { randomHandle } from '../state/random'
import type { Transaction } from '../state/transaction'
import { now } from '../time/clock'
import { signedInUser, tell, type Visit } from './context'
import { destinationOf, signInFor } from './destination'
import { confirmedMembership, finish, refusal } from './finish'
import { sendOn } from './reply'
import { accountsOf, type Carried, policyOf } from './request-hooks'

/** Completes the callback of a plain sign-in: signed in, pending, or refused. */
export async function completeSignIn<User>(
  visit: Visit<User>,
  { person, tokens }: SignInResult,
  transaction: Transaction,
): Promise<void> {
  const { req, services, connection } = visit
  const { identity, workspaces } = person
  const { returnTo, data } = transaction
  const confirmedAt = now()
  const accounts = accountsOf(visit, 'sign-in', { workspaces, data })
  const current = signedInUser(visit)
  const found = await accounts.hooks.findByIdentity(identity)
  visit.userId = found.type === 'user' ? found.id : (current?.id ?? null)
  const next = current ? decideSignedIn(ownerOf(found, current)) : 'continue'
  if (next === 'refuse-disabled') throw refusal('account_disabled')
  // A known user who has nothing to choose does not wait for the addresses: nothing depends on them.
  const isKnown = found.type === 'user' && next === 'continue'
  const profile = isKnown ? person.profile : await profileWithEmails(person, found)
  const subject: Subject = { identity, profile, email: judgeEmail(profile.emails ?? [], connection.trustedProvider) }
  const pending = () =>
    newPending(visit, subject, { returnTo, workspaces, confirmedAt, data, login: loginOf(req, current) })

  if (current) {
    if (next !== 'continue') return wait(visit, { ...pending(), step: next })
    await assertSessionUnchanged(req)
  }
  await finishSignIn(visit, {
    subject,
    accounts,
    found,
    carried: { returnTo, data, workspaces, confirmedAt },
    ended: isKnown && current ? endedBefore(transaction, identity) : undefined,
    pending,
    tokens,
    carry: current ? 'everything' : { keys: services.keep },
  })
}

/** The outcome of the sign-in for which this callback only brings tokens. Another identity is another sign-in. */
function endedBefore({ after }: Transaction, { issuer, id }: Identity): SignInHow | undefined {
  return after?.identity.issuer === issuer && after.identity.id === id ? after.how : undefined
}

/** For a new user, unreadable addresses must not look like none; a missing permission means none. */
async function profileWithEmails<User>(
  { profile, emails }: IdentifiedPerson,
  found: FoundIdentity<User>,
): Promise<Profile> {
  const { list, failed } = await emails.needed()
  if (failed && failed.code !== 'scope_missing' && found.type === 'nobody') throw failed
  return { ...profile, emails: list }
}

/** A sign-in whose questions are answered, with everything needed to complete it. */
export interface Finish<User> {
  readonly subject: Subject
  readonly accounts: Accounts<User>
  /** The owner of the identity, if this request has already read it. */
  readonly found?: FoundIdentity<User>
  readonly carried: Carrying & Carried & Pick<Pending, 'confirmedAt'>
  /** The sign-in that this one only fetches tokens for: it has ended before. */
  readonly ended?: SignInHow | undefined
  /** The record to store if it has to wait. */
  readonly pending: () => Pending | Promise<Pending>
  /** Bitbucket's tokens, `null` after a wait: they are not kept anywhere meanwhile. */
  readonly tokens: Tokens | null
  /** What crosses over: everything of the same user, nothing of another one. */
  readonly carry: Carry
}

/** Refusals of users who have an account here: starting again cannot help, signing in to it does. */
const HAVE_AN_ACCOUNT: ReadonlySet<ErrorCode> = new Set([
  'account_exists',
  'account_exists_unverified',
  'email_ambiguous',
])

/** Decides a sign-in and carries the resolution to the browser. */
export async function finishSignIn<User>(visit: Visit<User>, ending: Finish<User>): Promise<void> {
  const { subject, accounts, found, carried, ended, tokens, carry } = ending
  const resolution = await resolveSignIn(subject, accounts, policyOf(visit), found)
  switch (resolution.type) {
    case 'refused':
      if (HAVE_AN_ACCOUNT.has(resolution.code)) visit.retry = signInFor(visit, carried.returnTo)
      throw refusal(resolution.code)
    case 'wait': {
      const pending = { ...(await ending.pending()), step: resolution.step }
      if (pending.step !== 'code') return wait(visit, pending)
      const { keepOrSendCode } = require('./mail-code') as typeof import('./mail-code')
      return keepOrSendCode(visit, pending)
    }
    case 'signed-in': {
      const { user, id, how } = resolution
      const { identity, profile } = subject
      const signedInWith = { profile, how, tokens, isSecondPass: ended !== undefined }
      const known = { user, id }
      const membership = confirmedMembership(identity, carried.workspaces, carried.confirmedAt)
      const at = now()
      await finish(visit, { accounts, known, identity, signedInWith, heldBy: 'identity', carry, at, membership })
      if (how === 'signed_in') tell(visit, 'signed_in', { userId: id, identityId: identity.id })
      return leave(visit, { identity, carried, how: ended ?? how, outcome: 'signed_in', waited: tokens === null })
    }
  }
}

/**
 * Redirects the browser to where the sign-in ends. If the app stores tokens and this sign-in was pending, the
 * browser passes through the start once more: Bitbucket remembers the consent, so tokens need not be kept meanwhile.
 */
export async function leave<User>(
  visit: Visit<User>,
  { identity, carried, how, outcome, waited }: Leaving,
): Promise<void> {
  const { req, res, services, connection } = visit
  const { returnTo, data } = carried
  if (!waited || !services.users.hooks.storeTokens) return sendOn(visit, outcome, destinationOf(visit, returnTo, how))
  services.state.secondPasses.store(req, res, connection.jar, { identity, how, returnTo, data })
  // The start checks it once more.
  const query = returnTo === null ? '' : `?returnTo=${encodeURIComponent(returnTo)}`
  return sendOn(visit, outcome, `${connection.basePath || '/'}${query}`)
}

/** The redirect of a signed-in user, and the outcome for a JSON client. */
export interface Leaving {
  readonly identity: Identity
  readonly carried: Carrying
  readonly how: SignInHow
  readonly outcome: 'signed_in' | 'linked'
  /** Whether the tokens are gone, because the sign-in had to wait. */
  readonly waited: boolean
}

/** What is kept with a sign-in. */
type Carrying = Pick<Transaction, 'returnTo' | 'data'>

/** A record of this sign-in, should it have to wait. */
function newPending<User>(
  { connection, origin }: Visit<User>,
  { identity, profile, email }: Subject,
  rest: Pick<Pending, 'returnTo' | 'login' | 'workspaces' | 'confirmedAt' | 'data'>,
): Pending {
  return {
    handle: randomHandle(),
    step: 'prove',
    identity,
    profile: { ...profile, emails: [] },
    email,
    typed: false,
    confirmed: chooseEmail(profile.emails ?? [])?.confirmed ?? false,
    code: null,
    pause: null,
    generation: 0,
    context: connection.digest,
    origin,
    basePath: connection.basePath,
    ...rest,
  }
}

/** Stores the pending sign-in and redirects to its next page. */
export async function wait<User>(visit: Visit<User>, pending: Pending): Promise<void> {
  const { req, res, services, connection } = visit
  services.state.pendings.store(req, res, connection.jar, pending, now())
  const page = pending.step === 'address' || pending.step === 'code' ? 'email' : 'continue'
  await sendOn(visit, 'pending', `${connection.basePath}/${page}`)
}
