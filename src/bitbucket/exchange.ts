import type { Response } from 'express'
import { BitbucketSignInError } from '../contract/errors'
import type { UpstreamTiming } from '../contract/events'
import type { BitbucketEmail, Identity, Profile } from '../contract/identity'
import type { Secret } from '../contract/secret'
import type { Tokens, WorkspaceMembership } from '../contract/tokens'
import { ExchangeDeadline } from '../time/deadline'
import { type JsonObject, readEmailPage, readMembership, readOAuthError, readTokenAnswer } from './read-answer'
import { readProfile } from './read-profile'
import type { Transport, UpstreamAnswer } from './upstream-errors'

/** What the requests need to know of a connection. */
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

/** The side of a connection that the authorization request needs as well. */
export interface StrategyClient extends ApiClient {
  readonly authorizationURL: URL
  readonly scope: string | undefined
}

/** A started leg: what goes to Bitbucket. */
export interface StartedLeg {
  readonly client: StrategyClient
  readonly state: string
  readonly codeChallenge: string
}

/** One deadline for all requests of an exchange; {@link ExchangeDeadline.end} it when the exchange is over. */
export function openExchange(transport: Exchange['transport'], timeoutMs: number, res?: Response): Exchange {
  return { transport, deadline: new ExchangeDeadline(timeoutMs, res), timings: [] }
}

/** The person behind a token. */
export interface Person {
  readonly identity: Identity
  readonly profile: Profile
  /** Why the addresses are not known: a permission that is not ticked, or a fault. `null` = they are known. */
  readonly emailsFailed: BitbucketSignInError | null
  readonly workspaces: readonly WorkspaceMembership[]
  /** Bitbucket's account object as it came, for Passport's `_json`. */
  readonly json: JsonObject
}

const MAX_EMAIL_PAGES = 10

/**
 * Redeems a code. `params` are the rest of the form: grant type, redirect URI, code verifier.
 * Sent once and never again, whatever happens: a code is single-use.
 */
export async function exchangeCode(
  exchange: Exchange,
  client: ApiClient,
  code: string,
  params: Readonly<Record<string, string>>,
): Promise<Tokens> {
  const answer = await requestToken(exchange, client, { ...params, code })
  if (answer.status === 200) return tokensOf(answer)
  throw tokenRefusal(answer)
}

/**
 * Trades a refresh token for new tokens. Bitbucket answers a dead one with `unauthorized_client`, as it does for wrong
 * credentials; with a refresh token in hand both mean that the person has to consent again or the operator to look.
 */
export async function refreshTokens(exchange: Exchange, client: ApiClient, refreshToken: string): Promise<Tokens> {
  const answer = await requestToken(exchange, client, { grant_type: 'refresh_token', refresh_token: refreshToken })
  if (answer.status === 200) return tokensOf(answer)
  const error = readOAuthError(answer.body)
  if (error === 'invalid_grant' || error === 'unauthorized_client') {
    throw new BitbucketSignInError(
      'reauthorization_required',
      'Bitbucket no longer accepts this refresh token. Send the person through sign-in again; if it happens to everyone, check the client ID and secret.',
    )
  }
  throw tokenRefusal(answer)
}

/** A callback whose transaction was found and used up: only now may anything be sent. */
export interface TakenLeg<Client extends ApiClient = ApiClient> {
  readonly client: Client
  readonly code: string
  readonly codeVerifier: string
}

/** What a code was traded for. */
export interface SignInResult {
  readonly tokens: Tokens
  readonly person: Person
}

/** Trades a code for tokens and the person behind them: two round trips. Nothing is decided here. */
export async function redeem(exchange: Exchange, { client, code, codeVerifier }: TakenLeg): Promise<SignInResult> {
  const tokens = await exchangeCode(exchange, client, code, {
    grant_type: 'authorization_code',
    redirect_uri: client.callbackURL,
    code_verifier: codeVerifier,
  })
  return { tokens, person: await fetchPerson(exchange, client, tokens.accessToken) }
}

/** Reads the person, the addresses and the memberships, all at once. */
export async function fetchPerson(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  { skipEmails = false }: { readonly skipEmails?: boolean } = {},
): Promise<Person> {
  const [account, emails, memberships] = await Promise.all([
    get(exchange, client, accessToken, 'user', urlsOf(client).user),
    skipEmails ? { list: [], failed: null } : fetchEmails(exchange, client, accessToken),
    Promise.all(client.workspaces.map((workspace) => fetchMembership(exchange, client, accessToken, workspace))),
  ])
  if (account.status !== 200) throw apiRefusal(account, 'Account: Read')
  const profile = account.body && readProfile(account.body, emails.list)
  if (!profile || !account.body) {
    throw new BitbucketSignInError('profile_invalid', 'Bitbucket did not describe a person with a well-formed uuid.')
  }
  return {
    identity: { issuer: client.issuer, id: profile.id },
    profile,
    emailsFailed: emails.failed,
    workspaces: memberships.flatMap((found) =>
      found && (found.user === undefined || found.user === profile.id)
        ? [{ slug: found.slug, uuid: found.uuid, permission: found.permission }]
        : [],
    ),
    json: account.body,
  }
}

/** Any other resource of the API, for subclasses of the strategy. Refused unless it is one JSON object. */
export async function fetchResource(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  url: string,
): Promise<JsonObject> {
  const answer = await get(exchange, client, accessToken, 'user', new URL(url))
  if (answer.status !== 200 || !answer.body) throw apiRefusal(answer, 'what this resource needs')
  return answer.body
}

