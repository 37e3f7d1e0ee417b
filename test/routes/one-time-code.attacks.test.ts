import { createHash } from 'node:crypto'
import { expect, vi } from 'vitest'
import { Secret } from '../../src/contract/secret'
import { hashCode, makeCode, matchesCode } from '../../src/state/email-code'
import { deriveKeys } from '../../src/state/keys'
import { type Answer, formsOf, TestBrowser } from '../support/browser'
import {
  browsers,
  codesOf,
  door,
  type Lab,
  MINUTE,
  ourCookies,
  SECOND,
  sessionOf,
  startLab,
  test,
  travel,
  until,
} from '../support/lab'

/** How often two values were compared in constant time. */
const comparisons = vi.hoisted(() => ({ count: 0 }))
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>()
  return {
    ...crypto,
    timingSafeEqual: (...values: Parameters<typeof crypto.timingSafeEqual>) => {
      comparisons.count++
      return crypto.timingSafeEqual(...values)
    },
  }
})

const UNTRUSTED = { connection: { trustedProvider: false } }
const WRONG = 'BBBB-BBBB'
const wallClock = Date.now.bind(Date)

test('OTP-01: refuses the right code after five wrong ones, until a new one is mailed', async ({
  untrusted: lab,
  victim,
}) => {
  const { code } = await lab.pendingCode(victim, 'alice')
  for (let guess = 0; guess < 5; guess++) {
    await lab.refused(victim, () => lab.verify(victim, WRONG), { code: 'code_wrong' })
  }
  await lab.refused(victim, () => lab.verify(victim, code), { code: 'code_exhausted' })
  travel(61 * SECOND)
  await lab.press(victim, '/email', '/email/code')
  await lab.refused(victim, () => lab.verify(victim, code))
  await lab.verify(victim, lab.mails[1]?.code ?? '')
  expect(await lab.me(victim)).toBe('u1')
})

test('OTP-01: compares at most five of many concurrent guesses', async ({ untrusted: lab, victim }) => {
  const { code } = await lab.pendingCode(victim, 'alice')
  const copies = Array.from({ length: 40 }, () => victim.copy())
  const [form] = formsOf((await lab.get(victim, '/email')).text)
  const answers = await Promise.all(
    copies.map((copy) => lab.post(copy, '/email/verify', { ...form?.fields, code: WRONG })),
  )
  expect(answers.filter((answer) => codesOf(answer).includes('code_wrong'))).toHaveLength(5)
  expect(answers.every(({ status }) => status === 400 || status === 429)).toBe(true)
  await lab.refused(victim, () => lab.verify(victim, code), { code: 'code_exhausted' })
})

test('OTP-01: limits the wrong codes of one identity across sign-ins and browsers', async ({ untrusted: lab }) => {
  let wrong = 0
  for (let round = 0; round < 8; round++) {
    travel(round * 20 * MINUTE)
    const browser = new TestBrowser()
    const before = lab.mails.length
    await lab.signIn(browser, 'alice')
    expect(lab.mails.length).toBe(before + 1)
    for (let guess = 0; guess < 4; guess++) {
      const answer = await lab.verify(browser, WRONG)
      if (codesOf(answer).includes('code_wrong')) wrong++
    }
  }
  // Thirty a day, and not 32.
  expect(wrong).toBe(30)
})

test('OTP-04: accepts a code once, in one browser', async ({ untrusted: lab, victim }) => {
  const { code } = await lab.pendingCode(victim, 'alice')
  const past = victim.copy()
  const [form] = formsOf((await lab.get(victim, '/email')).text)
  const fields = { ...form?.fields, code }
  const pair = await Promise.all([
    lab.post(victim, '/email/verify', fields),
    lab.post(past, '/email/verify', fields),
    lab.post(past.copy(), '/email/verify', fields),
  ])
  expect(pair.filter(({ status }) => status === 303)).toHaveLength(1)
  expect(lab.accounts.users.size).toBe(1)
  expect(lab.signedIn()).toEqual(['u1'])
  const later = past.copy()
  await lab.refused(later, () => lab.post(later, '/email/verify', fields), { code: 'pending_replaced' })
})

