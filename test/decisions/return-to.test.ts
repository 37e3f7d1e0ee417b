import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import express5 = require('express')

import { parseReturnTo, type ReturnToRules } from '../../src/decisions/return-to'
import { cpuMs } from '../support/clock'

const express4 = require('express-4') as typeof express5
const RULES: ReturnToRules = { basePath: '/auth/bitbucket', signInPath: '/login' }
const ORIGIN = 'https://app.example'
const CALLBACK = `${ORIGIN}/auth/bitbucket/callback`
const accepts = (value: unknown, rules = RULES) => parseReturnTo(value, rules) !== undefined

/** The header that `res.redirect` writes: both major versions encode the URL differently. */
function locationHeader(express: typeof express5, value: string): string {
  let header = ''
  const response = {
    set(_name: string, given: string) {
      header = given
      return response
    },
  }
  express.response.location.call(response as unknown as express5.Response, value)
  return header
}

/** Where a browser goes with this value, relative to the callback. */
const target = (value: string) => new URL(value, CALLBACK)

const REFUSED: readonly (readonly [string, string])[] = [
  ['P01', '//evil.example'],
  ['P02', '///evil.example'],
  ['P03', '////evil.example'],
  ['P05', '/\\/evil.example'],
  ['P06', '\\\\evil.example'],
  ['P07', '\\/evil.example'],
  ['P08', '/\t/evil.example'],
  ['P09', '/\n/evil.example'],
  ['P10', '/\r/evil.example'],
  ['P12', ' //evil.example'],
  ['P13', '\u0000//evil.example'],
  ['P14', '\u000b//evil.example'],
  ['P15', '/\t\\evil.example'],
  ['P16', 'https:evil.example'],
  ['P17', 'http:evil.example'],
  ['P18', 'https:/evil.example'],
  ['P19', 'https:///evil.example'],
  ['P20', 'https:\\\\evil.example'],
  ['P21', 'HTTPS://evil.example'],
  ['P23', 'https://app.example@evil.example/'],
  ['P24', 'https://app.example:443@evil.example/'],
  ['P25', 'https://evil.example#@app.example/'],
  ['P26', 'https://evil.example?@app.example/'],
  ['P27', 'https://app.example.evil.example/'],
  ['P28', 'https://evilapp.example/'],
  ['P29', 'https://app.example./'],
  ['P30', 'https://app.example:444/'],
  ['P31', 'http://app.example/'],
  ['P33', 'https://\u24d4vil.example/'],
  ['P34', 'https://\u0430pp.example/'],
  ['P35', 'https://app.example\u2044@evil.example'],
  ['P37', 'https://2130706433/'],
  ['P38', 'https://0x7f.1/'],
  ['P39', 'https://[::ffff:7f00:1]/'],
  ['P40', 'javascript:alert(1)'],
  ['P41', 'java\nscript:alert(1)'],
  ['P42', 'JaVaScRiPt:alert(1)'],
  ['P43', 'javascript://app.example/%0aalert(1)'],
  ['P44', 'data:text/html,x'],
  ['P45', 'vbscript:x'],
  ['P46', 'blob:https://app.example/x'],
  ['P47', 'view-source:https://evil.example'],
  ['P48', '/.//evil.example'],
  ['P49', '/..//evil.example'],
  ['P50', '/foo/..//evil.example'],
  ['P51', '/./\\evil.example'],
  ['P52', '/a/../\\evil.example'],
  ['P53', '/%2e//evil.example'],
  ['P54', '/%2e%2e//evil.example'],
  ['P55', '../..//evil.example'],
  ['P56', '/%2f%2fevil.example'],
  ['P57', '/%5cevil.example'],
  ['P58', '/%09/evil.example'],
  ['P59', '/%0d%0aSet-Cookie:%20a=b'],
  ['P60', '/x\r\nSet-Cookie: a=b'],
  ['P61', '@evil.example'],
  ['P62', 'evil.example'],
  ['P63', '.evil.example'],
  ['P64', ':80'],
  ['P65', '?next=//evil.example'],
  ['P66', '#//evil.example'],
  ['P68', '/auth/bitbucket'],
  ['P69', '/auth/bitbucket/callback?code=x&state=y'],
  ['P70', '/logout'],
  ['P71', '/a b'],
]

