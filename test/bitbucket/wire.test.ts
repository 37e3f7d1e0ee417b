import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isJsonObject,
  type JsonObject,
  readAccountId,
  readEmailPage,
  readLink,
  readMembership,
  readOAuthError,
  readText,
  readTokenAnswer,
  readUrl,
  readUuid,
} from '../../src/bitbucket/read-answer'
import { isLoopback } from '../../src/contract/urls'
import { cpuMs } from '../support/clock'

const UUID = '{12345678-1234-4123-8123-123456789abc}'
const MEGABYTE = 'x'.repeat(1_000_000)
/** Values that are not strings. */
const NO_STRINGS: readonly unknown[] = [
  null,
  undefined,
  true,
  false,
  0,
  1,
  Number.NaN,
  [],
  ['a'],
  {},
  { a: 'b' },
  { toString: () => 'a' },
]
/** Values that are not JSON objects. */
const NO_OBJECTS: readonly unknown[] = [null, undefined, true, 0, 'text', [], [{}]]
const parsed = (text: string) => JSON.parse(text) as JsonObject

test.each(NO_OBJECTS)('readAnswer refuses %j as an object', (value) => {
  expect(isJsonObject(value)).toBe(false)
})

describe('readText', () => {
  test.each([
    ['Alice Adams', 'Alice Adams'],
    ['  Alice  ', 'Alice'],
    ['Zoë 漢字 😀', 'Zoë 漢字 😀'],
    ['<script>alert(1)</script>', '<script>alert(1)</script>'],
    ['a\r\nSet-Cookie: x=y', 'aSet-Cookie: x=y'],
    ['a\u0000b\u001bc\u007fd\u0085e', 'abcde'],
    ['safe\u202egnp.exe', 'safegnp.exe'],
    ['a\u2066b\u2069c', 'abc'],
    ['a\u200bb\u200dc\ufeffd\u00ade', 'abcde'],
    ['a\ud800b', 'ab'],
    ['\ue000private', 'private'],
    ['\u{e0001}\u{e0041}tag', 'tag'],
  ])('reads %j as %j', (value, text) => {
    expect(readText(value)).toBe(text)
  })

  test.each([...NO_STRINGS, '', '   ', '\u200b\u202e', '\n'])('reads nothing from %j', (value) => {
    expect(readText(value)).toBeUndefined()
  })

  test('keeps 256 characters, and splits none', () => {
    expect(readText('n'.repeat(300))).toBe('n'.repeat(256))
    expect(readText('😀'.repeat(300))).toBe('😀'.repeat(256))
    expect(readText(`${'n'.repeat(1023)}😀`)).toBe('n'.repeat(256))
    expect(readText(`${'\u200b'.repeat(1023)}😀`)).toBeUndefined()
  })

  test('reads a megabyte in no time', () => {
    const texts = ['x', ' ', '\u200b', '😀', '\ud800'].map((piece) => piece.repeat(1_000_000 / piece.length))
    expect(cpuMs(() => texts.forEach(readText))).toBeLessThan(500)
  })
})