test('OTP-04: accepts a code once, also while its sign-in is under way', async ({ untrusted: lab, victim }) => {
  const { code } = await lab.pendingCode(victim, 'alice')
  const copy = victim.copy()
  const [form] = formsOf((await lab.get(victim, '/email')).text)
  const fields = { ...form?.fields, code }
  const gate = door()
  let held = false
  lab.accounts.intercept = async (name) => {
    if (name !== 'createUser' || held) return
    held = true
    await gate.opened
  }
  const first = lab.post(victim, '/email/verify', fields)
  await until(() => held, 'the first sign-in to be under way')
  const second = await lab.post(copy, '/email/verify', fields)
  gate.open()
  expect([codesOf(second), (await first).status]).toEqual([['pending_replaced'], 303])
  expect([await lab.me(victim), await lab.me(copy), lab.signedIn()]).toEqual(['u1', null, ['u1']])
})

test('OTP-05: voids a code when a new one is mailed', async ({ untrusted: lab, victim }) => {
  const first = await lab.pendingCode(victim, 'alice')
  const past = victim.copy()
  travel(61 * SECOND)
  await lab.press(victim, '/email', '/email/code')
  expect(lab.mails).toHaveLength(2)
  await lab.refused(victim, () => lab.verify(victim, first.code), { code: 'code_wrong' })
  // The cookie from before the second mail still holds the first code's hash; its generation is over.
  await lab.refused(past, () => lab.verify(past, first.code), { code: 'pending_replaced' })
  await lab.verify(victim, lab.mails[1]?.code ?? '')
  expect(await lab.me(victim)).toBe('u1')
})

test("OTP-06: refuses a code of another browser's sign-in for the same address", async ({
  untrusted: lab,
  victim,
  attacker,
}) => {
  lab.fake.updatePerson('bob', { emails: [{ address: 'alice@example.com', primary: true, confirmed: false }] })
  const forVictim = await lab.pendingCode(victim, 'alice')
  const forAttacker = await lab.pendingCode(attacker, 'bob')
  expect(forAttacker.to).toBe(forVictim.to)
  await lab.refused(attacker, () => lab.verify(attacker, forVictim.code), { code: 'code_wrong' })
  const handle = formsOf((await lab.get(victim, '/email')).text)[0]?.fields.pending ?? ''
  await lab.refused(attacker, () => lab.post(attacker, '/email/verify', { pending: handle, code: forVictim.code }), {
    code: 'pending_replaced',
  })
  await lab.verify(victim, forVictim.code)
  expect(await lab.me(victim)).toBe('u1')
})

test('OTP-09: refuses a code that was mailed to another address', async ({ untrusted: lab, attacker }) => {
  lab.accounts.add({ email: 'victim@example.com', emailVerified: true })
  await lab.signIn(attacker, 'dave')
  await lab.press(attacker, '/email', '/email/address', { address: 'mine@example.com' })
  const own = lab.mails[0]?.code ?? ''
  await lab.press(attacker, '/email', '/email/address', { address: 'victim@example.com' })
  expect(lab.mails[1]?.to).toBe('victim@example.com')
  await lab.refused(attacker, () => lab.verify(attacker, own), { code: 'code_wrong' })
  travel(61 * SECOND)
  await lab.press(attacker, '/email', '/email/address', { address: 'mine@example.com' })
  await lab.refused(attacker, () => lab.verify(attacker, own), { code: 'code_wrong' })
  await lab.verify(attacker, lab.mails[2]?.code ?? '')
  expect(lab.accounts.users.get('u2')?.email).toBe('mine@example.com')
})

test('OTP-10: accepts a code for ten minutes, also after the clock was set back', async ({
  untrusted: lab,
  victim,
}) => {
  const first = await lab.pendingCode(victim, 'alice')
  travel(10 * MINUTE + SECOND)
  await lab.refused(victim, () => lab.verify(victim, first.code), { code: 'code_expired' })
  // The wall clock is back where it was, the monotonic one is not.
  vi.spyOn(Date, 'now').mockImplementation(wallClock)
  await lab.refused(victim, () => lab.verify(victim, first.code), { code: 'code_expired' })
  travel(0)
  const other = new TestBrowser()
  const second = await lab.pendingCode(other, 'carol')
  travel(10 * MINUTE - 2 * SECOND)
  await lab.verify(other, second.code)
  expect(await lab.me(other)).toBe('u1')
})

