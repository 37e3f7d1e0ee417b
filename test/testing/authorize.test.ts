import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { matchesCallback } from '../../src/testing/authorize-endpoint'
import { authorizeURL, callbackOf, exchange, send } from './client'

let fake: FakeBitbucket
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterEach(() => fake.reset())
afterAll(() => fake.close())

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/** Presses a button of the consent page. */
function press(decision: string, person = 'alice', headers: Record<string, string> = {}, url = authorizeURL(fake)) {
  const body = new URLSearchParams({ person, decision }).toString()
  return send(url, { method: 'POST', headers: { ...FORM, ...headers }, body })
}

describe('redirect_uri', () => {
  const registered = 'https://app.example.com/cb'
  const loopback = 'http://127.0.0.1/cb'

  it.each([
    ['the registered one', registered, registered, true],
    ['another path', registered, 'https://app.example.com/cb/x', false],
    ['another query', registered, `${registered}?x=1`, false],
    ['another host', registered, 'https://app.example.com.evil.example/cb', false],
    ['another port', registered, 'https://app.example.com:8443/cb', false],
    ['a trailing slash', registered, `${registered}/`, false],
    ['another case', registered, 'https://app.example.com/CB', false],
    ['no URL', registered, 'app.example.com/cb', false],
    ['another port on http loopback', loopback, 'http://127.0.0.1:49152/cb', true],
    ['another path on loopback', loopback, 'http://127.0.0.1:49152/other', false],
    ['localhost for 127.0.0.1', loopback, 'http://localhost/cb', false],
    ['https for http on loopback', loopback, 'https://127.0.0.1/cb', false],
    ['another port on https loopback', 'https://127.0.0.1/cb', 'https://127.0.0.1:1/cb', false],
    ['userinfo on loopback', loopback, 'http://a:b@127.0.0.1/cb', false],
    ['any loopback under *', '*', 'http://localhost:1/x', true],
    ['IPv6 loopback under *', '*', 'http://[::1]:1/x', true],
    ['https loopback under *', '*', 'https://app.localhost:1/x', true],
    ['a public host under *', '*', registered, false],
    ['a script under *', '*', 'javascript:alert(1)', false],
    ['nothing registered', null, registered, false],
  ])('compares exactly: %s', (_what, callback, requested, expected) => {
    expect(matchesCallback(callback, requested, 'exact')).toBe(expected)
  })

  it.each([
    ['an appended path', `${registered}/more`, true],
    ['a longer last segment', `${registered}more`, false],
    ['another host', 'https://app.example.com.evil.example/cb/more', false],
  ])('with the switch "prefix" accepts an appended path only: %s', (_what, requested, expected) => {
    expect(matchesCallback(registered, requested, 'prefix')).toBe(expected)
  })

  it('is the registered one when the request has none', async () => {
    fake.addClient({ ...FAKE_CLIENT, callbackURL: 'https://app.example.com/cb' })
    const callback = await fake.signIn(authorizeURL(fake, { redirect_uri: undefined }), { person: 'alice' })
    expect(callback).toMatch(/^https:\/\/app\.example\.com\/cb\?code=/)
  })

  it('that is refused causes a 400 page with both URLs, and no redirect', async () => {
    fake.addClient({ ...FAKE_CLIENT, callbackURL: 'https://app.example.com/cb' })
    const page = await send(authorizeURL(fake, { redirect_uri: 'https://app.example.com/cb/"><script>' }))
    expect(page.status).toBe(400)
    expect(page.headers.location).toBeUndefined()
    expect(page.headers['content-type']).toContain('text/html')
    expect(page.text).toContain('Registered: https://app.example.com/cb.')
    expect(page.text).toContain('cb/&quot;&gt;&lt;script&gt;')
  })

  it.each([
    ['none is registered', null, 'No callback URL is registered'],
    ['the client takes any on loopback', '*', 'the request must have one'],
  ])('that is missing everywhere causes a 400 page: %s', async (_what, callbackURL, text) => {
    fake.addClient({ ...FAKE_CLIENT, callbackURL })
    const page = await send(authorizeURL(fake, { redirect_uri: undefined }))
    expect(page.status).toBe(400)
    expect(page.text).toContain(text)
  })
})

