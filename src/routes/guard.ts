import type { Request, RequestHandler } from 'express'
import type { KnownUser } from '../accounts/account-access'
import { BitbucketSignInError, type ErrorCode, thrownError } from '../contract/errors'
import { once } from '../contract/once'
import { configurationError } from '../contract/options'
import { parseReturnTo } from '../decisions/return-to'
import { atOnce } from '../options/app-functions'
import { checkGuardOptions } from '../options/guard-options'
import { type Asking, offeredVisit, RequestContext, signedInUser, type Visit } from './context'
import { askAt, returnToOf, withReturnTo } from './destination'
import { turnsAway } from './navigation-only'
import { passOn } from './pass-on'
import { sendOn, wantsJson } from './reply'
import type { Services } from './services'

/** Options of `requireSignedIn`, and of every other guard. */
export interface GuardOptions {
  /**
   * Returns the path to return to, as the browser sees it. Default: the URL of the request, which lacks a part that a proxy
   * strips; for a form or a script's request, the page that sent it. Anything but a path of this site is ignored.
   */
  readonly returnTo?: (req: Request) => string
}

/** A request of a signed-in user, as a guard judges it. */
export interface GuardedRequest<User> {
  readonly context: RequestContext<User>
  readonly current: KnownUser<User>
  /** `null` when no connection is offered for this request. Opened once, by the first guard that needs it. */
  readonly visit: () => Promise<Visit<User> | null>
}

/** Why a request does not pass, and the page on which the user can do something about it. */
export interface Refused {
  readonly code: ErrorCode
  /** Whether a browser's page request is redirected there; otherwise an error page links to it. */
  readonly redirects: boolean
  /** `null` if no page helps. `askFor` adds the page to return to. */
  readonly page: (askFor: (page: string) => string) => string | null | Promise<string | null>
}

/** Middleware that needs a signed-in user and nothing else. */
export function signedInOnly<User>(services: Services<User>, options: GuardOptions): RequestHandler {
  checkGuardOptions('requireSignedIn', options)
  return guard(services, options, () => null)
}

/**
 * The one mechanism of all guards. A page request is redirected to the page that lets the user pass, and returns; everything
 * else is refused with `next`. A visitor who is not signed in goes to the app's sign-in page.
 */
export function guard<User>(
  services: Services<User>,
  { returnTo }: GuardOptions,
  judge: (request: GuardedRequest<User>) => Refused | null | Promise<Refused | null>,
): RequestHandler {
  const toSignIn: Refused = {
    code: 'not_signed_in',
    redirects: true,
    page: (askFor) => askFor(services.paths.signIn),
  }
  const givenReturnTo = returnTo && atOnce('returnTo', returnTo)
  return async (req, res, next) => {
    try {
      const context = new RequestContext(services, req, res)
      const visit = once(() => offeredVisit(context))
      const current = signedInUser(context)
      const refused = current ? await judge({ context, current, visit }) : toSignIn
      if (refused !== null) return await refuse(context, refused, await visit(), givenReturnTo)
    } catch (error) {
      return passOn(req, () => next(thrownError(error)))
    }
    passOn(req, () => next())
  }
}

async function refuse<User>(
  context: RequestContext<User>,
  { code, redirects, page }: Refused,
  visit: Visit<User> | null,
  returnTo: GuardOptions['returnTo'],
): Promise<void> {
  const { req, res } = context
  const isPage = req.method === 'GET' && !wantsJson(req)
  if (isPage && turnsAway(req, res)) return
  if (isPage && code === 'not_signed_in') assertNotSignInPage(context)
  const asked = askedPage(context, visit, returnTo, isPage)
  // A script's request in the background must not replace the page that the user asked for.
  const remembers = visit !== null && asked !== null && !wantsJson(req)
  const askFor = (way: string) => (remembers ? askAt(visit, way, asked) : withReturnTo(way, asked))
  context.retry = await page(askFor)
  if (isPage && redirects && context.retry !== null) return sendOn(context, 'redirect', context.retry)
  const { sendError } = require('./send-error') as typeof import('./send-error')
  await sendError(context, new BitbucketSignInError(code, `A guard refused this request: ${code}.`))
}

/** The page to return to, checked like every return URL. */
function askedPage<User>(
  { req, services }: Asking<User>,
  visit: Visit<User> | null,
  returnTo: GuardOptions['returnTo'],
  isPage: boolean,
): string | null {
  const asked = returnTo ? returnTo(req) : isPage ? req.originalUrl : pageBehind(req, visit)
  if (visit) return returnToOf(visit, asked)
  const { signIn } = services.paths
  return parseReturnTo(asked, { basePath: signIn, signInPath: signIn }) ?? null
}

/** The page of this site that sent a form or a script's request. */
function pageBehind<User>({ headers: { referer } }: Request, visit: Visit<User> | null): string | null {
  if (!visit || referer === undefined || !URL.canParse(referer)) return null
  const { origin, pathname, search } = new URL(referer)
  return origin === visit.origin ? pathname + search : null
}

/** A sign-in page behind a guard redirects to itself forever. */
function assertNotSignInPage<User>({ services, req }: Asking<User>): void {
  const { signIn } = services.paths
  if (req.originalUrl.split('?', 1)[0] !== signIn) return
  throw configurationError(
    `\`paths.signIn\`: ${signIn} is behind a guard that needs a signed-in user, so no user could ever sign in. Mount the guard after the sign-in page.`,
  )
}
