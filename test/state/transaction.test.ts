import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { cookieJar } from '../../src/state/sealed-cookie'
import { createTransactions, type ParsedState, type Transaction, type Transactions } from '../../src/state/transaction'
import { Cookies, keyRing, limits, timesTrue } from './messages'

const JAR = cookieJar('bitbucket', true)
const MINUTE = 60_000
const START: Omit<Transaction, 'handle'> = {
  intent: 'sign-in',
  context: 'digest',
  origin: 'https://app.example',
  codeVerifier: 'v'.repeat(43),
  returnTo: '/dash',
  login: null,
}

let transactions: Transactions
beforeEach(() => {
  transactions = createTransactions(keyRing('transaction'), keyRing('state'), limits())
})
afterEach(() => {
  vi.useRealTimers()
})

const begin = (cookies: Cookies, start: Partial<Transaction> = {}) =>
  transactions.begin(cookies.req(), cookies.res, JAR, { ...START, ...start }, null)
const parse = (state: string) => transactions.parseState(state) as ParsedState
const find = (cookies: Cookies, state: string) => transactions.find(cookies.req(), JAR, parse(state))
const slotsOf = (cookies: Cookies) => [...cookies.values.keys()].map((name) => name.replace('__Host-bitbucket.', ''))

describe('a started sign-in', () => {
  test('is found again by its state, whole and unexpired', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    expect(state).toMatch(/^[0-4][\w-]{22}$/)
    expect(find(cookies, state)).toEqual({
      transaction: { ...START, handle: state.slice(1) },
      slot: Number(state[0]),
      expired: false,
    })
  })

  test('lives in one cookie for ten minutes', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    expect(cookies.lines).toHaveLength(1)
    expect(cookies.lines[0]).toMatch(
      new RegExp(`^__Host-bitbucket\\.t${state[0]}=[\\w-]+; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600$`),
    )
  })

  test('shows in its cookie neither handle nor verifier nor path', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const raw = Buffer.from([...cookies.values.values()][0] ?? '', 'base64url')
    for (const part of [state.slice(1), START.codeVerifier, '/dash']) expect(raw.includes(part)).toBe(false)
  })

  test('10,000 of them have different handles, and none is made of another value', () => {
    const handles = new Set<string>()
    for (let count = 0; count < 10_000; count++) handles.add(begin(new Cookies()).slice(1))
    expect(handles.size).toBe(10_000)
    expect(new Set([...handles].map((handle) => handle.slice(0, 8))).size).toBeGreaterThan(9990)
  })

  test('is looked for without using anything up', async () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    for (let look = 0; look < 3; look++) expect(find(cookies, state)).toBeDefined()
    const found = find(cookies, state)
    expect(found && (await transactions.take(cookies.res, JAR, found))).toBe(true)
  })

  test('a long way back is given up before the cookie grows too long', () => {
    const fits = new Cookies()
    const fitting = begin(fits, { returnTo: `/${'a'.repeat(511)}` })
    expect(find(fits, fitting)?.transaction.returnTo).toHaveLength(512)
    const long = new Cookies()
    const state = begin(long, { returnTo: `/${'"'.repeat(511)}` })
    expect(find(long, state)?.transaction.returnTo).toBeNull()
    for (const { bytes } of [fits, long]) expect(bytes).toBeLessThanOrEqual(1228)
  })
})

describe('several tabs', () => {
  test('five sign-ins take five slots and do not disturb each other', () => {
    const cookies = new Cookies()
    const states = Array.from({ length: 5 }, () => begin(cookies))
    expect(slotsOf(cookies).sort()).toEqual(['t0', 't1', 't2', 't3', 't4'])
    for (const state of states) expect(find(cookies, state)?.transaction.handle).toBe(state.slice(1))
  })

  test('a sixth takes the place of the oldest, whichever slot that has', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const cookies = new Cookies()
    const states = Array.from({ length: 5 }, () => {
      vi.setSystemTime(Date.now() + 1000)
      return begin(cookies)
    })
    vi.setSystemTime(Date.now() + 1000)
    const sixth = begin(cookies)
    expect(sixth[0]).toBe(states[0]?.[0])
    expect(find(cookies, states[0] ?? '')).toBeUndefined()
    for (const state of [...states.slice(1), sixth]) expect(find(cookies, state)).toBeDefined()
  })

  test('a slot whose ten minutes are over is free again', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const cookies = new Cookies()
    const old = begin(cookies)
    vi.setSystemTime(Date.now() + 6 * MINUTE)
    const younger = Array.from({ length: 4 }, () => begin(cookies))
    vi.setSystemTime(Date.now() + 4 * MINUTE + 1)
    expect(begin(cookies)[0]).toBe(old[0])
    for (const state of younger) expect(find(cookies, state)).toBeDefined()
  })

  test('two tabs opened at the same moment rarely meet: the free slot is drawn', () => {
    const counts = new Map<string, number>()
    for (let round = 0; round < 1000; round++) {
      const slot = begin(new Cookies())[0] ?? ''
      counts.set(slot, (counts.get(slot) ?? 0) + 1)
    }
    expect([...counts.keys()].sort()).toEqual(['0', '1', '2', '3', '4'])
    for (const count of counts.values()) expect(count).toBeGreaterThan(100)
  })

  test('with the longest ways back all together stay within 4 kB, the newest among them', () => {
    const cookies = new Cookies()
    for (let tab = 0; tab < 20; tab++) {
      const state = begin(cookies, { returnTo: `/${'a'.repeat(511)}`, login: 'l'.repeat(43) })
      expect(cookies.bytes).toBeLessThanOrEqual(4096)
      expect(find(cookies, state)).toBeDefined()
    }
  })
})

