import http = require('node:http')

import type { RequestHandler } from 'express'
import { Passport } from 'passport'
import { BitbucketStrategy } from 'passport-bitbucket-signin'
import { FAKE_CLIENT, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { describe, expect, vi } from 'vitest'
import { TestBrowser } from '../support/browser'
import {
  afterwards,
  browsers,
  MINUTE,
  ourCookies,
  SECOND,
  startLab,
  startStrategyApp,
  test,
  testLimiter,
  travel,
} from '../support/lab'

test('STA-01: refuses a callback without state before calling Bitbucket, and keeps the open sign-in', async ({
  lab,
  victim,
}) => {
  const genuine = await lab.callback(victim, 'alice')
  await lab.refused(victim, () => victim.get(lab.callbackURL({ code: lab.code('bob') })), {
    code: 'state_invalid',
    upstream: 0,
  })
  await victim.get(genuine)
  expect(await lab.me(victim)).toBe('u1')
})

test('STA-02: refuses an invented or altered state before calling Bitbucket', async ({ lab, victim }) => {
  const genuine = new URL(await lab.callback(victim, 'alice'))
  const state = genuine.searchParams.get('state') ?? ''
  const swapped = state.replace(/[a-z]/, (letter) => letter.toUpperCase())
  const changed = state.slice(0, -2) + (state.at(-2) === 'A' ? 'B' : 'A') + state.slice(-1)
  const guesses = [
    'A'.repeat(22),
    `${state.slice(0, 2)}${'A'.repeat(20)}`,
    swapped,
    changed,
    state.slice(0, -1),
    `${state} `,
    ` ${state}`,
    `${state}=`,
  ]
  for (const guess of [...guesses, `0${state}`, `${state}.b.c`, state.slice(1)]) {
    const hostile = lab.callbackURL({ code: lab.code('bob'), state: guess })
    await lab.refused(victim, () => victim.get(hostile), { code: 'state_invalid', upstream: 0 })
  }
  // The cookie itself under another name, with its own state and with one that chooses that name.
  const [[name = '', value = ''] = []] = [...ourCookies(victim, lab.url)]
  const other = `${state.startsWith('A') ? 'B' : 'A'}${state.slice(1)}`
  const moved = victim.copy()
  moved.jar(lab.url).delete(name)
  for (const digit of '0123456789abcdef') moved.jar(lab.url).set(`${name.slice(0, -1)}${digit}`, value)
  moved.jar(lab.url).delete(name)
  for (const wrong of [state, other]) {
    genuine.searchParams.set('state', wrong)
    await lab.refused(moved, () => moved.get(genuine.href), { code: 'state_invalid', upstream: 0 })
  }
  genuine.searchParams.set('state', state)
  await victim.get(genuine.href)
  expect(await lab.me(victim)).toBe('u1')
})

test("STA-03: ignores the attacker's code and state in the victim's browser, signed in or not", async ({
  lab,
  victim,
  attacker,
}) => {
  const planted = () => lab.callback(attacker, 'bob')
  const refusal = { code: 'state_invalid', upstream: 0 } as const
  const first = await planted()
  await lab.refused(victim, () => victim.get(first), refusal)
  await lab.state(victim)
  const second = await planted()
  await lab.refused(victim, () => victim.get(second), refusal)
  await lab.signIn(victim, 'alice')
  const third = await planted()
  await lab.refused(victim, () => victim.get(third), { upstream: 0, ledHome: true })
  expect(await lab.me(victim)).toBe('u1')
  // The control: in the attacker's own browser the same address works.
  lab.fake.updatePerson('bob', { emails: [{ address: 'bob@example.com', primary: true, confirmed: true }] })
  await attacker.get(await planted())
  expect(await lab.me(attacker)).toBe('u2')
})

test('STA-04: accepts a callback once, also after sign-out and for another user', async () => {
  const limiter = testLimiter()
  const lab = await startLab({ options: { limiter: limiter.factory } })
  const { victim, attacker } = browsers()
  const cookiesBefore = victim
  const url = await lab.callback(cookiesBefore, 'alice')
  const past = victim.copy()
  await victim.get(url)
  expect(await lab.me(victim)).toBe('u1')
  await lab.refused(victim, () => victim.get(url), { upstream: 0, ledHome: true })
  await lab.refused(attacker, () => attacker.get(url), { code: 'state_invalid', upstream: 0 })
  // The transaction's cookie as it was before the callback: only the counter knows that it was used.
  await lab.refused(past, () => past.get(url), { code: 'state_invalid', upstream: 0 })
  // As long as the cookie lives, a copy of it, and five minutes more.
  travel(10 * MINUTE - 2 * SECOND)
  await lab.refused(past, () => past.get(url), { code: 'state_invalid', upstream: 0 })
  travel(0)
  expect(limiter.made.get('taken')?.duration).toBeGreaterThanOrEqual(15 * 60)
  await victim.post(`${lab.url}/logout`, {})
  await lab.refused(victim, () => victim.get(url), { code: 'state_invalid', upstream: 0 })
})

test('STA-05: refuses a state whose exchange failed', async ({ lab, victim }) => {
  const url = new URL(await lab.callback(victim, 'alice'))
  const past = victim.copy()
  lab.fake.script('token', [{ status: 400, json: { error: 'invalid_grant' } }])
  await lab.refused(victim, () => victim.get(url.href), { code: 'upstream_failed', upstream: 1 })
  url.searchParams.set('code', lab.code('alice'))
  for (const browser of [victim, past]) {
    await lab.refused(browser, () => browser.get(url.href), { code: 'state_invalid', upstream: 0 })
  }
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('STA-09: accepts a sign-in of ten minutes, and refuses one second more', async ({ lab, victim }) => {
  const late = await lab.callback(victim, 'alice')
  travel(10 * MINUTE + SECOND)
  await lab.refused(victim, () => victim.get(late), { code: 'state_expired', upstream: 0 })
  travel(0)
  const early = await lab.callback(victim, 'alice')
  travel(10 * MINUTE - 2 * SECOND)
  await victim.get(early)
  expect(await lab.me(victim)).toBe('u1')
})

test('STA-09: refuses a rewritten age in the cookie, and one from the future', async ({ lab, victim, attacker }) => {
  const late = await lab.callback(victim, 'alice')
  const [[name = '', value = ''] = []] = [...ourCookies(victim, lab.url)]
  travel(11 * MINUTE)
  const bytes = Buffer.from(value, 'base64url')
  bytes.writeUIntBE(bytes.readUIntBE(5, 6) + 11 * MINUTE, 5, 6)
  victim.jar(lab.url).set(name, bytes.toString('base64url'))
  await lab.refused(victim, () => victim.get(late), { code: 'state_invalid', upstream: 0 })
  // Sealed by a process whose clock is wrong: it would live as much longer.
  const early = await lab.callback(attacker, 'carol')
  travel(0)
  await lab.refused(attacker, () => attacker.get(early), { code: 'state_expired', upstream: 0 })
  travel(30 * SECOND)
  const near = await lab.callback(attacker, 'carol')
  travel(0)
  await attacker.get(near)
  expect(await lab.me(attacker)).toBe('u1')
})

test('STA-11: refuses at one domain a sign-in started at another, with the same cookies', async () => {
  const lab = await startLab({
    resolver: (defaults) => {
      const { port } = new URL(defaults.callbackURL)
      const connection = { ...defaults, origins: [`http://a.localhost:${port}`, `http://b.localhost:${port}`] }
      return () => connection
    },
  })
  const { port } = new URL(lab.url)
  const [a, b] = [`http://a.localhost:${port}`, `http://b.localhost:${port}`]
  const browser = new TestBrowser()
  const started = await browser.get(`${a}/auth/bitbucket`)
  for (const [name, value] of browser.jar(a)) browser.jar(b).set(name, value)
  const central = await lab.fake.signIn(started.location, { person: 'alice' })
  const handOver = await browser.get(central)
  expect(handOver.location.startsWith(`${a}/auth/bitbucket/callback?handover=`)).toBe(true)
  // At b: the plain callback as Bitbucket sent it, and the hand-over that was meant for a.
  const plain = await browser.get(central.replace(lab.url, b))
  expect(plain.location.startsWith(`${a}/`) || plain.status === 403).toBe(true)
  const moved = await browser.get(handOver.location.replace(a, b))
  expect(moved.status).toBe(403)
  expect(lab.upstream()).toBe(0)
  const ended = await browser.get(handOver.location)
  expect(ended.location).toBe('/')
  expect((await browser.get(`${a}/me`)).json().user).toBe('u1')
  expect((await browser.get(`${b}/me`)).json().user).toBeNull()
})

test('STA-13: refuses hostile values of state without a request or a crash', async () => {
  for (const version of [4, 5] as const) {
    const lab = await startLab({ express: version })
    const { victim } = browsers()
    const genuine = await lab.callback(victim, 'alice')
    const code = lab.code('bob')
    const queries = [
      '',
      '=',
      '[]=x',
      '[a]=b',
      '[__proto__]=x',
      '%00=',
      '=%00',
      '=%0d%0aSet-Cookie:%20a=b',
      '=%EF%BF%BF',
    ]
    const names = [
      '__proto__',
      'constructor',
      'hasOwnProperty',
      'toString',
      '%F0%9F',
      'undefined',
      'null',
      '[object Object]',
    ]
    const all = [...queries, ...names.map((name) => `=${name}`), `=${'x'.repeat(12_000)}`, '=a&state=b']
    for (const query of all) {
      await lab.refused(victim, () => victim.get(`${lab.base}/callback?code=${code}&state${query}`), { upstream: 0 })
    }
    expect(lab.faults).toEqual([])
    await victim.get(genuine)
    expect(await lab.me(victim)).toBe('u1')
  }
})

test('STA-14: ignores callback parameters on the start route, and keeps the open sign-in', async ({ lab, victim }) => {
  const genuine = await lab.callback(victim, 'alice')
  const { search } = new URL(genuine)
  for (const query of [
    search,
    '?error=access_denied',
    `?error=x&state=${new URL(genuine).searchParams.get('state')}`,
  ]) {
    const answer = await lab.get(victim, query)
    expect(answer.location.startsWith(lab.fake.endpoints.authorizationURL)).toBe(true)
    expect(lab.upstream()).toBe(0)
    expect(await lab.me(victim)).toBeNull()
  }
  await victim.get(genuine)
  expect(await lab.me(victim)).toBe('u1')
})

test("STA-15b: keeps the open sign-in after a stranger's denial, and says nothing about it to a foreign state", async ({
  lab,
  victim,
}) => {
  const genuine = await lab.callback(victim, 'alice')
  const denied = () => victim.get(lab.callbackURL({ error: 'access_denied' }))
  await lab.refused(victim, denied, { code: 'access_denied', upstream: 0 })
  const foreign = lab.callbackURL({ error: 'access_denied', state: 'A'.repeat(22) })
  await lab.refused(victim, () => victim.get(foreign), { code: 'state_invalid', upstream: 0 })
  await victim.get(genuine)
  expect(await lab.me(victim)).toBe('u1')
})

test("STA-16: refuses a developer's own state instead of disabling the check", async () => {
  const fake = await startFakeBitbucket()
  afterwards(() => fake.close())
  const options = (callbackURL: string, verify: (...args: unknown[]) => void) =>
    strategyOf(fake.endpoints, callbackURL, verify)
  const hostile = await startStrategyApp(options, { options: { state: 'x' } })
  const browser = new TestBrowser()
  expect((await browser.get(`${hostile.url}/start`)).text).toBe('configuration_invalid')
  const forged = await browser.get(`${hostile.url}/callback?code=${fake.issueCode({ person: 'alice' })}&state=x`)
  expect(forged.status).toBe(500)
  expect(hostile.verified).toEqual([])
  expect(fake.count('token')).toBe(0)
  const control = await startStrategyApp(options)
  const started = await browser.get(`${control.url}/start`)
  await browser.get(await fake.signIn(started.location, { person: 'alice' }))
  expect(control.verified).toHaveLength(1)
})

function strategyOf(
  endpoints: BitbucketStrategyOptionsEndpoints,
  callbackURL: string,
  verify: (...args: unknown[]) => void,
): BitbucketStrategy {
  const { clientID, clientSecret } = FAKE_CLIENT
  return new BitbucketStrategy({ clientID, clientSecret, callbackURL, endpoints }, verify)
}
type BitbucketStrategyOptionsEndpoints = NonNullable<ConstructorParameters<typeof BitbucketStrategy>[0]['endpoints']>

test('STA-17: signs no user in without calling Bitbucket when the store of used handles fails', async () => {
  const limiter = testLimiter()
  const lab = await startLab({ options: { limiter: limiter.factory } })
  const { victim, attacker } = browsers()
  const url = await lab.callback(victim, 'alice')
  limiter.intercept = () => Promise.reject(new Error('the store is down'))
  const answer = await lab.refused(victim, () => victim.get(url), { code: 'store_unavailable', upstream: 0 })
  expect(answer.status).toBe(503)
  expect(answer.text).not.toContain('the store is down')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  let asked = false
  limiter.intercept = () => {
    asked = true
    return new Promise(() => {})
  }
  const waiting = victim.get(url)
  while (!asked) await new Promise((resolve) => setImmediate(resolve))
  await vi.advanceTimersByTimeAsync(5001)
  expect((await waiting).status).toBe(503)
  vi.useRealTimers()
  limiter.intercept = () => undefined
  expect(lab.upstream()).toBe(0)
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
  // A store that answers, but says nothing.
  for (const nothing of [undefined, true, 'OK', {}, { consumedPoints: '0' }]) {
    const mute = await startLab({
      fake: lab.fake,
      options: { limiter: () => ({ consume: async () => nothing as never, get: async () => null }) },
    })
    const other = await mute.callback(attacker, 'carol')
    await mute.refused(attacker, () => attacker.get(other), { code: 'store_unavailable', upstream: 0 })
  }
  // Where sessions cannot be read, the callback is not even looked at.
  const again = await lab.callback(victim, 'alice')
  const { get } = lab.store
  lab.fake.clearRequests()
  lab.store.get = (_id, done) => done(new Error('sessions are down'))
  expect((await victim.get(again)).status).toBe(500)
  lab.store.get = get
  expect(lab.upstream()).toBe(0)
  expect((await victim.get(again)).location).toBe('/')
})

test('STA-18: issues distinct handles of 128 bits without a pattern', async ({ lab }) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 })
  afterwards(() => agent.destroy())
  const starts = Array.from({ length: 400 }, async () => {
    const { location } = await new TestBrowser('127.0.0.1', agent).get(lab.base)
    return new URL(location).searchParams
  })
  const locations = await Promise.all(starts)
  const states = locations.map((each) => each.get('state') ?? '')
  const challenges = locations.map((each) => each.get('code_challenge') ?? '')
  expect(new Set([...states, ...challenges]).size).toBe(800)
  for (const state of states) expect(state).toMatch(/^[\w-]{22}$/)
  for (let at = 0; at < 21; at++) {
    const counts = new Map<string, number>()
    for (const state of states) counts.set(state[at] ?? '', (counts.get(state[at] ?? '') ?? 0) + 1)
    // Evenly spread: 6 each on average, none of 64 letters often, and few missing.
    expect(counts.size).toBeGreaterThan(50)
    expect(Math.max(...counts.values())).toBeLessThan(40)
  }
})