const ACCEPTED: readonly (readonly [string, string])[] = [
  ['P67', '/ok?x=//evil.example#//evil.example'],
  ['P72', '/ok/\u00e9'],
  ['P73', '/dash?tab=1#top'],
  ['P74', '/'],
]

describe('parseReturnTo', () => {
  test.each(REFUSED)('refuses %s %j, as it is and decoded once', (_id, payload) => {
    expect(accepts(payload)).toBe(false)
    expect(accepts(decodeURIComponent(payload))).toBe(false)
  })

  test.each(ACCEPTED)('accepts %s %j as it is', (_id, payload) => {
    expect(parseReturnTo(payload, RULES)).toBe(payload)
    expect(parseReturnTo(decodeURIComponent(payload), RULES)).toBe(payload)
  })
})

describe('a return URL of another form', () => {
  test.each([undefined, null, 1, true, {}, ['/x'], { toString: () => '/x' }, new String('/x')])(
    'is refused if it is not a string: %j',
    (value) => {
      expect(accepts(value)).toBe(false)
    },
  )

  test.each(['', 'dash', './dash', '?tab=1', '#top'])('is refused if it does not begin with a slash: %j', (value) => {
    expect(accepts(value)).toBe(false)
  })

  test('is refused with any control, space or separator at any position', () => {
    const forbidden = [
      ...Array.from({ length: 0x21 }, (_, code) => code),
      ...Array.from({ length: 0xa1 - 0x7f }, (_, index) => 0x7f + index),
      0x2028,
      0x2029,
      0xfeff,
      0x5c,
    ]
    for (const code of forbidden) {
      const character = String.fromCharCode(code)
      for (const value of [`/${character}`, `/x${character}y`, `/x?q=${character}`, `/x#${character}`]) {
        expect({ value, accepted: accepts(value) }).toEqual({ value, accepted: false })
      }
    }
    expect(accepts('/\u0021\u007e\u00a1\u2027\u202a\ufefe')).toBe(true)
  })

  test('is refused with any encoded control, slash or backslash in the path, in either case', () => {
    const codes = [...Array.from({ length: 0x20 }, (_, code) => code), 0x2f, 0x5c, 0x7f]
    for (const code of codes) {
      const encoded = `%${code.toString(16).padStart(2, '0')}`
      for (const value of [`/x${encoded}y`, `/x${encoded.toUpperCase()}y`]) {
        expect({ value, accepted: accepts(value) }).toEqual({ value, accepted: false })
      }
    }
    expect(accepts('/x%20y%7Ez%21')).toBe(true)
  })

  test('may have an encoded slash in the query and after the #', () => {
    expect(accepts('/x?next=%2f%2fevil.example')).toBe(true)
    expect(accepts('/x#%5c//')).toBe(true)
    expect(accepts('/x?a=/../b')).toBe(true)
  })

  test.each([
    '/.',
    '/..',
    '/%2e',
    '/%2E',
    '/.%2e',
    '/%2e.',
    '/%2e%2E',
    '/a/./b',
    '/a/..',
    '/a/%2e%2e/b',
    '/a/..?x',
    '/a/.#x',
  ])('is refused with a dot segment: %s', (value) => {
    expect(accepts(value)).toBe(false)
  })

  test.each(['/...', '/.well-known/x', '/a..b', '/a.', '/%2e%2e%2e', '/.a'])(
    'is accepted without a dot segment: %s',
    (value) => {
      expect(accepts(value)).toBe(true)
    },
  )

  test('is refused with half a character, and accepted with a whole one', () => {
    expect(accepts('/\ud83d')).toBe(false)
    expect(accepts('/\ude00x')).toBe(false)
    expect(accepts('/x?\ud83d')).toBe(false)
    expect(accepts('/\ud83d\ude00')).toBe(true)
  })

  test('is accepted with 512 bytes, and refused with 513', () => {
    expect(accepts(`/${'a'.repeat(511)}`)).toBe(true)
    expect(accepts(`/${'a'.repeat(512)}`)).toBe(false)
    expect(accepts(`/${'é'.repeat(255)}a`)).toBe(true)
    expect(accepts(`/${'é'.repeat(256)}`)).toBe(false)
  })
})

