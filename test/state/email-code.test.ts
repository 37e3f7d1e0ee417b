import { describe, expect, test } from 'vitest'
import { type CodeBinding, hashCode, makeCode, matchesCode } from '../../src/state/email-code'
import { cpuMs } from '../support/clock'
import { keyRing } from './messages'

const ALPHABET = 'BCDFGHJKLMNPQRSTVWXZ'
const KEYS = keyRing('code')
const BINDING: CodeBinding = {
  handle: 'handle',
  generation: 1,
  identity: { issuer: 'https://bitbucket.org', id: '{12345678-1234-4123-8123-123456789abc}' },
  address: 'Alice@Example.com',
  context: 'context',
}
const CODE = 'BCDF-GHJK'
const HASH = hashCode(KEYS, BINDING, CODE)
const matches = (typed: string, binding: Partial<CodeBinding> = {}) =>
  matchesCode(KEYS, { ...BINDING, ...binding }, HASH, typed)

describe('makeCode', () => {
  const codes = Array.from({ length: 20_000 }, () => makeCode())

  test('returns eight consonants in two groups, without look-alikes of digits and without words', () => {
    for (const code of codes) expect(code).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/)
  })

  test('does not repeat', () => {
    // 20,000 of 2.56 * 10^10 codes: a pair among them once in 130 runs, three pairs never.
    expect(new Set(codes).size).toBeGreaterThan(codes.length - 3)
  })

  /** 19 degrees of freedom: chance alone exceeds 85 about once in 10^10 runs. */
  const chiSquare = (letters: readonly string[]) => {
    const expected = letters.length / ALPHABET.length
    const counts = [...ALPHABET].map((letter) => letters.filter((each) => each === letter).length)
    return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  }

  test('draws every letter equally often; a byte taken modulo 20 would reach 170', () => {
    expect(chiSquare(codes.flatMap((code) => [...code.replace('-', '')]))).toBeLessThan(85)
  })

  test('draws every letter equally often at every place', () => {
    for (let place = 0; place < 8; place++) {
      const letters = codes.map((code) => code.replace('-', '').charAt(place))
      expect(chiSquare(letters)).toBeLessThan(85)
    }
  })
})

describe('a typed code', () => {
  test.each([
    CODE,
    'BCDFGHJK',
    'bcdf-ghjk',
    'bcdfghjk',
    'BcDf GhJk',
    '  BCDF - GHJK  ',
    'B C D F G H J K',
    '--BCDF--GHJK--',
    'BCDFGHJK'.padEnd(64),
  ])('is accepted as %j', (typed) => {
    expect(matches(typed)).toBe(true)
  })

  test.each([
    ['another one', 'BCDF-GHJL'],
    ['nothing', ''],
    ['spaces', '        '],
    ['seven letters', 'BCDF-GHJ'],
    ['nine letters', 'BCDF-GHJKB'],
    ['a vowel', 'ACDF-GHJK'],
    ['a digit', '8CDF-GHJK'],
    ['the letters in another order', 'GHJK-BCDF'],
    ['a tab', 'BCDF\tGHJK'],
    ['a line break at the end', 'BCDF-GHJK\n'],
    ['an en dash', 'BCDF–GHJK'],
    ['a non-breaking space', 'BCDF\u00a0GHJK'],
    ['a full-width letter', 'ＢCDF-GHJK'],
    ['a Kelvin sign', 'BCDF-GHJ\u212a'],
    ['a NUL', 'BCDF-GHJK\u0000'],
    ['more than 64 characters', 'BCDFGHJK'.padEnd(65)],
    ['a pattern', '........'],
    ['__proto__', '__proto__'],
  ])('is refused when it is %s', (_what, typed) => {
    expect(matches(typed)).toBe(false)
  })

  test('refuses 100 kB in no time', () => {
    const long = [' ', 'B', '-'].map((letter) => letter.repeat(100_000))
    expect(cpuMs(() => expect(long.filter((each) => matches(each))).toEqual([]))).toBeLessThan(500)
  })
})

describe('a code is bound', () => {
  test.each([
    ['the pending sign-in', { handle: 'other' }],
    ['the mail', { generation: 2 }],
    ['the issuer', { identity: { ...BINDING.identity, issuer: 'https://own.example' } }],
    ['the identity', { identity: { ...BINDING.identity, id: '{22345678-1234-4123-8123-123456789abc}' } }],
    ['the address', { address: 'alice2@example.com' }],
    ['the address as it is, accents apart', { address: 'Álice@Example.com' }],
    ['connection, tenant and application', { context: 'other' }],
  ] as const)('to %s', (_what, changed) => {
    expect(matches(CODE, changed)).toBe(false)
    expect(matches(CODE)).toBe(true)
  })

  test('to the address in any case', () => {
    expect(matches(CODE, { address: 'ALICE@EXAMPLE.COM' })).toBe(true)
  })

  test('to fields that cannot be shifted into one another', () => {
    const hash = hashCode(KEYS, { ...BINDING, handle: 'ab', context: 'c' }, CODE)
    expect(matchesCode(KEYS, { ...BINDING, handle: 'a', context: 'bc' }, hash, CODE)).toBe(false)
    const quoted = hashCode(KEYS, { ...BINDING, handle: 'a","b' }, CODE)
    expect(matchesCode(KEYS, { ...BINDING, handle: 'a' }, quoted, CODE)).toBe(false)
  })

  test("to the server's secret, and survives its rotation", () => {
    const hash = hashCode(keyRing('code', ['o'.repeat(32)]), BINDING, CODE)
    const rotated = keyRing('code', ['n'.repeat(32), 'o'.repeat(32)])
    expect(matchesCode(rotated, BINDING, hash, CODE)).toBe(true)
    expect(matchesCode(keyRing('code', ['n'.repeat(32)]), BINDING, hash, CODE)).toBe(false)
    expect(matchesCode(keyRing('pending'), BINDING, HASH, CODE)).toBe(false)
  })
})

describe('the hash of a code', () => {
  test('has the same length for every code and shows nothing of it', () => {
    for (const code of [CODE, makeCode(), 'nonsense', '']) expect(hashCode(KEYS, BINDING, code)).toMatch(/^[\w-]{22}$/)
    expect(new Set(Array.from({ length: 100 }, () => hashCode(KEYS, BINDING, makeCode()))).size).toBe(100)
  })

  test.each(['', 'x', 'A'.repeat(22), `${HASH}A`, HASH.slice(1)])('matches nothing if it is %j', (hash) => {
    expect(matchesCode(KEYS, BINDING, hash, CODE)).toBe(false)
  })

  test('matches nothing if it was made of something else', () => {
    const hash = hashCode(KEYS, BINDING, 'nonsense')
    for (const typed of ['nonsense', '', CODE]) expect(matchesCode(KEYS, BINDING, hash, typed)).toBe(false)
  })
})
