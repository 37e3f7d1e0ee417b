import type { Request, Response } from 'express'
import type { BitbucketSignInError } from '../contract/errors'
import { isNavigation } from '../decisions/navigation'
import type { CookieJar } from '../state/sealed-cookie'
import { signedInUser, tell, type Visit } from './context'
import { sendOn, wantsJson } from './reply'

const WAS_LED_HOME = 'h'
const LED_HOME_MS = 60_000

/**
 * Redirects a signed-in user home if a refusal only means that the step is over, as after Back, reload or a double click:
 * the user did nothing wrong. The refusal is still emitted.
 */
export async function orLeadHome<User>(
  visit: Visit<User>,
  step: (visit: Visit<User>) => void | Promise<void>,
  over: new () => BitbucketSignInError,
): Promise<void> {
  try {
    await step(visit)
  } catch (error) {
    if (!(error instanceof over) || !leadsHome(visit)) throw error
    tell(visit, 'refused', { code: error.code })
    await sendOn(visit, 'redirect', visit.services.paths.signedIn)
  }
}

/** Only once a minute, or a home page that starts a sign-in would loop. */
function leadsHome<User>(visit: Visit<User>): boolean {
  const { req, res, connection } = visit
  const { jar } = connection
  // A HEAD or a prefetch would consume the turn of the click that follows it.
  if (req.method !== 'GET' || !isNavigation(req.headers)) return false
  const current = wantsJson(req) ? null : signedInUser(visit)
  if (!current || jar.read(req, WAS_LED_HOME).length > 0) return false
  jar.set(req, res, WAS_LED_HOME, '1', LED_HOME_MS)
  return true
}

/** Clears the cookie in this browser, if it has one. */
export function forgetLedHome(req: Request, res: Response, jar: CookieJar): void {
  jar.clearSent(req, res, WAS_LED_HOME)
}