describe('readUrl', () => {
  test.each([
    'https://bitbucket.org/alice/',
    'https://secure.gravatar.com/avatar/37de?d=https%3A%2F%2Favatar-management--avatars.us-west-2.prod.public.example%2FTA-2.png',
    'https://a.example:8443/x?y=1#z',
    'https://xn--bcher-kva.example/',
    'https://example.com./',
    'https://10.0.0.1/',
    'https://[2001:db8::1]/',
    'http://localhost:3000/a.png',
    'http://127.0.0.1/',
  ])('accepts %s: any host, any port', (value) => {
    expect(readUrl(value)).toBe(value)
  })

  test.each([
    ['https://a.example', 'https://a.example/'],
    ['HTTPS://A.Example/X', 'https://a.example/X'],
    ['https://ex%61mple.com/', 'https://example.com/'],
    ['https:sign-out', 'https://sign-out/'],
    ['https:/a.example/x', 'https://a.example/x'],
    ['https:\\\\a.example\\x', 'https://a.example/x'],
    ['https://a.example/x/../y', 'https://a.example/y'],
    ['https://2130706433/', 'https://127.0.0.1/'],
    ['https://0x7f.1/', 'https://127.0.0.1/'],
    ['http://2130706433/', 'http://127.0.0.1/'],
    ['https://a.example/"><svg/onload=x>', 'https://a.example/%22%3E%3Csvg/onload=x%3E'],
    ['https://a.example/?"><b>#"><i>', 'https://a.example/?%22%3E%3Cb%3E#%22%3E%3Ci%3E'],
  ])('reads %s as %s, so that every later reader reads the same', (value, written) => {
    expect(readUrl(value)).toBe(written)
  })

  test('returns URLs that parse to themselves and cannot end an attribute', () => {
    const piece = fc.constantFrom(
      ...['https:', 'http:', '/', '//', '\\', '@', ':', '.', '..', '%2e', '?', '#', '"', '<', '>', '`', '0x7f', '127'],
      ...['1', 'a', 'A', 'xn--', 'xn--bcher-kva', '--', '-', '_', 'localhost', 'bitbucket.org', '8443', '[::1]', '%'],
    )
    let accepted = 0
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        const read = readUrl(`https://a.example${pieces.join('')}`) ?? readUrl(`https:${pieces.join('')}`)
        if (read === undefined) return
        accepted++
        const url = new URL(read)
        expect(read).toBe(url.href)
        expect([url.protocol, url.username, url.password]).toEqual(['https:', '', ''])
        expect(read).toMatch(/^https:\/\/[^/@\\"<>]+\/[^"<>\s]*$/)
      }),
      { seed: 20261123, numRuns: 5000 },
    )
    expect(accepted).toBeGreaterThan(1000)
  })

  test.each([
    ...NO_STRINGS,
    '',
    'alice',
    '/alice',
    '//evil.example/a.png',
    'http://evil.example/a.png',
    'http://localhost.evil.example/',
    'javascript:alert(1)',
    'data:image/svg+xml,<svg onload=alert(1)>',
    'blob:https://app.example/x',
    'file:///etc/passwd',
    'https://user@bitbucket.org/',
    'https://user:pass@bitbucket.org/',
    'https://bitbucket.org@evil.example/',
    'https://:@evil.example:x/',
    'https://xn--.example/',
    'https://a.example"/',
    "https://a.example'/",
    'https://xn--a.example/avatar.png',
    'https://a.example:99999/',
    `https://a.example/${'"'.repeat(400)}`,
    'https://bitbucket.org/a b',
    'https://bitbucket.org/é',
    'https://bitbucket.org/\r\nX: y',
    'https://',
    `https://bitbucket.org/${'a'.repeat(500)}`,
    MEGABYTE,
  ])('refuses %.60j', (value) => {
    expect(readUrl(value)).toBeUndefined()
  })
})

describe('isLoopback', () => {
  test.each(['localhost', 'acme.localhost', '127.0.0.1', '127.1.2.3', '[::1]'])('accepts %s', (host) => {
    expect(isLoopback(host)).toBe(true)
  })

  test.each([
    '',
    'localhost.',
    'localhost.evil.example',
    'evillocalhost',
    '127.0.0.1.evil.example',
    'x127.0.0.1',
    '128.0.0.1',
    '10.127.0.1',
    '0.0.0.0',
    '[::]',
    '[::2]',
    '[::ffff:7f00:1]',
    '::1',
  ])('refuses %j', (host) => {
    expect(isLoopback(host)).toBe(false)
  })
})

describe('readUuid', () => {
  test('accepts the canonical form', () => {
    expect(readUuid(UUID)).toBe(UUID)
  })

  test.each([
    ...NO_STRINGS,
    '',
    UUID.toUpperCase(),
    UUID.slice(1, -1),
    ` ${UUID}`,
    `${UUID}\n`,
    `${UUID}${UUID}`,
    UUID.replace('a', 'g'),
    UUID.replaceAll('-', ''),
    UUID.replace('1', '１'),
    '{}',
    '__proto__',
    MEGABYTE,
  ])('refuses %.60j instead of repairing it', (value) => {
    expect(readUuid(value)).toBeUndefined()
  })
})

test('accepts a short word as account id', () => {
  expect(readAccountId('557058:c0b72ad0-1cb5-4018-9cdc-0cde8492c443')).toBe(
    '557058:c0b72ad0-1cb5-4018-9cdc-0cde8492c443',
  )
  for (const value of [...NO_STRINGS, '', 'a b', 'a/b', 'a\n', 'é', 'a'.repeat(129)]) {
    expect(readAccountId(value)).toBeUndefined()
  }
})

describe('readLink', () => {
  const href = 'https://bitbucket.org/alice/'

  test('reads one object, or the first of an array', () => {
    expect(readLink({ html: { href } }, 'html')).toBe(href)
    expect(readLink({ html: [{ href }, { href: 'https://second.example/' }] }, 'html')).toBe(href)
  })

  test.each([
    ...NO_OBJECTS,
    {},
    { html: null },
    { html: href },
    { html: [] },
    { html: [null] },
    { html: { href: null } },
    { html: { href: [href] } },
    { html: { href: 'javascript:alert(1)' } },
  ])('reads nothing from %j', (links) => {
    expect(readLink(links, 'html')).toBeUndefined()
  })

  test('ignores inherited links', () => {
    expect(readLink({}, '__proto__')).toBeUndefined()
    expect(readLink({}, 'constructor')).toBeUndefined()
    expect(readLink(parsed(`{"__proto__":{"html":{"href":"${href}"}}}`), 'html')).toBeUndefined()
  })
})

