import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FakeBehaviour, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { authorizeURL, callbackOf, exchange, get, requestToken, send, tokenOf } from './client'

let fake: FakeBitbucket
let clockMs = Date.now()
beforeAll(async () => {
  fake = await startFakeBitbucket({ now: () => clockMs })
})
afterEach(() => fake.reset())
afterAll(() => fake.close())

const deny = async () =>
  Object.fromEntries(new URL(await fake.signIn(authorizeURL(fake), { person: 'alice', decision: 'deny' })).searchParams)

const refresh = (refresh_token: string) => requestToken(fake, { grant_type: 'refresh_token', refresh_token })

async function refreshTokenOf(person: string): Promise<string> {
  return (await exchange(fake, (await callbackOf(fake, person)).code)).json().refresh_token
}

describe('a profile', () => {
  it.each([
    ['bitbucket', 'The user denied access', 200],
    ['platform', 'User did not authorize the request', 400],
    ['legacy', undefined, 200],
  ] as const)('%s sets the switches together', async (profile, denial, wrongVerifier) => {
    const other = await startFakeBitbucket({ profile })
    const start = authorizeURL(other, { code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' })
    const denied = new URL(await other.signIn(start, { person: 'bob', decision: 'deny' }))
    expect(denied.searchParams.get('error_description') ?? undefined).toBe(denial)
    const code = new URL(await other.signIn(start, { person: 'alice' })).searchParams.get('code') ?? ''
    expect((await exchange(other, code, { code_verifier: 'wrong' })).status).toBe(wrongVerifier)
    await other.close()
  })

  it('is applied under the switches, and both return with reset()', async () => {
    const other = await startFakeBitbucket({ profile: 'platform', behaviour: { denial: 'none' } })
    const textOf = async () => {
      const denied = await other.signIn(authorizeURL(other), { person: 'bob', decision: 'deny' })
      return new URL(denied).searchParams.get('error_description')
    }
    expect(await textOf()).toBeNull()
    other.setBehaviour({ denial: { description: 'Own words' } })
    expect(await textOf()).toBe('Own words')
    other.reset()
    expect(await textOf()).toBeNull()
    await other.close()
  })

  it('that is unknown is refused, with the one that was meant', async () => {
    await expect(startFakeBitbucket({ profile: 'platfrom' as never })).rejects.toThrow('Did you mean "platform"?')
  })

  it.each([
    [{ denial: 'platfrom' }, 'behaviour.denial cannot be "platfrom". Did you mean "platform"?'],
    [{ stateInErrors: 'no' }, 'behaviour.stateInErrors must be a boolean.'],
    [{ refreshLockoutSeconds: '60' }, 'behaviour.refreshLockoutSeconds must be a number.'],
    [{ usedCode: 403 }, 'behaviour.usedCode cannot be "403".'],
    [{ usedCode: null }, 'behaviour.usedCode cannot be "null".'],
  ])('refuses the switch %j', (changes, message) => {
    expect(() => fake.setBehaviour(changes as FakeBehaviour)).toThrow(message)
  })
})

describe('a denial', () => {
  it('carries no state with the switch', async () => {
    fake.setBehaviour({ stateInErrors: false })
    expect(await deny()).toEqual({ error: 'access_denied', error_description: 'The user denied access' })
  })

  it('is remembered with the switch, for that person, until reset()', async () => {
    fake.setBehaviour({ rememberDenial: true })
    await deny()
    expect(await callbackOf(fake, 'alice')).toHaveProperty('error', 'access_denied')
    expect(await callbackOf(fake, 'bob')).toHaveProperty('code')
    fake.reset()
    expect(await callbackOf(fake, 'alice')).toHaveProperty('code')
  })

  it('that a browser remembers shows no page until it signs out', async () => {
    fake.setBehaviour({ rememberDenial: true })
    const denied = await send(authorizeURL(fake), {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'person=alice&decision=deny',
    })
    const cookie = denied.headers['set-cookie']?.[0]?.split(';')[0] ?? ''
    const again = await send(authorizeURL(fake), { headers: { cookie } })
    expect(again.headers.location).toContain('error=access_denied')
    await send(`${fake.url}/sign-out`, { method: 'POST', headers: { cookie } })
    expect((await send(authorizeURL(fake), { headers: { cookie } })).status).toBe(200)
  })
})

describe('a code', () => {
  it('without redirect_uri is refused with the switch', async () => {
    fake.setBehaviour({ missingRedirectUri: 'refused' })
    expect((await send(authorizeURL(fake, { redirect_uri: undefined }))).status).toBe(400)
  })

  it.each([
    ['forbidden', 403, 'Invalid authorization code'],
    [{ status: 418, error: 'invalid_grant', description: null }, 418, undefined],
  ] as const)('that was used causes the refusal of the switch (%j)', async (usedCode, status, description) => {
    fake.setBehaviour({ usedCode })
    const { code } = await callbackOf(fake, 'alice')
    await exchange(fake, code)
    const again = await exchange(fake, code)
    expect([again.status, again.json().error, again.json().error_description]).toEqual([
      status,
      'invalid_grant',
      description,
    ])
  })

  it.each([
    ['both', ['scope', 'scopes', 'state']],
    ['none', []],
  ] as const)('returns the token fields of the switch (%s)', async (tokenFields, expected) => {
    fake.setBehaviour({ tokenFields })
    const body = (await exchange(fake, (await callbackOf(fake, 'alice')).code)).json()
    expect(['scope', 'scopes', 'state'].filter((name) => name in body)).toEqual(expected)
  })

  it('returns tokens of exactly the length that a record says', async () => {
    fake.setBehaviour({ tokenLength: 300 })
    const token = await tokenOf(fake, 'alice')
    expect([token.length, (await get(fake, '/user', token)).status]).toEqual([300, 200])
    expect((await get(fake, '/user', token.slice(0, -1))).status).toBe(401)
  })
})

describe('a refresh token', () => {
  it('that returns after its grace revokes its family with the switch, and no other', async () => {
    fake.setBehaviour({ refreshReuse: 'revokes-family', refreshGraceSeconds: 0 })
    const [first, other] = [await refreshTokenOf('alice'), await refreshTokenOf('alice')]
    const { access_token, refresh_token } = (await refresh(first)).json()
    expect((await refresh(first)).status).toBe(400)
    expect((await refresh(refresh_token)).status).toBe(400)
    expect((await get(fake, '/user', access_token)).status).toBe(401)
    expect((await refresh(other)).status).toBe(200)
  })

  it('that is dead locks its client out for the seconds of the switch', async () => {
    fake.setBehaviour({ refreshLockoutSeconds: 60 })
    const alive = await refreshTokenOf('alice')
    expect((await refresh('dead')).status).toBe(400)
    expect((await refresh(alive)).json().error).toBe('unauthorized_client')
    clockMs += 60_000
    expect((await refresh(alive)).status).toBe(200)
  })

  it('ends with its consent after the days of the switch, however often it is used', async () => {
    fake.setBehaviour({ refreshLifetimeDays: 100 })
    let token = await refreshTokenOf('alice')
    for (let day = 0; day < 90; day += 45) {
      clockMs += 45 * 24 * 3600_000
      token = (await refresh(token)).json().refresh_token
    }
    clockMs += 11 * 24 * 3600_000
    expect((await refresh(token)).status).toBe(400)
  })
})

describe('the API', () => {
  it('lists no address with the switch', async () => {
    fake.setBehaviour({ emailList: 'empty' })
    const body = (await get(fake, '/user/emails', await tokenOf(fake, 'erin'))).json()
    expect([body.size, body.values, body.next]).toEqual([0, [], undefined])
  })

  it.each([
    ['text', 'Rate limit for this resource has been exceeded'],
    ['json', '{"type":"error","error":{"message":"Rate limit for this resource has been exceeded"}}'],
    ['empty', ''],
  ] as const)('limits with the body of the switch (%s), without a duration', async (rateLimit, text) => {
    fake.setBehaviour({ rateLimit })
    fake.script('user', { problem: 'rate-limited' })
    const answer = await get(fake, '/user', 'any')
    expect([answer.status, answer.text, answer.headers['retry-after']]).toEqual([429, text, undefined])
  })
})

describe('a record', () => {
  it('refuses switches that it does not know, as in a record of another version', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'record-'))
    const file = join(folder, 'record.json')
    await writeFile(file, '{ "format": 1, "behaviour": { "denail": "none" } }')
    await expect(startFakeBitbucket({ record: file })).rejects.toThrow('Did you mean "denial"?')
    await rm(folder, { recursive: true })
  })
})
