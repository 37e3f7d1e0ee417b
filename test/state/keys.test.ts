import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { type KeyPurpose, sign, verify } from '../../src/state/keys'
import { randomBytes, randomHandle } from '../../src/state/random'
import { keyRing } from './messages'

const OLD = 'o'.repeat(32)
const NEW = 'n'.repeat(32)

describe('deriveKeys', () => {
  test('derives a different key for every purpose, plugin and secret', () => {
    const purposes: KeyPurpose[] = ['transaction', 'pending', 'state', 'hand-over', 'code']
    const rings = purposes.flatMap((purpose) =>
      ['bitbucket', 'bitbucket-2'].flatMap((name) => [OLD, NEW].map((secret) => keyRing(purpose, [secret], name))),
    )
    expect(new Set(rings.map(([{ id }]) => id.toString('hex'))).size).toBe(rings.length)
    expect(new Set(rings.map(([{ key }]) => key.export().toString('hex'))).size).toBe(rings.length)
  })

  test('derives the same keys from the same secret in every process', () => {
    expect(keyRing('state', [OLD])[0].id).toEqual(keyRing('state', [OLD])[0].id)
  })

  test("does not confuse a plugin's name with a purpose", () => {
    const [a] = keyRing('state', [OLD], 'x')
    const [b] = keyRing('state', [OLD], 'x/state')
    expect(a.id.equals(b.id)).toBe(false)
  })

  test('requires a secret, and prints neither secret nor key', () => {
    expect(() => keyRing('state', [])).toThrow('At least one secret is needed.')
    const [{ key }] = keyRing('state', [OLD])
    expect(inspect(keyRing('state', [OLD]), { depth: 9, showHidden: true })).not.toContain(OLD)
    expect(inspect(key, { depth: 9, showHidden: true })).not.toContain(key.export().toString('hex'))
  })
})

describe('sign and verify', () => {
  const keys = keyRing('state', [NEW, OLD])

  test('accept a code for its message only', () => {
    const code = sign(keys, 'message')
    expect(code).toMatch(/^[\w-]{22}$/)
    expect(verify(keys, 'message', code)).toBe(true)
    expect(verify(keys, 'Message', code)).toBe(false)
    expect(verify(keys, 'message ', code)).toBe(false)
  })

  test('verify with every key of the ring, and sign with the newest', () => {
    expect(verify(keys, 'message', sign(keyRing('state', [OLD]), 'message'))).toBe(true)
    expect(verify(keyRing('state', [NEW]), 'message', sign(keys, 'message'))).toBe(true)
    expect(verify(keyRing('state', [OLD]), 'message', sign(keys, 'message'))).toBe(false)
  })

  test('refuse a key of another purpose', () => {
    expect(verify(keyRing('code', [NEW, OLD]), 'message', sign(keys, 'message'))).toBe(false)
  })

  test('refuse a shortened, lengthened or changed code without a fault', () => {
    const code = sign(keys, 'message')
    for (const bad of ['', 'A', code.slice(0, -2), `${code}AA`, `${code}${code}`, '!'.repeat(22), 'é'.repeat(22)]) {
      expect(verify(keys, 'message', bad)).toBe(false)
    }
    for (let position = 0; position < code.length - 1; position++) {
      const other = code[position] === 'A' ? 'B' : 'A'
      expect(verify(keys, 'message', code.slice(0, position) + other + code.slice(position + 1))).toBe(false)
    }
  })
})

describe('random values', () => {
  test('are 128 bits each and all different in 10,000 handles', () => {
    const handles = Array.from({ length: 10_000 }, () => randomHandle())
    expect(new Set(handles).size).toBe(10_000)
    for (const handle of handles) expect(handle).toMatch(/^[\w-]{22}$/)
  })

  test('use no byte twice, across the edges of the pool', () => {
    const drawn = Array.from({ length: 1000 }, (_, index) => randomBytes(8 + (index % 25)))
    expect(new Set(drawn.map((bytes) => bytes.toString('hex'))).size).toBe(1000)
    for (const [index, bytes] of drawn.entries()) {
      expect(bytes).toHaveLength(8 + (index % 25))
      expect(bytes.equals(Buffer.alloc(bytes.length))).toBe(false)
    }
  })

  test('do not change after they were returned', () => {
    const bytes = randomBytes(16)
    const before = bytes.toString('hex')
    for (let draw = 0; draw < 600; draw++) randomBytes(16)
    expect(bytes.toString('hex')).toBe(before)
  })

  test('set every bit equally often', () => {
    const ones = new Array<number>(128).fill(0)
    const draws = 20_000
    for (let draw = 0; draw < draws; draw++) {
      const bytes = randomBytes(16)
      for (let bit = 0; bit < 128; bit++) {
        ones[bit] = (ones[bit] ?? 0) + (((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1)
      }
    }
    // Seven standard deviations: chance alone fails this once in 10^9 runs.
    for (const count of ones) expect(Math.abs(count - draws / 2)).toBeLessThan(7 * Math.sqrt(draws / 4))
  })
})
