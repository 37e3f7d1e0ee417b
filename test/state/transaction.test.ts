import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { cookieJar, open } from '../../src/state/sealed-cookie'

import {
  type Bound,
  createTransactions,
  type ParsedState,
  type Start,
  type TransactionKeys,
  type Transactions,
} from '../../src/state/transaction'
import { Cookies, keyRing, limits, timesTrue } from './messages'

const JAR = cookieJar('bitbucket', true)
const MINUTE = 60_000
const START: Start = {
  intent: 'sign-in',
  returnTo: '/dash',
  login: null,
}
const BOUND: Bound = { context: 'c'.repeat(22), origin: null }
const keysOf = (secrets?: string[], name?: string): TransactionKeys => ({
  seal: keyRing('transaction', secrets, name),
  verifier: keyRing('verifier', secrets, name),
  state: keyRing('state', secrets, name),
})

let transactions: Transactions
beforeEach(() => {
  transactions = createTransactions(keysOf(), limits())
})
afterEach(() => {
  vi.useRealTimers()
})

const begin = (cookies: Cookies, start: Partial<Start> = {}, bound = BOUND) =>
  transactions.begin(cookies.req(), cookies.res, JAR, { ...START, ...start }, bound, null).state
/** The name that a state chooses, without the prefix. */
const nameOf = (state: string) => `t${(Buffer.from(state, 'base64url').readUInt8() % 16).toString(16)}`
const parse = (state: string) => transactions.parseState(state) as ParsedState
const find = (cookies: Cookies, state: string) => transactions.find(cookies.req(), JAR, parse(state))
const slotsOf = (cookies: Cookies) => [...cookies.values.keys()].map((name) => name.replace('__Host-bitbucket.', ''))

describe('a started sign-in', () => {
  test('is found again by its state, whole and unexpired', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    expect(state).toMatch(/^[\w-]{22}$/)
    expect(find(cookies, state)).toStrictEqual({
      transaction: { ...START, ...BOUND, handle: state, codeVerifier: expect.stringMatching(/^[\w-]{43}$/) },
      expired: false,
    })
  })

  test('lives in one cookie for ten minutes', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    expect(cookies.lines).toHaveLength(1)
    expect(cookies.lines[0]).toMatch(
      new RegExp(`^__Host-bitbucket\\.${nameOf(state)}=[\\w-]+; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600$`),
    )
  })

  test('shows neither handle nor verifier nor path in its cookie', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const raw = Buffer.from([...cookies.values.values()][0] ?? '', 'base64url')
    const verifier = find(cookies, state)?.transaction.codeVerifier ?? ''
    for (const part of [state, verifier, '/dash']) expect(raw.includes(part)).toBe(false)
  })

  test('has a different handle in each of 10,000, none made of another value', () => {
    const handles = new Set<string>()
    for (let count = 0; count < 10_000; count++) handles.add(begin(new Cookies()))
    expect(handles.size).toBe(10_000)
    expect(new Set([...handles].map((handle) => handle.slice(0, 8))).size).toBeGreaterThan(9990)
  })

  test('is looked up without consuming anything', async () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    for (let look = 0; look < 3; look++) expect(find(cookies, state)).toBeDefined()
    const found = find(cookies, state)
    expect(found && (await transactions.take(cookies.res, JAR, found.transaction.handle))).toBe(true)
  })

  test('drops a long return URL before the cookie grows too long', () => {
    const fits = new Cookies()
    const fitting = begin(fits, { returnTo: `/${'a'.repeat(511)}` })
    expect(find(fits, fitting)?.transaction.returnTo).toHaveLength(512)
    const long = new Cookies()
    const rest: Partial<Start> = { intent: 'link', login: 'l', data: { invite: 1 } }
    const state = begin(long, { ...rest, returnTo: `/${'"'.repeat(511)}` })
    expect(find(long, state)?.transaction).toMatchObject({ ...rest, returnTo: null })
    for (const { bytes } of [fits, long]) expect(bytes).toBeLessThanOrEqual(860)
  })
})

