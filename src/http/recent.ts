import type { Request } from 'express'
import type { KnownUser } from '../accounts/guard'
import { BitbucketSignInError } from '../errors'
import { now } from '../flow/clock'
import { isRecent } from '../policy/linking'
import type { Services } from './services'
import { stampOf } from './session'
import type { Visit } from './visit'

/** Whether the signed-in user signed in within the last `maxAgeMs` milliseconds (default 10 minutes). */
export function signedInRecently<User>(
  services: Services<User>,
  req: Request,
  current: KnownUser<User>,
  maxAgeMs?: number,
): boolean {
  const at = services.signedInAt ? services.signedInAt(req) : stampOf(req, current)
  return isRecent(at instanceof Date ? at : null, now(), maxAgeMs)
}

/** Refuses a change of how one signs in when the last sign-in is long ago: the keyboard may be somebody else's by now. */
export function requireRecent<User>({ services, req }: Visit<User>, current: KnownUser<User>): void {
  if (signedInRecently(services, req, current)) return
  throw new BitbucketSignInError('recent_sign_in_required', 'This step needs a sign-in of the last 10 minutes.')
}
