import { createHash } from 'node:crypto'
import { type Answer, type FakeRequest, htmlAnswer, jsonAnswer, oauthError } from './answers'
import type { Behaviour, FakeRefusal } from './behaviour'
import type { FakeClient, Grant, PendingCode, World } from './world'

/** `POST /site/oauth2/access_token`. */
export function answerToken(request: FakeRequest, world: World): Answer {
  const grantType = request.form.get('grant_type') ?? 'None'
  const grant = GRANTS.get(grantType)
  // Bitbucket checks the grant type first: a JSON body gets this even with valid credentials.
  if (!grant) return oauthError(invalid(400, 'invalid_grant', `Unsupported grant type: ${grantType}`))
  const client = authenticateClient(request, world)
  return 'status' in client ? client : grant(request.form, client, world)
}

type GrantType = (form: URLSearchParams, client: FakeClient, world: World) => Answer

const GRANTS = new Map<string, GrantType>([
  ['authorization_code', exchangeCode],
  ['refresh_token', refresh],
  ['client_credentials', actAsClient],
])

/** The refusals behind the words of a switch. */
const WRONG_CLIENT = {
  unauthorized_client: invalid(400, 'unauthorized_client', 'Invalid OAuth client credentials'),
  invalid_client: invalid(401, 'invalid_client', 'Invalid OAuth client credentials'),
}
const USED_CODE = {
  invalid_grant: invalid(400, 'invalid_grant', 'The specified code is not valid.'),
  forbidden: invalid(403, 'invalid_grant', 'Invalid authorization code'),
}
const DEAD_REFRESH_TOKEN = {
  unauthorized_client: invalid(400, 'unauthorized_client', 'Invalid OAuth client credentials'),
  invalid_grant: invalid(400, 'invalid_grant', 'Invalid refresh_token'),
  invalid_request: invalid(400, 'invalid_request', 'Invalid refresh_token'),
}

function invalid(status: number, error: string, description: string): FakeRefusal {
  return { status, error, description }
}

/** A word of a switch, or the refusal itself. */
function refuse<Word extends string>(chosen: Word | FakeRefusal, words: Readonly<Record<Word, FakeRefusal>>): Answer {
  return oauthError(typeof chosen === 'object' ? chosen : words[chosen])
}

function exchangeCode(form: URLSearchParams, client: FakeClient, world: World): Answer {
  if (client.callbackURL === null) {
    return oauthError(invalid(400, 'invalid_request', 'No callback uri defined for the OAuth client.'))
  }
  const value = form.get('code') ?? ''
  const code = world.grants.findCode(value)
  if (!code || code.clientID !== client.clientID || !world.people.find(code.person)) {
    return refuse(world.behaviour.usedCode, USED_CODE)
  }
  if (!isSameRedirect(form.get('redirect_uri'), code, client)) {
    const text = 'The redirect_uri does not match the one of the authorization request.'
    return oauthError(invalid(400, 'invalid_grant', text))
  }
  if (world.behaviour.pkce === 'enforce' && !provesChallenge(form.get('code_verifier'), code)) {
    return oauthError(invalid(400, 'invalid_grant', 'The code_verifier does not match the code_challenge.'))
  }
  world.grants.spendCode(value)
  const family = world.grants.newFamily()
  const grant = { subject: { person: code.person }, clientID: client.clientID, scopes: code.scopes, family }
  return tokenAnswer(grant, 'authorization_code', world)
}

function refresh(form: URLSearchParams, client: FakeClient, world: World): Answer {
  const grant = world.grants.useRefreshToken(form.get('refresh_token') ?? '', client.clientID, world.behaviour)
  return grant
    ? tokenAnswer(grant, 'refresh_token', world)
    : refuse(world.behaviour.deadRefreshToken, DEAD_REFRESH_TOKEN)
}

function actAsClient(_form: URLSearchParams, client: FakeClient, world: World): Answer {
  if (!client.private) {
    const text =
      'Cannot use client_credentials with a consumer marked as "public". Calls for auto generated consumers should use urn:bitbucket:oauth2:jwt instead.'
    return oauthError(invalid(400, 'unauthorized_client', text))
  }
  const family = world.grants.newFamily()
  const grant = { subject: { appUser: client.clientID }, clientID: client.clientID, scopes: client.scopes, family }
  return tokenAnswer(grant, 'client_credentials', world)
}

function tokenAnswer(grant: Grant, grantType: string, { behaviour, grants }: World): Answer {
  const isPerson = 'person' in grant.subject
  const body = {
    access_token: grants.issueAccessToken(grant, behaviour),
    ...(isPerson && { refresh_token: grants.issueRefreshToken(grant, behaviour) }),
    token_type: 'bearer',
    expires_in: behaviour.accessTokenSeconds,
    ...scopeFields(grant.scopes.join(' '), grantType, behaviour),
  }
  return jsonAnswer(200, body, { 'cache-control': 'no-store' })
}

function scopeFields(scope: string, grantType: string, { tokenFields }: Behaviour): object {
  const old = { scopes: scope, state: grantType }
  return { scope: { scope }, scopes: old, both: { scope, ...old }, none: {} }[tokenFields]
}

function authenticateClient(request: FakeRequest, world: World): FakeClient | Answer {
  const header = String(request.headers.authorization ?? '')
  // Seen at Bitbucket: another scheme never reaches the OAuth code, and its page is HTML.
  if (header !== '' && !/^Basic /i.test(header)) return htmlAnswer(400, '<h1>Bad Request (400)</h1>')
  const given = header === '' ? bodyCredentials(request.form, world) : basicCredentials(header)
  if (!given) {
    const text = 'Requests must be authenticated using OAuth client credentials'
    return oauthError(invalid(400, 'unauthorized_client', text))
  }
  for (const { clientID, clientSecret } of [given, formDecoded(given)]) {
    const client = world.clients.find(clientID)
    if (client?.clientSecret === clientSecret) return client
  }
  return refuse(world.behaviour.wrongClient, WRONG_CLIENT)
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

/** A verifier without a challenge is refused as well: it means that an attacker removed the challenge. */
function provesChallenge(verifier: string | null, { codeChallenge, codeChallengeMethod }: PendingCode): boolean {
  if (codeChallenge === null || verifier === null) return codeChallenge === null && verifier === null
  const proof = codeChallengeMethod === 'S256' ? createHash('sha256').update(verifier).digest('base64url') : verifier
  return proof === codeChallenge
}
