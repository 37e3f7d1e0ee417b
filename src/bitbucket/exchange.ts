import type { Response } from 'express'
import { BitbucketSignInError } from '../contract/errors'
import type { UpstreamTiming } from '../contract/events'
import type { BitbucketEmail, Identity, Profile } from '../contract/identity'
import type { Secret } from '../contract/secret'
import type { Tokens, WorkspaceMembership } from '../contract/tokens'
import { ExchangeDeadline } from '../time/deadline'
import { cleanJson } from './clean-json'
import { type JsonObject, type Membership, readEmailPage, readMembership, readTokenAnswer } from './read-answer'
import { readProfile } from './read-profile'
import { Need, type Transport, type UpstreamAnswer } from './upstream-errors'
import {
  apiRefusal,
  faultAt,
  type RequestName,
  refreshRefusal,
  tokenRefusal,
  unexpected,
  workspaceRefusal,
} from './upstream-refusals'

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

/** The side of a connection that the authorization request needs as well. */
export interface StrategyClient extends ApiClient {
  readonly authorizationURL: URL
  readonly scope: string | undefined
}

/** One deadline for all requests of an exchange; {@link ExchangeDeadline.end} it when the exchange is over. */
export function openExchange(transport: Exchange['transport'], timeoutMs: number, res?: Response): Exchange {
  return { transport, deadline: new ExchangeDeadline(timeoutMs, res), timings: [] }
}

/** The account owner behind a token. */
export interface Person {
  readonly identity: Identity
  readonly profile: Profile
  readonly workspaces: readonly WorkspaceMembership[]
  /** Bitbucket's account object, cleaned, for Passport's `_json`. Only a strategy asks, so only then it is copied. */
  readonly json: () => JsonObject
}

/** The addresses, `null` when they could not be read, and why. */
export type EmailList =
  | { readonly list: readonly BitbucketEmail[]; readonly failed: null }
  | { readonly list: null; readonly failed: BitbucketSignInError | null }

/** A user whose addresses are still being read: `profile.emails` is `null`. */
export interface IdentifiedPerson extends Person {
  readonly emails: EmailsAhead
}

/** Addresses that are read ahead of need. The promises do not reject: whether a failure matters depends on the user. */
export interface EmailsAhead {
  /** Settles when they happen to arrive. Under load their request is not sent before they are {@link needed}. */
  readonly read: Promise<EmailList>
  /** Waits for them: their request no longer gives way to those of other sign-ins. */
  needed(): Promise<EmailList>
}

/** A user with their addresses, `null` if they could not be read. */
export interface FetchedPerson extends Person {
  readonly emailsFailed: BitbucketSignInError | null
}

const MAX_EMAIL_PAGES = 10

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

/** A callback whose transaction was found and consumed: only now may anything be sent. */
export interface TakenLeg<Client extends ApiClient = ApiClient> {
  readonly client: Client
  readonly code: string
  readonly codeVerifier: string
}

/** The result of exchanging a code. */
export interface SignInResult {
  readonly tokens: Tokens
  readonly person: IdentifiedPerson
}

/**
 * Exchanges a code for tokens and their owner: two round trips. Nothing is decided here, and the addresses are
 * not awaited.
 */
export async function redeem(
  exchange: Exchange,
  { client, code, codeVerifier }: TakenLeg,
  options: FetchOptions = {},
): Promise<SignInResult> {
  const tokens = await exchangeCode(exchange, client, code, {
    grant_type: 'authorization_code',
    redirect_uri: client.callbackURL,
    code_verifier: codeVerifier,
  })
  return { tokens, person: await identify(exchange, client, tokens.accessToken, options) }
}

/** What to read of a user. */
export interface FetchOptions {
  /** Do not read the addresses. Default `false`. */
  readonly skipEmails?: boolean
}

/** Reads the profile, the memberships and the addresses concurrently. */
export async function fetchPerson(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  options: FetchOptions = {},
): Promise<FetchedPerson> {
  const { emails, ...person } = await identify(exchange, client, accessToken, options)
  const { list, failed } = await emails.needed()
  return { ...person, profile: { ...person.profile, emails: list }, emailsFailed: failed }
}

/** Like {@link fetchPerson}, but resolves once the profile and the memberships are known. */
async function identify(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  { skipEmails = false }: FetchOptions,
): Promise<IdentifiedPerson> {
  const user = get(exchange, client, accessToken, 'user', urlsOf(client).user)
  const memberships = client.workspaces.map((workspace) => fetchMembership(exchange, client, accessToken, workspace))
  const emails = skipEmails ? SKIPPED : emailsAhead(exchange, client, accessToken)
  const [account, ...found] = await Promise.all([user, ...memberships])
  if (account.status !== 200) throw apiRefusal('user', account)
  const { body } = account
  const profile = body && readProfile(body, null)
  if (!profile || !body) {
    throw faultAt(
      'user',
      'profile_invalid',
      'Bitbucket did not describe a user with a well-formed uuid. Check `endpoints` and every proxy in between.',
    )
  }
  const identity = { issuer: client.issuer, id: profile.id }
  return { identity, profile, workspaces: confirmed(found, profile.id), emails, json: () => cleanJson(body) }
}

