import type { Request, RequestHandler, Response } from 'express'
import type { KnownUser } from '../accounts/guarded-hooks'
import { BitbucketSignInError, thrownError } from '../contract/errors'
import { isRecent } from '../decisions/linking'
import { currentUser, stampOf } from '../session/rotate-session'
import { now } from '../time/clock'
import { turnsAway } from './navigation-only'
import { sendError, sendOn, wantsJson } from './reply'
import type { Services } from './services'
import { hooksOf, openVisit, type Visit } from './visit'

/** Options of `requireRecentSignIn`. */
export interface RecentSignInOptions {
  /** How long ago the sign-in may be, in milliseconds. Default 600000 (= 10 minutes). */
  readonly maxAgeMs?: number
  /**
   * Where to come back to, as the browser sees it. Default: the URL of the request, which lacks what a proxy took off
   * the path.
   */
  readonly returnTo?: (req: Request) => string
}

/** Whether the signed-in user signed in within the last `maxAgeMs` milliseconds (default 10 minutes). */
export function signedInRecently<User>(
  services: Services<User>,
  req: Request,
  current: KnownUser<User>,
  maxAgeMs?: number,
): boolean {
  // Either will do: the app knows of its own ways to sign in, and the stamp of ours.
  return [services.signedInAt?.(req), stampOf(req, current)].some((at) =>
    isRecent(at instanceof Date ? at : null, now(), maxAgeMs),
  )
}

/** Refuses a change of how one signs in when the last sign-in is long ago: the keyboard may be somebody else's by now. */
export function requireRecent<User>({ services, req }: Visit<User>, current: KnownUser<User>): void {
  if (signedInRecently(services, req, current)) return
  if (!services.signedInAt && !stampOf(req, current)) warnOfMissingClock(services)
  throw new BitbucketSignInError('recent_sign_in_required', 'This step needs a sign-in of the last 10 minutes.')
}

const warned = new WeakSet<object>()

/** Signing in again as they are asked to would not help these people: nobody tells us of it. Said once per plugin. */
function warnOfMissingClock(services: object): void {
  if (warned.has(services)) return
  warned.add(services)
  process.emitWarning(
    'bitbucketSignIn: somebody who signed in by other means than Bitbucket was refused for want of a recent sign-in. Give `signedInAt`, or they can never link or unlink.',
    'BitbucketSignInWarning',
  )
}

/**
 * Middleware for the app's own sensitive pages. Whoever signed in too long ago confirms with Bitbucket and comes back;
 * who has no Bitbucket identity, or is not signed in at all, is sent to the app's own sign-in page.
 */
export function requireRecentSignIn<User>(
  services: Services<User>,
  { maxAgeMs, returnTo = ({ originalUrl }) => originalUrl }: RecentSignInOptions,
): RequestHandler {
  return async (req, res, next) => {
    try {
      const current = currentUser(req, services.userId)
      if (current && signedInRecently(services, req, current, maxAgeMs)) return next()
      if (req.method !== 'GET' || wantsJson(req)) {
        const code = current ? 'recent_sign_in_required' : 'not_signed_in'
        return await sendError(services, req, res, new BitbucketSignInError(code, 'This needs a recent sign-in.'), null)
      }
      if (turnsAway(req, res)) return
      const connection = await services.source.resolve(req)
      const target = current && connection ? await confirmationPage(services, req, res, current) : services.paths.signIn
      sendOn(req, res, 'redirect', `${target}?returnTo=${encodeURIComponent(returnTo(req))}`)
    } catch (error) {
      next(thrownError(error))
    }
  }
}

async function confirmationPage<User>(
  services: Services<User>,
  req: Request,
  res: Response,
  current: KnownUser<User>,
): Promise<string> {
  const visit = await openVisit(services, req, res)
  const identities = await hooksOf(visit, 'reauthenticate').listIdentities(current)
  const has = identities?.some(({ issuer }) => issuer === visit.connection.issuer) ?? true
  return has ? `${visit.connection.basePath}/reauthenticate` : services.paths.signIn
}
