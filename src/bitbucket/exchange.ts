import type { Response } from 'express'
import { BitbucketSignInError } from '../contract/errors'
import type { UpstreamTiming } from '../contract/events'
import type { Secret } from '../contract/secret'
import type { Tokens } from '../contract/tokens'
import { ExchangeDeadline } from '../time/deadline'
import { cleanJson } from './clean-json'
import { type JsonObject, readTokenAnswer } from './read-answer'
import type { Need, Transport, UpstreamAnswer } from './transport-parts'
import { apiRefusal, faultAt, type RequestName, refreshRefusal, tokenRefusal, unexpected } from './upstream-refusals'

/** The fields of a connection that requests need. */
export interface ApiClient {
  readonly clientID: string
  readonly clientSecret: Secret
  readonly callbackURL: string
  readonly issuer: string
  readonly tokenURL: URL
  /** API base without trailing slash, `https://api.bitbucket.org/2.0`. */
  readonly apiURL: string
  /** Workspaces of which one membership is needed; empty = no gate. */
  readonly workspaces: readonly string[]
}

/** How one exchange reaches Bitbucket: shared connections, one deadline, one list of timings. */
export interface Exchange {
  readonly transport: Transport
  readonly deadline: ExchangeDeadline
  readonly timings: UpstreamTiming[]
}

/** One deadline for all requests of an exchange; {@link ExchangeDeadline.end} it when the exchange is over. */
export function openExchange(transport: Transport, timeoutMs: number, res?: Response): Exchange {
  return { transport, deadline: new ExchangeDeadline(timeoutMs, res), timings: [] }
}

/**
 * Redeems a code. `params` are the rest of the form: grant type, redirect URI, code verifier.
 * Never retried: a code is single-use.
 */
export async function exchangeCode(
  exchange: Exchange,
  client: ApiClient,
  code: string,
  params: Readonly<Record<string, string>>,
): Promise<Tokens> {
  const answer = await requestToken(exchange, client, { ...params, code })
  if (answer.status === 200) return tokensOf('token', answer)
  throw tokenRefusal('token', answer)
}

/** Exchanges a refresh token for new tokens; rejects with `refresh_refused` if the answer is ambiguous. */
export async function refreshTokens(exchange: Exchange, client: ApiClient, refreshToken: string): Promise<Tokens> {
  const answer = await requestToken(exchange, client, { grant_type: 'refresh_token', refresh_token: refreshToken })
  if (answer.status === 200) return tokensOf('refresh', answer)
  throw refreshRefusal(answer)
}

/** Any other resource of the API, for subclasses of the strategy. Refused unless it is one JSON object. */
export async function fetchResource(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  url: string,
): Promise<JsonObject> {
  const answer = await getFromApi(exchange, client, accessToken, 'user', new URL(url))
  if (answer.status !== 200) throw apiRefusal('user', answer, 'what this resource needs')
  if (!answer.body) throw unexpected('user', 'without a JSON object')
  return cleanJson(answer.body)
}

interface ApiURLs {
  readonly user: URL
  readonly emails: URL
  readonly origin: string
}

const knownURLs = new WeakMap<ApiClient, ApiURLs>()

/** The URLs of the API's resources, precomputed per connection. */
export function urlsOf(client: ApiClient): ApiURLs {
  let urls = knownURLs.get(client)
  if (!urls) {
    const user = new URL(`${client.apiURL}/user`)
    urls = { user, emails: new URL(`${client.apiURL}/user/emails`), origin: user.origin }
    knownURLs.set(client, urls)
  }
  return urls
}

/** Opens connections in advance: one for the token, two for user and emails. */
export function openConnections(
  transport: Transport,
  { api, tokenURL }: { readonly api: URL; readonly tokenURL: URL },
): void {
  if (api.host === tokenURL.host) return transport.preconnect(api, 3)
  transport.preconnect(tokenURL, 1)
  transport.preconnect(api, 2)
}

/** The one place that attaches an access token: as `Bearer`, capital B, in the header, on the API's own origin. */
export function getFromApi(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  endpoint: UpstreamTiming['endpoint'],
  url: URL,
  need?: Need,
): Promise<UpstreamAnswer> {
  if (url.origin !== urlsOf(client).origin) throw new TypeError('An access token leaves for the API only.')
  const { transport, deadline } = exchange
  const headers = { authorization: `Bearer ${accessToken}` }
  return timed(exchange, endpoint, transport.request({ method: 'GET', url, headers, deadline, ...(need && { need }) }))
}

/** The one place that attaches the client secret: as HTTP Basic, to the token endpoint. */
export function requestToken(
  exchange: Exchange,
  client: ApiClient,
  form: Record<string, string>,
): Promise<UpstreamAnswer> {
  const credentials = `${client.clientID}:${client.clientSecret.reveal()}`
  const { transport, deadline } = exchange
  const headers = {
    authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
  }
  const body = new URLSearchParams(form).toString()
  const name = form.grant_type === 'refresh_token' ? 'refresh' : 'token'
  return timed(exchange, name, transport.request({ method: 'POST', url: client.tokenURL, headers, body, deadline }))
}

/** Records the duration of the request; its error names the request. */
async function timed(
  { timings }: Exchange,
  name: RequestName,
  request: Promise<UpstreamAnswer>,
): Promise<UpstreamAnswer> {
  const start = performance.now()
  const endpoint = name === 'refresh' ? 'token' : name
  const note = (status: number | null) =>
    timings.push({ endpoint, durationMs: Math.round(performance.now() - start), status })
  try {
    const answer = await request
    note(answer.status)
    return answer
  } catch (error) {
    note(null)
    throw error instanceof BitbucketSignInError ? faultAt(name, error.code, error.message, error.cause) : error
  }
}

function tokensOf(name: 'token' | 'refresh', answer: UpstreamAnswer): Tokens {
  const token = answer.body && readTokenAnswer(answer.body)
  if (!token) throw unexpected(name, 'without a usable bearer token')
  const { expiresInSeconds, ...tokens } = token
  const expiresAt = expiresInSeconds === null ? null : new Date(Date.now() + expiresInSeconds * 1000)
  const result: Tokens = { ...tokens, expiresAt }
  if (answer.body) answers.set(result, answer.body)
  return result
}

/** Kept apart from the tokens: hooks get the tokens, and only the strategy's `params` the rest. */
const answers = new WeakMap<Tokens, JsonObject>()

/** Every member of the token endpoint's answer, cleaned, for the `params` of a strategy. */
export function answerOf(tokens: Tokens): JsonObject {
  return cleanJson(answers.get(tokens) ?? {})
}
