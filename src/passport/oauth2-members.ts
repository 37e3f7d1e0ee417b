import type { Agent } from 'node:http'
import type { StrategyClient } from '../bitbucket/exchange'
import { exchangeCode, refreshTokens } from '../bitbucket/exchange'
import { getResource, type Leg, type OAuthClient, oauthClient, resultsOf } from './protocol-strategy'

/** What apps and other packages reach for at `strategy._oauth2` of a Passport strategy, as far as it is here. */
export interface OAuth2Members extends OAuthClient {
  /** Sends all further requests through an agent, for example one of a proxy. */
  setAgent(agent: Agent): void
  /** Does nothing: a token leaves in the header only. */
  useAuthorizationHeaderforGET(use: boolean): void
}

/**
 * The members of node-oauth's client that are used from outside a strategy, on our own transport. There is no secret
 * among them; and `getOAuthAccessToken` works without `this`, because a package that refreshes tokens takes it off.
 */
export function oauth2Members(
  client: StrategyClient,
  openLeg: () => Leg,
  setAgent: OAuth2Members['setAgent'],
): OAuth2Members {
  return {
    ...oauthClient(client),

    getOAuthAccessToken(codeOrToken, params, done) {
      const { exchange } = openLeg()
      const trade =
        params.grant_type === 'refresh_token'
          ? refreshTokens(exchange, client, codeOrToken)
          : exchangeCode(exchange, client, codeOrToken, params)
      trade.finally(() => exchange.deadline.end()).then((tokens) => done(null, ...resultsOf(tokens)), done)
    },

    get(url, accessToken, done) {
      const leg = openLeg()
      getResource(leg, url, accessToken)
        .finally(() => leg.exchange.deadline.end())
        .then((body) => done(null, body), done)
    },

    setAgent,
    useAuthorizationHeaderforGET() {},
  }
}
