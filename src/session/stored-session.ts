import type { Request } from 'express'
import { BitbucketSignInError } from '../contract/errors'
import { type AppSession, asApp, keptUser, requireSession, settled, storeOf } from './session-layer'
import { sessionChanged } from './signed-in-user'

/**
 * Refuses a change if the session has ended, or changed hands, since this request began. express-session would
 * otherwise write the ended one back when the answer is sent.
 */
export async function assertSessionUnchanged(req: Request): Promise<void> {
  try {
    await assertStored(req, requireSession(req))
  } catch (cause) {
    abandonSession(req)
    throw storeFailed('The session could not be read again; see `cause`.', cause)
  }
}

/**
 * The one reading of the stored session. It leaves `req.session` as it is, with what the app and its hooks wrote into it
 * during this request: `reload` would drop that, and restore a one-time token that was consumed.
 */
async function assertStored(req: Request, session: AppSession): Promise<void> {
  const stored = await settled<AppSession | null>((done) => storeOf(req).get(session.id, done))
  if (!stored || userOfSession(req, stored) !== userOfSession(req, session)) throw sessionChanged()
}

/** Whether this work ended the session of the request, which the store had before. */
export async function endsSession(req: Request, work: () => Promise<void>): Promise<boolean> {
  const session = requireSession(req)
  // A store that cannot be read has not lost it.
  const isGone = () => assertStored(req, session).then(() => false, isSessionChanged)
  const before = await isGone()
  await work()
  return !before && (await isGone())
}

/** The stored session may belong to another user by now. */
export function isSessionChanged(error: unknown): boolean {
  return error instanceof BitbucketSignInError && error.code === 'session_changed'
}

/** Whether a user is signed in to this session. */
export function isSignedIn(req: Request, session: AppSession): boolean {
  return userOfSession(req, session) !== undefined
}

function userOfSession(req: Request, session: AppSession | null | undefined): string | undefined {
  return JSON.stringify(keptUser(req, session))
}

/**
 * Ends the session that the new one replaces, after that one was saved. A request that ended all sessions of the user
 * until now has ended this one, which is noticed; one that does so from now on finds the new one.
 */
export async function endReplaced(req: Request, replaced: AppSession): Promise<void> {
  const store = storeOf(req)
  try {
    await assertStored(req, replaced)
    await settled((done) => store.destroy?.(replaced.id, done))
  } catch (cause) {
    throw storeFailed('The session could not be rotated and saved; see `cause`.', cause)
  }
}

/** Passes our own errors on; anything else is a fault of the store. */
export function storeFailed(message: string, cause: unknown): BitbucketSignInError {
  return cause instanceof BitbucketSignInError
    ? cause
    : new BitbucketSignInError('store_unavailable', message, { cause })
}

/**
 * From here on, this request neither writes its session nor signs in. The stored session stays: it may
 * belong to another user by now. With `unset: 'destroy'`, express-session would destroy it because `req.session` is missing.
 */
export function abandonSession(req: Request): void {
  clearUser(req)
  asApp(req).session = null
  asApp(req).sessionID = undefined
}

/** Signs the user of this request out. */
export function clearUser(req: Request): void {
  asApp(req)[asApp(req)._userProperty ?? 'user'] = null
}
