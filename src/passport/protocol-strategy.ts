import type { Request, Response } from 'express'
import type { StartedLeg, StrategyClient } from '../bitbucket/exchange'
import type { Tokens } from '../contract/tokens'
import { turnsAway } from '../routes/navigation-only'
import { type PassportProfile, toPassportProfile } from './passport-profile'

import OAuth2Strategy = require('passport-oauth2')

import {
  type ApiClient,
  type Exchange,
  exchangeCode,
  fetchPerson,
  fetchResource,
  type TakenLeg,
} from '../bitbucket/exchange'
import { BitbucketSignInError, type ErrorCode, thrownError } from '../contract/errors'
import { configurationError, scopesOf } from '../contract/options'

/** What happens at the two legs. Both refuse by throwing. */
export interface StrategyDriver {
  /** Remembers a transaction. */
  start(req: Request, res: Response): StartedLeg | Promise<StartedLeg>
  /** Takes the transaction, trades the code, and ends the request through `run`. */
  finish(run: StrategyClone, req: Request, res: Response): Promise<void>
  /** What a person is told of a refusal: apps show it, by `failureFlash` or `failureMessage`. */
  describe(code: ErrorCode, req: Request): string
  /** Reaches Bitbucket outside a callback; whoever asks ends the deadline. Absent where the connection follows from the request. */
  openLeg?(): Leg
}

/** Whom an exchange with Bitbucket is for, and how it is reached. */
export interface Leg {
  readonly client: ApiClient
  readonly exchange: Exchange
}

// biome-ignore lint/suspicious/noExplicitAny: Passport's own signatures; `verify` is told apart by its arity
export type VerifyFunction = (...args: any[]) => void

/** Options of the strategy as such; `bitbucketSignIn` and `new BitbucketStrategy` fill them. */
export interface StrategySetUp {
  readonly name: string
  readonly driver: StrategyDriver
  /** Passport's verify callback; a driver that ends requests itself needs none. */
  readonly verify?: VerifyFunction
  readonly passReqToCallback?: boolean
  readonly skipUserProfile?: unknown
  readonly skipEmails?: boolean
}

/** What a route may pass to `passport.authenticate`. */
interface RouteOptions {
  readonly scope?: unknown
  readonly state?: unknown
  readonly callbackURL?: unknown
}

/** The members of the parent's OAuth client that it reads; the real one has no deadline and no size limit. */
export interface OAuthClient {
  readonly _authorizeUrl: string
  readonly _accessTokenUrl: string
  readonly _clientId: string
  getOAuthAccessToken(code: string, params: Record<string, string>, done: TokenCallback): void
  get(url: string, accessToken: string, done: ResourceCallback): void
}

/** Ends with the tokens and what else the token endpoint said, or with an error alone. */
export type TokenCallback = (
  error: unknown,
  accessToken?: string,
  refreshToken?: string,
  params?: Record<string, unknown>,
) => void

type ResourceCallback = (error: unknown, body?: string) => void

/** A request's own clone of the strategy: what the parent and Passport keep on it, and what is replaced per request. */
export interface StrategyClone {
  _oauth2: OAuthClient
  _callbackURL: string
  _scope: string | undefined
  _stateStore: object
  _verify: VerifyFunction
  _passReqToCallback: boolean
  _leg: Leg
  _describe(code: ErrorCode): string
  authorizationParams(options: unknown): object
  userProfile(accessToken: string, done: (error?: unknown, profile?: unknown) => void): void
  success(user: unknown, info?: unknown): void
  fail(challenge?: unknown, status?: number): void
  redirect(url: string, status?: number): void
  error(error: unknown): void
}

/** Refusals that a person can cause; everything else is a fault of the set-up or of Bitbucket. */
const REFUSALS: ReadonlySet<string> = new Set([
  'access_denied',
  'account_disabled',
  'sign_up_disabled',
  'state_expired',
  'state_invalid',
  'workspace_required',
])
/** As much of a request as the parent reads: a query of ours, and nothing of the browser's. */
const parametersOnly = (query: Record<string, string>) => ({ query, body: undefined }) as unknown as Request

/**
 * The protocol as a Passport strategy. It holds no state of a request: each request works on its own clone, which
 * knows the connection, the exchange and the two fixed legs that go through passport-oauth2.
 */
export class ProtocolStrategy extends OAuth2Strategy {
  override name: string
  readonly driver: StrategyDriver
  readonly skipEmails: boolean
  /** Set on a request's clone for the time of its callback. */
  declare protected readonly _leg?: Leg

