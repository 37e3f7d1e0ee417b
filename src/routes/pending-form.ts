import { BitbucketSignInError } from '../contract/errors'
import type { PageForm } from '../contract/pages'
import { isAdmitted } from '../decisions/connection-levels'
import { currentUser, loginOf, NOBODY, otherLogin } from '../session/rotate-session'
import type { FoundPending, Pending, PendingStep } from '../state/pending-sign-in'
import { bodyField } from './body'
import { type Visit, workspaceRequired } from './visit'

/** The waiting sign-in of this browser as far as the cookie tells; for pages, which consume nothing. */
export function readPending<User>({ req, services, connection, origin, about }: Visit<User>): FoundPending {
  const found = services.pendings.read(req, connection.jar)
  if (!found) throw new BitbucketSignInError('pending_missing', 'No sign-in is waiting in this browser.')
  const { pending } = found
  about.identityId = pending.identity.id
  // What was judged under a connection that has changed since is judged again, from the start.
  const trustWithdrawn = pending.email.level === 'bitbucket' && !connection.trustedProvider
  const otherIssuer = pending.identity.issuer !== connection.issuer
  if (pending.context !== connection.digest || pending.origin !== origin || otherIssuer || trustWithdrawn) {
    throw new BitbucketSignInError(
      'pending_missing',
      'The sign-in that waits in this browser was started under a connection that has changed since, or is another one.',
    )
  }
  if (!isAdmitted(connection.workspaces, pending.workspaces)) throw workspaceRequired()
  return found
}

/**
 * The waiting sign-in that a form belongs to: the one this browser carries, of the handle in the form, still open, its
 * newest copy, and with nobody else signed in than when it was made.
 */
export async function takeUpPending<User>(visit: Visit<User>, steps: readonly PendingStep[]): Promise<FoundPending> {
  const found = readPending(visit)
  const { pending } = found
  const handle = bodyField(visit.req, 'pending')
  if ((handle !== undefined && handle !== pending.handle) || !steps.includes(pending.step)) throw replaced()
  checkLogin(visit, pending)
  if (!(await visit.services.pendings.isCurrent(pending))) throw replaced()
  return found
}

/** The one change of login that is allowed: nobody was signed in, and proving needs somebody to be. */
function checkLogin<User>({ req, services }: Visit<User>, pending: Pending): void {
  const current = currentUser(req, services.userId)
  const login = loginOf(req, current)
  if (login === pending.login || (pending.step === 'prove' && pending.login === NOBODY)) return
  throw otherLogin(req, current)
}

/** Uses the record up before anything is changed by it. */
export async function finishPending<User>({ res, services, connection }: Visit<User>, pending: Pending): Promise<void> {
  if (!(await services.pendings.finish(res, connection.jar, pending))) throw replaced()
}

function replaced(): BitbucketSignInError {
  return new BitbucketSignInError(
    'pending_replaced',
    'This page belongs to a sign-in that is over or was replaced by a newer one.',
  )
}

/** A form of ours, with the app's own hidden fields and the handle of the waiting sign-in, if there is one. */
export function formOf<User>(
  { req, services, connection }: Visit<User>,
  path: string,
  fields: Record<string, string>,
): PageForm {
  return { action: `${connection.basePath}${path}`, fields: { ...services.hiddenFields(req), ...fields } }
}