describe('STA-20: every way to use the package binds the sign-in to the browser', () => {
  test('STA-20: refuses another browser with the strategy alone, given by name or as an instance', async () => {
    for (const by of ['name', 'instance'] as const) {
      const fake = await startFakeBitbucket()
      afterwards(() => fake.close())
      const app = await startStrategyApp((url, verify) => strategyOf(fake.endpoints, url, verify), { by })
      const { victim, attacker } = browsers()
      const planted = await fake.signIn((await attacker.get(`${app.url}/start`)).location, { person: 'bob' })
      await victim.get(`${app.url}/start`)
      expect((await victim.get(planted)).status).toBe(403)
      expect(app.verified).toEqual([])
      expect(fake.count('token')).toBe(0)
      const past = attacker.copy()
      await Promise.all([attacker.get(planted), past.get(planted), past.copy().get(planted)])
      expect(app.verified).toHaveLength(1)
      expect(fake.count('token')).toBe(1)
    }
  })

  test("STA-20: refuses another browser with the plugin's strategy through passport.authenticate", async () => {
    const fake = await startFakeBitbucket()
    afterwards(() => fake.close())
    const lab = await startLab({ fake })
    const known = await lab.signIn(new TestBrowser(), 'alice')
    expect(known.location).toBe('/')
    const { victim, attacker } = browsers()
    let strategyUrl = ''
    const app = await startStrategyApp(async (callbackURL) => {
      strategyUrl = callbackURL
      const other = await startLab({
        fake,
        accounts: lab.accounts,
        connection: { callbackURL: callbackURL },
      })
      return other.bitbucket.strategy
    })
    expect(strategyUrl).toBe(`${app.url}/callback`)
    fake.clearRequests()
    const planted = await fake.signIn((await attacker.get(`${app.url}/start`)).location, { person: 'alice' })
    expect((await victim.get(planted)).status).toBe(403)
    expect(fake.count('token')).toBe(0)
    expect((await attacker.get(planted, { method: 'POST' })).status).not.toBe(302)
    expect((await attacker.get(planted, { method: 'HEAD' })).status).toBe(403)
    expect(fake.count('token')).toBe(0)
    await attacker.get(planted)
    expect((await attacker.get(`${app.url}/me`)).json().user).toBe('u1')
    expect((await attacker.get(planted)).status).toBe(403)
    expect(fake.count('token')).toBe(1)
    // It signs in users whom the app knows and admits, and creates none.
    const signIn = async (person: string) => {
      const browser = new TestBrowser()
      const { location } = await browser.get(`${app.url}/start`)
      return (await browser.get(await fake.signIn(location, { person }))).status
    }
    expect(await signIn('carol')).toBe(403)
    expect(lab.accounts.users.size).toBe(1)
    const [alice] = lab.accounts.users.values()
    const stored = () => lab.accounts.calls.filter(({ name }) => name === 'storeTokens').length
    const before = stored()
    if (alice) alice.disabled = true
    expect(await signIn('alice')).toBe(403)
    expect(stored()).toBe(before)
    if (alice) alice.disabled = false
    expect(await signIn('alice')).toBe(302)
    expect(stored()).toBeGreaterThan(before)
  })

  test("STA-20: signs no user in through the plugin's strategy by a link or a re-authentication", async () => {
    const lab = await startLab({
      behindSession: (app, bitbucket) => {
        // The same path, but Passport's way.
        app.get('/auth/bitbucket/callback', (req, res, next) => {
          if (req.query.through === undefined) return next()
          ;(new Passport().authenticate(bitbucket.strategy) as RequestHandler)(req, res, next)
        })
      },
    })
    const { victim } = browsers()
    const user = await lab.member(victim)
    const link = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
    expect((await victim.get(`${link}&through=passport`)).status).toBe(403)
    expect([user.identities, lab.upstream()]).toEqual([[], 0])
    const again = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
    await victim.get(again)
    expect(user.identities).toHaveLength(1)
  })
})