describe('readTokenAnswer', () => {
  const answer = { access_token: 'T0ken', token_type: 'bearer' }

  test('reads the answer of Bitbucket', () => {
    const body = {
      ...answer,
      refresh_token: 'R3fresh',
      expires_in: 7200,
      scope: 'account email',
      state: 'authorization_code',
    }
    expect(readTokenAnswer(body)).toEqual({
      accessToken: 'T0ken',
      refreshToken: 'R3fresh',
      expiresInSeconds: 7200,
      scopes: ['account', 'email'],
    })
  })

  test('reads the minimal answer', () => {
    expect(readTokenAnswer(answer)).toEqual({
      accessToken: 'T0ken',
      refreshToken: null,
      expiresInSeconds: null,
      scopes: null,
    })
  })

  test.each(['Bearer', 'BEARER', 'bearer'])('accepts token_type %s', (token_type) => {
    expect(readTokenAnswer({ ...answer, token_type })).toBeDefined()
  })

  test.each([...NO_STRINGS, '', 'mac', 'bearer ', 'Bearer\n'])('refuses token_type %j', (token_type) => {
    expect(readTokenAnswer({ ...answer, token_type })).toBeUndefined()
  })

  test.each([...NO_STRINGS, '', 'a b', 'a\r\nX: y', 'é', 'a\u0000', 'x'.repeat(12_001), MEGABYTE])(
    'refuses access_token %.60j',
    (access_token) => {
      expect(readTokenAnswer({ ...answer, access_token })).toBeUndefined()
    },
  )

  test("accepts a token of 12,000 characters, because Bitbucket's are long", () => {
    expect(readTokenAnswer({ ...answer, access_token: 'x'.repeat(12_000) })).toBeDefined()
  })

  test.each([...NO_STRINGS, 'a b', 'a\n', MEGABYTE])('leaves refresh_token %.60j out', (refresh_token) => {
    expect(readTokenAnswer({ ...answer, refresh_token })?.refreshToken).toBeNull()
  })

  test.each([null, '7200', [], {}, 0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e15, Number.MAX_VALUE])(
    'leaves expires_in %j out',
    (value) => {
      expect(readTokenAnswer({ ...answer, expires_in: value })?.expiresInSeconds).toBeNull()
    },
  )

  test.each([
    ['scope', 'account email', ['account', 'email']],
    ['scopes', 'account, email', ['account', 'email']],
    ['scope', 'account,email  repository:write', ['account', 'email', 'repository:write']],
    ['scope', '', []],
    ['scope', `account ${'x'.repeat(129)} é`, ['account']],
    ['scope', ['account'], null],
    ['scope', { account: true }, null],
    ['scope', 1, null],
    ['scope', 'x '.repeat(3000), null],
  ])('reads %s %.40j as %j', (name, value, scopes) => {
    expect(readTokenAnswer({ ...answer, [name]: value })?.scopes).toEqual(scopes)
  })

  test('ignores an inherited token', () => {
    expect(readTokenAnswer(parsed('{"__proto__":{"access_token":"T","token_type":"bearer"}}'))).toBeUndefined()
    expect(readTokenAnswer({})).toBeUndefined()
  })
})

test('reads an OAuth error as a code, and nothing else', () => {
  expect(readOAuthError({ error: 'invalid_grant', error_description: '<b>text</b>' })).toBe('invalid_grant')
  for (const error of [...NO_STRINGS, '', 'Invalid', 'a b', 'a-b', 'a\n', '<script>', 'x'.repeat(65)]) {
    expect(readOAuthError({ error })).toBeUndefined()
  }
  expect(readOAuthError(undefined)).toBeUndefined()
})