  constructor({ name, driver, verify = () => {}, ...setUp }: StrategySetUp) {
    const { passReqToCallback = false, skipUserProfile, skipEmails = false } = setUp
    super(
      {
        authorizationURL: 'https://bitbucket.org/site/oauth2/authorize',
        tokenURL: 'https://bitbucket.org/site/oauth2/access_token',
        // Both are replaced on each request's clone; the secret never becomes a property of the strategy.
        clientID: 'set-per-request',
        clientSecret: '',
        skipUserProfile,
        passReqToCallback: passReqToCallback as false,
      },
      verify,
    )
    this.name = name
    this.driver = driver
    this.skipEmails = skipEmails
    Object.defineProperty(this, 'driver', { enumerable: false })
    // The parent's own would send whatever it is asked to, with the placeholders above.
    Object.defineProperty(this, '_oauth2', { enumerable: false, writable: true, value: undefined })
  }

  /** Passport's entry: the callback when the query carries an answer of Bitbucket, else a start. */
  override authenticate(req: Request, options: RouteOptions = {}): void {
    const run = cloneFor(this)
    guardActions(run, req)
    run._describe = (code) => this.driver.describe(code, req)
    const { res, query } = req
    if (!res || !query) return run.error(notExpress())
    if (turnsAway(req, res)) return
    if (options.state !== undefined) return run.error(stateOptionRefused())
    const isCallback = ['code', 'error', 'state'].some((name) => Object.hasOwn(query, name))
    const leg = isCallback ? this.driver.finish(run, req, res) : startLeg(this, run, req, res, options)
    leg.catch((error: unknown) => report(run, error))
  }

  /** The person behind a token, in Passport's shape. */
  override userProfile(accessToken: string, done: (error?: unknown, profile?: unknown) => void): void {
    const leg = this._leg ?? this.driver.openLeg?.()
    if (!leg)
      return done(new BitbucketSignInError('configuration_invalid', 'userProfile works during a callback only.'))
    passportProfile(leg, accessToken, this.skipEmails)
      .finally(() => {
        if (!this._leg) leg.exchange.deadline.end()
      })
      .then((profile) => done(null, profile), done)
      .catch((thrown: unknown) => {
        // A subclass can throw in its own `done`; only during a callback there is somebody to tell.
        if (!this._leg) throw thrown
        report(this as unknown as StrategyClone, thrown)
      })
  }
}

// A function and not a private method: a clone made by Object.create has no private members.

async function startLeg(
  strategy: ProtocolStrategy,
  run: StrategyClone,
  req: Request,
  res: Response,
  options: RouteOptions,
): Promise<void> {
  const started = await strategy.driver.start(req, res)
  refuseOverrides(options, started.client)
  run.redirect(locationByParent(strategy, started, options))
}

/** What a route passes to `passport.authenticate` can widen nothing; passed over in silence it would be missed later. */
function refuseOverrides({ scope, callbackURL }: RouteOptions, client: StrategyClient): void {
  const asked = typeof scope === 'string' || Array.isArray(scope) ? scopesOf(scope as string | string[]) : []
  const granted = client.scope?.split(' ')
  const more = granted ? asked.filter((each) => !granted.includes(each)) : []
  if (more.length > 0) {
    throw configurationError(
      `passport.authenticate: the scope ${more.join(' ')} is not asked for; move it to the \`scope\` option of the strategy.`,
    )
  }
  if (callbackURL !== undefined && callbackURL !== client.callbackURL) {
    throw configurationError(
      'passport.authenticate: remove the `callbackURL` option. The strategy sends its own, which is registered at Bitbucket.',
    )
  }
}

/** Where to send the browser: the parent builds it, on a clone that knows this connection, so that subclasses have their say. */
function locationByParent(
  strategy: ProtocolStrategy,
  { client, state, codeChallenge }: StartedLeg,
  options: RouteOptions,
): string {
  const run = Object.create(strategy) as StrategyClone
  let location = ''
  run._oauth2 = oauthClient(client)
  run._callbackURL = client.callbackURL
  run._scope = client.scope
  // The parent chooses by arity: four parameters, no defaults.
  run._stateStore = {
    store: (_req: unknown, _state: unknown, _meta: unknown, done: StoreCallback) => done(null, state),
  }
  const params = strategy.authorizationParams(options)
  run.authorizationParams = () => ({ ...params, code_challenge: codeChallenge, code_challenge_method: 'S256' })
  run.redirect = (url) => {
    location = url
  }
  run.error = (error) => {
    throw error
  }
  // No parameter of the request takes part in a start.
  OAuth2Strategy.prototype.authenticate.call(run as unknown as OAuth2Strategy, parametersOnly({}), {})
  return location
}

type StoreCallback = (error: null, state: string) => void