test('OTP-10: keeps a sign-in pending for half an hour, also after a new mail', async ({ untrusted: lab, victim }) => {
  await lab.pendingCode(victim, 'alice')
  travel(29 * MINUTE)
  await lab.press(victim, '/email', '/email/code')
  expect(lab.mails).toHaveLength(2)
  const fields = formsOf((await lab.get(victim, '/email')).text)[0]?.fields ?? {}
  const past = victim.copy()
  travel(30 * MINUTE + SECOND)
  const late = { ...fields, code: lab.mails[1]?.code ?? '' }
  await lab.refused(past, () => lab.post(past, '/email/verify', late), { code: 'pending_missing' })
  travel(30 * MINUTE - 2 * SECOND)
  await lab.post(victim, '/email/verify', late)
  expect(await lab.me(victim)).toBe('u1')
})

test('OTP-11: accepts the exact letters only, in whatever shape others are sent', async () => {
  for (const version of [4, 5] as const) {
    const lab = await startLab({ ...UNTRUSTED, express: version })
    const fullWidth = (code: string) =>
      [...code].map((letter) => String.fromCodePoint((letter.codePointAt(0) ?? 0) + 0xfee0)).join('')
    const bodies = (code: string): [string, string][] => [
      ['application/x-www-form-urlencoded', `code[]=${code}`],
      ['application/x-www-form-urlencoded', `code[$ne]=x`],
      ['application/x-www-form-urlencoded', `code=${code}&code=${code}`],
      ['application/x-www-form-urlencoded', `code=${encodeURIComponent(fullWidth(code))}`],
      ['application/x-www-form-urlencoded', `code=${code}%00`],
      ['application/x-www-form-urlencoded', `code=${code}${'%20'.repeat(80)}`],
      ['application/x-www-form-urlencoded', `Code=${code}`],
      ['application/json', JSON.stringify({ code: [code] })],
      ['application/json', JSON.stringify({ code: { toString: code } })],
      ['application/json', JSON.stringify({ code: 12345678 })],
      ['application/json', JSON.stringify({ __proto__: null, code: null })],
      ['application/json', `{"__proto__":{"code":"${code}"}}`],
      ['application/json', JSON.stringify([code])],
    ]
    for (const at of bodies('').keys()) {
      const browser = new TestBrowser()
      lab.fake.addPerson({ key: `odd${at}` })
      const { code } = await lab.pendingCode(browser, `odd${at}`)
      const [type, body] = bodies(code)[at] ?? ['', '']
      await lab.refused(browser, () =>
        lab.post(browser, '/email/verify', {}, { body, headers: { 'content-type': type } }),
      )
      // The control: as mailed, but as a person types it.
      await lab.verify(browser, ` ${code.toLowerCase().replace('-', ' ')} `)
      expect(await lab.me(browser)).not.toBeNull()
    }
    expect(lab.faults).toEqual([])
  }
})

test('OTP-12: accepts nothing when no code is pending', async ({ untrusted: lab, attacker }) => {
  for (const code of ['', 'undefined', 'null', '0']) {
    await lab.refused(attacker, () => lab.post(attacker, '/email/verify', { code }), { code: 'pending_missing' })
  }
  await lab.refused(attacker, () => lab.post(attacker, '/email/verify', {}, { body: '' }))
  // Pending, but no code was made: another attempt asked for one a moment ago.
  const mute = await startLab(UNTRUSTED)
  await mute.signIn(new TestBrowser(), 'alice')
  await mute.signIn(attacker, 'alice')
  for (const code of ['', 'undefined', 'null', WRONG]) {
    await mute.refused(attacker, () => mute.verify(attacker, code), { code: 'code_expired' })
  }
})

test('OTP-13: shows the code in the email only', async ({ untrusted: lab, victim }) => {
  const started = await lab.signIn(victim, 'alice')
  const page = await lab.get(victim, '/email')
  const { code = '' } = lab.mails[0] ?? {}
  const plain = code.replace('-', '')
  const cookies = [...ourCookies(victim, lab.url).values()].map((value) =>
    Buffer.from(value, 'base64url').toString('latin1'),
  )
  const seen = JSON.stringify([started, page, lab.events, lab.faults, cookies, [...victim.jar(lab.url)], lab.store])
  expect(seen).not.toContain(code)
  expect(seen).not.toContain(plain)
  const digests = ['hex', 'base64', 'base64url'] as const
  for (const each of [code, plain]) {
    for (const form of digests) expect(seen).not.toContain(createHash('sha256').update(each).digest(form))
  }
  await lab.verify(victim, code)
  expect(await lab.me(victim)).toBe('u1')
})

