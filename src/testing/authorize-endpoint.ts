import { isLoopback } from '../contract/urls'
import { type Answer, type FakeRequest, htmlAnswer, redirectAnswer } from './answers'
import type { Arrivals } from './arrivals'
import type { Behaviour } from './behaviour'
import { refuseUnknownKeys, requireText } from './check'
import { type AuthorizeRequest, consentPage, PAGE_HEADERS, refusalPage } from './fake-pages'
import type { FakePerson } from './people'
import type { FakeClient, World } from './world'

/** The result of an authorize request before anyone is asked. */
type AuthorizeCheck =
  | { readonly outcome: 'ask'; readonly request: AuthorizeRequest }
  | { readonly outcome: 'redirect'; readonly location: string }
  | { readonly outcome: 'refuse'; readonly title: string; readonly reason: string }

/** `GET /site/oauth2/authorize`: the consent page, or straight back. */
export function showConsent(request: FakeRequest, world: World): Answer {
  const check = checkAuthorize(request.query, world)
  if (check.outcome !== 'ask') return answerCheck(check)
  const person = signedInPerson(request, world)
  const location = person && !request.query.has('prompt') && remembered(check.request, person, world)
  if (location) return redirectAnswer(302, location)
  return htmlAnswer(200, consentPage(check.request, world.people.all, person), PAGE_HEADERS)
}

/** `POST /site/oauth2/authorize`: the answer of the consent page. */
export function takeDecision(request: FakeRequest, world: World): Answer {
  const check = checkAuthorize(request.query, world)
  if (check.outcome !== 'ask') return answerCheck(check)
  const decision = request.form.get('decision')
  const person = world.people.find(request.form.get('person') ?? '')
  if ((decision !== 'allow' && decision !== 'deny') || !person) {
    return refusal('Nothing was chosen', 'Go back, choose a person and press Allow or Deny.')
  }
  const location = decide(check.request, person, decision, world)
  const { rememberConsent, rememberDenial } = world.behaviour
  const isRemembered = decision === 'allow' ? rememberConsent : rememberDenial
  return redirectAnswer(302, location, isRemembered ? { 'set-cookie': personCookie(person.key) } : {})
}

/** `POST /sign-out` of the fake: no user is signed in to this browser, and what that user denied may be asked again. */
export function signOut(request: FakeRequest, world: World): Answer {
  const person = signedInPerson(request, world)
  if (person) world.decisions.forgetDenials(person.key)
  return redirectAnswer(303, '/', { 'set-cookie': personCookie('') })
}

/** What the user does at the consent page. */
export interface SignInOptions {
  /** Key of the person, for example `alice`. */
  readonly person: string
  /** Default `allow`. */
  readonly decision?: 'allow' | 'deny'
}

/** The consent page without a browser: from the authorize URL to the callback URL. */
export function signIn(authorizeURL: string | URL, options: SignInOptions, world: World, arrivals: Arrivals): string {
  const url = readAuthorizeURL(authorizeURL, world)
  refuseUnknownKeys('signIn()', options, ['person', 'decision'])
  const { person, decision = 'allow' } = options
  const chosen = world.people.get(requireText('"person" of signIn()', person))
  if (decision !== 'allow' && decision !== 'deny') {
    throw new TypeError(`The decision "${decision}" is neither "allow" nor "deny".`)
  }
  const entry = arrivals.noteSignIn(url)
  const check = checkAuthorize(url.searchParams, world)
  entry.status = check.outcome === 'refuse' ? 400 : 302
  switch (check.outcome) {
    case 'refuse':
      throw new Error(`The fake Bitbucket shows the error page "${check.title}": ${check.reason}`)
    case 'redirect':
      return check.location
    case 'ask': {
      const { rememberDenial } = world.behaviour
      const isDenied = rememberDenial && world.decisions.hasDenied(chosen.key, check.request.client.clientID)
      return decide(check.request, chosen, isDenied ? 'deny' : decision, world)
    }
  }
}

