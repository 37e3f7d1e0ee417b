import type { Request, Response } from 'express'
import { accessDenied, readCallback, stateInvalid } from '../bitbucket/callback-parameters'
import { type Exchange, openExchange } from '../bitbucket/exchange'
import { fetchPerson } from '../bitbucket/fetch-person'
import type { Transport } from '../bitbucket/transport-parts'
import type { ActiveConnection } from '../connections/active-connection'
import {
  beginAuthorization,
  deniedWithoutState,
  findAuthorization,
  takeAuthorization,
} from '../connections/authorization'
import { BitbucketSignInError, type ErrorCode } from '../contract/errors'
import { atOnce } from '../options/app-functions'
import type { Transactions } from '../state/transaction'
import { type OAuth2Members, type RequestMembers, requestMembers, type WithExchange } from './oauth2-members'
import {
  dataOf,
  type PassportActions,
  refuseOverrides,
  report,
  type StrategyRouteOptions,
  sentQuery,
} from './strategy-request'
import {
  callVerify,
  type Granted,
  type PassportProfile,
  settledByDone,
  toPassportProfile,
  type VerifyFunction,
} from './verify-callback'

/** The dependencies of a strategy, shared by all its requests. */
export interface StrategyParts {
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
export interface Run extends PassportActions {
  _oauth2: OAuth2Members
  readonly _verify: VerifyFunction
  readonly _passReqToCallback: boolean
  readonly _parts: StrategyParts
  /** The exchange of a callback. */
  _exchange?: Exchange
  authorizationParams(options: unknown): object
  tokenParams(options: unknown): object
  userProfile: VerifyFunction
  _skipUserProfile: boolean | VerifyFunction
  _loadUserProfile(accessToken: string, done: (error?: unknown, profile?: unknown) => void): void
  _createOAuthError(message: string, error: unknown): Error
}

// Functions and not private methods: a clone made by Object.create has no private members.

/** The message of a refusal, in English. */
export function describe(code: ErrorCode): string {
  return (require('../pages/texts-en') as typeof import('../pages/texts-en')).english.errors[code]
}

/** Seals a transaction and redirects to Bitbucket. */
export function startLeg(run: Run, req: Request, res: Response, options: StrategyRouteOptions): void {
  const { connection, transactions } = run._parts
  refuseOverrides(options, connection)
  const parameters = addedParams(run, 'authorizationParams', options)
  const { state, codeChallenge } = beginAuthorization(
    transactions,
    { req, res, connection, origin: connection.origin },
    { intent: 'sign-in', returnTo: null, login: null, data: dataOf(options.state) },
  )
  run.redirect(withParameters(connection.authorizationLocation(state, codeChallenge), parameters, connection))
}

/** What a subclass adds to a request. A promise would be ignored as in the parent, and one that rejects ends the process. */
function addedParams(run: Run, member: 'authorizationParams' | 'tokenParams', options: StrategyRouteOptions): object {
  return atOnce(member, () => run[member](options), 'Return the parameters as an object.')()
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

/** Ends a callback with the user that `verify` names. */
export async function finishLeg(run: Run, req: Request, res: Response, options: StrategyRouteOptions): Promise<void> {
  const { connection, transactions } = run._parts
  if (req.method !== 'GET') throw stateInvalid()
  const parameters = readCallback(sentQuery(req))
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
    ...(addedParams(run, 'tokenParams', options) as Record<string, string>),
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
  run.userProfile = settledByDone(run.userProfile)
  const skip = run._skipUserProfile
  if (typeof skip === 'function' && skip.length > 1) run._skipUserProfile = settledByDone(skip)
}

function obtainTokens(run: Run, code: string, form: Record<string, string>): Promise<Granted> {
  return new Promise((resolve, reject) => {
    const obtain: OAuth2Members['getOAuthAccessToken'] = settledByDone(run._oauth2.getOAuthAccessToken)
    obtain.call(run._oauth2, code, form, (error, accessToken, refreshToken, params) => {
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
export const sharing =
  (exchange: Exchange): WithExchange =>
  (use) =>
    use(exchange)

/** Requests outside a callback: each has its own exchange. */
export const ownExchange =
  (parts: StrategyParts): WithExchange =>
  (use) => {
    const exchange = openExchange(parts.transport, parts.timeoutMs)
    return use(exchange).finally(() => exchange.deadline.end())
  }

/** The owner of a token, in Passport's shape. */
export async function readPassportProfile(
  { connection, skipEmails }: StrategyParts,
  exchange: Exchange,
  accessToken: string,
): Promise<PassportProfile> {
  const person = await fetchPerson(exchange, connection, accessToken, { skipEmails })
  // A permission that was not ticked means no addresses; any other fault must not look like "has none".
  if (person.emailsFailed && person.emailsFailed.code !== 'scope_missing') throw person.emailsFailed
  return toPassportProfile(person.profile, person.json())
}
