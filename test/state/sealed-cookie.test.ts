import { createCipheriv } from 'node:crypto'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { type CookieJar, cookieJar, open, peekIssuedAt, seal } from '../../src/state/sealed-cookie'
import { cpuMs } from '../support/clock'
import { Cookies, keyRing } from './messages'

const OLD = 'o'.repeat(32)
const NEW = 'n'.repeat(32)
const KEYS = keyRing('transaction', [NEW])
const NAME = '__Host-bitbucket.t0'
const PAYLOAD = { handle: 'h', returnTo: '/ünïcode?"quoted"', list: [1, null, { deep: true }] }
const bytesOf = (sealed: string) => Buffer.from(sealed, 'base64url')

describe('seal and open', () => {
  test('return what was sealed, with the time of sealing', () => {
    const before = Date.now()
    const opened = open(KEYS, NAME, seal(KEYS, NAME, PAYLOAD))
    expect(opened?.payload).toEqual(PAYLOAD)
    expect(opened?.issuedAt).toBeGreaterThanOrEqual(before)
    expect(opened?.issuedAt).toBeLessThanOrEqual(Date.now() + 1000)
  })

  test('produce a value that fits a cookie and shows nothing of its content', () => {
    const sealed = seal(KEYS, NAME, { handle: 'visible-handle' })
    expect(sealed).toMatch(/^[\w-]+$/)
    expect(bytesOf(sealed).includes('visible')).toBe(false)
    expect(bytesOf(sealed).includes('handle')).toBe(false)
  })

  test('produce a different value each time', () => {
    const all = Array.from({ length: 1000 }, () => seal(KEYS, NAME, PAYLOAD))
    expect(new Set(all.map((sealed) => bytesOf(sealed).subarray(11, 23).toString('hex'))).size).toBe(1000)
  })

  test('refuse a flip of any bit of any byte', () => {
    const sealed = bytesOf(seal(KEYS, NAME, PAYLOAD))
    for (let index = 0; index < sealed.length; index++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(sealed)
        flipped.writeUInt8((sealed[index] ?? 0) ^ (1 << bit), index)
        expect({ index, bit, opened: open(KEYS, NAME, flipped.toString('base64url')) }).toEqual({
          index,
          bit,
          opened: undefined,
        })
      }
    }
    expect(open(KEYS, NAME, sealed.toString('base64url'))).toBeDefined()
  })

  test('refuse every truncation at either end and every extension', () => {
    const sealed = bytesOf(seal(KEYS, NAME, PAYLOAD))
    for (let length = 0; length < sealed.length; length++) {
      expect(open(KEYS, NAME, sealed.subarray(0, length).toString('base64url'))).toBeUndefined()
      expect(open(KEYS, NAME, sealed.subarray(sealed.length - length).toString('base64url'))).toBeUndefined()
    }
    for (const extra of [Buffer.alloc(1), Buffer.alloc(16), sealed]) {
      expect(open(KEYS, NAME, Buffer.concat([sealed, extra]).toString('base64url'))).toBeUndefined()
      expect(open(KEYS, NAME, Buffer.concat([extra, sealed]).toString('base64url'))).toBeUndefined()
    }
  })

  test('refuse two values spliced at any byte', () => {
    const a = bytesOf(seal(KEYS, NAME, { user: 'a' }))
    const b = bytesOf(seal(KEYS, NAME, { user: 'b' }))
    expect(a).toHaveLength(b.length)
    for (let cut = 1; cut < a.length; cut++) {
      const spliced = Buffer.concat([a.subarray(0, cut), b.subarray(cut)])
      // The first bytes, version and key, are the same in both.
      if (spliced.equals(a) || spliced.equals(b)) continue
      expect(open(KEYS, NAME, spliced.toString('base64url'))).toBeUndefined()
    }
  })

  test('refuse a changed time of sealing', () => {
    const sealed = bytesOf(seal(KEYS, NAME, PAYLOAD))
    sealed.writeUIntBE(Date.now() + 3_600_000, 5, 6)
    expect(peekIssuedAt(sealed.toString('base64url'))).toBeGreaterThan(Date.now() + 3_000_000)
    expect(open(KEYS, NAME, sealed.toString('base64url'))).toBeUndefined()
  })

  test('refuse a value moved to another cookie', () => {
    const sealed = seal(KEYS, NAME, PAYLOAD)
    for (const name of ['__Host-bitbucket.t1', '__Host-bitbucket.p', 'bitbucket.t0', '__Host-other.t0', '']) {
      expect(open(KEYS, name, sealed)).toBeUndefined()
    }
  })

  test('refuse a value made for another purpose, plugin or secret', () => {
    const sealed = seal(KEYS, NAME, PAYLOAD)
    expect(open(keyRing('pending', [NEW]), NAME, sealed)).toBeUndefined()
    expect(open(keyRing('transaction', [NEW], 'other'), NAME, sealed)).toBeUndefined()
    expect(open(keyRing('transaction', [OLD]), NAME, sealed)).toBeUndefined()
  })

  test("open nothing with a key's public name alone", () => {
    const sealed = bytesOf(seal(keyRing('transaction', [OLD]), NAME, PAYLOAD))
    KEYS[0].id.copy(sealed, 1)
    expect(open(KEYS, NAME, sealed.toString('base64url'))).toBeUndefined()
  })

  test('refuse a genuine value of another version', () => {
    const { id, key } = KEYS[0]
    const sealedAs = (version: number) => {
      const head = Buffer.alloc(11)
      head.writeUInt8(version)
      id.copy(head, 1)
      const iv = Buffer.alloc(12, 1)
      const cipher = createCipheriv('aes-256-gcm', key, iv)
      cipher.setAAD(Buffer.concat([Buffer.from(NAME), head]))
      const body = Buffer.concat([cipher.update(JSON.stringify(PAYLOAD)), cipher.final()])
      return Buffer.concat([head, iv, body, cipher.getAuthTag()]).toString('base64url')
    }
    const [version = 0] = bytesOf(seal(KEYS, NAME, PAYLOAD))
    expect(open(KEYS, NAME, sealedAs(version))?.payload).toEqual(PAYLOAD)
    expect(open(KEYS, NAME, sealedAs(version - 1))).toBeUndefined()
    expect(open(KEYS, NAME, sealedAs(version + 1))).toBeUndefined()
  })

  test('open old values after a rotation until the old secret is removed', () => {
    const before = seal(keyRing('transaction', [OLD]), NAME, PAYLOAD)
    const appended = keyRing('transaction', [OLD, NEW])
    const moved = keyRing('transaction', [NEW, OLD])
    for (const keys of [appended, moved]) expect(open(keys, NAME, before)?.payload).toEqual(PAYLOAD)
    // A process that has the new one in front is understood by one that has only appended it.
    expect(open(appended, NAME, seal(moved, NAME, PAYLOAD))?.payload).toEqual(PAYLOAD)
    expect(open(KEYS, NAME, seal(moved, NAME, PAYLOAD))?.payload).toEqual(PAYLOAD)
    expect(open(KEYS, NAME, before)).toBeUndefined()
  })

  test.each([
    '',
    'x',
    '.',
    'A'.repeat(52),
    'A'.repeat(4096),
    'é'.repeat(100),
    '\u0000',
    '__proto__',
    'null',
    '{"payload":{}}',
  ])('refuse %j', (value) => {
    expect(open(KEYS, NAME, value)).toBeUndefined()
  })

  test('refuses more than 4 kB before reading them', () => {
    const sealed = seal(KEYS, NAME, 'x'.repeat(3100))
    expect(sealed.length).toBeGreaterThan(4096)
    expect(open(KEYS, NAME, sealed)).toBeUndefined()
    const longest = seal(KEYS, NAME, 'x'.repeat(3031))
    expect(longest).toHaveLength(4096)
    expect(open(KEYS, NAME, longest)).toBeDefined()
    const long = 'A'.repeat(1_000_000)
    const openOften = () => {
      for (let round = 0; round < 100; round++) open(KEYS, NAME, long)
    }
    expect(cpuMs(openOften)).toBeLessThan(500)
  })

  test('pollute nothing with a __proto__ in the payload', () => {
    const payload = JSON.parse('{"__proto__":{"admin":true},"handle":"h"}')
    const opened = open(KEYS, NAME, seal(KEYS, NAME, payload))?.payload as Record<string, unknown>
    expect(opened.admin).toBeUndefined()
    expect(({} as Record<string, unknown>).admin).toBeUndefined()
  })
})

