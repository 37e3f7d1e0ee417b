import { createHash } from 'node:crypto'
import type { Request } from 'express'
import type { ApiClient } from '../bitbucket/exchange'
import {
  BASE_SCOPES,
  BITBUCKET_ENDPOINTS,
  BITBUCKET_ISSUER,
  type Connection,
  type Endpoints,
  scopesOf,
} from '../contract/options'
import { Secret } from '../contract/secret'
import { type BasePath, basePathOf, parseConnection, type ResolvedConnection } from '../options/connection-options'
import { type CookieJar, cookieJar } from '../state/sealed-cookie'

/** A validated connection with everything derived from it precomputed. Frozen. */
export interface ActiveConnection extends ApiClient {
  readonly id: string
  readonly tenant: string | null
  readonly application: string | null
  readonly signUp: boolean
  readonly trustedProvider: boolean
  readonly enabled: boolean
  readonly visible: boolean
  /**
   * The upstream server that answers: Bitbucket, or own endpoints. `issuer` adds the tenant when its client is not the
   * application's.
   */
  readonly server: string
  /** The scopes to ask for in one string, `undefined` = send none. */
  readonly scope: string | undefined
  readonly authorizationURL: URL
  /** Where to send the browser to start; everything but these two values is precomputed. */
  readonly authorizationLocation: (state: string, codeChallenge: string) => string
  /** Base of the API. */
  readonly api: URL
  /** Origin of the callback. */
  readonly origin: string
  /** Where a sign-in may start and end: the callback's origin and the custom domains. */
  readonly origins: readonly string[]
  /** Whether `Host` is consulted. */
  readonly hasCustomDomains: boolean
  /** Public path of the router, without trailing slash. */
  readonly basePath: string
  /** Changes with everything a sign-in in flight depends on. */
  readonly digest: string
  readonly jar: CookieJar
}

/** Inputs of a connection other than its own fields. */
export interface Activation {
  /** Name of the plugin, in its cookies. */
  readonly name: string
  readonly basePath: BasePath
  /** Names what has to be fixed, when that is not `connection`. */
  readonly givenTo?: string
  /** Returns the issuer of its identities for the server. Default: the server itself. */
  readonly issuerAt?: (server: string) => string
}

/** Validates a connection and precomputes everything that follows from it. */
export function activateConnection(connection: Connection, activation: Activation): ActiveConnection {
  const { name, basePath, givenTo, issuerAt = (server) => server } = activation
  const resolved = parseConnection(connection, basePath, givenTo)
  const { endpoints, id, tenant, application, clientID, callbackURL } = resolved
  const callback = new URL(callbackURL)
  const custom = resolved.origins.map((origin) => new URL(origin).origin)
  const apiURL = withoutSlash(endpoints.apiURL)
  const server = serverOf(endpoints)
  const issuer = issuerAt(server)
  return Object.freeze<ActiveConnection>({
    id,
    tenant,
    application,
    clientID,
    clientSecret: new Secret(resolved.clientSecret),
    callbackURL,
    server,
    issuer,
    tokenURL: new URL(endpoints.tokenURL),
    apiURL,
    // Bitbucket's slugs and uuids are lower case; in any other case they would match no workspace.
    workspaces: Object.freeze([...new Set(resolved.workspaces.map((each) => each.toLowerCase()))]),
    signUp: resolved.signUp,
    trustedProvider: resolved.trustedProvider,
    enabled: resolved.enabled,
    visible: resolved.visible,
    scope: scopeOf(resolved.scope),
    authorizationURL: new URL(endpoints.authorizationURL),
    authorizationLocation: authorizationLocation(resolved),
    api: new URL(apiURL),
    origin: callback.origin,
    origins: Object.freeze([...new Set([callback.origin, ...custom])]),
    hasCustomDomains: custom.length > 0,
    basePath: basePathOf(resolved, basePath),
    digest: digestOf(resolved, issuer),
    jar: cookieJar(name, callback.protocol === 'https:'),
  })
}

