import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BitbucketEmail } from '../../src/contract/identity'
import {
  chooseEmail,
  comparableAddress,
  isAddress,
  judgeEmail,
  maskAddress,
  provenEmail,
  unverifiedEmail,
} from '../../src/decisions/email-trust'
import { cpuMs } from '../support/clock'

const KELVIN = '\u212a'
const long = (length: number, character = 'a') => character.repeat(length)
/** An address of exactly this many characters, each part within its own limit. */
const addressOf = (length: number) => `${long(64)}@${long(63, 'b')}.${long(63, 'c')}.${long(length - 193, 'd')}`

describe('isAddress', () => {
  test.each([
    'a@b.co',
    'alice@example.com',
    'Alice.B+tag@sub.example.co.uk',
    "!#$%&'*+/=?^_`{|}~-@example.com",
    '0@0.example',
    'a-b@x-y.example',
    'a@xn--bcher-kva.example',
    'a@1.2.3.4.example',
    'a@163.com',
    'a@bcher.xn--p1ai',
    `${long(64)}@example.com`,
    `a@${long(63)}.com`,
    `a@${long(63)}.${long(63)}.${long(63)}.${long(60)}`,
    addressOf(254),
  ])('accepts %s', (value) => {
    expect(isAddress(value)).toBe(true)
  })

  test.each([
    ['nothing', ''],
    ['no @', 'alice.example.com'],
    ['no local part', '@example.com'],
    ['no domain', 'alice@'],
    ['two @', 'alice@b@example.com'],
    ['an @ at the end', 'alice@example.com@'],
    ['a domain without a dot', 'alice@localhost'],
    ['a dot in front', '.alice@example.com'],
    ['a dot at the end of the local part', 'alice.@example.com'],
    ['two dots in a row', 'a..b@example.com'],
    ['two dots in the domain', 'a@example..com'],
    ['a dot before the domain', 'a@.example.com'],
    ['a dot at the end of the domain', 'a@example.com.'],
    ['a hyphen before a label', 'a@-example.com'],
    ['a hyphen at the end of a label', 'a@example-.com'],
    ['an underscore in the domain', 'a@exam_ple.com'],
    ['a quoted local part', '"alice"@example.com'],
    ['a quoted space', '"a b"@example.com'],
    ['a comment', 'alice(x)@example.com'],
    ['angle brackets', '<alice@example.com>'],
    ['a display name', 'Alice <alice@example.com>'],
    ['a second address', 'alice@example.com,mallory@evil.example'],
    ['a semicolon', 'alice;mallory@example.com'],
    ['an address literal', 'a@[127.0.0.1]'],
    ['an IP address for a domain', 'a@1.2.3.4'],
    ['a shortened IP address', 'a@127.1'],
    ['an IP address in hexadecimal', 'a@0x7f.0x1'],
    ['a top level label of digits', 'a@example.123'],
    ['a top level label that begins with a digit', 'a@example.1a'],
    ['a route', '@a.example:b@c.example'],
    ['a line break', 'alice@example.com\r\nBcc: x@evil.example'],
    ['a line break at the end', 'alice@example.com\n'],
    ['a line break in front', '\nalice@example.com'],
    ['a NUL', 'alice\u0000@example.com'],
    ['a space in front', ' alice@example.com'],
    ['a space at the end', 'alice@example.com '],
    ['a tab', 'ali\tce@example.com'],
    ['a Kelvin sign', `alice@example.${KELVIN}om`],
    ['an accent', 'álice@example.com'],
    ['an international domain', 'alice@bücher.example'],
    ['a full-width @', 'alice＠example.com'],
    ['an ideographic full stop', 'alice@example。com'],
    ['a zero-width space', 'alice@exam\u200bple.com'],
    ['a local part of 65', `${long(65)}@example.com`],
    ['a label of 64', `a@${long(64)}.com`],
    ['255 characters', addressOf(255)],
  ])('refuses %s', (_what, value) => {
    expect(isAddress(value)).toBe(false)
  })

  test('has samples of exactly the least and the greatest length', () => {
    expect(addressOf(254)).toHaveLength(254)
    expect(addressOf(255)).toHaveLength(255)
  })

  test('refuses 100 kB of anything in no time', () => {
    const hostile = [
      long(100_000),
      `${long(50_000)}@${long(50_000)}`,
      `${'a.'.repeat(50_000)}@`,
      `a@${'a.'.repeat(50_000)}`,
      `a@${'a-'.repeat(50_000)}`,
      '@'.repeat(100_000),
    ]
    expect(cpuMs(() => expect(hostile.filter(isAddress)).toEqual([]))).toBeLessThan(500)
  })

  test('accepts only what is safe in a header line and in an SMTP envelope', () => {
    const piece = fc.constantFrom(
      'a',
      'Z',
      '9',
      '.',
      '-',
      '_',
      '@',
      '+',
      ' ',
      '\r\n',
      '"',
      '<',
      '>',
      ',',
      '\u0000',
      'é',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const value = pieces.join('')
        if (isAddress(value)) expect(value).toMatch(/^[\w!#$%&'*+/=?^`{|}~.-]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+$/)
      }),
      { seed: 20261123, numRuns: 5000 },
    )
  })
})

