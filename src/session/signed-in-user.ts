import { createHmac } from 'node:crypto'
import type { Request } from 'express'
import type { KnownUser } from '../accounts/account-access'
import { BitbucketSignInError } from '../contract/errors'
import { configurationError } from '../contract/options'
import { asApp, keptUser, userOf } from './session-layer'

/** Who is signed in, `nobody`, or a hash that ends with the session or its user. */
export const NOBODY = 'nobody'

/** The signed-in user, `null` for guests and without one. */
export function currentUser<User>(req: Request, idOf: (user: User) => string | null): KnownUser<User> | null {
  const user = userOf(req) as User | null | undefined
  if (user === null || user === undefined) return null
  const id = idOf(user)
  if (id === null) return null
  if (typeof id !== 'string' || id === '') {
    throw new BitbucketSignInError(
      'hook_failed',
      'req.user has no id. Set `userId`: it returns a non-empty string for a user, null for a guest.',
    )
  }
  return { user, id }
}

/** Ties a record to this session and user; the session id itself is written nowhere. */
export function loginOf<User>(req: Request, current: KnownUser<User> | null): string {
  const session = asApp(req).session
  if (!current || !session) return NOBODY
  return createHmac('sha256', session.id).update(current.id).digest('base64url').slice(0, 22)
}

/** A record is tied to another session or user than the ones of this request. */
export function otherLogin<User>(req: Request, current: KnownUser<User> | null): BitbucketSignInError {
  // No one signed in or out: this user is not tied to a session, so retrying cannot help.
  return current && keptUser(req, asApp(req).session) === undefined
    ? configurationError(
        'req.user is set, and the session has no user, so no sign-in can be pending for this user. Sign users in with req.logIn; if req.user is a guest, let `userId` return null.',
      )
    : sessionChanged()
}

/** The sign-in was tied to a session or user that is no longer there. */
export function sessionChanged(): BitbucketSignInError {
  return new BitbucketSignInError('session_changed', 'A user signed in or out since this step began.')
}
