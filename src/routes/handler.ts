import type { NextFunction, RequestHandler } from 'express'
import { BitbucketSignInError, type ErrorCode, thrownError } from '../contract/errors'
import type { SignInEventType } from '../contract/events'
import { openVisit, RequestContext, tell, type Visit } from './context'
import { passOn } from './pass-on'
import type { Services } from './services'

/** What one of our routes does for a request. */
export type Step<User> = (visit: Visit<User>) => void | Promise<void>

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
      passOn(req, () => answer(context, error, next))
    }
  }
}

function answer<User>(context: RequestContext<User>, error: unknown, next: NextFunction): void {
  const { services, req, res } = context
  if (!(error instanceof BitbucketSignInError)) return next(thrownError(error))
  tell(context, eventOf(error.code), { code: error.code })
  // The response hides the details from the user, so they must reach the operator here.
  if (error.status >= 500) services.report(error, req)
  if (res.headersSent) return next(error)
  // Loaded on use: few requests are refused.
  const { sendError } = require('./send-error') as typeof import('./send-error')
  sendError(context, error).catch((thrown: unknown) => passOn(req, () => next(thrownError(thrown))))
}

function eventOf(code: ErrorCode): SignInEventType {
  if (code === 'scope_missing') return code
  return UPSTREAM.has(code) ? 'upstream_failed' : 'refused'
}

const UPSTREAM: ReadonlySet<string> = new Set([
  'upstream_failed',
  'upstream_timeout',
  'rate_limited',
  'profile_invalid',
  'client_rejected',
])