test('OTP-14: draws codes evenly from the whole alphabet', () => {
  const counts = new Map<string, number>()
  const seen = new Set<string>()
  const total = 50_000
  for (let each = 0; each < total; each++) {
    const code = makeCode()
    seen.add(code)
    for (const letter of code.replace('-', '')) counts.set(letter, (counts.get(letter) ?? 0) + 1)
  }
  expect(counts.size).toBe(20)
  expect([...seen].every((code) => /^[A-Z]{4}-[A-Z]{4}$/.test(code))).toBe(true)
  const expected = (total * 8) / 20
  const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  // 19 degrees of freedom: beyond 60 once in two million runs.
  expect(chiSquare).toBeLessThan(60)
  // 20^8 values: two of 50,000 meet with a chance of one in twenty; five do not.
  expect(total - seen.size).toBeLessThan(5)
})

test('OTP-15: limits the mails to one address, regardless of who asks and how often', async ({ untrusted: lab }) => {
  for (let person = 0; person < 12; person++) {
    lab.fake.addPerson({
      key: `p${person}`,
      emails: [{ address: 'victim@example.com', primary: true, confirmed: false }],
    })
    await lab.signIn(new TestBrowser(), `p${person}`)
  }
  expect(lab.mails.filter(({ to }) => to === 'victim@example.com')).toHaveLength(5)
  for (let hour = 1; hour < 6; hour++) {
    travel(hour * 61 * MINUTE)
    for (let person = 0; person < 4; person++) await lab.signIn(new TestBrowser(), `p${person}`)
  }
  // Beyond the address's ten, each identity that comes back in a later hour gets one a day, of two an hour for all.
  expect(lab.mails.filter(({ to }) => to === 'victim@example.com')).toHaveLength(14)
})

test('OTP-15: limits an identity to ten mails an hour for all addresses, with a pause between two to one', async ({
  untrusted: lab,
  browser,
}) => {
  await lab.signIn(browser, 'dave')
  for (let address = 0; address < 15; address++) {
    await lab.press(browser, '/email', '/email/address', { address: `typed${address}@example.com` })
  }
  expect(lab.mails).toHaveLength(10)
  const other = new TestBrowser()
  await lab.pendingCode(other, 'alice')
  for (let again = 0; again < 5; again++) await lab.press(other, '/email', '/email/code')
  expect(lab.mails).toHaveLength(11)
  travel(61 * SECOND)
  await lab.press(other, '/email', '/email/code')
  expect(lab.mails).toHaveLength(12)
})

test("OTP-15: counts attempts of strangers on a confirmed address separately from its owner's", async ({
  untrusted: lab,
}) => {
  for (let person = 0; person < 12; person++) {
    lab.fake.addPerson({
      key: `p${person}`,
      emails: [{ address: 'alice@example.com', primary: true, confirmed: false }],
    })
    await lab.signIn(new TestBrowser(), `p${person}`)
  }
  const owner = new TestBrowser()
  const { code } = await lab.pendingCode(owner, 'alice')
  await lab.verify(owner, code)
  expect(await lab.me(owner)).toBe('u1')
})

test('OTP-31: reserves a code for the owner of an address that strangers exhaust each hour', async ({
  untrusted: lab,
}) => {
  const claim = (key: string) =>
    lab.fake.addPerson({ key, emails: [{ address: 'victim@example.com', primary: true, confirmed: false }] })
  for (const key of ['s0', 's1', 's2', 's3', 's4', 'owner']) claim(key)
  let hour = 0
  const mailed = async (...people: string[]) => {
    const before = lab.mails.length
    for (const person of people) await lab.signIn(new TestBrowser(), person)
    return lab.mails.length - before
  }
  const next = () => travel(++hour * 61 * MINUTE)
  const strangers = ['s0', 's1', 's2', 's3', 's4'] as const
  expect(await mailed(...strangers)).toBe(5)
  next()
  expect(await mailed(...strangers)).toBe(5)
  next()
  expect(await mailed('s0', 's1', 's2')).toBe(0)
  next()
  // Three come back, and two get the reserve of this hour; none gets anything at the first visit.
  expect(await mailed('s0', 's1', 's2', 'owner')).toBe(2)
  for (let again = 0; again < 2; again++) {
    next()
    expect(await mailed('s0', 's1')).toBe(0)
    expect(await mailed('owner')).toBe(again === 0 ? 1 : 0)
  }
})