describe('client_id', () => {
  it.each([
    ['unknown', 'nobody', 'no client &quot;nobody&quot;'],
    ['missing', undefined, 'no client_id'],
  ])('that is %s causes a 400 page, and no redirect', async (_what, client_id, text) => {
    const page = await send(authorizeURL(fake, { client_id }))
    expect(page.status).toBe(400)
    expect(page.headers.location).toBeUndefined()
    expect(page.text).toContain(text)
  })
})

describe('response_type', () => {
  it.each(['token', undefined])('other than code (%s) redirects back with an error', async (response_type) => {
    const answer = await send(authorizeURL(fake, { response_type }))
    expect(answer.status).toBe(302)
    const callback = new URL(answer.headers.location ?? '')
    expect(callback.searchParams.get('error')).toBe('unsupported_response_type')
    expect(callback.searchParams.get('state')).toBe('a state')
  })
})

describe('scope', () => {
  async function grantedFor(scope: string | undefined) {
    const { code } = await callbackOf(fake, 'alice', { scope })
    return (await exchange(fake, code)).json().scope
  }

  it.each([
    ['absent: all of the client', undefined, 'account email team'],
    ['empty: all of the client', '', 'account email team'],
    ['a part: that part', 'account', 'account'],
    ['the same twice: once', 'email email', 'email'],
  ])('%s', async (_what, scope, granted) => {
    fake.addClient({ ...FAKE_CLIENT, scopes: ['account', 'email', 'team'] })
    expect(await grantedFor(scope)).toBe(granted)
  })

  it('beyond the client redirects back with invalid_scope, the scopes and the state', async () => {
    expect(await callbackOf(fake, 'alice', { scope: 'account team wiki' })).toEqual({
      error: 'invalid_scope',
      error_description: "These requested scopes are beyond the OAuth client's own scopes: team wiki",
      state: 'a state',
    })
  })

  it('is ignored with the switch "ignore"', async () => {
    fake.setBehaviour({ scopeParameter: 'ignore' })
    expect(await grantedFor('account wiki')).toBe('account email')
  })
})

describe('unknown parameters', () => {
  it('are tolerated', async () => {
    expect(await callbackOf(fake, 'alice', { audience: 'api.atlassian.com', nonce: 'x' })).toHaveProperty('code')
  })
})

describe('the consent page', () => {
  it('says that it is a fake, works without scripts, and lists the users', async () => {
    const page = await send(authorizeURL(fake))
    expect(page.status).toBe(200)
    expect(page.text).toContain('Fake Bitbucket – for development.')
    expect(page.text).not.toContain('<script')
    expect(page.text.match(/type="radio"/g)).toHaveLength(fake.people.length)
    expect(page.headers['content-security-policy']).toContain("default-src 'none'")
    expect(page.headers['cache-control']).toBe('no-store')
    expect(page.headers['set-cookie']).toBeUndefined()
  })

  it('escapes what users, clients and requests contain', async () => {
    const evil = '"><img src=x>'
    fake.addPerson({ key: evil, displayName: evil, emails: [{ address: evil }] })
    fake.addClient({ ...FAKE_CLIENT, name: evil, scopes: [evil] })
    const page = await send(authorizeURL(fake, { state: evil }))
    expect(page.text).not.toContain('<img')
  })

  it('redirects a user who allows back with code and state', async () => {
    const answer = await press('allow', 'bob')
    expect(answer.status).toBe(302)
    expect(answer.headers.location).toMatch(
      /^http:\/\/localhost:3000\/auth\/bitbucket\/callback\?code=.+&state=a\+state$/,
    )
  })

  it('redirects a user who declines back with access_denied and state', async () => {
    const { searchParams } = new URL((await press('deny')).headers.location ?? '')
    expect(searchParams.get('error')).toBe('access_denied')
    expect(searchParams.get('state')).toBe('a state')
  })

  it.each([
    ['no decision', '', 'alice'],
    ['an unknown decision', 'perhaps', 'alice'],
    ['an unknown person', 'allow', 'mallory'],
  ])('refuses %s with a page', async (_what, decision, person) => {
    const answer = await press(decision, person)
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('press Allow or Deny')
  })

  it('checks the request again when it is answered', async () => {
    expect((await press('allow', 'alice', {}, authorizeURL(fake, { client_id: 'nobody' }))).status).toBe(400)
    const beyond = await press('allow', 'alice', {}, authorizeURL(fake, { scope: 'wiki' }))
    expect(beyond.headers.location).toContain('error=invalid_scope')
  })

  it('accepts GET and POST only', async () => {
    const answer = await send(authorizeURL(fake), { method: 'PUT' })
    expect(answer.status).toBe(405)
    expect(answer.headers.allow).toBe('GET, POST')
  })

  it('says so when there are no users', async () => {
    for (const { key } of fake.people) fake.removePerson(key)
    expect((await send(authorizeURL(fake))).text).toContain('There is no one to choose.')
  })
})

