import type { GuardedHooks, KnownUser } from '../accounts/account-access'
import { linkProven } from '../accounts/link-identity'
import { hasOtherIdentity, readHolders } from '../accounts/resolve-sign-in'
import { BitbucketSignInError } from '../contract/errors'
import { maskAddress } from '../decisions/email-trust'
import { decideSignIn } from '../decisions/sign-in'
import { signOut } from '../session/rotate-session'
import { NOBODY, sessionChanged } from '../session/signed-in-user'
import { assertSessionUnchanged } from '../session/stored-session'
import type { Pending } from '../state/pending-sign-in'
import { randomHandle } from '../state/random'
import { bodyField } from './body'
import { finishLink, linkTo, requireLinkHooks } from './complete-link'
import { finishSignIn, leave } from './complete-sign-in'
import { requireUser, signedInUser, type Visit } from './context'
import { askAt, startAt } from './destination'
import { confirmedMembership, readAllowed } from './finish'
import { isSubmittedForm } from './notices'
import { finishPending, showablePending, takeUpPending } from './pending-form'
import { requireRecent } from './recent-sign-in'
import { sendOn } from './reply'
import { accountsOf, hooksOf, policyOf } from './request-hooks'
import { accountLabel } from './require-signed-in'
import { formOf, sendPage } from './send-page'
import { refuseProof } from './sign-in-again'

/** `GET /continue`: shows the question that is open. Consumes nothing. */
export async function showContinuePage<User>(visit: Visit<User>): Promise<void> {
  const pending = await showablePending(visit)
  if (!pending) return
  const current = signedInUser(visit)
  switch (pending.step) {
    case 'address':
    case 'code':
      return sendOn(visit, 'pending', `${visit.connection.basePath}/email`)
    case 'prove':
      return current ? showConfirm(visit, pending, current) : sendProvePage(visit, pending)
    case 'choose':
    case 'switch': {
      if (!current) throw sessionChanged()
      return sendChoicePage(visit, pending, current)
    }
  }
}

/** `POST /continue`: carries the choice out. */
export async function submitChoice<User>(visit: Visit<User>): Promise<void> {
  const choice = bodyField(visit.req, 'choice')
  switch (choice) {
    case 'confirm':
      return confirmLink(visit)
    case 'link':
      return chooseLink(visit)
    case 'switch':
      return chooseSwitch(visit)
    default:
      throw new BitbucketSignInError('request_invalid', '`choice` must be `link`, `switch` or `confirm`.')
  }
}

/** `POST /cancel`: drops the pending sign-in, if the form was shown for it. */
export async function cancel<User>(visit: Visit<User>): Promise<void> {
  const { req, res, services, connection } = visit
  const found = services.state.pendings.read(req, connection.jar)
  const handle = bodyField(req, 'pending')
  // The form of an older tab must not end the newer sign-in of another one.
  if (found && (handle === undefined || handle === found.pending.handle)) {
    await services.state.pendings.drop(res, connection.jar, found.pending)
  }
  const signedIn = signedInUser(visit) !== null
  await sendOn(visit, 'cancelled', signedIn ? services.paths.signedIn : services.paths.signIn)
}

/** Whether the signed-in user is the matching account, as the accounts are now. */
export async function isMatching<User>(
  visit: Visit<User>,
  pending: Pending,
  current: KnownUser<User>,
  hooks: GuardedHooks<User>,
): Promise<boolean> {
  const { email, identity } = pending
  if (email.address === null || (await hooks.findByIdentity(identity)).type !== 'nobody') return false
  const holders = await readHolders(email.address, identity, hooks)
  const facts = { identity: 'unknown', email: email.level, holders: holders.map(({ holder }) => holder) } as const
  const decision = decideSignIn(facts, policyOf(visit))
  if (decision.type !== 'prove' && decision.type !== 'link') return false
  return holders[decision.holder]?.id === current.id
}

async function showConfirm<User>(visit: Visit<User>, pending: Pending, current: KnownUser<User>): Promise<void> {
  const hooks = hooksOf(visit, 'sign-in', pending)
  if (!(await isMatching(visit, pending, current, hooks))) return refuseProof(visit, pending, current, hooks)
  const form = (choice: string) => formOf(visit, '/continue', { pending: pending.handle, choice })
  await sendPage(visit, {
    name: 'confirm-link',
    displayName: pending.profile.displayName,
    identityLabel: labelOf(pending),
    accountLabel: await accountLabel(hooks, current),
    confirm: form('confirm'),
    cancel: formOf(visit, '/cancel', { pending: pending.handle }),
  })
}

