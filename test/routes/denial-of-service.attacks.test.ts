import { BitbucketStrategy } from 'passport-bitbucket-signin'
import { FAKE_CLIENT } from 'passport-bitbucket-signin/testing'
import { expect } from 'vitest'
import { readText } from '../../src/bitbucket/read-answer'
import { isAddress } from '../../src/decisions/email-trust'
import { parseReturnTo } from '../../src/decisions/return-to'
import { type Counter, createLimits } from '../../src/state/limits'
import { memoryLimiter } from '../../src/state/memory-limiter'
import { TestBrowser } from '../support/browser'
import { cpuMs } from '../support/clock'
import {
  atDeadline,
  browsers,
  goodAnswer,
  MINUTE,
  ourCookies,
  raw,
  startLab,
  startRawLab,
  startStrategyApp,
  test,
  testLimiter,
  travel,
  until,
} from '../support/lab'

test('DOS-01: unfinished starts cost the server nothing', async () => {
  const limiter = testLimiter()
  const lab = await startLab({ options: { limiter: limiter.factory } })
  const { sessions } = lab.store as unknown as { sessions: object }
  for (let round = 0; round < 300; round++) await lab.get(new TestBrowser(), '')
  expect(Object.keys(sessions)).toEqual([])
  expect(limiter.keys.size).toBe(0)
  expect(lab.upstream()).toBe(0)
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('DOS-11: does not count callbacks without a code, at the router and at the strategy', async () => {
  const limiter = testLimiter()
  const lab = await startLab({ options: { limiter: limiter.factory } })
  const alone = await startStrategyApp(
    (callbackURL, verify) =>
      new BitbucketStrategy(
        {
          clientID: FAKE_CLIENT.clientID,
          clientSecret: FAKE_CLIENT.clientSecret,
          callbackURL,
          endpoints: lab.fake.endpoints,
          limiter: limiter.factory,
        },
        verify,
      ),
  )
  const browser = new TestBrowser()
  for (let round = 0; round < 50; round++) {
    for (const start of [lab.base, `${alone.url}/start`]) {
      const begun = new URL((await browser.get(start)).location)
      const callback = new URL(begun.searchParams.get('redirect_uri') ?? '')
      callback.searchParams.set('state', begun.searchParams.get('state') ?? '')
      callback.searchParams.set('error', 'access_denied')
      expect((await browser.get(callback.href)).status).toBe(403)
      // It is over in this browser all the same.
      callback.searchParams.delete('error')
      callback.searchParams.set('code', lab.code('bob'))
      expect((await browser.get(callback.href)).status).toBe(403)
    }
  }
  expect([limiter.keys.size, lab.upstream()]).toEqual([0, 0])
  await lab.signIn(browser, 'alice')
  expect(await lab.me(browser)).toBe('u1')
  expect([...limiter.keys].filter((key) => key.includes('taken'))).toHaveLength(1)
})

test('DOS-03: keeps all our cookies within four kilobytes, whatever they hold', async ({ untrusted: lab, browser }) => {
  const long = 'Ω'.repeat(300)
  const address = `${'a'.repeat(60)}@${'b'.repeat(60)}.${'c'.repeat(60)}.example.com`
  lab.fake.addPerson({
    key: 'long',
    displayName: long,
    nickname: long,
    username: long,
    emails: [{ address, primary: true, confirmed: true }],
    user: { links: { avatar: { href: `https://x.example/${'y'.repeat(480)}` } } },
  })
  const fits = () => {
    const cookies = [...ourCookies(browser, lab.url)]
    for (const [name, value] of cookies) {
      expect([name, value.length <= (name.endsWith('.p') ? 3072 : 860)]).toEqual([name, true])
    }
    expect(cookies.reduce((sum, [, value]) => sum + value.length, 0)).toBeLessThanOrEqual(4096)
  }
  for (let tab = 0; tab < 8; tab++) {
    const answer = await lab.signIn(browser, 'long', { returnTo: `/${'z'.repeat(505)}` })
    expect(answer.location).toBe('/auth/bitbucket/email')
    fits()
    // A quotation mark takes twice the room inside.
    for (const path of ['é'.repeat(250), '"'.repeat(505)]) {
      await lab.get(browser, `?returnTo=/${encodeURIComponent(path)}`)
      fits()
    }
  }
  travel(61 * MINUTE)
  const control = new TestBrowser()
  await lab.verify(control, (await lab.pendingCode(control, 'long')).code)
  expect(await lab.me(control)).toBe('u1')
})

test('DOS-05: releases the sockets of a slow Bitbucket at the deadline', async () => {
  let stalls = true
  let hangs = false
  const { lab, bitbucket, browser, call } = await startRawLab(
    (path, socket) => {
      if (!stalls || path !== '/2.0/user') return goodAnswer(path, socket)
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{')
      hangs = true
    },
    { options: { http: { preconnect: false } } },
  )
  const open = () => [...bitbucket.sockets].filter(({ readyState }) => readyState === 'open').length
  for (let round = 0; round < 5; round++) {
    hangs = false
    expect((await atDeadline(call, () => hangs)).status).toBe(504)
    // One to the token endpoint and one for the addresses are kept; the one that hung is gone.
    await until(() => open() <= 2, 'the hanging connection to be closed')
  }
  expect(await lab.me(browser)).toBeNull()
  stalls = false
  await call()
  expect(await lab.me(browser)).toBe('u1')
})

test('DOS-06: reads long hostile texts in linear time', async () => {
  const bait = [
    'a'.repeat(100_000),
    `${'a.'.repeat(50_000)}@`,
    `a@${'a-'.repeat(50_000)}`,
    `/${'%2e'.repeat(40_000)}`,
    '/'.repeat(100_000),
  ]
  bait.push(
    `/${'a/'.repeat(50_000)}`,
    '\u0301'.repeat(100_000),
    ' '.repeat(100_000),
    `${'a'.repeat(60)}@${'a.'.repeat(97)}`,
  )
  // Nearly right, so that what backtracks has much to go back on.
  bait.push(`${'a'.repeat(100_000)}!`, `${' '.repeat(100_000)}x`, `/${'a'.repeat(400)}!${'/a'.repeat(50_000)}%`)
  bait.push(`${'a'.repeat(64)}@${'a-'.repeat(90)}!`, `${'\u200b'.repeat(100_000)}x`, `/${'//'.repeat(250)}x`)
  const rules = { basePath: '/auth/bitbucket', signInPath: '/login' }
  for (const text of bait) {
    const read = () => {
      for (let round = 0; round < 5; round++) {
        isAddress(text)
        parseReturnTo(text, rules)
        readText(text)
      }
    }
    expect(cpuMs(read) / 5).toBeLessThan(10)
  }
  const lab = await startLab()
  const { victim } = browsers()
  expect((await lab.get(victim, `?returnTo=${'a'.repeat(12_000)}`)).status).toBe(302)
  const state = `0${'-'.repeat(12_000)}`
  await lab.refused(victim, () => victim.get(lab.callbackURL({ code: 'x', state })), { code: 'state_invalid' })
})

/** Counts one key to its limit and 100,049 others once; how many were refused, and whether the first key still is. */
async function fill(counter: Counter): Promise<{ refused: number; remembers: boolean }> {
  const limits = createLimits('full', memoryLimiter)
  while (await limits.consume(counter, 'first'));
  let refused = 0
  for (let key = 0; key < 100_049; key++) {
    await limits.consume(counter, `key ${key}`).catch((error: { code?: string }) => {
      expect(error.code).toBe('store_unavailable')
      refused++
    })
  }
  return { refused, remembers: !(await limits.consume(counter, 'first')) }
}

test.each(['taken', 'tries', 'addressMailsPerDay'] as const)(
  'DOS-07: refuses when the counter %s is full instead of forgetting, and remembers what was used',
  async (counter) => {
    expect(await fill(counter)).toEqual({ refused: 50, remembers: true })
  },
)

test('DOS-07: a server that invents identities does not close emailed codes to all users', async () => {
  expect(await fill('mailsPerDay')).toEqual({ refused: 0, remembers: false })
})

test('DOS-08: sends few of many requested emails', async ({ untrusted: lab, browser }) => {
  await lab.pendingCode(browser, 'alice')
  for (let round = 0; round < 30; round++) {
    travel(round * 10_000)
    await lab.press(browser, '/email', '/email/code')
    await lab.signIn(new TestBrowser(), 'alice')
  }
  expect(lab.mails.length).toBeLessThanOrEqual(6)
  // With patience enough for the pause, for half an hour.
  for (let round = 5; round < 35; round++) {
    travel(round * 61_000)
    await lab.signIn(new TestBrowser(), 'alice')
  }
  expect(lab.mails.length).toBeLessThanOrEqual(6)
  travel(2 * 60 * MINUTE)
  await lab.pendingCode(new TestBrowser(), 'alice')
})

test('DOS-09: refuses large bodies and headers early', async ({ lab, victim }) => {
  for (const path of ['/email/verify', '/email/address', '/link', '/continue', '/cancel']) {
    const big = { body: `code=${'x'.repeat(20_000)}` }
    const answer = await lab.post(victim, path, {}, big)
    expect([path, answer.status]).toEqual([path, 413])
    expect((await lab.post(victim, path, {}, { body: Array(60).fill('a=b').join('&') })).status).toBeLessThan(500)
    const json = { body: JSON.stringify({ code: 'x'.repeat(20_000) }), headers: { 'content-type': 'application/json' } }
    expect((await lab.post(victim, path, {}, json)).status).toBe(413)
  }
  const { host } = new URL(lab.url)
  const header = `GET /auth/bitbucket HTTP/1.1\r\nHost: ${host}\r\nCookie: ${'x'.repeat(20_000)}\r\n\r\n`
  expect(await raw(lab.url, header)).toMatch(/^HTTP\/1\.1 431/)
  expect(lab.faults).toEqual([])
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('DOS-10: neither signs a user out nor in as another user on a request from another site', async ({
  lab,
  victim,
  attacker,
}) => {
  await lab.signIn(new TestBrowser(), 'carol')
  await lab.signIn(victim, 'alice')
  const user = await lab.me(victim)
  // Everything is open: the question whether to switch, and an identity to unlink.
  expect((await lab.signIn(victim, 'carol')).location).toBe('/auth/bitbucket/continue')
  const { uuid } = lab.fake.person('alice')
  const sid = victim.jar(lab.url).get('connect.sid')
  const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
  const planted = await lab.callback(attacker, 'carol')
  await lab.get(victim, '', { headers })
  await victim.get(planted, { headers })
  await lab.get(victim, '/callback?error=access_denied', { headers })
  for (const path of ['/cancel', '/unlink', '/continue', '/link', '/reauthenticate', '/email/verify']) {
    await lab.post(victim, path, { id: uuid, choice: 'switch' }, { headers })
  }
  expect(await lab.me(victim)).toBe(user)
  expect(victim.jar(lab.url).get('connect.sid')).toBe(sid)
  expect(lab.accounts.users.get(user ?? '')?.identities).toHaveLength(1)
  await lab.post(victim, '/continue', { choice: 'switch' })
  expect(await lab.me(victim)).toBe('u1')
})