test("STA-21: gives the victim of a prepared link their own transaction, and the attacker's browser nothing", async ({
  lab,
  victim,
  attacker,
}) => {
  const state = await lab.state(attacker)
  const sid = 's%3Aplanted.signature'
  const link = `?state=${state}&sid=${sid}&transaction=${state}&handle=${state}&connect.sid=${sid}`
  const started = await lab.get(victim, link)
  expect(new URL(started.location).searchParams.get('state')).not.toContain(state)
  await victim.get(await lab.fake.signIn(started.location, { person: 'alice' }))
  expect(await lab.me(victim)).toBe('u1')
  expect(await lab.me(attacker)).toBeNull()
  expect(lab.signedIn()).toEqual(['u1'])
})

test('STA-22: passes no parameter of the start request on to Bitbucket', async ({ lab, victim }) => {
  const hostile = new URLSearchParams({
    redirect_uri: 'https://evil.example/cb',
    client_id: 'evil',
    state: 'evil',
    response_type: 'token',
    code_challenge: 'evil',
    code_challenge_method: 'plain',
    scope: 'account repository:admin',
    prompt: 'none',
  })
  const plain = new URL((await lab.get(victim, '')).location)
  const location = new URL((await lab.get(victim, `?${hostile}`)).location)
  expect([...location.searchParams.keys()].sort()).toEqual([...plain.searchParams.keys()].sort())
  for (const name of ['redirect_uri', 'client_id', 'response_type', 'scope', 'code_challenge_method']) {
    expect(location.searchParams.getAll(name)).toEqual([plain.searchParams.get(name)])
  }
  expect(location.searchParams.get('redirect_uri')).toBe(`${lab.base}/callback`)
  expect(location.searchParams.get('code_challenge_method')).toBe('S256')
  expect(location.href).not.toContain('evil')
})