/** Everything of an answer that a stranger could compare. */
function visible({ status, headers, text }: Answer): string {
  const { date: _date, 'set-cookie': cookies = [], etag: _etag, ...rest } = headers
  const names = cookies.map((line) =>
    line
      .replace(/\.t[\da-f]=[^;]*/, '.t')
      .replace(/=[^;]*/, '')
      .replace(/Max-Age=1[78]\d\d/, 'Max-Age=1800'),
  )
  const page = text.replace(/value="[\w-]{22}"/g, 'value="handle"').replace(/<bdi>\d+<\/bdi> seconds/g, 'seconds')
  return JSON.stringify([status, rest, names, page])
}

async function walk(lab: Lab, person: string, wrongOnly = false): Promise<string[]> {
  const browser = new TestBrowser()
  const steps = [await lab.signIn(browser, person), await lab.get(browser, '/email')]
  steps.push(await lab.verify(browser, WRONG))
  steps.push(await lab.press(browser, '/email', '/email/code'))
  if (wrongOnly) for (let guess = 0; guess < 5; guess++) steps.push(await lab.verify(browser, WRONG))
  return steps.map(visible)
}

test('OTP-16: gives known, unknown, unverified, disabled and doubled addresses the same answers up to the code', async ({
  untrusted: lab,
}) => {
  const address = (key: string) => `x${key}@example.com`
  lab.accounts.add({ email: address('known'), emailVerified: true })
  lab.accounts.add({ email: address('squat'), emailVerified: false })
  lab.accounts.add({ email: address('gone'), emailVerified: true, disabled: true })
  for (let twice = 0; twice < 2; twice++) lab.accounts.add({ email: address('doubled'), emailVerified: true })
  const walks: string[][] = []
  for (const key of ['known', 'fresh', 'squat', 'gone', 'doubled']) {
    lab.fake.addPerson({
      key,
      username: 'same',
      nickname: 'same',
      displayName: 'Same',
      emails: [{ address: address(key), primary: true, confirmed: true }],
    })
    walks.push(await walk(lab, key, true))
  }
  for (const each of walks) expect(each.map((step, at) => step === walks[0]?.[at])).toEqual(each.map(() => true))
  expect(lab.accounts.count('getAccountsByEmail')).toBe(0)
  expect(lab.mails).toHaveLength(5)
})

test('OTP-17: does the same work for a known and an unknown address', async ({ untrusted: lab }) => {
  const work = async (key: string) => {
    lab.fake.addPerson({ key })
    lab.accounts.calls.length = 0
    lab.fake.clearRequests()
    await lab.pendingCode(new TestBrowser(), key)
    return [lab.accounts.calls.map(({ name }) => name), lab.fake.requests.map(({ endpoint }) => endpoint).sort()]
  }
  lab.accounts.add({ email: 'known@example.com', emailVerified: true })
  const known = await work('known')
  expect(known[0]).not.toContain('getAccountsByEmail')
  // Whatever takes time is the same, so that no clock is needed to compare the two.
  expect(await work('unknown')).toEqual(known)
})

test('OTP-19: keeps the sign-in pending and verifies nothing when the mailer throws, hangs or refuses', async () => {
  for (const mailer of ['throws', 'rejects', 'hangs', 'no'] as const) {
    const lab = await startLab({
      ...UNTRUSTED,
      options: {
        sendEmailCode: () => {
          if (mailer === 'throws') throw new Error('SMTP said secret things')
          if (mailer === 'rejects') return Promise.reject(new Error('SMTP said secret things'))
          return mailer === 'hangs' ? new Promise(() => {}) : false
        },
      },
    })
    const browser = new TestBrowser()
    const url = await lab.callback(browser, 'alice')
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const answered = browser.get(url)
    if (mailer === 'hangs') {
      while (lab.fake.count('emails') === 0) await new Promise((resolve) => setImmediate(resolve))
      for (let tick = 0; tick < 50; tick++) await new Promise((resolve) => setImmediate(resolve))
      await vi.advanceTimersByTimeAsync(5001)
    }
    const answer = await answered
    vi.useRealTimers()
    expect(answer.location).toBe('/auth/bitbucket/email')
    const page = await lab.get(browser, '/email')
    expect(page.text).not.toContain('SMTP')
    expect(await lab.me(browser)).toBeNull()
    expect(lab.events.some(({ code }) => code === 'code_not_sent')).toBe(true)
    await lab.refused(browser, () => lab.verify(browser, WRONG))
    expect(lab.accounts.users.size).toBe(0)
  }
})