/** The user has signed in to the matching account and confirms that both are theirs. */
async function confirmLink<User>(visit: Visit<User>): Promise<void> {
  const { req, services } = visit
  const { pending } = await takeUpPending(visit, ['prove'])
  const current = signedInUser(visit)
  if (!current) return askForProof(visit, pending)
  visit.userId = current.id
  // No user was signed in when this began, but the current session may be an old one, stolen or put
  // back: it proves nothing, and would become a permanent way in.
  await requireRecent(visit, current, startAt(visit, pending.returnTo))
  await assertSessionUnchanged(req)
  const accounts = accountsOf(visit, 'sign-in', pending)
  if (!(await isMatching(visit, pending, current, accounts.hooks))) {
    return refuseProof(visit, pending, current, accounts.hooks)
  }
  const known = await readAllowed(accounts.hooks, current)
  await finishPending(visit, pending)
  const outcome = await linkProven(pending, known, accounts, services.policy)
  const membership = confirmedMembership(pending.identity, pending.workspaces, pending.confirmedAt)
  await finishLink(visit, { accounts, known, linkable: pending, outcome, tokens: null, membership })
  await leave(visit, { identity: pending.identity, carried: pending, how: 'linked', outcome: 'linked', waited: true })
}

/** A signed-in user who came back with an unknown identity links it to this account. */
async function chooseLink<User>(visit: Visit<User>): Promise<void> {
  const { pending } = await takeUpPending(visit, ['choose'])
  const current = requireUser(visit, sessionChanged)
  await requireRecent(visit, current, startAt(visit, pending.returnTo))
  const accounts = accountsOf(visit, 'link', pending)
  requireLinkHooks(accounts.hooks)
  await assertSessionUnchanged(visit.req)
  await finishPending(visit, pending)
  const membership = confirmedMembership(pending.identity, pending.workspaces, pending.confirmedAt)
  await linkTo(visit, accounts, current, { linkable: pending, tokens: null, membership })
  await leave(visit, { identity: pending.identity, carried: pending, how: 'linked', outcome: 'linked', waited: true })
}

/**
 * A signed-in user continues as the Bitbucket user instead. Nothing of the old session crosses over. If more
 * has to be asked first, the old session ends now: the sign-in is pending with no user signed in.
 */
async function chooseSwitch<User>(visit: Visit<User>): Promise<void> {
  const { pending } = await takeUpPending(visit, ['choose', 'switch'])
  requireUser(visit, sessionChanged)
  await assertSessionUnchanged(visit.req)
  await finishPending(visit, pending)
  const { identity, profile, email } = pending
  const accounts = accountsOf(visit, 'sign-in', pending)
  await finishSignIn(visit, {
    subject: { identity, profile, email },
    accounts,
    carried: pending,
    pending: async () => {
      await signOut(visit.req)
      return { ...pending, handle: randomHandle(), login: NOBODY }
    },
    tokens: null,
    carry: { keys: [] },
  })
}

/** The user signed out while the page was open: it is shown again, at its own URL. */
async function askForProof<User>(visit: Visit<User>, pending: Pending): Promise<void> {
  if (isSubmittedForm(visit.req)) return sendOn(visit, 'pending', `${visit.connection.basePath}/continue`)
  await sendProvePage(visit, pending)
}

async function sendProvePage<User>(visit: Visit<User>, pending: Pending): Promise<void> {
  await sendPage(visit, {
    name: 'prove',
    displayName: pending.profile.displayName,
    maskedAddress: maskAddress(pending.email.address ?? ''),
    signInHref: askAt(visit, visit.services.paths.signIn, `${visit.connection.basePath}/continue`),
    cancel: formOf(visit, '/cancel', { pending: pending.handle }),
  })
}

async function sendChoicePage<User>(visit: Visit<User>, pending: Pending, current: KnownUser<User>): Promise<void> {
  const hooks = hooksOf(visit, 'sign-in', pending)
  const form = (choice: string) => formOf(visit, '/continue', { pending: pending.handle, choice })
  const common = {
    displayName: pending.profile.displayName,
    identityLabel: labelOf(pending),
    accountLabel: await accountLabel(hooks, current),
    switch: form('switch'),
    cancel: formOf(visit, '/cancel', { pending: pending.handle }),
  }
  if (pending.step === 'switch') return sendPage(visit, { name: 'switch', ...common })
  const canLink = hooks.has.describe && hooks.has.list && !(await isFull(visit, pending, current, hooks))
  await sendPage(visit, { name: 'choose', ...common, link: canLink ? form('link') : null })
}

async function isFull<User>(
  visit: Visit<User>,
  pending: Pending,
  current: KnownUser<User>,
  hooks: GuardedHooks<User>,
): Promise<boolean> {
  if (visit.services.policy.identitiesPerUser === 'many') return false
  return (await hasOtherIdentity(current, pending.identity, hooks)) ?? false
}

/** How Bitbucket shows the identity. */
function labelOf({ profile }: Pending): string {
  return profile.nickname ?? profile.username ?? profile.displayName
}