describe('readEmailPage', () => {
  const item = { type: 'email', email: 'a@x.co', is_primary: true, is_confirmed: true }

  test('reads addresses with their two flags', () => {
    const body = { values: [item, { ...item, email: 'b@x.co', is_primary: false, is_confirmed: false }] }
    expect(readEmailPage(body)).toEqual({
      emails: [
        { address: 'a@x.co', primary: true, confirmed: true },
        { address: 'b@x.co', primary: false, confirmed: false },
      ],
      next: undefined,
    })
  })

  test.each([false, null, undefined])('treats a flag of %j as not set', (flag) => {
    const page = readEmailPage({ values: [{ email: 'a@x.co', is_primary: flag, is_confirmed: flag }] })
    expect(page?.emails).toEqual([{ address: 'a@x.co', primary: false, confirmed: false }])
  })

  test.each([1, 'true', 'false', [], {}])('case 22: treats a page with a flag of %j as unreadable', (flag) => {
    expect(readEmailPage({ values: [item, { ...item, is_primary: flag }] })).toBeUndefined()
    expect(readEmailPage({ values: [item, { ...item, is_confirmed: flag }] })).toBeUndefined()
  })

  test('case 22: treats a page with an unreadable entry as unreadable, because that could be the primary address', () => {
    for (const entry of [...NO_OBJECTS, {}, { email: null }, { email: ['a@x.co'] }, { email: 7 }, [item]]) {
      expect(readEmailPage({ values: [item, entry] })).toBeUndefined()
    }
  })

  test('case 22: drops strings that are not addresses, and entries of another type', () => {
    const strings = [
      '',
      'a',
      '@x.co',
      'a@',
      'a\ud800@x.co',
      'a@x.co\r\nBcc: b@x.co',
      'a\u0000@x.co',
      ' a@x.co',
      MEGABYTE,
    ]
    const odd = [...strings.map((email) => ({ ...item, email })), { ...item, type: 'x' }]
    expect(readEmailPage({ values: [...odd, item] })?.emails).toEqual([
      { address: 'a@x.co', primary: true, confirmed: true },
    ])
  })

  test.each(NO_OBJECTS)('case 22: treats a page with %j as values as unreadable', (values) => {
    expect(readEmailPage({ values: Array.isArray(values) ? null : values })).toBeUndefined()
  })

  test('case 22: treats a page of more than 100 entries as unreadable', () => {
    expect(readEmailPage({ values: Array.from({ length: 100 }, () => item) })?.emails).toHaveLength(100)
    expect(readEmailPage({ values: Array.from({ length: 101 }, () => item) })).toBeUndefined()
  })

  test('leaves next to the caller, and treats null as none', () => {
    for (const next of ['https://api.bitbucket.org/2.0/user/emails?page=2', '', 7, {}, false]) {
      expect(readEmailPage({ values: [], next })?.next).toBe(next)
    }
    expect(readEmailPage({ values: [], next: null })).toEqual({ emails: [], next: undefined })
  })

  test('ignores inherited flags', () => {
    const body = parsed('{"values":[{"email":"a@x.co","__proto__":{"is_confirmed":true,"is_primary":true}}]}')
    expect(readEmailPage(body)?.emails).toEqual([{ address: 'a@x.co', primary: false, confirmed: false }])
  })
})

describe('readMembership', () => {
  const workspace = { slug: 'acme', uuid: '{00000000-1234-4123-8123-123456789abc}' }
  const body = { type: 'workspace_membership', permission: 'member', workspace, user: { uuid: UUID } }

  test('accepts the requested workspace, by slug or by uuid', () => {
    const membership = { slug: 'acme', uuid: workspace.uuid, permission: 'member', user: UUID }
    expect(readMembership(body, 'acme')).toEqual(membership)
    expect(readMembership(body, workspace.uuid)).toEqual(membership)
  })

  test('accepts a slug in capitals, and refuses an invalid one', () => {
    expect(readMembership({ ...body, workspace: { ...workspace, slug: 'Acme' } }, 'acme')?.slug).toBe('acme')
    for (const slug of ['ac me', 'acme\u200b', 'a\u212a', 'a/b', '', 'x'.repeat(129), 7, ['acme']]) {
      expect(readMembership({ ...body, workspace: { ...workspace, slug } }, workspace.uuid)).toBeUndefined()
    }
  })

  test('refuses another workspace, in any case', () => {
    for (const asked of ['other', 'ACME', 'acme ', '', UUID]) expect(readMembership(body, asked)).toBeUndefined()
  })

  test.each([
    { ...body, type: 'error' },
    { ...body, type: undefined },
    { ...body, type: ['workspace_membership'] },
    { ...body, permission: null },
    { ...body, permission: '' },
    { ...body, permission: { a: 1 } },
    { ...body, workspace: null },
    { ...body, workspace: [workspace] },
    { ...body, workspace: 'acme' },
    { ...body, workspace: { ...workspace, uuid: 'acme' } },
    { ...body, workspace: { uuid: workspace.uuid } },
    {},
    { type: 'error', error: { message: 'not a member' } },
  ])('refuses %j', (answer) => {
    expect(readMembership(answer, 'acme')).toBeUndefined()
  })

  test.each([null, 'alice', [], { uuid: 1 }, {}])('accepts a membership without its user: %j', (user) => {
    expect(readMembership({ ...body, user }, 'acme')?.user).toBeUndefined()
  })
})
