import type { Request } from 'express'
import type { KnownUser } from '../accounts/guarded-hooks'
import type { Membership } from '../decisions/membership'
import { asApp } from './session-layer'

/** The session key of the stamp. */
const MEMBERSHIP = 'bitbucketMembership'

/** The membership of this user in the session, `null` if there is none, or if it belongs to another user. */
export function membershipOf<User>(req: Request, { id }: KnownUser<User>): Membership | null {
  const stamp = asApp(req).session?.[MEMBERSHIP] as (Membership & { user?: unknown }) | undefined
  return stamp?.user === id && Number.isFinite(stamp.at) ? stamp : null
}

/** The stamp as a session entry of this user; `null` removes it. */
export function membershipEntry(user: string, membership: Membership | null): Readonly<Record<string, unknown>> {
  return { [MEMBERSHIP]: membership ? { ...membership, user } : undefined }
}
