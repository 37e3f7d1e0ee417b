import type { Request } from 'express'
import type { KnownUser } from '../accounts/guarded-hooks'
import type { Membership } from '../decisions/membership'
import { asApp } from './session-layer'

/** The session key of the stamp. */
const MEMBERSHIP = 'bitbucketMembership'

/** What the session says of the membership of this user, `null` if it says nothing, or speaks of another user. */
export function membershipOf<User>(req: Request, { id }: KnownUser<User>): Membership | null {
  const stamp = asApp(req).session?.[MEMBERSHIP] as (Membership & { user?: unknown }) | undefined
  return stamp?.user === id && Number.isFinite(stamp.at) ? stamp : null
}

/** The stamp as an entry of the session of this user; `null` removes it. */
export function membershipEntry(user: string, membership: Membership | null): Readonly<Record<string, unknown>> {
  return { [MEMBERSHIP]: membership ? { ...membership, user } : undefined }
}