test('OTP-22: spends nothing when the code page or the verify route is fetched', async ({ untrusted: lab, victim }) => {
  const { code } = await lab.pendingCode(victim, 'alice')
  const robot = victim.copy()
  for (const path of ['/email', '/email/verify', '/email/code', '/continue', '/cancel']) {
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      await robot.get(`${lab.base}${path}?code=${code}&choice=confirm`, { method })
    }
  }
  expect(lab.mails).toHaveLength(1)
  expect(await lab.me(robot)).toBeNull()
  await lab.verify(victim, code)
  expect(await lab.me(victim)).toBe('u1')
})

test('OTP-23: gives no second owner to an address that another user proved meanwhile', async ({
  untrusted: lab,
  victim,
  attacker,
}) => {
  const { code } = await lab.pendingCode(attacker, 'alice')
  const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
  const answer = await lab.verify(attacker, code)
  expect(answer.location).toBe('/auth/bitbucket/continue')
  expect(await lab.me(attacker)).toBeNull()
  expect(lab.accounts.users.size).toBe(1)
  expect(owner.identities).toEqual([])
  // Taken between the look-up and the write: the unique key decides, and no user is admitted by address.
  lab.fake.addPerson({ key: 'race' })
  const race = await lab.pendingCode(victim, 'race')
  lab.accounts.intercept = (name) => {
    if (name === 'createUser') lab.accounts.add({ email: 'race@example.com', emailVerified: true })
  }
  await lab.verify(victim, race.code)
  expect(await lab.me(victim)).toBeNull()
  expect([...lab.accounts.users.values()].filter(({ email }) => email === 'race@example.com')).toHaveLength(1)
})

test('OTP-25: opens no account by a code, unless the app says so', async () => {
  for (const codeOpensAccount of [false, true]) {
    const lab = await startLab({ ...UNTRUSTED, options: { policy: { codeOpensAccount } } })
    const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
    const { victim } = browsers()
    const { code } = await lab.pendingCode(victim, 'alice')
    await lab.verify(victim, code)
    expect(await lab.me(victim)).toBe(codeOpensAccount ? owner.id : null)
    expect(owner.identities).toHaveLength(codeOpensAccount ? 1 : 0)
  }
})

test('OTP-25: opens and claims no account by a typed address, also with the right code', async () => {
  for (const emailVerified of [true, false]) {
    const lab = await startLab({ ...UNTRUSTED, options: { policy: { codeOpensAccount: true } } })
    const owner = lab.accounts.add({ email: 'typed@example.com', emailVerified })
    const { attacker } = browsers()
    await lab.signIn(attacker, 'dave')
    await lab.press(attacker, '/email', '/email/address', { address: 'typed@example.com' })
    const answer = await lab.verify(attacker, lab.mails[0]?.code ?? '')
    expect(answer.location).toBe('/auth/bitbucket/continue')
    expect(await lab.me(attacker)).toBeNull()
    expect(lab.accounts.writes()).toEqual([])
    expect(owner).toMatchObject({ password: 'secret', identities: [] })
    // The same address, named by Bitbucket.
    lab.fake.addPerson({
      key: 'named',
      emails: [{ address: 'typed@example.com', primary: true, confirmed: true }],
    })
    const control = new TestBrowser()
    await lab.verify(control, (await lab.pendingCode(control, 'named')).code)
    // Verified, it is linked; unverified, the address goes to a new account.
    const signedIn = lab.accounts.users.get((await lab.me(control)) ?? '')
    expect(signedIn).toMatchObject({ email: 'typed@example.com', emailVerified: true })
    expect(signedIn?.id === owner.id).toBe(emailVerified)
  }
})

