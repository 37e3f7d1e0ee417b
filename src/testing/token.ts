import { createHash } from 'node:crypto'
import { type Answer, type FakeRequest, htmlAnswer, jsonAnswer } from './answer'
import type { FakeClient } from './clients'
import type { Grant, PendingCode } from './grants'
import { oauthError } from './refusals'
import type { World } from './world'

/** `POST /site/oauth2/access_token`. */
export function answerToken(request: FakeRequest, world: World): Answer {
  const grantType = request.form.get('grant_type') ?? 'None'
  const grant = GRANTS.get(grantType)
  // Bitbucket looks at the grant type first: a JSON body is told this even when its credentials are right.
  if (!grant) return oauthError(400, 'invalid_grant', `Unsupported grant type: ${grantType}`)
  const client = authenticateClient(request, world)
  return 'status' in client ? client : grant(request.form, client, world)
}

type GrantType = (form: URLSearchParams, client: FakeClient, world: World) => Answer

const GRANTS = new Map<string, GrantType>([
  ['authorization_code', exchangeCode],
  ['refresh_token', refresh],
  ['client_credentials', actAsClient],
])

function exchangeCode(form: URLSearchParams, client: FakeClient, world: World): Answer {
  if (client.callbackURL === null) {
    return oauthError(400, 'invalid_request', 'No callback uri defined for the OAuth client.')
  }
  const value = form.get('code') ?? ''
  const code = world.grants.findCode(value)
  if (!code || code.clientID !== client.clientID || !world.people.find(code.person)) {
    return oauthError(400, 'invalid_grant', 'The specified code is not valid.')
  }
  if (!isSameRedirect(form.get('redirect_uri'), code, client)) {
    return oauthError(400, 'invalid_grant', 'The redirect_uri does not match the one of the authorization request.')
  }
  if (world.behaviour.pkce === 'enforce' && !provesChallenge(form.get('code_verifier'), code)) {
    return oauthError(400, 'invalid_grant', 'The code_verifier does not match the code_challenge.')
  }
  world.grants.spendCode(value)
  const grant = { subject: { person: code.person }, clientID: client.clientID, scopes: code.scopes }
  return tokenAnswer(grant, 'authorization_code', world)
}

function refresh(form: URLSearchParams, client: FakeClient, world: World): Answer {
  const { deadRefreshToken, refreshGraceSeconds } = world.behaviour
  const grant = world.grants.useRefreshToken(form.get('refresh_token') ?? '', client.clientID, refreshGraceSeconds)
  if (grant) return tokenAnswer(grant, 'refresh_token', world)
  return deadRefreshToken === 'invalid_grant'
    ? oauthError(400, 'invalid_grant', 'Invalid refresh_token')
    : oauthError(400, 'unauthorized_client', 'Invalid OAuth client credentials')
}

function actAsClient(_form: URLSearchParams, client: FakeClient, world: World): Answer {
  if (!client.private) {
    return oauthError(
      400,
      'unauthorized_client',
      'Cannot use client_credentials with a consumer marked as "public". Calls for auto generated consumers should use urn:bitbucket:oauth2:jwt instead.',
    )
  }
  const grant = { subject: { appUser: client.clientID }, clientID: client.clientID, scopes: client.scopes }
  return tokenAnswer(grant, 'client_credentials', world)
}

function tokenAnswer(grant: Grant, grantType: string, world: World): Answer {
  const { behaviour, grants } = world
  const scope = grant.scopes.join(' ')
  const isPerson = 'person' in grant.subject
  return jsonAnswer(
    200,
    {
      access_token: grants.issueAccessToken(grant, behaviour),
      ...(isPerson && { refresh_token: grants.issueRefreshToken(grant, behaviour) }),
      token_type: 'bearer',
      expires_in: behaviour.accessTokenSeconds,
      ...(behaviour.tokenFields === 'scope' ? { scope } : { scopes: scope, state: grantType }),
    },
    { 'cache-control': 'no-store' },
  )
}

function authenticateClient(request: FakeRequest, world: World): FakeClient | Answer {
  const header = String(request.headers.authorization ?? '')
  // Seen at Bitbucket: another scheme never reaches the OAuth code, and its page is HTML.
  if (header !== '' && !/^Basic /i.test(header)) return htmlAnswer(400, '<h1>Bad Request (400)</h1>')
  const given = header === '' ? bodyCredentials(request.form, world) : basicCredentials(header)
  if (!given) {
    return oauthError(400, 'unauthorized_client', 'Requests must be authenticated using OAuth client credentials')
  }
  for (const { clientID, clientSecret } of [given, formDecoded(given)]) {
    const client = world.clients.find(clientID)
    if (client?.clientSecret === clientSecret) return client
  }
  return world.behaviour.wrongClient === 'invalid_client'
    ? oauthError(401, 'invalid_client', 'Invalid OAuth client credentials')
    : oauthError(400, 'unauthorized_client', 'Invalid OAuth client credentials')
}

function basicCredentials(header: string) {
  const [clientID = '', ...rest] = Buffer.from(header.slice('Basic '.length), 'base64').toString().split(':')
  return { clientID, clientSecret: rest.join(':') }
}

/**
 * Some clients encode both halves of HTTP Basic as RFC 6749 says, most send them as they are. For the letters and digits
 * of Bitbucket's own keys that is the same; for those that a test invents, both will do.
 */
function formDecoded(given: { clientID: string; clientSecret: string }) {
  const decode = (value: string) => new URLSearchParams(`=${value}`).get('') ?? ''
  return { clientID: decode(given.clientID), clientSecret: decode(given.clientSecret) }
}

function bodyCredentials(form: URLSearchParams, world: World) {
  const clientID = form.get('client_id')
  const clientSecret = form.get('client_secret')
  if (clientID === null || clientSecret === null || world.behaviour.clientAuthentication === 'basic-only')
    return undefined
  return { clientID, clientSecret }
}

/** The exchange repeats what the authorize request sent. Where that sent none, the registered one may be named. */
function isSameRedirect(given: string | null, code: PendingCode, client: FakeClient): boolean {
  return given === code.redirectUri || (code.redirectUri === null && given === client.callbackURL)
}

/** A verifier without a challenge is refused as well: it means that somebody took the challenge away. */
function provesChallenge(verifier: string | null, { codeChallenge, codeChallengeMethod }: PendingCode): boolean {
  if (codeChallenge === null || verifier === null) return codeChallenge === null && verifier === null
  const proof = codeChallengeMethod === 'S256' ? createHash('sha256').update(verifier).digest('base64url') : verifier
  return proof === codeChallenge
}