describe('several open sign-ins', () => {
  test('use five names and do not disturb each other', () => {
    const cookies = new Cookies()
    const states = Array.from({ length: 5 }, () => begin(cookies))
    expect(slotsOf(cookies).sort()).toEqual(states.map(nameOf).sort())
    expect(new Set(slotsOf(cookies)).size).toBe(5)
    for (const state of states) expect(find(cookies, state)?.transaction.handle).toBe(state)
  })

  test('lose the oldest at the sixth, whichever name it has', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const cookies = new Cookies()
    const states: string[] = []
    for (let tab = 0; tab < 40; tab++) {
      vi.setSystemTime(Date.now() + 1000)
      states.push(begin(cookies))
      const found = states.filter((state) => find(cookies, state))
      expect(found).toEqual(states.slice(-5))
      expect(slotsOf(cookies)).toHaveLength(found.length)
    }
  })

  test('set or clear each name once in an answer', () => {
    const cookies = new Cookies()
    for (let tab = 0; tab < 200; tab++) {
      const before = cookies.lines.length
      begin(cookies)
      const names = cookies.lines.slice(before).map((line) => line.slice(0, line.indexOf('=')))
      expect(new Set(names).size).toBe(names.length)
    }
  })

  test('free a name after ten minutes', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const cookies = new Cookies()
    for (let old = 0; old < 3; old++) begin(cookies)
    vi.setSystemTime(Date.now() + 6 * MINUTE)
    const younger = Array.from({ length: 2 }, () => begin(cookies))
    vi.setSystemTime(Date.now() + 4 * MINUTE + 1)
    const more = Array.from({ length: 3 }, () => begin(cookies))
    for (const state of [...younger, ...more]) expect(find(cookies, state)).toBeDefined()
    // What is over counts no longer: nothing has to make room.
    vi.setSystemTime(Date.now() + 11 * MINUTE)
    for (let round = 0; round < 5; round++) {
      const later = cookies.copy()
      begin(later)
      expect(later.lines).toHaveLength(1)
    }
  })

  test('use sixteen names evenly', () => {
    const counts = new Map<string, number>()
    for (let round = 0; round < 3200; round++) {
      const name = nameOf(begin(new Cookies()))
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    expect(counts.size).toBe(16)
    for (const count of counts.values()) expect(count).toBeGreaterThan(100)
  })

  // Five taken names leave twelve: 1 of 12 pairs meets, and more than 30 of 100 would be no accident (p < 1e-9).
  test.each([0, 3, 5])('case 15: rarely meet when two start concurrently, with %i open before', (count) => {
    let met = 0
    for (let pair = 0; pair < 100; pair++) {
      const before = new Cookies()
      for (let tab = 0; tab < count; tab++) begin(before)
      const [one = '', other = ''] = [begin(before.copy()), begin(before.copy())]
      if (nameOf(one) === nameOf(other)) met++
    }
    expect(met).toBeLessThan(30)
  })

  test('stay within 4 kB with the longest return URLs, the newest included', () => {
    const cookies = new Cookies()
    for (let tab = 0; tab < 20; tab++) {
      const state = begin(cookies, { returnTo: `/${'a'.repeat(511)}`, login: 'l'.repeat(43) })
      expect(cookies.bytes).toBeLessThanOrEqual(4096)
      expect(find(cookies, state)).toBeDefined()
    }
  })
})

describe('a lookup does not find', () => {
  test("another browser's sign-in", () => {
    const victim = new Cookies()
    begin(victim)
    expect(find(victim, begin(new Cookies()))).toBeUndefined()
    expect(find(new Cookies(), begin(victim))).toBeUndefined()
  })

  test('a cookie that is there twice, in either order', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const name = JAR.nameOf(nameOf(state))
    const planted = new Cookies()
    begin(planted)
    const value = [...planted.values.values()][0]
    for (const req of [
      cookies.req({ before: `${name}=${value}` }),
      cookies.req({ after: `${name}=${value}` }),
      cookies.req({ before: `${name}=` }),
      cookies.req({ after: `${name}=${cookies.values.get(name)}` }),
    ]) {
      expect(transactions.find(req, JAR, parse(state))).toBeUndefined()
    }
    expect(find(cookies, state)).toBeDefined()
  })

  test('another handle, also one that chooses the same name', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    begin(cookies)
    for (const other of [
      `${state.slice(0, 2)}${'A'.repeat(20)}`,
      'A'.repeat(22),
      state.slice(0, -1) + (state.endsWith('A') ? 'B' : 'A'),
      state.slice(0, 2) + state.slice(2).toUpperCase(),
    ]) {
      expect(find(cookies, other)).toBeUndefined()
    }
    expect(find(cookies, state)).toBeDefined()
  })

  test('a cookie moved to another name', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    let other = begin(new Cookies())
    while (nameOf(other) === nameOf(state)) other = begin(new Cookies())
    const moved = new Cookies()
    moved.values.set(JAR.nameOf(nameOf(other)), cookies.values.get(JAR.nameOf(nameOf(state))) ?? '')
    expect(find(moved, other)).toBeUndefined()
    expect(find(moved, state)).toBeUndefined()
  })

  test('a sign-in of another plugin in this process', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const other = createTransactions(keysOf(undefined, 'other'), limits())
    expect(other.find(cookies.req(), JAR, parse(state))).toBeUndefined()
    expect(other.find(cookies.req(), cookieJar('other', true), parse(state))).toBeUndefined()
  })

  test('a sign-in after ten minutes, except as expired', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const cookies = new Cookies()
    const state = begin(cookies)
    vi.setSystemTime(Date.now() + 10 * MINUTE)
    expect(find(cookies, state)?.expired).toBe(false)
    vi.setSystemTime(Date.now() + 1)
    expect(find(cookies, state)?.expired).toBe(true)
  })

  test('a sign-in from the future, except as expired', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() + 60 * MINUTE })
    const cookies = new Cookies()
    const state = begin(cookies)
    vi.useRealTimers()
    expect(find(cookies, state)?.expired).toBe(true)
  })
})