describe('consent', () => {
  async function signedInCookie(person: string) {
    const answer = await press('allow', person)
    return answer.headers['set-cookie']?.[0]?.split(';')[0] ?? ''
  }

  it('is requested each time by default, without a cookie', async () => {
    expect(await signedInCookie('bob')).toBe('')
    expect((await send(authorizeURL(fake))).status).toBe(200)
  })

  it('is remembered with the switch, for that browser and client, within its scopes', async () => {
    fake.setBehaviour({ rememberConsent: true })
    const cookie = await signedInCookie('bob')
    const again = await send(authorizeURL(fake), { headers: { cookie: `other=1; ${cookie}` } })
    expect(again.status).toBe(302)
    expect(again.headers.location).toContain('code=')
    expect((await send(authorizeURL(fake))).status).toBe(200)
    fake.addClient({ ...FAKE_CLIENT, scopes: ['account', 'email', 'team'] })
    expect((await send(authorizeURL(fake), { headers: { cookie } })).status).toBe(200)
    fake.addClient({ ...FAKE_CLIENT, clientID: 'other' })
    expect((await send(authorizeURL(fake, { client_id: 'other' }), { headers: { cookie } })).status).toBe(200)
  })

  it('is requested again when the request has a prompt, with the last user chosen', async () => {
    fake.setBehaviour({ rememberConsent: true })
    const cookie = await signedInCookie('bob')
    const page = await send(authorizeURL(fake, { prompt: 'consent' }), { headers: { cookie } })
    expect(page.status).toBe(200)
    expect(page.text).toMatch(/value="bob" required checked/)
    expect(page.text).toContain('Sign out of the fake')
  })

  it('is not remembered when declined', async () => {
    fake.setBehaviour({ rememberConsent: true })
    expect((await press('deny')).headers['set-cookie']).toBeUndefined()
  })

  it('ends with signing out on the front page', async () => {
    fake.setBehaviour({ rememberConsent: true })
    const cookie = await signedInCookie('bob')
    const front = await send(`${fake.url}/`, { headers: { cookie } })
    expect(front.text).toContain('Signed in as Bob Baker')
    const out = await send(`${fake.url}/sign-out`, { method: 'POST' })
    expect(out.status).toBe(303)
    expect(out.headers['set-cookie']?.[0]).toMatch(/^fake_bitbucket_person=; .*Max-Age=0/)
  })

  it.each(['fake_bitbucket_person=mallory', 'fake_bitbucket_person=%E0%A4', 'fake_bitbucket_person'])(
    'is requested when the cookie is %s',
    async (cookie) => {
      fake.setBehaviour({ rememberConsent: true })
      expect((await send(authorizeURL(fake), { headers: { cookie } })).status).toBe(200)
    },
  )
})

describe("the fake's own pages", () => {
  it('list users and clients', async () => {
    const front = await send(fake.url)
    expect(front.status).toBe(200)
    expect(front.text).toContain('Alice Archer')
    expect(front.text).toContain(FAKE_CLIENT.clientID)
    expect(front.text).not.toContain('Sign out')
  })

  it('answer 404 with a page outside the API', async () => {
    const answer = await send(`${fake.url}/nowhere`)
    expect(answer.status).toBe(404)
    expect(answer.headers['content-type']).toContain('text/html')
  })
})
