import type { Request } from 'express'
import type { KnownUser } from '../accounts/account-access'
import { BitbucketSignInError } from '../contract/errors'
import type { Membership } from '../decisions/membership'
import { now } from '../time/clock'
import { asApp, isSent, keptUser, settled } from './session-layer'

/** The session key of the last sign-in. */
const SIGN_IN = 'bitbucketSignIn'
/** The session key of the membership. */
const MEMBERSHIP = 'bitbucketMembership'

/** When the signed-in user last signed in through us, by the stamp in the session. */
export function stampOf<User>(req: Request, current: KnownUser<User>): Date | null {
  const stamp = asApp(req).session?.[SIGN_IN] as { at?: unknown; user?: unknown } | undefined
  return typeof stamp?.at === 'number' && stamp.user === current.id ? new Date(stamp.at) : null
}

/** The stamp of a sign-in as a session entry of this user. */
export function signInStamp(user: string, at: number): Readonly<Record<string, unknown>> {
  return { [SIGN_IN]: { at, user } }
}

/**
 * Stamps the sign-in as recent and saves the session, but only when the session began in this request: `req.logIn`
 * rotates, so the browser cannot have sent its id. A session that the browser already had proves no new sign-in.
 * `entries` are set with the stamp.
 */
export async function stampNewSession<User>(
  req: Request,
  current: KnownUser<User>,
  entries: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const { session } = asApp(req)
  if (!session || keptUser(req, session) === undefined || isSent(req, session.id)) return
  Object.assign(session, signInStamp(current.id, now()), entries)
  try {
    await settled((done) => session.save(done))
  } catch (cause) {
    throw new BitbucketSignInError('store_unavailable', 'The session could not be saved; see `cause`.', { cause })
  }
}

/** The membership of this user in the session, `null` if there is none, or if it belongs to another user. */
export function membershipOf<User>(req: Request, { id }: KnownUser<User>): Membership | null {
  const stamp = asApp(req).session?.[MEMBERSHIP] as (Membership & { user?: unknown }) | undefined
  return stamp?.user === id && Number.isFinite(stamp.at) ? stamp : null
}

/** The stamp as a session entry of this user; `null` removes it. */
export function membershipEntry(user: string, membership: Membership | null): Readonly<Record<string, unknown>> {
  return { [MEMBERSHIP]: membership ? { ...membership, user } : undefined }
}