describe('take', () => {
  test('succeeds for exactly one of 50 concurrent calls, and clears the cookie', async () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const found = find(cookies, state)
    if (!found) throw new Error('not found')
    expect(await timesTrue(() => transactions.take(cookies.res, JAR, found.transaction.handle))).toBe(1)
    expect(slotsOf(cookies)).toEqual([])
    expect(cookies.lines).toHaveLength(2)
  })

  test('is final for a browser restored from a backup', async () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const backup = cookies.copy()
    const found = find(cookies, state)
    expect(found && (await transactions.take(cookies.res, JAR, found.transaction.handle))).toBe(true)
    const again = find(backup, state)
    expect(again).toBeDefined()
    expect(again && (await transactions.take(backup.res, JAR, again.transaction.handle))).toBe(false)
  })

  test('leaves the other tabs alone', async () => {
    const cookies = new Cookies()
    const [first = '', second = ''] = [begin(cookies), begin(cookies)]
    const found = find(cookies, first)
    if (found) await transactions.take(cookies.res, JAR, found.transaction.handle)
    expect(find(cookies, second)).toBeDefined()
  })
})

describe('forget', () => {
  test('consumes every sign-in of this browser and clears the cookies', async () => {
    const cookies = new Cookies()
    const states = Array.from({ length: 5 }, () => begin(cookies))
    const backup = cookies.copy()
    cookies.values.set(JAR.nameOf('p'), 'a pending sign-in')
    await transactions.forget(cookies.req(), cookies.res, JAR)
    expect(slotsOf(cookies)).toEqual(['p'])
    for (const state of states) {
      const found = find(backup, state)
      expect(found && (await transactions.take(backup.res, JAR, found.transaction.handle))).toBe(false)
    }
  })

  test('clears unreadable cookies without asking a counter about them or about expired ones', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const counters = limits()
    const consume = vi.spyOn(counters, 'consume')
    const counted = createTransactions(keysOf(), counters)
    const cookies = new Cookies()
    cookies.values.set(JAR.nameOf('t4'), 'junk')
    counted.begin(cookies.req(), cookies.res, JAR, START, BOUND, null)
    vi.setSystemTime(Date.now() + 11 * MINUTE)
    await counted.forget(cookies.req(), cookies.res, JAR)
    expect(slotsOf(cookies)).toEqual([])
    expect(consume).not.toHaveBeenCalled()
  })
})

describe('the code verifier', () => {
  const verifierIn = (of: Transactions, cookies: Cookies, state: string) =>
    of.find(cookies.req(), JAR, parse(state))?.transaction.codeVerifier
  const [OLD, NEW] = ['o'.repeat(32), 'n'.repeat(32)]

  test('matches the challenge sent to Bitbucket, also after a newer secret was added', () => {
    const cookies = new Cookies()
    const before = createTransactions(keysOf([OLD]), limits())
    const { state, codeChallenge } = before.begin(cookies.req(), cookies.res, JAR, START, BOUND, null)
    for (const each of [before, createTransactions(keysOf([NEW, OLD]), limits())]) {
      const verifier = verifierIn(each, cookies, state) ?? ''
      expect(hash('sha256', verifier, 'base64url')).toBe(codeChallenge)
    }
  })

  test('differs for each handle, and needs the secret', () => {
    const cookies = new Cookies()
    const [one, other] = [begin(cookies), begin(cookies)]
    expect(verifierIn(transactions, cookies, one)).not.toBe(verifierIn(transactions, cookies, other))
    const mixed = createTransactions({ ...keysOf(), verifier: keyRing('verifier', [NEW]) }, limits())
    expect(verifierIn(mixed, cookies, one)).not.toBe(verifierIn(transactions, cookies, one))
  })
})