/** Every page of the addresses. A failure is a value: whether it matters depends on who the person is. */
async function fetchEmails(exchange: Exchange, client: ApiClient, accessToken: string) {
  const list: BitbucketEmail[] = []
  try {
    let url: URL | undefined = urlsOf(client).emails
    for (let page = 0; url && page < MAX_EMAIL_PAGES; page++) {
      const answer: UpstreamAnswer = await get(exchange, client, accessToken, 'emails', url)
      if (answer.status !== 200 || !answer.body) throw apiRefusal(answer, 'Account: Email')
      const { emails, next } = readEmailPage(answer.body)
      list.push(...emails)
      url = nextPage(next, client.apiURL)
    }
    return { list, failed: null }
  } catch (error) {
    if (error instanceof BitbucketSignInError) return { list: [], failed: error }
    throw error
  }
}

interface ApiURLs {
  readonly user: URL
  readonly emails: URL
  readonly origin: string
}

const knownURLs = new WeakMap<ApiClient, ApiURLs>()

/** The addresses of the API's resources, worked out once for each connection. */
function urlsOf(client: ApiClient): ApiURLs {
  let urls = knownURLs.get(client)
  if (!urls) {
    const user = new URL(`${client.apiURL}/user`)
    urls = { user, emails: new URL(`${client.apiURL}/user/emails`), origin: user.origin }
    knownURLs.set(client, urls)
  }
  return urls
}

/** `next` is opaque, but the token goes with it: it is followed on the API's own origin only. */
function nextPage(next: string | undefined, apiURL: string): URL | undefined {
  if (next === undefined || !URL.canParse(next)) return undefined
  const url = new URL(next)
  return url.origin === new URL(apiURL).origin && url.username === '' && url.password === '' ? url : undefined
}

/** Anything but a membership in the workspace that was asked about, a fault included, is no membership. */
async function fetchMembership(exchange: Exchange, client: ApiClient, accessToken: string, workspace: string) {
  const url = new URL(`${client.apiURL}/user/workspaces/${encodeURIComponent(workspace)}/permission`)
  try {
    const answer = await get(exchange, client, accessToken, 'workspace', url)
    return answer.status === 200 && answer.body ? readMembership(answer.body, workspace) : undefined
  } catch (error) {
    if (error instanceof BitbucketSignInError) return undefined
    throw error
  }
}

/** The one place that attaches an access token: as `Bearer`, capital B, in the header, on the API's own origin. */
function get(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  endpoint: UpstreamTiming['endpoint'],
  url: URL,
): Promise<UpstreamAnswer> {
  if (url.origin !== urlsOf(client).origin) throw new TypeError('An access token leaves for the API only.')
  const { transport, deadline } = exchange
  const headers = { authorization: `Bearer ${accessToken}` }
  return timed(exchange, endpoint, transport.request({ method: 'GET', url, headers, deadline }))
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
  return timed(exchange, 'token', transport.request({ method: 'POST', url: client.tokenURL, headers, body, deadline }))
}

function timed(
  { timings }: Exchange,
  endpoint: UpstreamTiming['endpoint'],
  request: Promise<UpstreamAnswer>,
): Promise<UpstreamAnswer> {
  const start = performance.now()
  const note = (status: number | null) =>
    timings.push({ endpoint, durationMs: Math.round(performance.now() - start), status })
  return request.then(
    (answer) => {
      note(answer.status)
      return answer
    },
    (error) => {
      note(null)
      throw error
    },
  )
}

function tokensOf(answer: UpstreamAnswer): Tokens {
  const token = answer.body && readTokenAnswer(answer.body)
  if (!token) throw new BitbucketSignInError('upstream_failed', 'Bitbucket answered without a usable bearer token.')
  const { expiresInSeconds, ...tokens } = token
  return { ...tokens, expiresAt: expiresInSeconds === null ? null : new Date(Date.now() + expiresInSeconds * 1000) }
}

function tokenRefusal(answer: UpstreamAnswer): BitbucketSignInError {
  if (answer.status === 429) return rateLimited()
  const error = readOAuthError(answer.body)
  if (error === 'invalid_scope') return scopeMissing('Account: Read and Email')
  if (error === 'unauthorized_client' || error === 'invalid_client' || error === 'invalid_request') {
    return new BitbucketSignInError(
      'client_rejected',
      'Bitbucket refused this OAuth client. Check the client ID (Key) and secret, and that exactly this callback URL is registered: see callbackURLs().',
    )
  }
  if (error === 'invalid_grant') {
    return new BitbucketSignInError('upstream_failed', 'Bitbucket did not accept the authorization code.')
  }
  return new BitbucketSignInError(
    'upstream_failed',
    `Bitbucket's token endpoint answered with status ${answer.status}.`,
  )
}

function apiRefusal(answer: UpstreamAnswer, permission: string): BitbucketSignInError {
  if (answer.status === 429) return rateLimited()
  if (answer.status === 403) return scopeMissing(permission)
  return new BitbucketSignInError('upstream_failed', `Bitbucket's API answered with status ${answer.status}.`)
}

function rateLimited(): BitbucketSignInError {
  return new BitbucketSignInError('rate_limited', 'Bitbucket is limiting requests. Try again in a few minutes.')
}

/** A set-up error that names the boxes to tick, in Bitbucket's own words. */
export function scopeMissing(permission: string): BitbucketSignInError {
  return new BitbucketSignInError(
    'scope_missing',
    `The OAuth client lacks a permission. Open it in Bitbucket (workspace settings, OAuth clients) and tick ${permission}.`,
  )
}
