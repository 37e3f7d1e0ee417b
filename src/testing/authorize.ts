import type { FakeClient } from './clients'
import type { FakePerson } from './people'
import { matchesCallback } from './redirect-uri'
import type { World } from './world'

/** What an authorize request asks for, once it is worth showing to a person. */
export interface AuthorizeRequest {
  readonly client: FakeClient
  /** Where the answer goes. */
  readonly callback: string
  /** `redirect_uri` as sent; `null` = the registered callback is meant. */
  readonly redirectUri: string | null
  readonly state: string | null
  readonly scopes: readonly string[]
  readonly codeChallenge: string | null
  readonly codeChallengeMethod: 'S256' | 'plain'
}

/** What becomes of an authorize request before anybody is asked. */
export type AuthorizeCheck =
  | { readonly outcome: 'ask'; readonly request: AuthorizeRequest }
  | { readonly outcome: 'redirect'; readonly location: string }
  | { readonly outcome: 'refuse'; readonly title: string; readonly reason: string }

/** Reads the query of an authorize URL the way Bitbucket does; parameters it does not know are tolerated. */
export function checkAuthorize(query: URLSearchParams, world: World): AuthorizeCheck {
  const client = world.clients.find(query.get('client_id') ?? '')
  if (!client) return unknownClient(query, world)
  const redirectUri = query.get('redirect_uri')
  const callback = redirectUri ?? (client.callbackURL === '*' ? null : client.callbackURL)
  if (callback === null) return noCallback(client)
  if (redirectUri !== null && !matchesCallback(client.callbackURL, redirectUri, world.behaviour.redirectUri)) {
    return wrongCallback(client, redirectUri)
  }
  const state = query.get('state')
  const refuse = (error: string, description: string): AuthorizeCheck => ({
    outcome: 'redirect',
    location: callbackWith(callback, { error, error_description: description, state }),
  })
  if (query.get('response_type') !== 'code') {
    return refuse('unsupported_response_type', 'Only response_type=code is supported')
  }
  const asked = askedScopes(query, client, world)
  const beyond = asked.filter((scope) => !client.scopes.includes(scope))
  if (beyond.length > 0) {
    return refuse(
      'invalid_scope',
      `These requested scopes are beyond the OAuth client's own scopes: ${beyond.join(' ')}`,
    )
  }
  return {
    outcome: 'ask',
    request: { client, callback, redirectUri, state, scopes: asked, ...challengeOf(query) },
  }
}

/** The person allowed it: the callback URL with a code. */
export function allow(request: AuthorizeRequest, person: FakePerson, world: World): string {
  const { client, callback, state, ...rest } = request
  const code = world.grants.issueCode(
    { ...rest, person: person.key, clientID: client.clientID },
    world.behaviour.codeSeconds,
  )
  return callbackWith(callback, { code, state })
}

/** The person declined: the callback URL with `access_denied`. */
export function deny({ callback, state }: AuthorizeRequest): string {
  return callbackWith(callback, { error: 'access_denied', error_description: 'The user denied access', state })
}

function askedScopes(query: URLSearchParams, client: FakeClient, world: World): readonly string[] {
  const asked = (query.get('scope') ?? '').split(/\s+/).filter((scope) => scope !== '')
  return asked.length === 0 || world.behaviour.scopeParameter === 'ignore' ? client.scopes : [...new Set(asked)]
}

function challengeOf(query: URLSearchParams): Pick<AuthorizeRequest, 'codeChallenge' | 'codeChallengeMethod'> {
  const codeChallengeMethod = query.get('code_challenge_method') === 'S256' ? 'S256' : 'plain'
  return { codeChallenge: query.get('code_challenge'), codeChallengeMethod }
}

function callbackWith(callback: string, parameters: Readonly<Record<string, string | null>>): string {
  const url = new URL(callback)
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null) url.searchParams.append(name, value)
  }
  return url.href
}

function unknownClient(query: URLSearchParams, world: World): AuthorizeCheck {
  const known = world.clients.all.map(({ clientID }) => clientID).join(', ')
  const given = query.has('client_id') ? `no client "${query.get('client_id')}"` : 'no client_id in the request'
  return { outcome: 'refuse', title: 'Invalid client_id', reason: `There is ${given}. Registered here: ${known}.` }
}

function noCallback(client: FakeClient): AuthorizeCheck {
  const reason =
    client.callbackURL === '*'
      ? `Client "${client.clientID}" takes any callback on loopback, so the request must name one in redirect_uri.`
      : `No callback URL is registered for client "${client.clientID}".`
  return { outcome: 'refuse', title: 'Invalid redirect_uri', reason }
}

function wrongCallback(client: FakeClient, redirectUri: string): AuthorizeCheck {
  const registered =
    client.callbackURL === '*'
      ? 'only callbacks on loopback: give the fake a client with your callbackURL'
      : (client.callbackURL ?? 'none')
  return {
    outcome: 'refuse',
    title: 'Invalid redirect_uri',
    reason: `The app's callback URL is invalid. Asked for: ${redirectUri}. Registered: ${registered}.`,
  }
}