describe('the cookie of a started sign-in', () => {
  test('returns everything that it was given', () => {
    const cookies = new Cookies()
    const bound: Bound = { context: 'd'.repeat(22), origin: 'https://two.example' }
    const start: Start = {
      intent: 'link',
      returnTo: '/x?y',
      login: 'l',
      data: { invite: 'ä', list: [1, null] },
      after: { how: 'signed_up', identity: { issuer: 'https://bitbucket.org', id: '{a}' } },
    }
    const state = begin(cookies, start, bound)
    expect(find(cookies, state)?.transaction).toMatchObject({ ...start, ...bound })
  })

  test('holds nothing for what is as usual', () => {
    const cookies = new Cookies()
    const name = JAR.nameOf(nameOf(begin(cookies, { returnTo: null })))
    const payload = open(keyRing('transaction'), name, cookies.values.get(name) ?? '')?.payload
    expect(Object.keys(payload ?? {})).toEqual(['h', 'c'])
  })
})

describe('a state that names where it started', () => {
  const POINT = { origin: 'https://two.example', tenant: 'acmé', application: null }
  const beginElsewhere = (cookies: Cookies, point = POINT) =>
    transactions.begin(cookies.req(), cookies.res, JAR, START, { ...BOUND, origin: point.origin }, point).state

  test('is accepted by any process with the key', () => {
    const state = beginElsewhere(new Cookies())
    const elsewhere = createTransactions(keysOf(), limits())
    expect(elsewhere.parseState(state)).toEqual({ handle: state.slice(0, 22), from: POINT })
  })

  test('fits what the callback reads with the longest host and keys', () => {
    const point = {
      origin: `https://${`${'a'.repeat(63)}.`.repeat(3)}${'b'.repeat(59)}:65535`,
      tenant: 't'.repeat(128),
      application: 'p'.repeat(128),
    }
    const state = beginElsewhere(new Cookies(), point as never)
    expect(state.length).toBeLessThanOrEqual(1024)
    expect(parse(state).from).toEqual(point)
  })

  test('is refused with any character changed', () => {
    const state = beginElsewhere(new Cookies())
    for (let position = 0; position < state.length - 1; position++) {
      for (const other of ['0', '1', 'A', 'B', '.']) {
        if (state[position] === other) continue
        const changed = state.slice(0, position) + other + state.slice(position + 1)
        expect({ changed, parsed: transactions.parseState(changed) }).toEqual({ changed, parsed: undefined })
      }
    }
  })

  test('is refused with a foreign origin, key or half', () => {
    const state = beginElsewhere(new Cookies())
    const [head = '', , mac = ''] = state.split('.')
    const evil = Buffer.from(JSON.stringify(['https://evil.example', null, null])).toString('base64url')
    expect(transactions.parseState(`${head}.${evil}.${mac}`)).toBeUndefined()
    const foreign = createTransactions({ ...keysOf(), state: keyRing('state', ['f'.repeat(32)]) }, limits())
    expect(foreign.parseState(state)).toBeUndefined()
    const [otherHead = ''] = beginElsewhere(new Cookies()).split('.')
    expect(transactions.parseState(state.replace(head, otherHead))).toBeUndefined()
  })

  test('finds the transaction by its first part alone, but names no origin', () => {
    const cookies = new Cookies()
    const [head = ''] = beginElsewhere(cookies).split('.')
    expect(parse(head).from).toBeNull()
    expect(find(cookies, head)?.transaction.origin).toBe('https://two.example')
  })
})

test.each([
  '',
  'A',
  'A'.repeat(21),
  'A'.repeat(23),
  ` ${'A'.repeat(22)}`,
  `${'A'.repeat(22)}\n`,
  `${'A'.repeat(22)}.`,
  `${'A'.repeat(22)}.AA`,
  `${'A'.repeat(22)}..${'A'.repeat(22)}`,
  `${'A'.repeat(21)}\u0000`,
  `${'A'.repeat(21)}０`,
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'A'.repeat(100_000),
])('is refused as %j', (state) => {
  expect(transactions.parseState(state)).toBeUndefined()
})
