import { hash } from 'node:crypto'
import type { Request, Response } from 'express'
import { authorizationCode, checkIssuer, readCallback, stateInvalid } from '../bitbucket/callback-parameters'
import { openExchange, type StrategyClient } from '../bitbucket/exchange'
import { createTransport } from '../bitbucket/transport'
import { activateConnection } from '../connections/active-connection'
import { BitbucketSignInError } from '../contract/errors'
import { BITBUCKET_ENDPOINTS, type Connection, configurationError, type Endpoints } from '../contract/options'
import { Secret } from '../contract/secret'
import { english } from '../contract/texts'
import { deriveKeys, type KeyPurpose } from '../state/keys'
import { createLimits, memoryLimiter } from '../state/limits'
import { randomBytes } from '../state/random'
import { createTransactions } from '../state/transaction'
import { oauth2Members } from './oauth2-members'
import { enterCallback, ProtocolStrategy, type VerifyFunction } from './protocol-strategy'

/** Options of the strategy on its own. */
export interface BitbucketStrategyOptions
  extends Pick<Connection, 'clientID' | 'clientSecret' | 'callbackURL' | 'scope' | 'endpoints'> {
  /** Name for `passport.authenticate`. Default `'bitbucket'`. */
  readonly name?: string
  /** Whether `verify` gets the request first. Default `false`. */
  readonly passReqToCallback?: boolean
  /** Do not read the person; `verify` gets no profile. A function decides for each sign-in. Default `false`. */
  readonly skipUserProfile?:
    | boolean
    | (() => boolean)
    | ((accessToken: string, done: (error: unknown, skip?: boolean) => void) => void)
  /** Deadline of all requests to Bitbucket in one callback together, in milliseconds. Default 10000. */
  readonly timeoutMs?: number
  /** Do not read the addresses; `profile.emails` is empty. Default `false`. */
  readonly skipEmails?: boolean
  /** From the old packages; `endpoints` says the same. */
  readonly authorizationURL?: string
  /** From the old packages; `endpoints` says the same. */
  readonly tokenURL?: string
  /** From the old packages; must end in `/user`. `endpoints` says the same. */
  readonly userProfileURL?: string
  /** From the old packages; must be `userProfileURL` and `/emails`. `endpoints` says the same. */
  readonly userEmailsURL?: string
}

/** What the old packages took, and what is always on here, or has nothing left to say. */
const IGNORED = [
  'state',
  'pkce',
  'store',
  'sessionKey',
  'scopeSeparator',
  'customHeaders',
  'proxy',
  'userAgent',
] as const
const OLD_URLS = ['authorizationURL', 'tokenURL', 'userProfileURL', 'userEmailsURL'] as const

/**
 * The strategy alone, with Passport's usual `(options, verify)`: a drop-in for the abandoned
 * `passport-bitbucket-oauth2` packages. `state` and PKCE are always on, remembered in a sealed cookie for ten minutes
 * and used once. Key your users on `profile.id`, the uuid: names change hands.
 *
 * It knows nothing of accounts: whom to sign in, and what an address is worth, is decided in your `verify`. Passport
 * itself rotates the session when it signs in.
 */
export class BitbucketStrategy extends ProtocolStrategy {
  constructor(options: BitbucketStrategyOptions, verify: VerifyFunction) {
    if (typeof options !== 'object' || options === null || typeof verify !== 'function')
      throw configurationError('BitbucketStrategy: give options and a verify callback, in this order.')
    const { name = 'bitbucket', passReqToCallback = false, skipUserProfile = false, timeoutMs = 10_000 } = options
    const { skipEmails = false } = options
    const connection = connectionOf(options)
    const keys = (purpose: KeyPurpose) => deriveKeys([new Secret(options.clientSecret)], name, purpose)
    const limits = createLimits(name, memoryLimiter)
    const transactions = createTransactions(keys('transaction'), keys('state'), limits)
    let transport = createTransport({ timeoutMs })
    const client: StrategyClient = connection
    const openLeg = () => ({ client, exchange: openExchange(transport, timeoutMs) })
    const { jar, digest: context, origin } = connection

    super({
      name,
      verify: settledByDone(verify),
      passReqToCallback,
      skipUserProfile,
      skipEmails,
      driver: {
        start(req: Request, res: Response) {
          const codeVerifier = randomBytes(32).toString('base64url')
          const start = { intent: 'sign-in', context, origin, codeVerifier, returnTo: null, login: null } as const
          const state = transactions.begin(req, res, jar, start, null)
          return { client, state, codeChallenge: hash('sha256', codeVerifier, 'base64url') }
        },

        async finish(run, req, res) {
          if (req.method !== 'GET') throw stateInvalid()
          const parameters = readCallback(req.query)
          const state = parameters.state === undefined ? undefined : transactions.parseState(parameters.state)
          const found = state && transactions.find(req, jar, state)
          if (!found || found.transaction.context !== context) throw stateInvalid()
          checkIssuer(parameters.iss, client.authorizationURL)
          if (!(await transactions.take(res, jar, found))) throw stateInvalid()
          if (found.expired) throw new BitbucketSignInError('state_expired', 'The sign-in took longer than 10 minutes.')
          const taken = { client, code: authorizationCode(parameters), codeVerifier: found.transaction.codeVerifier }
          const exchange = openExchange(transport, timeoutMs, res)
          res.once('close', () => exchange.deadline.end())
          enterCallback(run, req, taken, exchange)
        },

        openLeg,
        describe: (code) => english.errors[code],
      },
    })
    const members = oauth2Members(client, openLeg, (agent) => {
      transport = createTransport({ agent })
    })
    Object.assign(this, { _oauth2: members })
  }
}