test('STA-23: asks before a second open sign-in switches the user, and never links', async ({ lab, victim }) => {
  const first = await lab.callback(victim, 'alice')
  const second = await lab.callback(victim, 'carol')
  await victim.get(first)
  expect(await lab.me(victim)).toBe('u1')
  const answer = await victim.get(second)
  expect(answer.location).toBe('/auth/bitbucket/continue')
  expect(await lab.me(victim)).toBe('u1')
  expect(lab.accounts.users.size).toBe(1)
  expect(lab.accounts.users.get('u1')?.identities).toHaveLength(1)
  expect([...ourCookies(victim, lab.url).keys()]).toEqual(['bitbucket.p'])
})

test('STA-24: neither starts nor consumes a sign-in for an image, a frame or a prefetch', async ({ lab, victim }) => {
  const callback = await lab.callback(victim, 'alice')
  const cookies = new Map(ourCookies(victim, lab.url))
  for (const headers of [
    { 'sec-fetch-dest': 'image', 'sec-fetch-mode': 'no-cors', 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-dest': 'iframe', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'no-cors', 'sec-fetch-site': 'cross-site' },
    { 'sec-purpose': 'prefetch', 'sec-fetch-dest': 'document', 'sec-fetch-mode': 'navigate' },
    { purpose: 'preview' },
  ]) {
    for (const url of [lab.base, callback]) {
      const { status, text, setCookies } = await victim.get(url, { headers })
      expect({ status, text, setCookies }).toEqual({ status: 503, text: '', setCookies: [] })
    }
  }
  expect(new Map(ourCookies(victim, lab.url))).toEqual(cookies)
  expect(lab.upstream()).toBe(0)
  expect(await lab.me(victim)).toBeNull()
  const click = { 'sec-fetch-dest': 'document', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'cross-site' }
  await victim.get(callback, { headers: click })
  expect(await lab.me(victim)).toBe('u1')
})
