import type { Agent } from 'node:http'
import {
  type ApiClient,
  answerOf,
  type Exchange,
  exchangeCode,
  fetchResource,
  refreshTokens,
} from '../bitbucket/exchange'
import type { ActiveConnection } from '../connections/active-connection'
import type { Tokens } from '../contract/tokens'

/** Ends with the tokens and what else the token endpoint said, or with an error alone. */
export type TokenCallback = (
  error: unknown,
  accessToken?: string,
  refreshToken?: string,
  params?: Record<string, unknown>,
) => void

type ResourceCallback = (error: unknown, body?: string) => void

/** The members of `strategy._oauth2` that apps and other packages use, as far as supported here. */
export interface OAuth2Members {
  readonly _authorizeUrl: string
  readonly _accessTokenUrl: string
  readonly _clientId: string
  getOAuthAccessToken(code: string, params: Record<string, string>, done: TokenCallback): void
  get(url: string, accessToken: string, done: ResourceCallback): void
  /** Sends all further requests through an agent, for example one of a proxy. */
  setAgent(agent: Agent): void
  /** Does nothing: a token leaves in the header only. */
  useAuthorizationHeaderforGET(use: boolean): void
}

/** Runs a function with an exchange: that of the callback, or a new one which it ends. */
export type WithExchange = <Result>(use: (exchange: Exchange) => Promise<Result>) => Promise<Result>

/** The two members that reach Bitbucket. */
export type RequestMembers = Pick<OAuth2Members, 'getOAuthAccessToken' | 'get'>

/**
 * The members of node-oauth's client that are used from outside a strategy, on our own transport. There is no secret
 * among them; and `getOAuthAccessToken` works without `this`, because a package that refreshes tokens calls it detached.
 */
export function oauth2Members(
  client: ActiveConnection,
  withExchange: WithExchange,
  setAgent: OAuth2Members['setAgent'],
): OAuth2Members {
  return {
    _authorizeUrl: client.authorizationURL.href,
    _accessTokenUrl: client.tokenURL.href,
    _clientId: client.clientID,
    ...requestMembers(client, withExchange),
    setAgent,
    useAuthorizationHeaderforGET() {},
  }
}

/** Those that reach Bitbucket. `onThrow` gets what the caller's own callback throws; by default it stays a rejection. */
export function requestMembers(
  client: ApiClient,
  withExchange: WithExchange,
  onThrow?: (thrown: unknown) => void,
): RequestMembers {
  return {
    getOAuthAccessToken(codeOrToken, params, done) {
      withExchange((exchange) =>
        params.grant_type === 'refresh_token'
          ? refreshTokens(exchange, client, codeOrToken)
          : exchangeCode(exchange, client, codeOrToken, params),
      )
        .then((tokens) => done(null, ...resultsOf(tokens)), done)
        .catch(onThrow)
    },

    get(url, accessToken, done) {
      withExchange(async (exchange) => fetchResource(exchange, client, accessToken, url))
        .then((body) => done(null, JSON.stringify(body)), done)
        .catch(onThrow)
    },
  }
}

/**
 * Both tokens, and the `params` of Passport's longer verify callbacks: every member of the answer but the refresh token.
 * Bitbucket renamed `scopes` to `scope`; apps find the granted scopes under either name.
 */
function resultsOf(tokens: Tokens) {
  const { refresh_token: _, ...params } = answerOf(tokens)
  const granted = params.scope ?? params.scopes
  const scopes = typeof granted === 'string' ? { scope: granted, scopes: granted } : {}
  return [tokens.accessToken, tokens.refreshToken ?? undefined, { ...params, ...scopes }] as const
}
