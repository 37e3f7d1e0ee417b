import type { Request } from 'express'
import { describe, expect, test } from 'vitest'
import { authorizationCode, checkIssuer, readCallback } from '../../src/bitbucket/callback-parameters'
import { BitbucketSignInError } from '../../src/contract/errors'

const read = (query: object) => readCallback(query as Request['query'])

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(BitbucketSignInError)
    return (error as BitbucketSignInError).code
  }
}

describe('readCallback', () => {
  test('reads five parameters and ignores all others', () => {
    const query = { state: 's', code: 'c', error: 'e', iss: 'i', handover: 'h', access_token: 'T', token_type: ['x'] }
    expect(read(query)).toEqual({ state: 's', code: 'c', error: 'e', iss: 'i', handover: 'h' })
    expect(read({})).toEqual({
      state: undefined,
      code: undefined,
      error: undefined,
      iss: undefined,
      handover: undefined,
    })
  })

  test.each([
    ['state', 1024],
    ['code', 2048],
    ['error', 256],
    ['iss', 512],
    ['handover', 4096],
  ] as const)('requires %s to be a single string of 1 to %i characters', (name, most) => {
    expect(read({ [name]: 'x'.repeat(most) })[name]).toHaveLength(most)
    for (const odd of ['', 'x'.repeat(most + 1), ['a', 'b'], ['a'], { a: 'b' }, null, 1, true, 'x'.repeat(100_000)]) {
      expect({ odd, code: codeOf(() => read({ [name]: odd })) }).toEqual({ odd, code: 'state_invalid' })
    }
  })

  test('ignores inherited parameters', () => {
    expect(read(Object.create({ code: 'c' })).code).toBeUndefined()
    expect(read(JSON.parse('{"__proto__":{"code":"c"}}')).code).toBeUndefined()
    expect(read(Object.assign(Object.create(null), { code: 'c' })).code).toBe('c')
  })
})

describe('checkIssuer', () => {
  const authorize = new URL('https://bitbucket.org/site/oauth2/authorize')

  test("accepts the issuer's own name and none", () => {
    expect(codeOf(() => checkIssuer(undefined, authorize))).toBeUndefined()
    expect(codeOf(() => checkIssuer('https://bitbucket.org', authorize))).toBeUndefined()
  })

  test.each([
    'https://evil.example',
    'https://bitbucket.org/',
    'http://bitbucket.org',
    'https://BITBUCKET.org',
    'https://bitbucket.org.evil.example',
    'https://bitbucket.org@evil.example',
  ])('refuses %s', (iss) => {
    expect(codeOf(() => checkIssuer(iss, authorize))).toBe('state_invalid')
  })
})

describe('authorizationCode', () => {
  const decide = (code?: string, error?: string) => codeOf(() => authorizationCode({ code, error }))

  test('returns the code of a callback without an error', () => {
    expect(authorizationCode({ code: 'c', error: undefined })).toBe('c')
  })

  test('refuses a callback with both, and with neither', () => {
    expect(decide('c', 'access_denied')).toBe('state_invalid')
    expect(decide()).toBe('state_invalid')
  })

  test.each([
    ['access_denied', 'access_denied'],
    ['invalid_scope', 'scope_missing'],
    ['unauthorized_client', 'client_rejected'],
    ['unsupported_response_type', 'client_rejected'],
    ['invalid_request', 'client_rejected'],
    ['server_error', 'upstream_failed'],
    ['temporarily_unavailable', 'upstream_failed'],
    ['<script>alert(1)</script>', 'upstream_failed'],
    ['__proto__', 'upstream_failed'],
  ])('maps %s to %s', (error, ours) => {
    expect(decide(undefined, error)).toBe(ours)
  })

  test('reveals no word of Bitbucket in the message', () => {
    for (const error of ['access_denied', 'invalid_scope', 'invalid_request', 'own words of Bitbucket']) {
      try {
        authorizationCode({ code: undefined, error })
      } catch (thrown) {
        expect(`${thrown}`).not.toContain(error)
      }
    }
  })
})
