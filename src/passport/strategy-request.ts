import type { Request, Response } from 'express'
import { queryOf } from '../bitbucket/callback-parameters'
import { BitbucketSignInError, type ErrorCode, thrownError } from '../contract/errors'
import { configurationError, scopesOf } from '../contract/options'
import { isPlainObject, problemOfData } from '../decisions/app-data'
import { turnsAway } from '../routes/navigation-only'
import { passOn } from '../routes/pass-on'

/** Passport's actions, which it puts on a strategy for one request. */
export interface PassportActions {
  success(user: unknown, info?: unknown): void
  fail(challenge?: unknown, status?: number): void
  redirect(url: string, status?: number): void
  error(error: unknown): void
}

/** What a route may pass to `passport.authenticate`. */
export interface StrategyRouteOptions {
  /** Scopes for this request, of those in the strategy's options; others are refused. */
  readonly scope?: unknown
  /** A plain object of at most 512 bytes of JSON; it comes back as `info.state`. A string is refused. */
  readonly state?: unknown
  /** Refused if it differs from the strategy's. */
  readonly callbackURL?: unknown
}

/** The two legs of a strategy, for one request. They refuse by throwing. */
export interface StrategyLegs {
  start(res: Response): void | Promise<void>
  finish(res: Response): Promise<void>
  /** The message of a refusal for the user: apps show it by `failureFlash` or `failureMessage`. */
  describe(code: ErrorCode): string
}

/** Refusals that a user can cause; everything else is a fault of the setup or of Bitbucket. */
const REFUSALS: ReadonlySet<string> = new Set([
  'access_denied',
  'account_disabled',
  'sign_up_disabled',
  'state_expired',
  'state_invalid',
  'workspace_required',
])

/** Ends a request of Passport's with one leg: the callback if the query carries Bitbucket's answer, otherwise a start. */
export async function runLeg(run: PassportActions, req: Request, options: StrategyRouteOptions, legs: StrategyLegs) {
  guardActions(run, req)
  try {
    const { res, query } = req
    if (!res || !query) throw notExpress()
    if (turnsAway(req, res)) return
    dataOf(options.state)
    const sent = sentQuery(req)
    const isCallback = ['code', 'error', 'state'].some((name) => Object.hasOwn(sent, name))
    await (isCallback ? legs.finish(res) : legs.start(res))
  } catch (error) {
    report(run, error, legs.describe)
  }
}

/** The query as it was sent; a test that calls the strategy by hand sets `req.query` alone. */
export function sentQuery(req: Request): Request['query'] {
  return req.url?.includes('?') ? queryOf(req) : req.query
}

/**
 * Passport clones a strategy that is passed by name, but not an instance: it writes this request's actions onto it. They
 * are copied; otherwise two concurrent requests could end with each other's user.
 */
export function cloneFor<Strategy extends object>(strategy: Strategy): Strategy & PassportActions {
  if (!Object.hasOwn(strategy, 'name')) return strategy as Strategy & PassportActions
  const { success, fail, redirect, error, pass } = strategy as PassportActions & { pass: unknown }
  return Object.assign(Object.create(strategy), { success, fail, redirect, error, pass })
}

/**
 * Passes errors thrown by the callback of `passport.authenticate` to Express. They can occur in one of our promises or
 * one of the app's database, where they would be unhandled and end the process. Errors are objects: Express takes a
 * thrown `undefined` for "continue" and `'route'` for the next route, as if the user were signed in.
 */
function guardActions(run: PassportActions, req: Request): void {
  for (const name of ['success', 'fail', 'redirect', 'error'] as const) {
    const act = run[name] as (...args: unknown[]) => void
    run[name] = (...args: unknown[]) =>
      passOn(req, () => act.apply(run, name === 'error' ? args.map(thrownError) : args))
  }
}

/** Ends the request by Passport's means: refusals fail it, faults are errors. It must not throw: nothing would catch it. */
export function report(run: PassportActions, error: unknown, describe: StrategyLegs['describe']): void {
  if (!(error instanceof BitbucketSignInError && REFUSALS.has(error.code))) return run.error(error)
  let message: string
  try {
    message = describe(error.code)
  } catch (thrown) {
    // `texts` of the app can be a function, which threw.
    return run.error(thrown)
  }
  run.fail({ code: error.code, message }, error.status)
}

/**
 * The `state` option as passport-oauth2 means it: an object is kept and returned as `info.state`. It never
 * becomes the protocol's `state`; a string would, and is refused: a fixed one protects no user.
 */
export function dataOf(state: unknown): unknown {
  if (state === undefined) return undefined
  if (!isPlainObject(state)) {
    throw configurationError(
      'passport.authenticate: remove the `state` option, or make it a plain object, which comes back as `info.state`. The strategy makes and checks `state` itself; a fixed one protects no user.',
    )
  }
  const problem = problemOfData(state)
  if (problem === null) return state
  throw configurationError(
    `passport.authenticate: \`state\`: ${problem}. Keep the rest on your server and pass a key to it.`,
  )
}

/** Options of a route cannot widen the request; they are refused, not silently ignored. */
export function refuseOverrides(
  { scope, callbackURL }: StrategyRouteOptions,
  connection: { readonly scope: string | undefined; readonly callbackURL: string },
): void {
  if (scope && typeof scope !== 'string' && !isStrings(scope)) {
    throw configurationError('passport.authenticate: `scope` must be a string or an array of strings.')
  }
  const asked = scope ? scopesOf(scope as string | readonly string[]) : []
  const sent = connection.scope?.split(' ') ?? []
  const more = asked.filter((each) => !sent.includes(each))
  if (more.length > 0) {
    throw configurationError(
      `passport.authenticate: the scope ${more.join(' ')} is not requested; move it to the \`scope\` option of the strategy.`,
    )
  }
  if (callbackURL !== undefined && callbackURL !== connection.callbackURL) {
    throw configurationError(
      'passport.authenticate: remove the `callbackURL` option. The strategy sends its own, which is registered at Bitbucket.',
    )
  }
}

const isStrings = (value: unknown) => Array.isArray(value) && value.every((each) => typeof each === 'string')

function notExpress(): BitbucketSignInError {
  return new BitbucketSignInError(
    'configuration_invalid',
    'The strategy needs `req.res` and `req.query`; use it inside Express.',
  )
}
