import { createHash } from 'node:crypto'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { authorizeURL, basic, CALLBACK, callbackOf, exchange, get, requestToken, send } from './client'

let fake: FakeBitbucket
let clockMs = Date.now()
beforeAll(async () => {
  fake = await startFakeBitbucket({ now: () => clockMs })
})
afterEach(() => fake.reset())
afterAll(() => fake.close())

const later = (seconds: number) => {
  clockMs += seconds * 1000
}

const BAD_CLIENT = { error: 'unauthorized_client', error_description: 'Invalid OAuth client credentials' }

async function signedIn(person = 'alice') {
  const { code } = await callbackOf(fake, person)
  return (await exchange(fake, code)).json()
}

const refresh = (refresh_token: string, authorization?: string) =>
  requestToken(fake, { grant_type: 'refresh_token', refresh_token }, authorization)

describe('a code', () => {
  it('is answered with a bearer token, a refresh token, two hours and the scope', async () => {
    const { code } = await callbackOf(fake, 'alice')
    const answer = await exchange(fake, code)
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toContain('application/json')
    expect(answer.headers['cache-control']).toBe('no-store')
    const { access_token, refresh_token, ...rest } = answer.json()
    expect(rest).toEqual({ token_type: 'bearer', expires_in: 7200, scope: 'account email' })
    expect(access_token.length).toBeGreaterThan(2500)
    expect(refresh_token.length).toBeGreaterThan(2500)
    expect(access_token).not.toBe(refresh_token)
  })

  it('is answered as before May 2026 with the switch', async () => {
    fake.setBehaviour({ tokenFields: 'scopes', tokenLength: 'short' })
    const answer = await signedIn()
    expect(answer).toMatchObject({ scopes: 'account email', state: 'authorization_code' })
    expect(answer).not.toHaveProperty('scope')
    expect(answer.access_token).toHaveLength(43)
    expect((await get(fake, '/user', answer.access_token)).status).toBe(200)
  })

  it('works once', async () => {
    const { code } = await callbackOf(fake, 'alice')
    expect((await exchange(fake, code)).status).toBe(200)
    const again = await exchange(fake, code)
    expect(again.status).toBe(400)
    expect(again.json().error).toBe('invalid_grant')
  })

  it('works for five minutes, or as long as the switch says', async () => {
    const first = await callbackOf(fake, 'alice')
    later(301)
    expect((await exchange(fake, first.code)).json().error).toBe('invalid_grant')
    fake.setBehaviour({ codeSeconds: 1000 })
    const second = await callbackOf(fake, 'alice')
    later(301)
    expect((await exchange(fake, second.code)).status).toBe(200)
  })

  it.each([
    ['unknown', () => 'nonsense'],
    ['empty', () => ''],
  ])('that is %s is refused', async (_what, code) => {
    expect((await exchange(fake, code())).json().error).toBe('invalid_grant')
  })

  it('of a removed user is refused', async () => {
    const { code } = await callbackOf(fake, 'alice')
    fake.removePerson('alice')
    expect((await exchange(fake, code)).json().error).toBe('invalid_grant')
  })

  it('needs the redirect_uri of its authorize request, and survives a wrong one', async () => {
    const { code } = await callbackOf(fake, 'alice')
    expect((await exchange(fake, code, { redirect_uri: `${CALLBACK}/` })).json().error).toBe('invalid_grant')
    const without = await requestToken(fake, { grant_type: 'authorization_code', code: code ?? '' })
    expect(without.json().error).toBe('invalid_grant')
    expect((await exchange(fake, code)).status).toBe(200)
  })

  it('of a request without redirect_uri goes without one, or with the registered one', async () => {
    fake.addClient({ ...FAKE_CLIENT, callbackURL: 'https://app.example.com/cb' })
    const url = authorizeURL(fake, { redirect_uri: undefined })
    for (const redirect of [{}, { redirect_uri: 'https://app.example.com/cb' }]) {
      const code = new URL(await fake.signIn(url, { person: 'alice' })).searchParams.get('code') ?? ''
      const answer = await requestToken(fake, { grant_type: 'authorization_code', code, ...redirect })
      expect(answer.status).toBe(200)
    }
  })

  it('is refused to a client without a callback', async () => {
    fake.addClient({ ...FAKE_CLIENT, callbackURL: null })
    const answer = await exchange(fake, fake.issueCode({ person: 'alice' }))
    expect(answer.status).toBe(400)
    expect(answer.json().error_description).toBe('No callback uri defined for the OAuth client.')
    expect(answer.json().error).toBe('invalid_request')
  })
})