function readAuthorizeURL(authorizeURL: string | URL, world: World): URL {
  const expected = `${world.url}/site/oauth2/authorize`
  const given = String(authorizeURL)
  const url = URL.canParse(given) ? new URL(given) : undefined
  if (url && url.origin + url.pathname === expected) return url
  throw new TypeError(
    `signIn() expects the URL to which the app redirects, ${expected}?…, but got "${given}". ` +
      "Pass the Location header of the app's response, and set the connection's `endpoints` to those of this fake.",
  )
}

/** Reads the query of an authorize URL the way Bitbucket does; unknown parameters are tolerated. */
function checkAuthorize(query: URLSearchParams, world: World): AuthorizeCheck {
  const client = world.clients.find(query.get('client_id') ?? '')
  if (!client) return unknownClient(query, world)
  const { redirectUri: how, missingRedirectUri } = world.behaviour
  const redirectUri = query.get('redirect_uri')
  if (redirectUri === null && missingRedirectUri === 'refused') return noCallback(client, 'The request names none.')
  const callback = redirectUri ?? (client.callbackURL === '*' ? null : client.callbackURL)
  if (callback === null) return noCallback(client)
  if (redirectUri !== null && !matchesCallback(client.callbackURL, redirectUri, how)) {
    return wrongCallback(client, redirectUri)
  }
  const state = query.get('state')
  const refuse = (error: string, description: string): AuthorizeCheck => ({
    outcome: 'redirect',
    location: errorCallback({ callback, state }, error, description, world),
  })
  if (query.get('response_type') !== 'code') {
    return refuse('unsupported_response_type', 'Only response_type=code is supported')
  }
  const scopes = askedScopes(query, client, world)
  const beyond = scopes.filter((scope) => !client.scopes.includes(scope))
  if (beyond.length > 0) {
    return refuse(
      'invalid_scope',
      `These requested scopes are beyond the OAuth client's own scopes: ${beyond.join(' ')}`,
    )
  }
  return { outcome: 'ask', request: { client, callback, redirectUri, state, scopes, ...challengeOf(query) } }
}

function askedScopes(query: URLSearchParams, client: FakeClient, world: World): readonly string[] {
  const asked = (query.get('scope') ?? '').split(/\s+/).filter((scope) => scope !== '')
  return asked.length === 0 || world.behaviour.scopeParameter === 'ignore' ? client.scopes : [...new Set(asked)]
}

function challengeOf(query: URLSearchParams): Pick<AuthorizeRequest, 'codeChallenge' | 'codeChallengeMethod'> {
  const codeChallengeMethod = query.get('code_challenge_method') === 'S256' ? 'S256' : 'plain'
  return { codeChallenge: query.get('code_challenge'), codeChallengeMethod }
}

/** Remembers the decision if the switches say so, and returns the callback URL. */
function decide(request: AuthorizeRequest, person: FakePerson, decision: 'allow' | 'deny', world: World): string {
  const { client, callback, state, ...rest } = request
  const { behaviour, decisions, grants } = world
  if (decision === 'deny') {
    if (behaviour.rememberDenial) decisions.deny(person.key, client.clientID)
    return errorCallback(request, 'access_denied', denialText(behaviour), world)
  }
  decisions.allow(person.key, client.clientID, request.scopes)
  const code = grants.issueCode({ ...rest, person: person.key, clientID: client.clientID }, behaviour.codeSeconds)
  return callbackWith(callback, { code, state })
}

/** The callback URL for a user who decided before; `undefined` = ask. */
function remembered(request: AuthorizeRequest, person: FakePerson, world: World): string | undefined {
  const { clientID } = request.client
  const { rememberConsent, rememberDenial } = world.behaviour
  if (rememberDenial && world.decisions.hasDenied(person.key, clientID)) return decide(request, person, 'deny', world)
  return rememberConsent && world.decisions.hasAllowed(person.key, clientID, request.scopes)
    ? decide(request, person, 'allow', world)
    : undefined
}

function denialText({ denial }: Behaviour): string | null {
  if (typeof denial === 'object') return denial.description
  const texts = { denied: 'The user denied access', platform: 'User did not authorize the request', none: null }
  return texts[denial]
}

