import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/bitbucket/read-answer'
import { readProfile } from '../../src/bitbucket/read-answer'
import { toPassportProfile } from '../../src/passport/verify-callback'

const ID = '{12345678-1234-4123-8123-123456789abc}'
const BODY = {
  type: 'user',
  uuid: ID,
  account_id: '557058:c0b72ad0-1cb5-4018-9cdc-0cde8492c443',
  username: 'alice',
  nickname: 'ally',
  display_name: 'Alice Adams',
  links: {
    avatar: { href: 'https://avatars.example/alice.png' },
    html: { href: 'https://bitbucket.org/alice/' },
    self: { href: 'https://api.bitbucket.org/2.0/users/alice' },
  },
  is_staff: true,
}
const EMAILS = [{ address: 'alice@example.com', primary: true, confirmed: true }]
const read = (changes: object) => readProfile({ ...BODY, ...changes }, EMAILS)
const parsed = (text: string) => JSON.parse(text) as JsonObject

describe('readProfile', () => {
  test('reads a person with the documented fields only', () => {
    expect(readProfile(BODY, EMAILS)).toEqual({
      id: ID,
      accountId: BODY.account_id,
      username: 'alice',
      nickname: 'ally',
      displayName: 'Alice Adams',
      avatarUrl: 'https://avatars.example/alice.png',
      profileUrl: 'https://bitbucket.org/alice/',
      emails: EMAILS,
    })
  })

  test('reads the minimal person', () => {
    expect(readProfile({ type: 'user', uuid: ID }, [])).toEqual({
      id: ID,
      accountId: null,
      username: null,
      nickname: null,
      displayName: 'Bitbucket user',
      avatarUrl: null,
      profileUrl: null,
      emails: [],
    })
  })

  test('falls back to nickname, then username, if the full name is missing', () => {
    expect(read({ display_name: '' })?.displayName).toBe('ally')
    expect(read({ display_name: null, nickname: '\u200b' })?.displayName).toBe('alice')
  })

  test.each(['team', 'app_user', 'error', 'User', '', null, undefined, ['user'], { a: 1 }, 1])(
    'refuses type %j',
    (type) => {
      expect(read({ type })).toBeUndefined()
    },
  )

  test.each([
    null,
    undefined,
    '',
    ID.toUpperCase(),
    ID.slice(1, -1),
    [ID],
    { ID },
    7,
    '__proto__',
    'x'.repeat(1_000_000),
  ])('refuses uuid %.50j', (uuid) => {
    expect(read({ uuid })).toBeUndefined()
  })

  test.each([null, [], {}, 1, true, [['x']], 'x'.repeat(1_000_000)])('accepts %.30j in other fields', (odd) => {
    const profile = read({ account_id: odd, username: odd, nickname: odd, display_name: odd, links: odd })
    expect(profile?.id).toBe(ID)
    expect(profile?.displayName.length).toBeLessThanOrEqual(256)
    expect(profile?.accountId).toBeNull()
    expect(profile?.avatarUrl).toBeNull()
  })

  test('refuses inherited fields, and pollutes nothing', () => {
    expect(readProfile(parsed(`{"__proto__":{"type":"user","uuid":"${ID}"}}`), [])).toBeUndefined()
    const profile = readProfile(parsed(`{"type":"user","uuid":"${ID}","__proto__":{"username":"admin"}}`), [])
    expect(profile?.username).toBeNull()
    expect(({} as Record<string, unknown>).username).toBeUndefined()
  })

  test('reads hostile text as harmless text', () => {
    const profile = read({
      display_name: '\u202e<img src=x onerror=alert(1)>\r\nSet-Cookie: a=b\u0000',
      links: { avatar: { href: 'javascript:alert(1)' }, html: { href: 'http://evil.example/' } },
    })
    expect(profile?.displayName).toBe('<img src=x onerror=alert(1)>Set-Cookie: a=b')
    expect(profile).toMatchObject({ avatarUrl: null, profileUrl: null })
  })

  test('returns a valid profile or none for any input', () => {
    const keys = fc.constantFrom(...Object.keys(BODY), '__proto__', 'constructor', 'toString')
    const anything = fc.dictionary(keys, fc.oneof(fc.jsonValue(), fc.constant(ID), fc.constant('user')))
    let people = 0
    fc.assert(
      fc.property(anything, (body) => {
        const profile = readProfile(body as JsonObject, [])
        if (!profile) return
        people++
        expect(profile.id).toBe(body.uuid)
        expect(profile.displayName.length).toBeGreaterThan(0)
        for (const each of [profile.username, profile.nickname, profile.accountId, profile.avatarUrl]) {
          expect(each === null || (typeof each === 'string' && each.length > 0)).toBe(true)
        }
      }),
      { seed: 20261123, numRuns: 5000 },
    )
    expect(people).toBeGreaterThan(5)
  })
})

describe('toPassportProfile', () => {
  const profile = readProfile(BODY, EMAILS)
  if (!profile) throw new Error('no profile')

  test('returns the fields that Passport documents, with the uuid as id', () => {
    expect(toPassportProfile(profile, BODY)).toEqual({
      provider: 'bitbucket',
      id: ID,
      username: 'alice',
      displayName: 'Alice Adams',
      profileUrl: 'https://bitbucket.org/alice/',
      emails: [{ value: 'alice@example.com', primary: true, verified: true }],
      photos: [{ value: 'https://avatars.example/alice.png' }],
      _raw: JSON.stringify(BODY),
      _json: BODY,
    })
  })

  test('leaves missing fields out', () => {
    const least = readProfile({ type: 'user', uuid: ID }, [])
    if (!least) throw new Error('no profile')
    expect(toPassportProfile(least, { uuid: ID })).toEqual({
      provider: 'bitbucket',
      id: ID,
      displayName: 'Bitbucket user',
      emails: [],
      photos: [],
      _raw: JSON.stringify({ uuid: ID }),
      _json: { uuid: ID },
    })
  })

  test.each([null, [], 'text', 1])('shows a body of %j as an empty one', (json) => {
    expect(toPassportProfile(profile, json)._json).toEqual({})
  })
})