describe('peekIssuedAt', () => {
  test('reads the time of sealing without a key', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: new Date('2030-01-01') })
    try {
      for (const sealed of [seal(KEYS, NAME, {}), seal(KEYS, NAME, {}).slice(0, 15)])
        expect(peekIssuedAt(sealed)).toBe(new Date('2030-01-01').getTime())
    } finally {
      vi.useRealTimers()
    }
  })

  test.each(['', 'x', 'AAAA', '\u0000'])('treats %j as the oldest', (value) => {
    expect(peekIssuedAt(value)).toBe(0)
  })
})

describe('the cookie jar', () => {
  // Not while tests are collected: mutation testing switches a mutant on for a test.
  let secure: CookieJar
  let plain: CookieJar
  beforeEach(() => {
    secure = cookieJar('bitbucket', true)
    plain = cookieJar('bitbucket', false)
  })

  test('uses the __Host- prefix and the strictest attributes on https', () => {
    const cookies = new Cookies()
    secure.set(cookies.req(), cookies.res, 't0', 'value', 600_000)
    expect(cookies.lines).toEqual(['__Host-bitbucket.t0=value; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600'])
  })

  test('uses neither Secure nor the prefix on http', () => {
    const cookies = new Cookies()
    plain.set(cookies.req(), cookies.res, 't0', 'value', 1999)
    expect(cookies.lines).toEqual(['bitbucket.t0=value; Path=/; HttpOnly; SameSite=Lax; Max-Age=1'])
  })

  test('clears a cookie with the attributes it was set with', () => {
    const cookies = new Cookies()
    secure.clear(cookies.res, 't0')
    expect(cookies.lines).toEqual(['__Host-bitbucket.t0=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0'])
  })

  test('reads every value under a name, so that a planted one shows', () => {
    const cookies = new Cookies()
    cookies.values.set('__Host-bitbucket.t0', 'genuine')
    expect(secure.read(cookies.req(), 't0')).toEqual(['genuine'])
    expect(secure.read(cookies.req({ before: '__Host-bitbucket.t0=planted' }), 't0')).toEqual(['planted', 'genuine'])
    expect(secure.read(cookies.req({ after: '__Host-bitbucket.t0=' }), 't0')).toEqual(['genuine', ''])
  })

  test('ignores other cookies', () => {
    const req = new Cookies().req({
      after: 'sid=1; bitbucket.t0=plain; __Host-bitbucket2.t0=other; __host-bitbucket.t0=case; =x; __Host-bitbucket.t1',
    })
    expect(secure.read(new Cookies().req({ after: '__Host-bitbucket.t00=longer' }), 't0')).toEqual([])
    expect(secure.read(req, 't0')).toEqual([])
    expect([...secure.all(req).keys()]).toEqual([])
    expect(plain.read(req, 't0')).toEqual(['plain'])
  })

  test('reads nothing from a request without cookies', () => {
    expect(secure.read(new Cookies().req(), 't0')).toEqual([])
    expect(secure.all(new Cookies().req()).size).toBe(0)
  })

  test('treats invalid suffixes as names', () => {
    const req = new Cookies().req({ after: '__Host-bitbucket.__proto__=x; __Host-bitbucket.constructor=y' })
    expect([...secure.all(req)]).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ])
  })

  test('counts the first of a doubled cookie for the total', () => {
    const req = new Cookies().req({ after: '__Host-bitbucket.t0=first; __Host-bitbucket.t0=second' })
    expect(secure.all(req).get('t0')).toBe('first')
  })

  test('keeps all our cookies within 4 kB by dropping the oldest, never the one being set', () => {
    const cookies = new Cookies()
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    try {
      for (const suffix of ['t3', 't1', 't4', 't0', 't2']) {
        vi.setSystemTime(Date.now() + 1000)
        const sealed = seal(KEYS, secure.nameOf(suffix), 'x'.repeat(840))
        expect(sealed.length).toBeGreaterThan(1100)
        secure.set(cookies.req(), cookies.res, suffix, sealed, 600_000)
        expect(cookies.bytes).toBeLessThanOrEqual(4096)
      }
      expect([...cookies.values.keys()].map((name) => name.slice(-2))).toEqual(['t4', 't0', 't2'])
      secure.set(cookies.req(), cookies.res, 'p', seal(KEYS, secure.nameOf('p'), 'x'.repeat(2000)), 600_000)
      expect([...cookies.values.keys()].map((name) => name.slice(-2).replace('.', ''))).toEqual(['t2', 'p'])
      expect(cookies.bytes).toBeLessThanOrEqual(4096)
    } finally {
      vi.useRealTimers()
    }
  })

  test('drops none at exactly 4 kB, and does not count the value that is replaced', () => {
    const cookies = new Cookies()
    cookies.values.set(secure.nameOf('t1'), 'A'.repeat(1096))
    cookies.values.set(secure.nameOf('t2'), 'A'.repeat(1000))
    for (const _again of [1, 2]) secure.set(cookies.req(), cookies.res, 't0', 'A'.repeat(2000), 600_000)
    expect([...cookies.values.keys()]).toEqual(['t1', 't2', 't0'].map(secure.nameOf))
    secure.set(cookies.req(), cookies.res, 't0', 'A'.repeat(3096), 600_000)
    expect([...cookies.values.keys()]).toEqual(['t2', 't0'].map(secure.nameOf))
    secure.set(cookies.req(), cookies.res, 't0', 'A'.repeat(3097), 600_000)
    expect([...cookies.values.keys()]).toEqual([secure.nameOf('t0')])
  })

  test('treats a cookie without a time as the oldest', () => {
    const cookies = new Cookies()
    cookies.values.set(secure.nameOf('t0'), seal(KEYS, secure.nameOf('t0'), 'x'.repeat(840)))
    cookies.values.set(secure.nameOf('t4'), 'A'.repeat(2500))
    secure.set(cookies.req(), cookies.res, 't1', seal(KEYS, secure.nameOf('t1'), 'x'.repeat(840)), 600_000)
    expect([...cookies.values.keys()]).toEqual([secure.nameOf('t0'), secure.nameOf('t1')])
  })

  test('leaves a cookie of the app alone whose name begins like ours', () => {
    const cookies = new Cookies()
    for (const suffix of ['prefs', 't10', 'p2']) cookies.values.set(secure.nameOf(suffix), 'A'.repeat(2500))
    secure.set(cookies.req(), cookies.res, 't1', seal(KEYS, secure.nameOf('t1'), 'x'.repeat(840)), 600_000)
    expect([...cookies.values.keys()]).toEqual(['prefs', 't10', 'p2', 't1'].map(secure.nameOf))
  })
})