function errorCallback(
  { callback, state }: Pick<AuthorizeRequest, 'callback' | 'state'>,
  error: string,
  description: string | null,
  { behaviour }: World,
): string {
  return callbackWith(callback, {
    error,
    error_description: description,
    state: behaviour.stateInErrors ? state : null,
  })
}

function callbackWith(callback: string, parameters: Readonly<Record<string, string | null>>): string {
  const url = new URL(callback)
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null) url.searchParams.append(name, value)
  }
  return url.href
}

/** Whether Bitbucket redirects to this `redirect_uri` of a client with that registered callback. */
export function matchesCallback(registered: string | null, requested: string, how: Behaviour['redirectUri']): boolean {
  if (registered === null || !URL.canParse(requested)) return false
  if (registered === '*') return isWebOnLoopback(new URL(requested))
  if (requested === registered || isSameLoopback(new URL(registered), new URL(requested))) return true
  return how === 'prefix' && requested.startsWith(registered.endsWith('/') ? registered : `${registered}/`)
}

function isWebOnLoopback({ protocol, hostname }: URL): boolean {
  return /^https?:$/.test(protocol) && isLoopback(hostname)
}

/** Programs on a desktop listen on whichever port is free, so the port of http loopback is not compared. */
function isSameLoopback(registered: URL, requested: URL): boolean {
  if (registered.protocol !== 'http:' || !isLoopback(registered.hostname)) return false
  const withoutPort = ({ protocol, username, password, hostname, pathname, search, hash }: URL) =>
    `${protocol}//${username}:${password}@${hostname}${pathname}${search}${hash}`
  return requested.username + requested.password === '' && withoutPort(requested) === withoutPort(registered)
}

const COOKIE = 'fake_bitbucket_person'

/** The cookie that remembers who is signed in to the fake in this browser; an empty key signs out. */
function personCookie(key: string): string {
  const age = key === '' ? '; Max-Age=0' : ''
  return `${COOKIE}=${encodeURIComponent(key)}; Path=/; HttpOnly; SameSite=Lax${age}`
}

/** The user who is signed in to the fake in this browser; none unless decisions are remembered. */
export function signedInPerson(request: FakeRequest, { behaviour, people }: World): FakePerson | undefined {
  if (!behaviour.rememberConsent && !behaviour.rememberDenial) return undefined
  const cookies = new URLSearchParams(String(request.headers.cookie ?? '').replaceAll(/;\s*/g, '&'))
  return people.find(cookies.get(COOKIE) ?? '')
}

function answerCheck(check: Exclude<AuthorizeCheck, { outcome: 'ask' }>): Answer {
  return check.outcome === 'redirect' ? redirectAnswer(302, check.location) : refusal(check.title, check.reason)
}

function refusal(title: string, reason: string): Answer {
  return htmlAnswer(400, refusalPage(title, reason), PAGE_HEADERS)
}

function unknownClient(query: URLSearchParams, world: World): AuthorizeCheck {
  const known = world.clients.all.map(({ clientID }) => clientID).join(', ')
  const given = query.has('client_id') ? `no client "${query.get('client_id')}"` : 'no client_id in the request'
  return { outcome: 'refuse', title: 'Invalid client_id', reason: `There is ${given}. Registered here: ${known}.` }
}

function noCallback(client: FakeClient, why?: string): AuthorizeCheck {
  const reason =
    client.callbackURL === '*'
      ? `Client "${client.clientID}" accepts any callback on loopback, so the request must have one in redirect_uri.`
      : `No callback URL is registered for client "${client.clientID}".`
  return { outcome: 'refuse', title: 'Invalid redirect_uri', reason: why ?? reason }
}

function wrongCallback(client: FakeClient, redirectUri: string): AuthorizeCheck {
  const registered =
    client.callbackURL === '*'
      ? 'only callbacks on loopback: start the fake with a client that has your callbackURL'
      : (client.callbackURL ?? 'none')
  return {
    outcome: 'refuse',
    title: 'Invalid redirect_uri',
    reason: `The app's callback URL is invalid. Asked for: ${redirectUri}. Registered: ${registered}.`,
  }
}