test('OTP-27: allows no other step before the code', async ({ untrusted: lab, attacker }) => {
  const { code } = await lab.pendingCode(attacker, 'alice')
  const handle = formsOf((await lab.get(attacker, '/email')).text)[0]?.fields.pending ?? ''
  for (const choice of ['confirm', 'link', 'switch']) {
    await lab.refused(attacker, () => lab.post(attacker, '/continue', { choice, pending: handle }))
  }
  await lab.refused(attacker, () => lab.post(attacker, '/link'))
  await lab.refused(attacker, () => lab.post(attacker, '/unlink', { id: 'x' }))
  await lab.refused(attacker, () => lab.post(attacker, '/reauthenticate'))
  expect((await lab.get(attacker, '/continue')).location).toBe('/auth/bitbucket/email')
  await lab.verify(attacker, code)
  expect(await lab.me(attacker)).toBe('u1')
})

test('OTP-28: ignores address, identity and return URL in the form', async ({ untrusted: lab, attacker }) => {
  const { code } = await lab.pendingCode(attacker, 'alice')
  const answer = await lab.press(attacker, '/email', '/email/verify', {
    code,
    address: 'victim@example.com',
    email: 'victim@example.com',
    identity: '{00000000-0000-4000-8000-000000000000}',
    maskedAddress: 'v***@example.com',
    tenant: 'other',
    level: 'bitbucket',
    returnTo: '//evil.example',
    verified: 'true',
  })
  expect(answer.location).not.toContain('evil')
  expect(lab.accounts.users.get('u1')).toMatchObject({ email: 'alice@example.com', emailVerified: true })
  // An address cannot be typed over the one that Bitbucket named.
  const other = new TestBrowser()
  lab.fake.addPerson({ key: 'second' })
  await lab.pendingCode(other, 'second')
  const handle = formsOf((await lab.get(other, '/email')).text)[0]?.fields.pending ?? ''
  const typed = await lab.post(other, '/email/address', { pending: handle, address: 'victim@example.com' })
  expect(typed.status).toBe(400)
  expect(lab.mails.some(({ to }) => to === 'victim@example.com')).toBe(false)
})

test('OTP-29: keeps one cookie for many pending sign-ins of a browser, and voids the older ones', async ({
  untrusted: lab,
  browser,
}) => {
  const past: TestBrowser[] = []
  for (let person = 0; person < 6; person++) {
    lab.fake.addPerson({ key: `p${person}` })
    await lab.pendingCode(browser, `p${person}`)
    past.push(browser.copy())
  }
  expect([...ourCookies(browser, lab.url).keys()]).toEqual(['bitbucket.p'])
  expect(sessionOf(browser, lab)).toBeUndefined()
  const page = formsOf((await lab.get(past[0] as TestBrowser, '/email')).text)[0]?.fields ?? {}
  await lab.refused(browser, () => lab.post(browser, '/email/verify', { ...page, code: lab.mails[0]?.code ?? '' }), {
    code: 'pending_replaced',
  })
  await lab.verify(browser, lab.mails[5]?.code ?? '')
  expect(await lab.me(browser)).toBe('u1')
})

test('OTP-30: compares codes as keyed hashes of one length, in constant time', async () => {
  const keys = deriveKeys([new Secret('x'.repeat(32))], 'bitbucket', 'code')
  const binding = { handle: 'h', generation: 1, identity: { issuer: 'i', id: 'x' }, address: 'a@b.test', context: 'c' }
  const hash = hashCode(keys, binding, 'BCDF-GHJK')
  expect(hash).toHaveLength(22)
  expect(matchesCode(keys, binding, hash, 'bcdf ghjk')).toBe(true)
  for (const change of [
    { handle: 'g' },
    { generation: 2 },
    { identity: { issuer: 'i', id: 'y' } },
    { identity: { issuer: 'j', id: 'x' } },
    { address: 'b@b.test' },
    { context: 'd' },
  ]) {
    expect(matchesCode(keys, { ...binding, ...change }, hash, 'BCDF-GHJK')).toBe(false)
  }
  const lab = await startLab(UNTRUSTED)
  const { victim } = browsers()
  const { code } = await lab.pendingCode(victim, 'alice')
  for (const typed of [WRONG, code]) {
    const before = comparisons.count
    await lab.verify(victim, typed)
    expect(comparisons.count).toBeGreaterThan(before)
  }
  expect(await lab.me(victim)).toBe('u1')
})
