import type { Router } from 'express'

import express = require('express')

import { BitbucketSignInError } from '../contract/errors'
import { requireSession } from '../session/session-layer'
import { readBody } from './body'
import { openVisit, type RequestContext, type Visit } from './context'
import { cancel, showContinuePage, submitChoice } from './continue'
import { handler, type Step } from './handler'
import { orLeadHome } from './lead-home'
import { showLinkPage, startLink, unlink } from './link'
import { showNotice } from './notices'
import { NothingPendingError } from './pending-form'
import { showReauthenticatePage, startReauthentication } from './reauthenticate'
import { sendOn } from './reply'
import { goOnWithoutBitbucket, showMembershipPage } from './require-membership'
import type { Services } from './services'
import { showSignInAgainPage, signOutToSignInAgain } from './sign-in-again'
import { resendCode, showEmailPage, submitAddress, verifyCode } from './verify-email'

/** The routes of our pages and their forms. */
export function createPageRoutes<User>(services: Services<User>): Router {
  const router = express.Router({ mergeParams: true })
  const get = (path: string, step: Step<User>) => router.get(path, handler(services, step))
  const post = (path: string, step: Step<User>) => router.post(path, handler(services, guarded(step), openForm))

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
  get('/notice', showNotice)
  return router
}

/** Back to the page of a sign-in that is over leads a signed-in user home. */
const orHome =
  <User>(step: Step<User>): Step<User> =>
  (visit) =>
    orLeadHome(visit, step, NothingPendingError)

/** A refused form leaves its URL in the address bar; reloading it redirects to the page of the form. */
const backTo =
  (path: string) =>
  <User>(visit: Visit<User>): Promise<void> =>
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