describe('comparableAddress', () => {
  test('folds ASCII letters on both sides of the @', () => {
    expect(comparableAddress('ALICE.Zed@EXAMPLE.Com')).toBe('alice.zed@example.com')
  })

  test.each([
    ['a Kelvin sign', KELVIN],
    ['a capital with an accent', 'É'],
    ['a long s', 'ſ'],
    ['a dotless i', 'ı'],
    ['a dotted capital I', 'İ'],
    ['a sharp s', 'ß'],
    ['a full-width letter', 'Ａ'],
  ])('leaves %s as it is', (_what, character) => {
    expect(comparableAddress(`${character}@example.com`)).toBe(`${character}@example.com`)
  })

  test('does not fold a Kelvin sign', () => {
    expect(comparableAddress(`${KELVIN}ate@example.com`)).not.toBe(comparableAddress('kate@example.com'))
  })
})

const email = (address: string, primary = false, confirmed = false): BitbucketEmail => ({ address, primary, confirmed })

describe('chooseEmail', () => {
  test.each([
    ['nothing from nothing', [], undefined],
    ['the primary that is confirmed, first', [email('p@x.co', true, true), email('c@x.co', false, true)], 'p@x.co'],
    ['the primary that is confirmed, last', [email('c@x.co', false, true), email('p@x.co', true, true)], 'p@x.co'],
    ['the only confirmed one before a primary', [email('p@x.co', true), email('c@x.co', false, true)], 'c@x.co'],
    [
      'the primary where several others are confirmed',
      [email('p@x.co', true), email('c@x.co', false, true), email('d@x.co', false, true)],
      'p@x.co',
    ],
    ['the primary where none is confirmed', [email('o@x.co'), email('p@x.co', true)], 'p@x.co'],
    ['nothing without primary and confirmed', [email('a@x.co'), email('b@x.co')], undefined],
    ['nothing from one that is neither', [email('a@x.co')], undefined],
    ['nothing from two primaries', [email('p@x.co', true), email('q@x.co', true)], undefined],
    [
      'nothing from two primaries that are confirmed',
      [email('p@x.co', true, true), email('q@x.co', true, true)],
      undefined,
    ],
    ['the only confirmed one of two primaries', [email('p@x.co', true), email('q@x.co', true, true)], 'q@x.co'],
    [
      'nothing from two confirmed ones without a primary',
      [email('a@x.co', false, true), email('b@x.co', false, true)],
      undefined,
    ],
  ] as const)('chooses %s', (_what, emails, chosen) => {
    expect(chooseEmail(emails)?.address).toBe(chosen)
  })

  test('ignores strings that are not addresses', () => {
    expect(chooseEmail([email('"p"@x.co', true, true), email('c@x.co', false, true)])?.address).toBe('c@x.co')
    expect(chooseEmail([email('p@localhost', true), email('q@x.co', true)])?.address).toBe('q@x.co')
    expect(chooseEmail([email('p@localhost', true, true)])).toBeUndefined()
  })
})

describe('judgeEmail', () => {
  const confirmed = [email('Alice@Example.com', true, true)]
  const unconfirmed = [email('alice@example.com', true)]

  test('returns an address as proven by Bitbucket if it is trusted and confirmed, as written there', () => {
    expect(judgeEmail(confirmed, true)).toEqual({ level: 'bitbucket', address: 'Alice@Example.com' })
  })

  test('returns an address with only one of them as asserted', () => {
    expect(judgeEmail(confirmed, false)).toEqual({ level: 'asserted', address: 'Alice@Example.com' })
    expect(judgeEmail(unconfirmed, true)).toEqual({ level: 'asserted', address: 'alice@example.com' })
    expect(judgeEmail(unconfirmed, false)).toEqual({ level: 'asserted', address: 'alice@example.com' })
  })

  test('returns level none without an address', () => {
    expect(judgeEmail([], true)).toEqual({ level: 'none', address: null })
  })

  test("does not credit the chosen address with another one's confirmation", () => {
    const emails = [email('p@x.co', true), email('c@x.co', false, true), email('d@x.co', false, true)]
    expect(judgeEmail(emails, true)).toEqual({ level: 'asserted', address: 'p@x.co' })
  })
})

describe('provenEmail', () => {
  test("returns trust as Bitbucket's proof, and a code as our own", () => {
    const address = 'a@x.co'
    expect(provenEmail({ level: 'bitbucket', address })).toEqual({ address, verified: true, verifiedBy: 'bitbucket' })
    expect(provenEmail({ level: 'code', address })).toEqual({ address, verified: true, verifiedBy: 'code' })
    expect(provenEmail({ level: 'typed', address })).toEqual({ address, verified: true, verifiedBy: 'code' })
  })

  test('returns no proof for an asserted address and for none', () => {
    expect(provenEmail({ level: 'asserted', address: 'a@x.co' })).toBeUndefined()
    expect(provenEmail({ level: 'none', address: null })).toBeUndefined()
  })

  test('marks an unverified address as such', () => {
    expect(unverifiedEmail('a@x.co')).toEqual({ address: 'a@x.co', verified: false, verifiedBy: null })
  })
})

describe('maskAddress', () => {
  test('shows the first character and the domain', () => {
    expect(maskAddress('victoria@mail.example.com')).toBe('v***@mail.example.com')
  })

  test('returns as many characters for a short address as for a long one', () => {
    expect(maskAddress('v@m.com')).toBe('v***@m.com')
    expect(maskAddress(`v${long(60)}@m.com`)).toBe('v***@m.com')
  })
})
