import type { Request, Response } from 'express'
import { accessDenied, readCallback, stateInvalid } from '../bitbucket/callback-parameters'
import { type Exchange, openExchange } from '../bitbucket/exchange'
import { fetchPerson } from '../bitbucket/fetch-person'
import { createTransport } from '../bitbucket/transport'
import type { Transport } from '../bitbucket/transport-parts'
import type { ActiveConnection } from '../connections/active-connection'
import {
  beginAuthorization,
  deniedWithoutState,
  findAuthorization,
  takeAuthorization,
} from '../connections/authorization'
import { BitbucketSignInError, type ErrorCode } from '../contract/errors'
import { configurationError } from '../contract/options'
import { atOnce } from '../options/app-functions'
import { english } from '../pages/texts-en'
import { startedState } from '../state/flow-state'
import { memoryLimiter } from '../state/memory-limiter'
import type { Transactions } from '../state/transaction'
import {
  type OAuth2Members,
  oauth2Members,
  type RequestMembers,
  requestMembers,
  type WithExchange,
} from './oauth2-members'
import { type BitbucketStrategyOptions, connectionOf } from './strategy-options'
import {
  cloneFor,
  dataOf,
  type PassportActions,
  refuseOverrides,
  report,
  runLeg,
  type StrategyRouteOptions,
} from './strategy-request'
import {
  callVerify,
  type Granted,
  type PassportProfile,
  settledByDone,
  toPassportProfile,
  type VerifyFunction,
} from './verify-callback'

import OAuth2Strategy = require('passport-oauth2')

/** The dependencies of a strategy, shared by all its requests. */
interface StrategyParts {
  readonly connection: ActiveConnection
  readonly transactions: Transactions
  readonly timeoutMs: number
  readonly skipEmails: boolean
  /** Changed by `setAgent` alone. */
  transport: Transport
  /** The original members; an app's replacements are called instead of them. */
  members?: RequestMembers
}

/** A request's own clone of the strategy, with members of the parent that its types do not have. */
interface Run extends PassportActions {
  _oauth2: OAuth2Members
  readonly _verify: VerifyFunction
  readonly _passReqToCallback: boolean
  readonly _parts: StrategyParts
  /** The exchange of a callback. */
  _exchange?: Exchange
  authorizationParams(options: unknown): object
  tokenParams(options: unknown): object
  _loadUserProfile(accessToken: string, done: (error?: unknown, profile?: unknown) => void): void
  _createOAuthError(message: string, error: unknown): Error
}

/**
 * The strategy alone, with Passport's usual `(options, verify)`: a drop-in for the abandoned
 * `passport-bitbucket-oauth2` packages. `state` and PKCE are always on, remembered in a sealed cookie for ten minutes
 * and used once. Key your users on `profile.id`, the uuid: names change hands.
 *
 * It knows no accounts: your `verify` decides whom to sign in, and how far to trust an address. Passport
 * itself rotates the session when it signs in.
 *
 * It is an `OAuth2Strategy` whose `authenticate` is replaced. What subclasses override is called as there, with the
 * options of the route in both legs: `authorizationParams`, `tokenParams`, `userProfile`. `state` of a route may be a
 * plain object of at most 512 bytes of JSON; it comes back as `info.state`.
 */
export class BitbucketStrategy extends OAuth2Strategy {
  override name: string
  /** No secret is among them that could be read. */
  declare protected readonly _parts: StrategyParts

  constructor(options: BitbucketStrategyOptions, verify: VerifyFunction) {
    if (typeof options !== 'object' || options === null || typeof verify !== 'function')
      throw configurationError(
        'BitbucketStrategy: arguments are missing. Pass options and a verify callback, in this order.',
      )
    const { name = 'bitbucket', passReqToCallback = false, skipUserProfile = false } = options
    const connection = connectionOf(options)
    super(
      {
        authorizationURL: connection.authorizationURL.href,
        tokenURL: connection.tokenURL.href,
        clientID: connection.clientID,
        clientSecret: '',
        callbackURL: connection.callbackURL,
        ...(connection.scope !== undefined && { scope: connection.scope }),
        skipUserProfile: skipUserProfile as boolean,
        passReqToCallback: passReqToCallback as false,
      },
      settledByDone(verify),
    )
    this.name = name
    const parts = partsOf(options, name, connection)
    const members = oauth2Members(connection, ownExchange(parts), (agent) => {
      parts.transport = createTransport({ agent })
    })
    parts.members = { ...members }
    Object.defineProperty(this, '_parts', { value: parts })
    // The parent's client has no deadline and no size limit, and would hold the secret.
    Object.defineProperty(this, '_oauth2', { value: members, writable: true, configurable: true })
  }

  /** Passport's entry: the callback if the query carries Bitbucket's answer, otherwise a start. */
  override authenticate(req: Request, options: StrategyRouteOptions = {}): void {
    const run = cloneFor(this) as unknown as Run
    void runLeg(run, req, options, {
      start: (res) => startLeg(run, req, res, options),
      finish: (res) => finishLeg(run, req, res, options),
      describe,
    })
  }

  /** The owner of a token, in Passport's shape. */
  override userProfile(accessToken: string, done: (error?: unknown, profile?: unknown) => void): void {
    const run = this as unknown as Run
    const withExchange = run._exchange ? sharing(run._exchange) : ownExchange(run._parts)
    withExchange((exchange) => readPassportProfile(run._parts, exchange, accessToken))
      .then((profile) => done(null, profile), done)
      .catch((thrown: unknown) => {
        // A subclass can throw in its own `done`; only during a callback there is a request to end with it.
        if (!run._exchange) throw thrown
        report(run, thrown, describe)
      })
  }
}

