import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type HandOver, openHandOver, sealHandOver } from '../../src/state/hand-over'
import { seal } from '../../src/state/sealed-cookie'
import { keyRing } from './messages'

const KEYS = keyRing('hand-over')
const HAND_OVER: HandOver = {
  state: '0AAAAAAAAAAAAAAAAAAAAAA',
  origin: 'https://two.example',
  server: 'https://bitbucket.org',
  code: 'c0de',
  error: null,
}
const open = (sealed: string, origin = HAND_OVER.origin) => openHandOver(KEYS, sealed, origin)

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
})
afterEach(() => {
  vi.useRealTimers()
})

describe('a hand-over', () => {
  test('opens at the origin it was made for', () => {
    expect(open(sealHandOver(KEYS, HAND_OVER))).toEqual(HAND_OVER)
  })

  test('hides the code', () => {
    const sealed = sealHandOver(KEYS, HAND_OVER)
    expect(sealed).not.toContain('c0de')
    expect(Buffer.from(sealed, 'base64url').includes('c0de')).toBe(false)
  })

  test.each([
    'https://app.example',
    'https://two.example:444',
    'http://two.example',
    'https://two.example.',
    'https://two.example/',
    'https://TWO.example',
    '',
  ])('does not open at %j', (origin) => {
    expect(open(sealHandOver(KEYS, HAND_OVER), origin)).toBeUndefined()
  })

  test('lasts a minute, whatever the clock does', () => {
    const sealed = sealHandOver(KEYS, HAND_OVER)
    vi.advanceTimersByTime(60_000)
    expect(open(sealed)).toBeDefined()
    vi.advanceTimersByTime(1)
    expect(open(sealed)).toBeUndefined()
  })

  test('is refused from more than a minute in the future', () => {
    vi.setSystemTime(Date.now() + 60_001)
    const sealed = sealHandOver(KEYS, HAND_OVER)
    vi.setSystemTime(Date.now() - 60_001)
    expect(open(sealed)).toBeUndefined()
  })

  test('is refused from another plugin, with another secret and for another purpose', () => {
    for (const keys of [
      keyRing('hand-over', undefined, 'other'),
      keyRing('hand-over', ['f'.repeat(32)]),
      keyRing('transaction'),
      keyRing('state'),
    ]) {
      expect(open(sealHandOver(keys, HAND_OVER))).toBeUndefined()
    }
  })

  test('is refused if it was sealed under another name', () => {
    expect(open(seal(KEYS, '__Host-bitbucket.t0', HAND_OVER))).toBeUndefined()
  })

  test('is refused with any byte changed', () => {
    const bytes = Buffer.from(sealHandOver(KEYS, HAND_OVER), 'base64url')
    for (let index = 0; index < bytes.length; index++) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8((bytes[index] ?? 0) ^ 1, index)
      expect(open(changed.toString('base64url'))).toBeUndefined()
    }
  })

  test('fits what a callback reads with the longest code', () => {
    const sealed = sealHandOver(KEYS, { ...HAND_OVER, code: 'c'.repeat(2048) })
    expect(sealed.length).toBeLessThanOrEqual(4096)
    expect(open(sealed)?.code).toHaveLength(2048)
  })
})