describe('PKCE', () => {
  const verifier = 'a-verifier-of-at-least-forty-three-characters-x'
  const challenge = createHash('sha256').update(verifier).digest('base64url')
  const asked = { code_challenge: challenge, code_challenge_method: 'S256' }

  it('is accepted and ignored', async () => {
    const { code } = await callbackOf(fake, 'alice', asked)
    expect((await exchange(fake, code, { code_verifier: 'wrong' })).status).toBe(200)
  })

  it.each([
    ['the right verifier', asked, { code_verifier: verifier }, 200],
    ['a wrong verifier', asked, { code_verifier: `${verifier}x` }, 400],
    ['no verifier', asked, {}, 400],
    ['a plain challenge', { code_challenge: verifier }, { code_verifier: verifier }, 200],
    ['neither', {}, {}, 200],
    ['a verifier whose challenge was taken away', {}, { code_verifier: verifier }, 400],
  ])('with the switch "enforce": %s', async (_what, authorize, token, status) => {
    fake.setBehaviour({ pkce: 'enforce' })
    const { code } = await callbackOf(fake, 'alice', authorize)
    const answer = await exchange(fake, code, token as Record<string, string>)
    expect(answer.status).toBe(status)
  })

  it('with the switch "enforce" holds for an issued code as well', async () => {
    fake.setBehaviour({ pkce: 'enforce' })
    const code = fake.issueCode({ person: 'alice', redirectUri: CALLBACK, codeChallenge: challenge })
    expect((await exchange(fake, code)).status).toBe(400)
    expect((await exchange(fake, code, { code_verifier: verifier })).status).toBe(200)
  })
})

describe('client authentication', () => {
  const body = { client_id: FAKE_CLIENT.clientID, client_secret: FAKE_CLIENT.clientSecret }
  async function form() {
    const { code } = await callbackOf(fake, 'alice')
    return { grant_type: 'authorization_code', code: code ?? '', redirect_uri: CALLBACK }
  }

  it('is accepted in the body, unless the switch refuses it', async () => {
    expect((await requestToken(fake, { ...(await form()), ...body }, null)).status).toBe(200)
    fake.setBehaviour({ clientAuthentication: 'basic-only' })
    const refused = await requestToken(fake, { ...(await form()), ...body }, null)
    expect(refused.status).toBe(400)
    expect(refused.json()).toEqual({
      error: 'unauthorized_client',
      error_description: 'Requests must be authenticated using OAuth client credentials',
    })
  })

  it('that is missing is reported', async () => {
    const answer = await requestToken(fake, await form(), null)
    expect(answer.status).toBe(400)
    expect(answer.json().error_description).toContain('must be authenticated')
  })

  it.each([
    ['a wrong secret', basic(FAKE_CLIENT.clientID, 'wrong')],
    ['an unknown key', basic('nobody')],
    ['no colon', `Basic ${btoa('nothing')}`],
  ])('with %s ends in unauthorized_client, status 400', async (_what, authorization) => {
    const answer = await requestToken(fake, await form(), authorization)
    expect(answer.status).toBe(400)
    expect(answer.json()).toEqual(BAD_CLIENT)
  })

  it('that is wrong ends in invalid_client, status 401, with the switch', async () => {
    fake.setBehaviour({ wrongClient: 'invalid_client' })
    const answer = await requestToken(fake, await form(), basic('nobody'))
    expect(answer.status).toBe(401)
    expect(answer.json().error).toBe('invalid_client')
  })

  it('keeps colons in the secret', async () => {
    fake.addClient({ ...FAKE_CLIENT, clientSecret: 'a:b:c' })
    expect((await requestToken(fake, await form(), basic(FAKE_CLIENT.clientID, 'a:b:c'))).status).toBe(200)
  })

  it('may be encoded in the header as RFC 6749 says, or not', async () => {
    fake.addClient({ ...FAKE_CLIENT, clientID: 'a-b', clientSecret: 'c d+e%20' })
    const code = () => ({
      grant_type: 'authorization_code',
      code: fake.issueCode({ person: 'alice', client: 'a-b', redirectUri: CALLBACK }),
      redirect_uri: CALLBACK,
    })
    for (const header of [basic('a-b', 'c d+e%20'), basic('a%2Db', 'c+d%2Be%2520')]) {
      expect((await requestToken(fake, code(), header)).status).toBe(200)
    }
    expect((await requestToken(fake, code(), basic('a%2Db', 'c+d+e%2520'))).json()).toMatchObject(BAD_CLIENT)
  })

  it('with another scheme is answered with HTML', async () => {
    const answer = await requestToken(fake, await form(), 'Bearer x')
    expect(answer.status).toBe(400)
    expect(answer.headers['content-type']).toContain('text/html')
  })
})