/** Hands the second leg to the parent, with the transaction already checked and used up. */
export function enterCallback(
  run: StrategyClone,
  req: Request,
  { client, codeVerifier }: TakenLeg<StrategyClient>,
  exchange: Exchange,
): void {
  run._oauth2 = {
    ...oauthClient(client),
    getOAuthAccessToken(code, params, done) {
      exchangeCode(exchange, client, code, params)
        .then((tokens) => done(null, ...resultsOf(tokens)))
        // Not through `done`: the parent would wrap the error and copy the answer into its text. What a subclass or
        // `skipUserProfile` throws ends here too.
        .catch((error: unknown) => report(run, error))
    },
    get(url, accessToken, done) {
      getResource({ client, exchange }, url, accessToken)
        .then((body) => done(null, body), done)
        .catch((thrown: unknown) => report(run, thrown))
    },
  }
  run._callbackURL = client.callbackURL
  run._stateStore = {
    verify: (_req: unknown, _state: unknown, _meta: unknown, done: VerifyCallback) => done(null, codeVerifier),
  }
  run._leg = { client, exchange }
  OAuth2Strategy.prototype.authenticate.call(run as unknown as OAuth2Strategy, req, {})
}

type VerifyCallback = (error: null, codeVerifier: string) => void

async function passportProfile(
  { exchange, client }: Leg,
  accessToken: string,
  skipEmails: boolean,
): Promise<PassportProfile> {
  const person = await fetchPerson(exchange, client, accessToken, { skipEmails })
  // A permission that was not ticked means no addresses; any other fault must not look like "has none".
  if (person.emailsFailed && person.emailsFailed.code !== 'scope_missing') throw person.emailsFailed
  return toPassportProfile(person.profile, person.json)
}

/** node-oauth's `get`, for the `userProfile` of a subclass: on the API's own origin, with every limit of ours. */
export async function getResource({ client, exchange }: Leg, url: string, accessToken: string): Promise<string> {
  return JSON.stringify(await fetchResource(exchange, client, accessToken, url))
}

/** What the parent reads of its OAuth client to build an authorization request. */
export function oauthClient(client: StrategyClient): OAuthClient {
  return {
    _authorizeUrl: client.authorizationURL.href,
    _accessTokenUrl: client.tokenURL.href,
    _clientId: client.clientID,
    getOAuthAccessToken() {
      throw new TypeError('A start exchanges nothing.')
    },
    get() {
      throw new TypeError('A start reads nothing.')
    },
  }
}

/** Both tokens, and the `params` of Passport's longer verify callbacks. */
export function resultsOf({ accessToken, refreshToken, expiresAt, scopes }: Tokens) {
  const params: Record<string, unknown> = {
    token_type: 'bearer',
    ...(expiresAt && { expires_in: Math.round((expiresAt.getTime() - Date.now()) / 1000) }),
    ...(scopes && { scope: scopes.join(' ') }),
  }
  return [accessToken, refreshToken ?? undefined, params] as const
}

/**
 * A strategy given by name was cloned by Passport; an instance was not, and Passport has just written this request's
 * actions onto it. They are copied, or two people's requests would end with each other's user.
 */
export function cloneFor(strategy: ProtocolStrategy): StrategyClone {
  if (!Object.hasOwn(strategy, '_verify')) return strategy as unknown as StrategyClone
  const { success, fail, redirect, error, pass } = strategy as unknown as StrategyClone & { pass: unknown }
  return Object.assign(Object.create(strategy), { success, fail, redirect, error, pass }) as StrategyClone
}

/**
 * What the callback of the app's own `passport.authenticate` throws goes to Express. It can come out of a promise of
 * ours or out of the app's database, where nobody else would catch it and the process would end.
 */
function guardActions(run: StrategyClone, req: Request): void {
  for (const name of ['success', 'fail', 'redirect', 'error'] as const) {
    const act = run[name] as (...args: unknown[]) => void
    run[name] = (...args: unknown[]) => {
      try {
        act.apply(run, args)
      } catch (thrown) {
        if (!req.next) throw thrown
        req.next(thrownError(thrown))
      }
    }
  }
}

/** Ends the request by Passport's means: refusals fail it, faults are errors. */
export function report(run: StrategyClone, error: unknown): void {
  if (error instanceof BitbucketSignInError && REFUSALS.has(error.code)) {
    run.fail({ code: error.code, message: run._describe(error.code) }, error.status)
  } else {
    run.error(thrownError(error))
  }
}

function notExpress(): BitbucketSignInError {
  return new BitbucketSignInError(
    'configuration_invalid',
    'The strategy needs `req.res` and `req.query`; use it inside Express.',
  )
}

function stateOptionRefused(): BitbucketSignInError {
  return new BitbucketSignInError(
    'configuration_invalid',
    'passport.authenticate: remove the `state` option. The strategy makes and checks `state` itself; a fixed one protects nobody.',
  )
}
