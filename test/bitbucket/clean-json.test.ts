import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cleanJson } from '../../src/bitbucket/clean-json'
import type { JsonObject } from '../../src/bitbucket/read-answer'

const parsed = (text: string) => JSON.parse(text) as JsonObject
const PROTOTYPE = ['__proto__', 'constructor', 'prototype']
const isWellFormed = (text: string) => !/\p{Cs}/u.test(text)
const isClean = (text: string) =>
  isWellFormed(text) && !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text) && text.length <= 12_000
/** Every key and value of a tree. */
function* walk(value: unknown): Generator<[string, unknown]> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, each] of Object.entries(value)) {
    yield [key, each]
    yield* walk(each)
  }
}

describe('cleanJson', () => {
  test('case 22: leaves clean JSON as it is', () => {
    const body = parsed(
      '{"type":"user","links":{"self":[{"href":"https://x"}]},"n":1.5,"b":false,"z":null,"name":"Zoë 👩"}',
    )
    expect(cleanJson(body)).toEqual(body)
  })

  test.each(['__proto__', 'constructor', 'prototype'])('case 22: drops %s at every depth', (key) => {
    const body = parsed(`{"a":[{"b":{"${key}":{"isAdmin":true},"c":1}}],"${key}":{"username":"admin"}}`)
    expect(JSON.stringify(cleanJson(body))).toBe('{"a":[{"b":{"c":1}}]}')
    const copy = JSON.parse(JSON.stringify(cleanJson(body)))
    expect(Object.assign({}, copy).username).toBeUndefined()
    expect(Object.getPrototypeOf(Object.assign({}, cleanJson(body)))).toBe(Object.prototype)
  })

  test.each([
    ['half a character', 'a\ud800b'],
    ['the other half', 'a\udc00b'],
    ['CR LF', 'a\r\nb'],
    ['NUL', 'a\u0000b'],
    ['an escape', 'a\u001bb'],
    ['a C1 control', 'a\u0085b'],
    ['a bidi override', 'a\u202eb'],
    ['a line separator', 'a\u2028b'],
    ['a zero-width space', 'a\u200bb'],
  ])('case 22: replaces %s, so that no id becomes another one', (_what, text) => {
    expect(cleanJson({ id: text })).toEqual({ id: 'a\ufffdb' })
  })

  test('case 22: bounds strings and depth, so that the result can be serialized', () => {
    const long = cleanJson({ text: `${'x'.repeat(11_999)}👩👩` }).text as string
    expect(long).toHaveLength(12_000)
    expect(isWellFormed(long)).toBe(true)
    const deep = parsed(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)
    expect(JSON.stringify(cleanJson(deep)).length).toBeLessThan(100)
    const nested = parsed(`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`)
    expect(JSON.stringify(cleanJson(nested)).length).toBeLessThan(200)
  })

  test('case 22: returns clean, copyable JSON for any input', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('__proto__', 'constructor', 'prototype', 'a\ud800', '\u202e', '\r\n'),
    )
    const tree = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        text,
        fc.double(),
        fc.boolean(),
        fc.constant(null),
        tie('object'),
        fc.array(tie('value')),
      ),
      object: fc.dictionary(text, tie('value')),
    }))
    fc.assert(
      fc.property(tree.object, (value) => {
        const body = parsed(JSON.stringify(value) ?? '{}')
        const cleaned = cleanJson(body)
        for (const [key, each] of walk(cleaned)) {
          const strings = [key, each].filter((string) => typeof string === 'string')
          if (PROTOTYPE.includes(key) || !strings.every(isClean)) return false
        }
        expect(cleanJson(cleaned)).toEqual(cleaned)
        return !('isAdmin' in {})
      }),
      { seed: 20261128, numRuns: 2000 },
    )
  })
})