describe('the request', () => {
  it.each([
    ['JSON', 'application/json', JSON.stringify({ grant_type: 'refresh_token' })],
    ['a form without grant_type', 'application/x-www-form-urlencoded', 'code=1'],
    ['nothing', 'text/plain', ''],
  ])('with a body of %s has no grant type', async (_what, type, body) => {
    const url = `${fake.endpoints.tokenURL}?grant_type=authorization_code`
    const headers = { 'content-type': type, authorization: basic() }
    const answer = await send(url, { method: 'POST', headers, body })
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text)).toEqual({
      error: 'invalid_grant',
      error_description: 'Unsupported grant type: None',
    })
  })

  it('must be a POST', async () => {
    expect((await send(fake.endpoints.tokenURL)).status).toBe(405)
  })

  it('is refused when it is longer than any token request', async () => {
    const answer = await requestToken(fake, { grant_type: 'x'.repeat(300_000) })
    expect(answer.status).toBe(413)
  })
})

describe('a refresh token', () => {
  it('returns new tokens, and the old one works for ten minutes more', async () => {
    const first = await signedIn()
    const second = await refresh(first.refresh_token)
    expect(second.json()).toMatchObject({ token_type: 'bearer', scope: 'account email' })
    expect(second.json().refresh_token).not.toBe(first.refresh_token)
    later(599)
    expect((await refresh(first.refresh_token)).status).toBe(200)
    later(2)
    const dead = await refresh(first.refresh_token)
    expect(dead.status).toBe(400)
    expect(dead.json()).toEqual(BAD_CLIENT)
    expect((await refresh(second.json().refresh_token)).status).toBe(200)
  })

  it('that is dead is refused with invalid_grant with the switch, after a grace of the switch', async () => {
    fake.setBehaviour({ deadRefreshToken: 'invalid_grant', refreshGraceSeconds: 0 })
    const { refresh_token } = await signedIn()
    await refresh(refresh_token)
    const dead = await refresh(refresh_token)
    expect(dead.status).toBe(400)
    expect(dead.json()).toEqual({ error: 'invalid_grant', error_description: 'Invalid refresh_token' })
  })

  it('expires after three months without use', async () => {
    const { refresh_token } = await signedIn()
    later(90 * 24 * 3600 + 1)
    expect((await refresh(refresh_token)).json()).toEqual(BAD_CLIENT)
  })

  it('is useless to another client', async () => {
    const { refresh_token } = await signedIn()
    expect((await refresh(refresh_token, basic('other'))).json()).toEqual(BAD_CLIENT)
  })

  it('does not cancel the access token that came with it', async () => {
    const { access_token, refresh_token } = await signedIn()
    await refresh(refresh_token)
    expect((await get(fake, '/user', access_token)).status).toBe(200)
  })
})

describe('client_credentials', () => {
  it('are for private clients, act as an app_user and give no refresh token', async () => {
    fake.addClient({ ...FAKE_CLIENT, private: true })
    const answer = await requestToken(fake, { grant_type: 'client_credentials' })
    expect(answer.status).toBe(200)
    expect(answer.json()).not.toHaveProperty('refresh_token')
    const token = answer.json().access_token
    expect((await get(fake, '/user', token)).json().type).toBe('app_user')
    expect((await get(fake, '/user/emails', token)).json().values).toEqual([])
    expect((await get(fake, '/user/workspaces/acme/permission', token)).status).toBe(403)
  })

  it('are refused to a public client', async () => {
    const answer = await requestToken(fake, { grant_type: 'client_credentials' })
    expect(answer.status).toBe(400)
    expect(answer.json().error_description).toMatch(/^Cannot use client_credentials with a consumer marked as "public"/)
  })
})
