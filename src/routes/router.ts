import type { NextFunction, Request, RequestHandler, Router } from 'express'

import express = require('express')

import { BitbucketSignInError, thrownError } from '../contract/errors'
import { requireSession } from '../session/session-layer'
import { readBody } from './body'
import { callback } from './callback'
import { goesOnElsewhere, handOver, openCallback } from './central-callback'
import { openVisit, RequestContext, tell, type Visit } from './context'
import { cancel, showContinuePage, submitChoice } from './continue'
import { orLeadHome } from './lead-home'
import { showLinkPage, startLink, unlink } from './link'
import { navigationOnly } from './navigation-only'
import { NothingPendingError } from './pending-form'
import { showReauthenticatePage, startReauthentication } from './reauthenticate'
import { sendError, sendOn } from './reply'
import { goOnWithoutBitbucket, showMembershipPage } from './require-membership'
import type { Services } from './services'
import { showSignInAgainPage, signOutToSignInAgain } from './sign-in-again'
import { startSignIn } from './start'
import { warnOfPlace } from './start-place'
import { resendCode, showEmailPage, submitAddress, verifyCode } from './verify-email'

type Step<User> = (visit: Visit<User>) => void | Promise<void>

/** The table of routes, relative to the mount. `hasBasePath`: the app has declared that paths differ. */
export function createRouter<User>(services: Services<User>, hasBasePath: boolean): Router {
  const router = express.Router()
  const get = (path: string, step: Step<User>) => router.get(path, handler(services, step))
  const post = (path: string, step: Step<User>) => router.post(path, handler(services, guarded(step), openForm))

  const start = navigationOnly(startHandler(services, hasBasePath))
  const end = navigationOnly(handler(services, endCallback, openCallback))
  answerDirectly(router, { '/': start, '/callback': end })
  router.get('/', start)
  router.all('/callback', end)
  get('/email', orHome(showEmailPage))
  post('/email/address', submitAddress)
  post('/email/code', resendCode)
  post('/email/verify', verifyCode)
  for (const path of ['/email/address', '/email/code', '/email/verify']) get(path, backTo('/email'))
  get('/continue', orHome(showContinuePage))
  post('/continue', submitChoice)
  get('/link', showLinkPage)
  post('/link', startLink)
  post('/unlink', unlink)
  get('/unlink', backTo('/link'))
  get('/reauthenticate', showReauthenticatePage)
  post('/reauthenticate', startReauthentication)
  get('/membership', showMembershipPage)
  post('/membership', goOnWithoutBitbucket)
  get('/sign-in-again', showSignInAgainPage)
  post('/sign-in-again', signOutToSignInAgain)
  post('/cancel', cancel)
  return router
}

/** Back to the page of a sign-in that is over leads a signed-in user home. */
const orHome =
  <User>(step: Step<User>): Step<User> =>
  (visit) =>
    orLeadHome(visit, step, NothingPendingError)

/**
 * Answers `GET`s of these paths before the router walks its table. Every other request, also another spelling of the same
 * path, goes through the table. It saves 6 % CPU per start (plain mount, sessions in memory).
 */
function answerDirectly(router: Router, routes: Readonly<Record<string, RequestHandler>>): void {
  const table = new Map(Object.entries(routes))
  const walk = router as Router & { handle: RequestHandler }
  const { handle } = walk
  walk.handle = (req, res, next) => {
    const direct = req.method === 'GET' ? table.get(pathOf(req)) : undefined
    return direct ? direct(req, res, next) : handle.call(walk, req, res, next)
  }
}

function pathOf({ url }: Request): string {
  const end = url.indexOf('?')
  return end === -1 ? url : url.slice(0, end)
}

/** Starts a sign-in, in the router or mounted alone. `anyPath`: its mount path is not checked. */
export function startHandler<User>(services: Services<User>, anyPath: boolean): RequestHandler {
  return handler(services, (visit) => {
    warnOfPlace(visit, anyPath)
    return startSignIn(visit)
  })
}

/** Handles a callback here, or redirects it to the origin where the sign-in started. */
const endCallback = <User>(visit: Visit<User>) => (goesOnElsewhere(visit) ? handOver(visit) : callback(visit))

/** A refused form leaves its URL in the address bar; reloading it redirects to the page of the form. */
const backTo =
  (path: string) =>
  <User>(visit: Visit<User>): void =>
    sendOn(visit, 'redirect', `${visit.connection.basePath}${path}`)

/** Reads the form before its connection is looked up. */
async function openForm<User>(context: RequestContext<User>): Promise<Visit<User>> {
  await readBody(context)
  return openVisit(context)
}

/** Every POST must come from a page of this origin, with a session that can be signed in to. */
function guarded<User>(step: Step<User>): Step<User> {
  return (visit) => {
    checkSameOrigin(visit)
    requireSession(visit.req)
    return step(visit)
  }
}

/**
 * Only pages of this very origin may POST. `Sec-Fetch-Site` decides if the browser sends it, because under
 * `no-referrer` genuine form posts carry `Origin: null`; otherwise `Origin` must be one of our origins and the one of this request.
 */
function checkSameOrigin<User>({ req, connection, origin }: Visit<User>): void {
  const site = req.headers['sec-fetch-site']
  if (site !== undefined) {
    if (site === 'same-origin') return
    throw crossSite()
  }
  const given = req.headers.origin
  if (given === undefined || !connection.origins.includes(given)) throw crossSite()
  if (connection.hasCustomDomains && given !== origin) throw crossSite()
}

function crossSite(): BitbucketSignInError {
  return new BitbucketSignInError(
    'cross_site_request',
    'This request does not come from a page of this site. Clients other than browsers must send `Origin` with the origin of the callback URL.',
  )
}

/** Runs a step for a request: refusals become responses, bugs go to the app's error handler. */
export function handler<User>(
  services: Services<User>,
  step: Step<User>,
  open: (context: RequestContext<User>) => Promise<Visit<User>> = openVisit,
): RequestHandler {
  return async (req, res, next) => {
    const context = new RequestContext(services, req, res)
    try {
      await step(await open(context))
    } catch (error) {
      answer(context, error, next)
    }
  }
}

function answer<User>(context: RequestContext<User>, error: unknown, next: NextFunction): void {
  const { services, req, res } = context
  if (!(error instanceof BitbucketSignInError)) return next(thrownError(error))
  tell(context, UPSTREAM.has(error.code) ? 'upstream_failed' : 'refused', { code: error.code })
  // The response hides the details from the user, so they must reach the operator here.
  if (error.status >= 500) services.report(error, req)
  if (res.headersSent) return next(error)
  sendError(context, error).catch((thrown: unknown) => next(thrownError(thrown)))
}

const UPSTREAM: ReadonlySet<string> = new Set([
  'upstream_failed',
  'upstream_timeout',
  'rate_limited',
  'profile_invalid',
  'client_rejected',
])