describe('our own routes as return URL', () => {
  test.each([
    '/auth/bitbucket',
    '/auth/bitbucket/',
    '/AUTH/BitBucket',
    '/auth/bitbucket/email',
    '/auth/bitbucket/anything/below',
    '/auth/bitbucket?x',
    '/auth/bitbucket#x',
    '/auth/%62itbucket',
    '/%61uth/bitbucket/link',
    '/%61uth/%42itbucket/%E0%A4%A',
    '/auth/bitbucket;x',
    '/auth;x=1/bitbucket;y/email',
    '/auth/bitbucket%3Bx',
    '/auth/bitbucket;/email',
  ])('%s is refused', (value) => {
    expect(accepts(value)).toBe(false)
  })

  test.each([
    '/auth',
    '/auth/bitbucketx',
    '/auth/bitbucket-report',
    '/x/auth/bitbucket',
    '/x?/auth/bitbucket',
    '/auth;/bitbucket-report;v=1',
  ])('%s is accepted', (value) => {
    expect(accepts(value)).toBe(true)
  })

  test('are the same for a base path with a trailing slash', () => {
    const rules = { ...RULES, basePath: '/Auth/BitBucket//' }
    expect(accepts('/Auth/BitBucket/link', rules)).toBe(true)
    expect(accepts('/auth/bitbucket/email', rules)).toBe(false)
    expect(accepts('/auth/bitbucket', rules)).toBe(false)
    expect(accepts('/auth', rules)).toBe(true)
  })

  test('include the sign-in page with trailing slashes', () => {
    expect(accepts('/login', { ...RULES, signInPath: '/login//' })).toBe(false)
  })

  describe.each(['', '/'])('of a router at the root (%j)', (basePath) => {
    const rules = { ...RULES, basePath }
    // A test of the whole flow compares these with the router's own table.
    const routes = [
      '/',
      '/callback',
      '/email',
      '/email/address',
      '/email/code',
      '/email/verify',
      '/continue',
      '/unlink',
      '/reauthenticate',
      '/sign-in-again',
      '/cancel',
    ]

    test.each(routes)('%s is refused in every spelling', (route) => {
      const bare = route.replace(/^\/$/, '')
      const encoded = route.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`)
      const spellings = [route, `${bare}/`, `${route}?x`, `${route}#x`, `${route};x`, `${bare}/;x`]
      for (const value of [...spellings, route.toUpperCase(), encoded]) {
        expect({ value, accepted: accepts(value, rules) }).toEqual({ value, accepted: false })
      }
    })

    test('case 14: the link page is accepted in its plain spelling only', () => {
      expect(accepts('/link', rules)).toBe(true)
      for (const value of ['/link/', '/LINK', '/link;x', '/%6cink']) expect(accepts(value, rules)).toBe(false)
    })

    test.each(['/dash', '/callbacks', '/callback/x', '/email/x', '/links', '/x/link', '/x?/callback'])(
      '%s is left to the app',
      (value) => {
        expect(accepts(value, rules)).toBe(true)
      },
    )

    test('the sign-in page and the sign-out are refused here too', () => {
      expect(accepts('/login', rules)).toBe(false)
      expect(accepts('/logout', rules)).toBe(false)
    })
  })

  test('a landing page at / belongs to the app if the router is elsewhere', () => {
    expect(accepts('/')).toBe(true)
    expect(accepts('/?tab=1')).toBe(true)
  })

  test.each(['/login', '/LOGIN/', '/login?error=x', '/%6cogin', '/login;x'])('%s is the sign-in page', (value) => {
    expect(accepts(value)).toBe(false)
  })

  test.each(['/login/help', '/x/login', '/login2'])('%s is not the sign-in page', (value) => {
    expect(accepts(value)).toBe(true)
  })

  test.each([
    '/logout',
    '/log-out',
    '/signout',
    '/sign-out',
    '/LogOut/',
    '/account/logout?now=1',
    '/a/b/sign-out#x',
    '/%6Cogout',
    '/logout;now',
  ])('%s signs out', (value) => {
    expect(accepts(value)).toBe(false)
  })

  test.each(['/logout/help', '/logouts', '/mylogout', '/x?/logout'])('%s does not sign out', (value) => {
    expect(accepts(value)).toBe(true)
  })

  test('a path that does not decode is compared as it is', () => {
    expect(parseReturnTo('/x%E0%A4%A', RULES)).toBe('/x%E0%A4%A')
    expect(parseReturnTo('/100%', RULES)).toBe('/100%')
    expect(accepts('/auth/bitbucket/%E0%A4%A')).toBe(false)
  })
})