function digestOf(resolved: ResolvedConnection, issuer: string): string {
  const { id, tenant, application, clientID, callbackURL, endpoints } = resolved
  const { authorizationURL, tokenURL, apiURL } = endpoints
  const parts = [id, tenant, application, issuer, clientID, callbackURL, authorizationURL, tokenURL, apiURL]
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22)
}

/**
 * Custom endpoints are another server, even if only one of them differs: the operator of that server decides
 * who a user is, and must not be able to decide that for users of Bitbucket. All three servers are in the name, or a
 * tenant could borrow the name of another one's gateway by pointing one endpoint at it and the others at itself.
 *
 * On Bitbucket's own hosts the whole URL counts. They also serve what anyone pushes: a file called `user` in a
 * repository, requested through the API, would pass for a profile.
 */
function serverOf(endpoints: Servers): string {
  const addresses = addressesOf(endpoints)
  if (addresses.join(' ') === addressesOf(BITBUCKET_ENDPOINTS).join(' ')) return BITBUCKET_ISSUER
  const servers = originsOf(addresses)
  const bitbucket = originsOf(addressesOf(BITBUCKET_ENDPOINTS))
  return (servers.every((each) => bitbucket.includes(each)) ? addresses : servers).join(' ')
}

type Servers = Pick<Endpoints, 'authorizationURL' | 'tokenURL' | 'apiURL'>

function addressesOf({ authorizationURL, tokenURL, apiURL }: Servers): readonly string[] {
  return [authorizationURL, tokenURL, withoutSlash(apiURL)].map((url) => new URL(url).href)
}

function originsOf(addresses: readonly string[]): readonly string[] {
  return [...new Set(addresses.map((address) => new URL(address).origin))]
}

const withoutSlash = (url: string) => url.replace(/\/+$/, '')

/** Reserved names are set, not added, so that the endpoint's own query cannot hold a second one. */
function authorizationLocation({
  endpoints: { authorizationURL },
  clientID,
  callbackURL,
  scope,
}: ResolvedConnection): ActiveConnection['authorizationLocation'] {
  const url = new URL(authorizationURL)
  const scopes = scopeOf(scope)
  const fixed = {
    response_type: 'code',
    client_id: clientID,
    redirect_uri: callbackURL,
    ...(scopes && { scope: scopes }),
  }
  for (const [name, value] of Object.entries(fixed)) url.searchParams.set(name, value)
  for (const name of ['state', 'code_challenge', 'code_challenge_method']) url.searchParams.delete(name)
  // In a query a `+` is a space, which is written out; in a path it is a plus sign.
  url.search = url.search.replaceAll('+', '%20')
  const prefix = url.href
  return (state, codeChallenge) => `${prefix}&state=${state}&code_challenge=${codeChallenge}&code_challenge_method=S256`
}

function scopeOf(scope: ResolvedConnection['scope']): string | undefined {
  return scope === false ? undefined : [...new Set([...BASE_SCOPES, ...scopesOf(scope)])].join(' ')
}

/**
 * The origin of this request among the connection's own, `null` when it is none of them. Without custom domains the
 * request's headers are not looked at. With them it is what Express itself believes under the app's `trust proxy`,
 * and it only ever selects; nothing is built from it.
 */
export function requestOrigin(req: Request, connection: ActiveConnection): string | null {
  if (!connection.hasCustomDomains) return connection.origin
  const given = `${req.protocol}://${forwardedHost(req) ?? req.headers.host ?? ''}`
  if (!/^https?:\/\/[\w.:[\]-]+$/i.test(given) || !URL.canParse(given)) return null
  const { origin } = new URL(given)
  return connection.origins.includes(origin) ? origin : null
}

/** The host that a proxy names, if the app trusts that proxy. */
export function forwardedHost(req: Request): string | undefined {
  const trusts = req.app.get('trust proxy fn') as (address: string | undefined, hop: number) => boolean
  if (!trusts(req.socket.remoteAddress, 0)) return undefined
  return req.get('X-Forwarded-Host')?.split(',', 1)[0]?.trim() || undefined
}
