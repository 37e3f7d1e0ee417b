import { BitbucketSignInError } from '../contract/errors'
import { isAdmitted } from '../decisions/connection-levels'
import { loginOf, NOBODY, otherLogin } from '../session/signed-in-user'
import type { FoundPending, Pending, PendingStep } from '../state/pending-sign-in'
import { bodyField } from './body'
import { type Asking, signedInUser, type Visit } from './context'
import { destinationOf, signInFor, startAt } from './destination'
import { workspaceRequired } from './finish'
import { sendOn, wantsJson } from './reply'

/** The pending sign-in as the app's pages show it; `null` when the signed-in user cannot continue it. */
export function pendingOf<User>(asking: Asking<User>): { readonly label: string; readonly next: string } | null {
  const { services, req } = asking
  for (const jar of services.state.jars) {
    const found = services.state.pendings.read(req, jar)
    if (!found || !mayContinue(asking, found.pending)) continue
    const { basePath, step, profile } = found.pending
    const page = step === 'address' || step === 'code' ? 'email' : 'continue'
    return { label: profile.displayName, next: `${basePath}/${page}` }
  }
  return null
}

/** This browser carries no pending sign-in: it is over, or never began. */
export class NothingPendingError extends BitbucketSignInError {
  constructor() {
    super('pending_missing', 'No sign-in is pending in this browser.')
  }
}

/** The pending sign-in of this browser by its cookie alone; for pages, which consume nothing. */
export function readPending<User>(visit: Visit<User>): FoundPending {
  const { req, services, connection, origin } = visit
  const found = services.state.pendings.read(req, connection.jar)
  if (!found) throw new NothingPendingError()
  const { pending } = found
  visit.identityId = pending.identity.id
  visit.retry = againOf(visit, pending)
  // The connection has changed since: the sign-in must start again and be judged again.
  const trustWithdrawn = pending.email.level === 'bitbucket' && !connection.trustedProvider
  const otherIssuer = pending.identity.issuer !== connection.issuer
  if (pending.context !== connection.digest || pending.origin !== origin || otherIssuer || trustWithdrawn) {
    throw new BitbucketSignInError(
      'pending_missing',
      'The pending sign-in of this browser was started under a connection that has changed since, or under another one.',
    )
  }
  if (!isAdmitted(connection.workspaces, pending.workspaces)) throw workspaceRequired()
  return found
}

/** Where it starts again. Without the user whose question it was, their own sign-in comes first, not a new account. */
function againOf<User>(visit: Visit<User>, { returnTo, login }: Pending): string {
  const start = startAt(visit, returnTo)
  return login === NOBODY || signedInUser(visit) ? start : signInFor(visit, start)
}

/**
 * The pending sign-in that a form belongs to: the one this browser carries, with the handle in the form, still open, its
 * newest copy, and with the same user signed in as when it was made.
 */
export async function takeUpPending<User>(visit: Visit<User>, steps: readonly PendingStep[]): Promise<FoundPending> {
  const found = readPending(visit)
  const { pending } = found
  const handle = bodyField(visit.req, 'pending')
  if ((handle !== undefined && handle !== pending.handle) || !steps.includes(pending.step)) throw replaced()
  if (!mayContinue(visit, pending)) throw otherLogin(visit.req, signedInUser(visit))
  if (!(await visit.services.state.pendings.isCurrent(pending))) throw replaced()
  return found
}

/** The only allowed change of login: proving begins with no user signed in, and needs one. */
function mayContinue<User>(asking: Asking<User>, { step, login }: Pending): boolean {
  return loginOf(asking.req, signedInUser(asking)) === login || (step === 'prove' && login === NOBODY)
}

/**
 * The pending sign-in for a page that shows it; `null` when another user has signed in meanwhile: it is dropped then, and
 * the browser is redirected to where that user belongs.
 */
export async function showablePending<User>(visit: Visit<User>): Promise<Pending | null> {
  const { req, res, services, connection } = visit
  const { pending } = readPending(visit)
  if (mayContinue(visit, pending)) return pending
  const current = signedInUser(visit)
  const changed = otherLogin(req, current)
  if (!current || changed.code !== 'session_changed' || wantsJson(req)) throw changed
  await services.state.pendings.drop(res, connection.jar, pending)
  await sendOn(visit, 'redirect', destinationOf(visit, pending.returnTo, 'signed_in'))
  return null
}

/** Consumes the record before it changes anything. */
export async function finishPending<User>({ res, services, connection }: Visit<User>, pending: Pending): Promise<void> {
  if (!(await services.state.pendings.finish(res, connection.jar, pending))) throw replaced()
}

function replaced(): BitbucketSignInError {
  return new BitbucketSignInError(
    'pending_replaced',
    'This page belongs to a sign-in that is finished or was replaced by a newer one.',
  )
}