describe('what is not found', () => {
  test('another browser’s sign-in', () => {
    const victim = new Cookies()
    begin(victim)
    expect(find(victim, begin(new Cookies()))).toBeUndefined()
    expect(find(new Cookies(), begin(victim))).toBeUndefined()
  })

  test('a cookie that is there twice, in either order', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const name = JAR.nameOf(`t${state[0]}`)
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

  test('a state with another slot or another handle', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const other = begin(cookies)
    expect(find(cookies, `${other[0]}${state.slice(1)}`)).toBeUndefined()
    expect(find(cookies, `${state[0]}${'A'.repeat(22)}`)).toBeUndefined()
    const swapped = state.slice(0, -1) + (state.endsWith('A') ? 'B' : 'A')
    expect(find(cookies, swapped)).toBeUndefined()
    expect(find(cookies, state.slice(0, 1) + state.slice(1).toUpperCase())).toBeUndefined()
  })

  test('a cookie moved to another slot', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const moved = new Cookies()
    const slot = (Number(state[0]) + 1) % 5
    moved.values.set(JAR.nameOf(`t${slot}`), cookies.values.get(JAR.nameOf(`t${state[0]}`)) ?? '')
    expect(transactions.find(moved.req(), JAR, parse(`${slot}${state.slice(1)}`))).toBeUndefined()
  })

  test('a sign-in of another plugin in this process', () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const other = createTransactions(
      keyRing('transaction', undefined, 'other'),
      keyRing('state', undefined, 'other'),
      limits(),
    )
    expect(other.find(cookies.req(), JAR, parse(state))).toBeUndefined()
    expect(other.find(cookies.req(), cookieJar('other', true), parse(state))).toBeUndefined()
  })

  test('a sign-in after ten minutes is found as expired, so that the answer can say so', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const cookies = new Cookies()
    const state = begin(cookies)
    vi.setSystemTime(Date.now() + 10 * MINUTE)
    expect(find(cookies, state)?.expired).toBe(false)
    vi.setSystemTime(Date.now() + 1)
    expect(find(cookies, state)?.expired).toBe(true)
  })

  test('a sign-in from the future counts as expired', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() + 60 * MINUTE })
    const cookies = new Cookies()
    const state = begin(cookies)
    vi.useRealTimers()
    expect(find(cookies, state)?.expired).toBe(true)
  })
})

describe('take', () => {
  test('exactly one of 50 at once gets it, and the cookie goes', async () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const found = find(cookies, state)
    if (!found) throw new Error('not found')
    expect(await timesTrue(() => transactions.take(cookies.res, JAR, found))).toBe(1)
    expect(slotsOf(cookies)).toEqual([])
    expect(cookies.lines).toHaveLength(2)
  })

  test('a browser restored from a backup does not get it again', async () => {
    const cookies = new Cookies()
    const state = begin(cookies)
    const backup = cookies.copy()
    const found = find(cookies, state)
    expect(found && (await transactions.take(cookies.res, JAR, found))).toBe(true)
    const again = find(backup, state)
    expect(again).toBeDefined()
    expect(again && (await transactions.take(backup.res, JAR, again))).toBe(false)
  })

  test('the other tabs stay', async () => {
    const cookies = new Cookies()
    const [first = '', second = ''] = [begin(cookies), begin(cookies)]
    const found = find(cookies, first)
    if (found) await transactions.take(cookies.res, JAR, found)
    expect(find(cookies, second)).toBeDefined()
  })
})