const PIECES = [
  '/',
  '//',
  '\\',
  '.',
  '..',
  '%2e',
  '%2E',
  '%2f',
  '%5C',
  '%09',
  '%0d%0a',
  '%00',
  '%',
  '%25',
  '%252f',
  '%e2%80%a8',
  ':',
  '@',
  '?',
  '#',
  ';',
  '&',
  '=',
  '[',
  ']',
  '{',
  '|',
  '^',
  '"',
  '<',
  "'",
  '`',
  'a',
  'evil.example',
  'app.example',
  'https:',
  'javascript:',
  'é',
  '\u00a0',
  '\u2028',
  '\ufeff',
  '\u3000',
  '\uff0f',
  '\u2044',
  '\u3002',
  '\u200d',
  '\ud83d',
  '\ude00',
  '\u0000',
  '\t',
  '\n',
  '\r',
  ' ',
]

describe('an accepted return URL', () => {
  test('stays on this site: as it is, in the header of both Express versions, and rebuilt from its parts', () => {
    let accepted = 0
    const tail = fc.array(fc.constantFrom(...PIECES), { maxLength: 9 })
    fc.assert(
      fc.property(tail, (pieces) => {
        const value = `/${pieces.join('')}`
        const result = parseReturnTo(value, RULES)
        if (result === undefined) return
        accepted++
        expect(result).toBe(value)
        const { pathname, search, hash } = target(result)
        const written = [
          result,
          locationHeader(express4, result),
          locationHeader(express5, result),
          pathname + search + hash,
        ]
        for (const each of written) {
          expect(target(each).origin).toBe(ORIGIN)
          expect(new URL(each, 'http://127.0.0.1:3000/auth/bitbucket/callback').origin).toBe('http://127.0.0.1:3000')
          expect(each).toMatch(/^\/(?![/\\])/)
        }
      }),
      { seed: 20261123, numRuns: 20_000 },
    )
    expect(accepted).toBeGreaterThan(1000)
  })

  test('is accepted again with the same result', () => {
    fc.assert(
      fc.property(fc.webPath(), fc.webQueryParameters(), (path, query) => {
        const value = `${path}?${query}`
        const once = parseReturnTo(value, RULES)
        if (once !== undefined) expect(parseReturnTo(once, RULES)).toBe(value)
      }),
      { seed: 20261123, numRuns: 2000 },
    )
  })
})

test('refuses 100 kB of anything in no time', () => {
  const hostile = ['/', '.', '/.', '%2e', '%', '\\', 'a', 'é', '\ud83d', '/a', '?', '#'].map(
    (piece) => `/${piece.repeat(Math.ceil(100_000 / piece.length))}`,
  )
  expect(cpuMs(() => expect(hostile.filter((each) => accepts(each))).toEqual([]))).toBeLessThan(500)
})