/**
 * A verify callback may be async: what it rejects with goes where `done(error)` goes, instead of ending the process.
 * The arity stays, because the parent chooses the arguments by it. Only promises of the language are looked at: to
 * follow a query of some database library would run it a second time.
 */
function settledByDone(verify: VerifyFunction): VerifyFunction {
  const settled = function (this: unknown, ...args: Parameters<VerifyFunction>) {
    const result: unknown = verify.apply(this, args)
    if (result instanceof Promise) result.catch(args.at(-1))
  }
  return Object.defineProperty(settled, 'length', { value: verify.length })
}

/** The options as a connection, checked; options that the old packages took and that are always on here are passed over. */
function connectionOf(options: BitbucketStrategyOptions) {
  const { clientID, clientSecret, callbackURL, scope, ...rest } = options
  const endpoints = endpointsOf(options)
  const known = new Set<string>([...OWN_OPTIONS, ...OLD_URLS, ...IGNORED])
  const unknown = Object.fromEntries(Object.entries(rest).filter(([key]) => !known.has(key)))
  const given = {
    clientID,
    clientSecret,
    callbackURL,
    ...(scope !== undefined && { scope }),
    ...(endpoints && { endpoints }),
  }
  return activateConnection({ ...given, ...unknown }, 'bitbucket-strategy', null, 'BitbucketStrategy')
}

const OWN_OPTIONS = ['name', 'passReqToCallback', 'skipUserProfile', 'skipEmails', 'timeoutMs', 'endpoints'] as const

/** The old packages took four URLs, two of them for the API; here the API has one base. */
function endpointsOf(options: BitbucketStrategyOptions): Endpoints | undefined {
  const old = OLD_URLS.filter((name) => options[name] !== undefined)
  if (old.length === 0) return options.endpoints
  if (options.endpoints) {
    throw configurationError(`BitbucketStrategy: give \`endpoints\` or ${old.join(', ')}, not both.`)
  }
  const { authorizationURL, tokenURL, userProfileURL, userEmailsURL } = options
  const apiURL = userProfileURL === undefined ? apiOfEmails(userEmailsURL) : apiOfProfile(userProfileURL)
  if (userEmailsURL !== undefined && userEmailsURL !== `${apiURL}/user/emails`) {
    throw configurationError(`BitbucketStrategy: \`userEmailsURL\` must be ${apiURL}/user/emails; remove it.`)
  }
  if (RETIRED_API.test(apiURL)) {
    throw configurationError(
      `BitbucketStrategy: Bitbucket no longer answers at ${apiURL}; remove \`userProfileURL\` and \`userEmailsURL\`.`,
    )
  }
  return {
    authorizationURL: authorizationURL ?? BITBUCKET_ENDPOINTS.authorizationURL,
    tokenURL: tokenURL ?? BITBUCKET_ENDPOINTS.tokenURL,
    apiURL,
  }
}

/** Addresses of Bitbucket's API that ended: version 1.0, and the ones on the site's own host. */
const RETIRED_API = /^https?:\/\/(?:api\.bitbucket\.org\/1\.0|(?:www\.)?bitbucket\.org\/)/

function apiOfProfile(url: string): string {
  if (url.endsWith('/user')) return url.slice(0, -'/user'.length)
  throw configurationError('BitbucketStrategy: `userProfileURL` must end in /user; or give `endpoints` in its place.')
}

function apiOfEmails(url: string | undefined): string {
  return url?.endsWith('/user/emails') ? url.slice(0, -'/user/emails'.length) : BITBUCKET_ENDPOINTS.apiURL
}
