import type { Request, RequestHandler } from 'express'
import type { KnownUser } from '../accounts/guarded-hooks'
import { BitbucketSignInError, thrownError } from '../contract/errors'
import { isRecent } from '../decisions/linking'
import { currentUser, stampOf } from '../session/rotate-session'
import { now } from '../time/clock'
import { turnsAway } from './navigation-only'
import { sendError, sendOn, wantsJson } from './reply'
import type { Services } from './services'
import { askAt, hooksOf, openVisit, type Visit, withReturnTo } from './visit'

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

/**
 * Refuses a change of how a user signs in when the last sign-in is long ago: the keyboard may be somebody else's by now.
 * `asked` is where the user continues after confirming.
 */
export async function requireRecent<User>(visit: Visit<User>, current: KnownUser<User>, asked: string): Promise<void> {
  const { services, req } = visit
  if (signedInRecently(services, req, current)) return
  if (!services.signedInAt && !stampOf(req, current)) warnOfMissingStamp(services)
  visit.about.retry = await confirmHref(visit, current, asked)
  throw new BitbucketSignInError('recent_sign_in_required', 'This step needs a sign-in of the last 10 minutes.')
}

const warned = new WeakSet<object>()

/** The app signs users in and does not say so: whatever they do, they never become recent. Said once per plugin. */
function warnOfMissingStamp(services: object): void {
  if (warned.has(services)) return
  warned.add(services)
  process.emitWarning(
    'bitbucketSignIn: a user who signed in by other means than Bitbucket was refused because no recent sign-in is known. Call `await bitbucket.signedIn(req)` after `req.logIn`, or give `signedInAt`.',
    'BitbucketSignInWarning',
  )
}

/** Where a signed-in user confirms who they are: at Bitbucket, when that can work, otherwise by the app's own means. */
async function confirmHref<User>(visit: Visit<User>, current: KnownUser<User>, asked: string): Promise<string> {
  const { connection } = visit
  const identities = await hooksOf(visit, 'reauthenticate').listIdentities(current)
  const hasIdentity = identities?.some(({ issuer }) => issuer === connection.issuer) ?? false
  return askAt(visit, hasIdentity ? `${connection.basePath}/reauthenticate` : confirmPage(visit), asked)
}

/** The app's page to confirm by its own means, otherwise ours, which signs out first. */
export function confirmPage<User>({ services: { paths }, connection }: Visit<User>): string {
  return paths.confirm ?? `${connection.basePath}/sign-in-again`
}

/**
 * Middleware for the app's own sensitive pages. A user who signed in too long ago confirms and comes back; a visitor who
 * is not signed in goes to the app's sign-in page.
 */
export function requireRecentSignIn<User>(
  services: Services<User>,
  { maxAgeMs, returnTo = ({ originalUrl }) => originalUrl }: RecentSignInOptions,
): RequestHandler {
  return async (req, res, next) => {
    try {
      const current = currentUser(req, services.userId)
      if (current && signedInRecently(services, req, current, maxAgeMs)) return next()
      const isPage = req.method === 'GET' && !wantsJson(req)
      if (isPage && turnsAway(req, res)) return
      const visit = (await services.source.resolve(req)) ? await openVisit(services, req, res) : null
      const asked = returnTo(req)
      const target = await wayToConfirm(services, visit, current, asked)
      if (isPage && target !== null) return sendOn(req, res, 'redirect', target)
      const code = current ? 'recent_sign_in_required' : 'not_signed_in'
      if (visit) visit.about.retry = target
      await sendError(services, req, res, new BitbucketSignInError(code, 'This needs a recent sign-in.'), visit)
    } catch (error) {
      next(thrownError(error))
    }
  }
}

/** `null` = a signed-in user who cannot confirm here: the sign-in page may send them straight back. */
async function wayToConfirm<User>(
  { paths }: Services<User>,
  visit: Visit<User> | null,
  current: KnownUser<User> | null,
  asked: string,
): Promise<string | null> {
  if (current) {
    if (visit) return confirmHref(visit, current, asked)
    return paths.confirm === undefined ? null : withReturnTo(paths.confirm, asked)
  }
  return visit ? askAt(visit, paths.signIn, asked) : withReturnTo(paths.signIn, asked)
}