describe('forget', () => {
  test('uses up every sign-in of this browser and clears the cookies', async () => {
    const cookies = new Cookies()
    const states = Array.from({ length: 5 }, () => begin(cookies))
    const backup = cookies.copy()
    await transactions.forget(cookies.req(), cookies.res, JAR)
    expect(slotsOf(cookies)).toEqual([])
    for (const state of states) {
      const found = find(backup, state)
      expect(found && (await transactions.take(backup.res, JAR, found))).toBe(false)
    }
  })

  test('clears what cannot be read, and asks no counter about it or about what has expired', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() })
    const counters = limits()
    const consume = vi.spyOn(counters, 'consume')
    const counted = createTransactions(keyRing('transaction'), keyRing('state'), counters)
    const cookies = new Cookies()
    cookies.values.set(JAR.nameOf('t4'), 'junk')
    counted.begin(cookies.req(), cookies.res, JAR, START, null)
    vi.setSystemTime(Date.now() + 11 * MINUTE)
    await counted.forget(cookies.req(), cookies.res, JAR)
    expect(slotsOf(cookies)).toEqual([])
    expect(consume).not.toHaveBeenCalled()
  })
})

describe('a state that names where it started', () => {
  const POINT = { origin: 'https://two.example', tenant: 'acmé', application: null }
  const beginElsewhere = (cookies: Cookies, point = POINT) =>
    transactions.begin(cookies.req(), cookies.res, JAR, { ...START, origin: point.origin }, point)

  test('is read back by any process that has the key', () => {
    const state = beginElsewhere(new Cookies())
    const elsewhere = createTransactions(keyRing('transaction'), keyRing('state'), limits())
    expect(elsewhere.parseState(state)).toEqual({ slot: Number(state[0]), handle: state.slice(1, 23), from: POINT })
  })

  test('fits the longest host and keys into what the callback reads', () => {
    const point = {
      origin: `https://${`${'a'.repeat(63)}.`.repeat(3)}${'b'.repeat(59)}:65535`,
      tenant: 't'.repeat(128),
      application: 'p'.repeat(128),
    }
    const state = beginElsewhere(new Cookies(), point as never)
    expect(state.length).toBeLessThanOrEqual(1024)
    expect(parse(state).from).toEqual(point)
  })

  test('with any character changed it is none of ours', () => {
    const state = beginElsewhere(new Cookies())
    for (let position = 0; position < state.length - 1; position++) {
      for (const other of ['0', '1', 'A', 'B', '.']) {
        if (state[position] === other) continue
        const changed = state.slice(0, position) + other + state.slice(position + 1)
        expect({ changed, parsed: transactions.parseState(changed) }).toEqual({ changed, parsed: undefined })
      }
    }
  })

  test('with a foreign origin, a foreign key or a foreign half it is none of ours', () => {
    const state = beginElsewhere(new Cookies())
    const [head = '', , mac = ''] = state.split('.')
    const evil = Buffer.from(JSON.stringify(['https://evil.example', null, null])).toString('base64url')
    expect(transactions.parseState(`${head}.${evil}.${mac}`)).toBeUndefined()
    const foreign = createTransactions(keyRing('transaction'), keyRing('state', ['f'.repeat(32)]), limits())
    expect(foreign.parseState(state)).toBeUndefined()
    const [otherHead = ''] = beginElsewhere(new Cookies()).split('.')
    expect(transactions.parseState(state.replace(head, otherHead))).toBeUndefined()
  })

  test('its first part alone finds the transaction, but names no origin', () => {
    const cookies = new Cookies()
    const [head = ''] = beginElsewhere(cookies).split('.')
    expect(parse(head).from).toBeNull()
    expect(find(cookies, head)?.transaction.origin).toBe('https://two.example')
  })
})

test.each([
  '',
  '0',
  '5AAAAAAAAAAAAAAAAAAAAAA',
  '-AAAAAAAAAAAAAAAAAAAAAA',
  '0AAAAAAAAAAAAAAAAAAAAA',
  '0AAAAAAAAAAAAAAAAAAAAAAA',
  ' 0AAAAAAAAAAAAAAAAAAAAAA',
  '0AAAAAAAAAAAAAAAAAAAAAA\n',
  '0AAAAAAAAAAAAAAAAAAAAAA.',
  '0AAAAAAAAAAAAAAAAAAAAAA.AA',
  '0AAAAAAAAAAAAAAAAAAAAAA..AAAAAAAAAAAAAAAAAAAAAA',
  '0AAAAAAAAAAAAAAAAAAAAA\u0000',
  '０AAAAAAAAAAAAAAAAAAAAAA',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'A'.repeat(100_000),
])('%j is no state', (state) => {
  expect(transactions.parseState(state)).toBeUndefined()
})
