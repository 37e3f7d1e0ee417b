import { type ActiveConnection, activateConnection } from '../connections/active-connection'
import type { LimiterFactory } from '../contract/limiter'
import { BITBUCKET_ENDPOINTS, type Connection, configurationError, type Endpoints } from '../contract/options'

/** Options of the standalone strategy. */
export interface BitbucketStrategyOptions
  extends Pick<Connection, 'clientID' | 'clientSecret' | 'callbackURL' | 'scope' | 'endpoints'> {
  /** Name for `passport.authenticate`. Default `'bitbucket'`. */
  readonly name?: string
  /** Whether `verify` gets the request first. Default `false`. */
  readonly passReqToCallback?: boolean
  /** Skips the profile: `verify` gets none. A function decides for each sign-in. Default `false`. */
  readonly skipUserProfile?:
    | boolean
    | (() => boolean)
    | ((accessToken: string, done: (error: unknown, skip?: boolean) => void) => void)
  /** Deadline of all requests to Bitbucket in one callback together, in milliseconds. Default 10000. */
  readonly timeoutMs?: number
  /** Do not read the addresses; `profile.emails` is empty. Default `false`. */
  readonly skipEmails?: boolean
  /**
   * Counts used callbacks, so that each works once. Default: in this process's memory, which several processes do not
   * share.
   */
  readonly limiter?: LimiterFactory | 'memory'
  /** From the old packages; `endpoints` says the same. */
  readonly authorizationURL?: string
  /** From the old packages; `endpoints` says the same. */
  readonly tokenURL?: string
  /** From the old packages; must end in `/user`. `endpoints` says the same. */
  readonly userProfileURL?: string
  /** From the old packages; must be `userProfileURL` and `/emails`. `endpoints` says the same. */
  readonly userEmailsURL?: string
}

/** Options of the old packages that are always on here, or have no effect. */
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
const OWN_OPTIONS = [
  'name',
  'passReqToCallback',
  'skipUserProfile',
  'skipEmails',
  'timeoutMs',
  'limiter',
  'endpoints',
] as const

/** The options as a connection, checked; options of the old packages without effect are ignored. */
export function connectionOf(options: BitbucketStrategyOptions): ActiveConnection {
  const { clientID, clientSecret, callbackURL, scope, limiter, ...rest } = options
  if (limiter !== undefined && limiter !== 'memory' && typeof limiter !== 'function') {
    throw configurationError("BitbucketStrategy: `limiter` must be a function that makes a limiter, or 'memory'.")
  }
  const endpoints = endpointsOf(options)
  refuseGates(options)
  const known = new Set<string>([...OWN_OPTIONS, ...OLD_URLS, ...IGNORED])
  const unknown = Object.fromEntries(Object.entries(rest).filter(([key]) => !known.has(key)))
  const given = {
    clientID,
    clientSecret,
    callbackURL,
    ...(scope !== undefined && { scope }),
    ...(endpoints && { endpoints }),
  }
  return activateConnection(
    { ...given, ...unknown },
    { name: 'bitbucket-strategy', basePath: null, givenTo: 'BitbucketStrategy' },
  )
}

/** Gates of the router that this strategy does not have, in options that both share: ignored, they would be open. */
function refuseGates({ enabled, signUp, applications, workspaces }: Partial<Connection>): void {
  const closed = {
    enabled: enabled === false,
    signUp: signUp === false,
    applications: applications !== undefined,
    workspaces: workspaces !== undefined && workspaces.length !== 0,
  }
  const gate = Object.entries(closed).find(([, isClosed]) => isClosed)?.[0]
  if (gate === undefined) return
  throw configurationError(
    `BitbucketStrategy: \`${gate}\` has no effect here. Remove it, and decide in \`verify\` who may sign in; only bitbucketSignIn does so itself.`,
  )
}

/** The old packages had four URLs, two of them for the API; here the API has one base. */
function endpointsOf(options: BitbucketStrategyOptions): Endpoints | undefined {
  const old = OLD_URLS.filter((name) => options[name] !== undefined)
  if (old.length === 0) return options.endpoints
  if (options.endpoints) {
    throw configurationError(`BitbucketStrategy: set \`endpoints\` or ${old.join(', ')}, not both.`)
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

/** Retired addresses of Bitbucket's API: version 1.0, and the ones on the site's own host. */
const RETIRED_API = /^https?:\/\/(?:api\.bitbucket\.org\/1\.0|(?:www\.)?bitbucket\.org\/)/

function apiOfProfile(url: string): string {
  if (url.endsWith('/user')) return url.slice(0, -'/user'.length)
  throw configurationError(
    'BitbucketStrategy: `userProfileURL` must end in /user. Correct it, or set `endpoints` instead.',
  )
}

function apiOfEmails(url: string | undefined): string {
  return url?.endsWith('/user/emails') ? url.slice(0, -'/user/emails'.length) : BITBUCKET_ENDPOINTS.apiURL
}
