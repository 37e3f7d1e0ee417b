import type { Request } from 'express'
import { createTransport } from '../bitbucket/transport'
import type { ActiveConnection } from '../connections/active-connection'
import { configurationError } from '../contract/options'
import { atOnce } from '../options/app-functions'
import { startedState } from '../state/flow-state'
import { memoryLimiter } from '../state/memory-limiter'
import { oauth2Members } from './oauth2-members'
import {
  describe,
  finishLeg,
  ownExchange,
  type Run,
  readPassportProfile,
  type StrategyParts,
  sharing,
  startLeg,
} from './strategy-legs'
import { type BitbucketStrategyOptions, connectionOf } from './strategy-options'
import { cloneFor, report, runLeg, type StrategyRouteOptions } from './strategy-request'
import { settledByDone, type VerifyFunction } from './verify-callback'

import OAuth2Strategy = require('passport-oauth2')

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