function emailsAhead(exchange: Exchange, client: ApiClient, accessToken: string): EmailsAhead {
  const need = new Need()
  const read = fetchEmails(exchange, client, accessToken, need)
  // A defect rejects for those who await it; if nothing does, it must not end the process.
  read.catch(() => {})
  const needed = () => {
    need.begin()
    return read
  }
  return { read, needed }
}

const NOT_READ: Promise<EmailList> = Promise.resolve({ list: null, failed: null })
const SKIPPED: EmailsAhead = { read: NOT_READ, needed: () => NOT_READ }

/** Any other resource of the API, for subclasses of the strategy. Refused unless it is one JSON object. */
export async function fetchResource(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  url: string,
): Promise<JsonObject> {
  const answer = await get(exchange, client, accessToken, 'user', new URL(url))
  if (answer.status !== 200) throw apiRefusal('user', answer, 'what this resource needs')
  if (!answer.body) throw unexpected('user', 'without a JSON object')
  return cleanJson(answer.body)
}

/** Every page of the addresses, or why the list could not be read completely. */
async function fetchEmails(exchange: Exchange, client: ApiClient, accessToken: string, need: Need): Promise<EmailList> {
  const list: BitbucketEmail[] = []
  try {
    let url: URL | undefined = urlsOf(client).emails
    for (let page = 0; url; page++) {
      if (page === MAX_EMAIL_PAGES) throw unexpected('emails', `with more than ${MAX_EMAIL_PAGES} pages of addresses`)
      const answer: UpstreamAnswer = await get(exchange, client, accessToken, 'emails', url, need)
      if (answer.status !== 200) throw apiRefusal('emails', answer)
      const read = answer.body && readEmailPage(answer.body)
      if (!read) throw unexpected('emails', 'without a well-formed page of addresses')
      list.push(...read.emails)
      url = read.next === undefined ? undefined : nextPage(read.next, client)
    }
    return { list, failed: null }
  } catch (error) {
    if (error instanceof BitbucketSignInError) return { list: null, failed: error }
    throw error
  }
}

interface ApiURLs {
  readonly user: URL
  readonly emails: URL
  readonly origin: string
}

const knownURLs = new WeakMap<ApiClient, ApiURLs>()

/** The URLs of the API's resources, precomputed per connection. */
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
function nextPage(next: unknown, client: ApiClient): URL {
  const url = typeof next === 'string' && URL.canParse(next) ? new URL(next) : undefined
  if (url?.origin === urlsOf(client).origin && url.username === '' && url.password === '') return url
  throw unexpected('emails', 'with a `next` page outside its API')
}

/** A workspace's answer: a membership, `null` for none, or a fault that proves nothing about the user. */
type MembershipAnswer = Membership | null | BitbucketSignInError

async function fetchMembership(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  workspace: string,
): Promise<MembershipAnswer> {
  const url = new URL(`${client.apiURL}/user/workspaces/${encodeURIComponent(workspace)}/permission`)
  try {
    const answer = await get(exchange, client, accessToken, 'workspace', url)
    if (answer.status !== 200) return workspaceRefusal(answer)
    return (answer.body && readMembership(answer.body, workspace)) ?? notThatMembership()
  } catch (error) {
    if (error instanceof BitbucketSignInError) return error
    throw error
  }
}

/** The user's memberships. One suffices, whatever else failed; without one, a fault does not mean "not a member". */
function confirmed(answers: readonly MembershipAnswer[], id: string): readonly WorkspaceMembership[] {
  const checked = answers.map((answer) =>
    answer && 'user' in answer && answer.user !== undefined && answer.user !== id ? notThatMembership() : answer,
  )
  const members = checked.flatMap((answer) =>
    answer && 'slug' in answer ? [{ slug: answer.slug, uuid: answer.uuid, permission: answer.permission }] : [],
  )
  const fault = checked.find((answer) => answer instanceof BitbucketSignInError)
  if (members.length === 0 && fault) throw fault
  return members
}

function notThatMembership(): BitbucketSignInError {
  return unexpected('workspace', 'without the requested membership')
}

/** The one place that attaches an access token: as `Bearer`, capital B, in the header, on the API's own origin. */
function get(
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