// Functions and not private methods: a clone made by Object.create has no private members.

function partsOf(
  { clientSecret, limiter, timeoutMs = 10_000, skipEmails = false }: BitbucketStrategyOptions,
  name: string,
  connection: ActiveConnection,
): StrategyParts {
  const factory =
    typeof limiter === 'function' ? atOnce('limiter', limiter, 'Connect first, and return the limiter.') : memoryLimiter
  const { transactions } = startedState([clientSecret], name, factory)
  return { connection, transactions, timeoutMs, skipEmails, transport: createTransport({ timeoutMs }) }
}

const describe = (code: ErrorCode) => english.errors[code]

function startLeg(run: Run, req: Request, res: Response, options: StrategyRouteOptions): void {
  const { connection, transactions } = run._parts
  refuseOverrides(options, connection)
  const parameters = run.authorizationParams(options)
  const { state, codeChallenge } = beginAuthorization(
    transactions,
    { req, res, connection, origin: connection.origin },
    { intent: 'sign-in', returnTo: null, login: null, data: dataOf(options.state) },
  )
  run.redirect(withParameters(connection.authorizationLocation(state, codeChallenge), parameters, connection))
}

/** What a subclass adds to the authorization request. It cannot change protocol parameters. */
function withParameters(location: string, parameters: object | undefined, { scope }: ActiveConnection): string {
  const added = Object.entries(parameters ?? {}).filter(
    ([name, value]) => value != null && !PROTOCOL.has(name) && !(name === 'scope' && scope !== undefined),
  )
  if (added.length === 0) return location
  const url = new URL(location)
  for (const [name, value] of added) {
    url.searchParams.delete(name)
    for (const each of [value].flat()) url.searchParams.append(name, String(each))
  }
  url.search = url.search.replaceAll('+', '%20')
  return url.href
}

const PROTOCOL: ReadonlySet<string> = new Set([
  'response_type',
  'client_id',
  'redirect_uri',
  'state',
  'code_challenge',
  'code_challenge_method',
])

async function finishLeg(run: Run, req: Request, res: Response, options: StrategyRouteOptions): Promise<void> {
  const { connection, transactions } = run._parts
  if (req.method !== 'GET') throw stateInvalid()
  const parameters = readCallback(req.query)
  const authorizing = { req, res, connection, origin: connection.origin }
  const state = (parameters.state !== undefined && transactions.parseState(parameters.state)) || null
  const lookup = findAuthorization(transactions, authorizing, state, parameters.iss)
  if (lookup.type !== 'open') {
    throw deniedWithoutState(transactions, authorizing, parameters).length > 0 ? accessDenied() : stateInvalid()
  }
  const code = await takeAuthorization(transactions, authorizing, lookup.found, parameters)
  enterExchange(run, res)
  const { codeVerifier, data } = lookup.found.transaction
  const granted = await obtainTokens(run, code, {
    ...(run.tokenParams(options) as Record<string, string>),
    grant_type: 'authorization_code',
    redirect_uri: connection.callbackURL,
    code_verifier: codeVerifier,
  })
  const profile = await promised((done) => run._loadUserProfile(granted.accessToken, done))
  callVerify(run, req, granted, profile, data)
}

/** One exchange for all requests of this callback, subclasses included. It ends with the response. */
function enterExchange(run: Run, res: Response): void {
  const { connection, transport, timeoutMs, members } = run._parts
  const exchange = openExchange(transport, timeoutMs, res)
  res.once('close', () => exchange.deadline.end())
  run._exchange = exchange
  const bound = requestMembers(connection, sharing(exchange), (thrown) => report(run, thrown, describe))
  const shared = run._oauth2
  const kept = Object.entries(bound).filter(([name]) => {
    const member = name as keyof RequestMembers
    return shared[member] === members?.[member]
  })
  run._oauth2 = Object.assign(Object.create(shared), Object.fromEntries(kept))
}

function obtainTokens(run: Run, code: string, form: Record<string, string>): Promise<Granted> {
  return new Promise((resolve, reject) => {
    run._oauth2.getOAuthAccessToken(code, form, (error, accessToken, refreshToken, params) => {
      // Our errors carry no upstream text. Errors of an app's own client are handled as in the parent.
      if (error instanceof BitbucketSignInError) reject(error)
      else if (error) reject(run._createOAuthError('Failed to obtain access token', error))
      else if (!accessToken) reject(new Error('Failed to obtain access token'))
      else resolve({ accessToken, refreshToken, params })
    })
  })
}

const promised = (call: (done: (error?: unknown, result?: unknown) => void) => void) =>
  new Promise<unknown>((resolve, reject) => call((error, result) => (error ? reject(error) : resolve(result))))

/** Requests within the exchange of a callback. */
const sharing =
  (exchange: Exchange): WithExchange =>
  (use) =>
    use(exchange)

/** Requests outside a callback: each has its own exchange. */
const ownExchange =
  (parts: StrategyParts): WithExchange =>
  (use) => {
    const exchange = openExchange(parts.transport, parts.timeoutMs)
    return use(exchange).finally(() => exchange.deadline.end())
  }

async function readPassportProfile(
  { connection, skipEmails }: StrategyParts,
  exchange: Exchange,
  accessToken: string,
): Promise<PassportProfile> {
  const person = await fetchPerson(exchange, connection, accessToken, { skipEmails })
  // A permission that was not ticked means no addresses; any other fault must not look like "has none".
  if (person.emailsFailed && person.emailsFailed.code !== 'scope_missing') throw person.emailsFailed
  return toPassportProfile(person.profile, person.json())
}
