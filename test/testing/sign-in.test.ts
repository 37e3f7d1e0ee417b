import { FAKE_CLIENT, FAKE_PEOPLE, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { authorizeURL, CALLBACK, callbackOf, exchange, get, requestToken } from './client'

let fake: FakeBitbucket
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterEach(() => fake.reset())
afterAll(() => fake.close())

describe('signIn()', () => {
  it('returns the callback URL with a code and the state, and the code leads to the user', async () => {
    const callback = await fake.signIn(authorizeURL(fake), { person: 'carol' })
    expect(callback).toMatch(/^http:\/\/localhost:3000\/auth\/bitbucket\/callback\?code=[\w-]+&state=a\+state$/)
    const token = (await exchange(fake, new URL(callback).searchParams.get('code') ?? '')).json().access_token
    expect((await get(fake, '/user', token)).json().display_name).toBe('Carol Côté')
  })

  it('returns access_denied with the state when the person declines', async () => {
    const callback = new URL(await fake.signIn(authorizeURL(fake), { person: 'alice', decision: 'deny' }))
    expect(callback.searchParams.get('error')).toBe('access_denied')
    expect(callback.searchParams.get('state')).toBe('a state')
    expect(callback.searchParams.has('code')).toBe(false)
  })

  it('returns the redirect of Bitbucket when the request is refused by redirect', async () => {
    const callback = new URL(await fake.signIn(authorizeURL(fake, { scope: 'account team' }), { person: 'alice' }))
    expect(callback.searchParams.get('error')).toBe('invalid_scope')
  })

  it('accepts a URL object and keeps the query of the callback', async () => {
    const url = new URL(authorizeURL(fake, { redirect_uri: `${CALLBACK}?tenant=a%20b` }))
    expect(await fake.signIn(url, { person: 'alice' })).toMatch(/callback\?tenant=a(\+|%20)b&code=/)
  })

  it('is recorded as an authorize request without a connection', async () => {
    await callbackOf(fake, 'alice', { scope: 'account' })
    expect(fake.requests).toMatchObject([
      {
        endpoint: 'authorize',
        method: 'GET',
        connection: 0,
        status: 302,
        query: { scope: 'account', state: 'a state' },
      },
    ])
    expect(fake.count('authorize')).toBe(1)
  })

  it('rejects when Bitbucket would show an error page, and says which', async () => {
    await expect(fake.signIn(authorizeURL(fake, { client_id: 'nobody' }), { person: 'alice' })).rejects.toThrow(
      'Invalid client_id',
    )
    await expect(
      fake.signIn(authorizeURL(fake, { redirect_uri: 'https://app.example.com/cb' }), { person: 'alice' }),
    ).rejects.toThrow('start the fake with a client that has your callbackURL')
  })

  it('rejects a URL that is not its own authorize URL, and says what to pass', async () => {
    for (const wrong of ['https://bitbucket.org/site/oauth2/authorize?x=1', '/login', `${fake.url}/other`]) {
      await expect(fake.signIn(wrong, { person: 'alice' })).rejects.toThrow(
        "the connection's `endpoints` to those of this fake",
      )
    }
    await expect(fake.signIn(undefined as never, { person: 'alice' })).rejects.toThrow('Location header')
  })

  it('rejects an unknown user, decision or option, and suggests the closest', async () => {
    const url = authorizeURL(fake)
    await expect(fake.signIn(url, { person: 'alise' })).rejects.toThrow('Did you mean "alice"?')
    await expect(fake.signIn(url, { person: 'alice', decision: 'refuse' as 'deny' })).rejects.toThrow('"allow"')
    await expect(fake.signIn(url, { persona: 'alice' } as never)).rejects.toThrow('Did you mean "person"?')
    await expect(fake.signIn(url, undefined as never)).rejects.toThrow('signIn() takes an object')
  })
})

describe('issueCode()', () => {
  it('returns a code without consent', async () => {
    const code = fake.issueCode({ person: 'bob', redirectUri: CALLBACK, scope: 'account' })
    const answer = (await exchange(fake, code)).json()
    expect(answer.scope).toBe('account')
    expect((await get(fake, '/user', answer.access_token)).json().nickname).toBe('bob')
  })

  it('returns a code of another client, which the first one cannot redeem', async () => {
    fake.addClient({ clientID: 'other', clientSecret: 'other-secret', callbackURL: CALLBACK })
    const code = fake.issueCode({ person: 'bob', client: 'other', redirectUri: CALLBACK })
    expect((await exchange(fake, code)).json().error).toBe('invalid_grant')
    const form = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK }
    const own = await requestToken(fake, form, `Basic ${btoa('other:other-secret')}`)
    expect(own.status).toBe(200)
  })

  it('refuses unknown people, clients and options', () => {
    expect(() => fake.issueCode({ person: 'mallory' })).toThrow('There is no person "mallory". Known: alice, bob')
    expect(() => fake.issueCode({ person: 'bob', client: 'x' })).toThrow(`Known: ${FAKE_CLIENT.clientID}`)
    expect(() => fake.issueCode({ person: 'bob', redirectURI: 'x' } as never)).toThrow('Did you mean "redirectUri"?')
  })
})

describe('reset()', () => {
  it('restores the users, clients and switches of the start, and forgets everything else', async () => {
    const { code } = await callbackOf(fake, 'alice')
    fake.updatePerson('alice', { displayName: 'Changed' })
    fake.removePerson('bob')
    fake.addClient({ clientID: 'other', clientSecret: 's', callbackURL: null })
    fake.setBehaviour({ tokenLength: 'short' })
    fake.script('token', { status: 500 })
    fake.reset()
    expect(fake.people.map(({ key }) => key)).toEqual(FAKE_PEOPLE.map(({ key }) => key))
    expect(fake.person('alice').displayName).toBe('Alice Archer')
    expect(fake.clients.map(({ clientID }) => clientID)).toEqual([FAKE_CLIENT.clientID])
    expect(fake.requests).toEqual([])
    expect((await exchange(fake, code)).json().error).toBe('invalid_grant')
    const again = await callbackOf(fake, 'alice')
    expect((await exchange(fake, again.code)).json().access_token.length).toBeGreaterThan(2500)
  })
})
