import type { RequestHandler } from 'express'
import type { KnownUser } from '../accounts/account-access'
import { BitbucketSignInError } from '../contract/errors'
import { configurationError } from '../contract/options'
import { isRecent } from '../decisions/linking'
import { checkGuardOptions } from '../options/guard-options'
import { stampOf } from '../session/stamps'
import { now } from '../time/clock'
import type { Asking, Visit } from './context'
import { askAt } from './destination'
import { type GuardedRequest, type GuardOptions, guard, type Refused } from './guard'
import { hooksOf } from './request-hooks'
import type { Services } from './services'

/** Options of `requireRecentSignIn`. */
export interface RecentSignInOptions extends GuardOptions {
  /** How long ago the sign-in may be, in milliseconds. Default 600000 (= 10 minutes). */
  readonly maxAgeMs?: number
}

/** Whether the signed-in user signed in within the last `maxAgeMs` milliseconds (default 10 minutes). */
function signedInRecently<User>({ services, req }: Asking<User>, current: KnownUser<User>, maxAgeMs?: number): boolean {
  // Either is enough: the app knows about its own sign-ins, the stamp about ours.
  return [appStampOf({ services, req }), stampOf(req, current)].some((at) => isRecent(at, now(), maxAgeMs))
}

/** When the user signed in by the app's own means. A session returns a `Date` as a string, which would never be recent. */
function appStampOf<User>({ services, req }: Asking<User>): Date | null {
  const at: unknown = services.users.signedInAt?.(req) ?? null
  if (at === null || (at instanceof Date && !Number.isNaN(at.getTime()))) return at
  throw configurationError(
    '`signedInAt` must return a valid Date or null. Make one of what your session holds: `new Date(…)`.',
  )
}

/**
 * Refuses a change of how a user signs in when the last sign-in is long ago: someone else may be at the keyboard by now.
 * `asked` is where the user continues after confirming.
 */
export async function requireRecent<User>(visit: Visit<User>, current: KnownUser<User>, asked: string): Promise<void> {
  const { services, req } = visit
  if (signedInRecently(visit, current)) return
  if (!services.users.signedInAt && !stampOf(req, current)) warnOfMissingStamp(services)
  visit.retry = askAt(visit, await confirmPageFor(visit, current), asked)
  throw new BitbucketSignInError('recent_sign_in_required', 'This step needs a sign-in of the last 10 minutes.')
}

const warned = new WeakSet<object>()

/** The app signs users in without reporting it, so their sign-ins never count as recent. Warns once per plugin. */
function warnOfMissingStamp(services: object): void {
  if (warned.has(services)) return
  warned.add(services)
  process.emitWarning(
    'bitbucketSignIn: a user who signed in by other means than Bitbucket was refused because no recent sign-in is known. Call `await bitbucket.signedIn(req)` after `req.logIn`, or set `signedInAt`.',
    'BitbucketSignInWarning',
  )
}

/** Where a signed-in user confirms who they are: at Bitbucket if possible, otherwise by the app's own means. */
async function confirmPageFor<User>(visit: Visit<User>, current: KnownUser<User>): Promise<string> {
  const { connection } = visit
  const identities = await hooksOf(visit, 'reauthenticate').listIdentities(current)
  const hasIdentity = identities?.some(({ issuer }) => issuer === connection.issuer) ?? false
  return hasIdentity ? `${connection.basePath}/reauthenticate` : confirmPage(visit)
}

/** The app's own page to confirm, otherwise ours, which signs out first. */
export function confirmPage<User>({ services: { paths }, connection }: Visit<User>): string {
  return paths.confirm ?? `${connection.basePath}/sign-in-again`
}

/** Middleware for the app's own sensitive pages: a user whose sign-in is too old confirms and returns. */
export function requireRecentSignIn<User>(services: Services<User>, options: RecentSignInOptions): RequestHandler {
  checkGuardOptions('requireRecentSignIn', options)
  const { maxAgeMs } = options
  return guard(services, options, (request) =>
    signedInRecently(request.context, request.current, maxAgeMs) ? null : toConfirm(request),
  )
}

function toConfirm<User>({ context, current, visit }: GuardedRequest<User>): Refused {
  return {
    code: 'recent_sign_in_required',
    redirects: true,
    // Without a page to confirm on there is none: the sign-in page may send a signed-in user straight back.
    page: async (askFor) => {
      const opened = await visit()
      const page = opened ? await confirmPageFor(opened, current) : context.services.paths.confirm
      return page === undefined ? null : askFor(page)
    },
  }
}
