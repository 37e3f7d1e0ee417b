import https = require('node:https')

import { gzipSync } from 'node:zlib'
import type { ErrorCode, Tokens } from 'passport-bitbucket-signin'
import { type FakeFault, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { expect } from 'vitest'
import { TestBrowser } from '../support/browser'
import {
  afterwards,
  atDeadline,
  browsers,
  door,
  GOOD_EMAILS,
  GOOD_TOKEN,
  GOOD_USER,
  goodAnswer,
  jsonBytes,
  type Lab,
  startEvil,
  startLab,
  startRawLab,
  test,
  turns,
  until,
} from '../support/lab'
import { CERTIFICATE, CERTIFICATE_KEY } from '../testing/certificate'

const ENDPOINTS = ['token', 'user', 'emails'] as const
const GOOD = { token: GOOD_TOKEN, user: GOOD_USER, emails: GOOD_EMAILS } as const

/** Plays each fault at each of the three endpoints; the sign-in of a new user is refused each time. */
async function refusedAtEach(
  lab: Lab,
  fault: (endpoint: (typeof ENDPOINTS)[number]) => FakeFault,
  code?: ErrorCode,
  endpoints: readonly (typeof ENDPOINTS)[number][] = ENDPOINTS,
  hangs = false,
): Promise<void> {
  for (const endpoint of endpoints) {
    const browser = new TestBrowser()
    const url = await lab.callback(browser, 'alice')
    lab.fake.clearRequests()
    lab.fake.script(endpoint, fault(endpoint))
    const call = () => browser.get(url)
    const reached = () => lab.fake.count(endpoint) > 0
    await lab.refused(browser, () => (hangs ? atDeadline(call, reached) : call()), code ? { code } : {})
    expect(lab.fake.count('token')).toBe(1)
    lab.fake.clearScripts()
  }
}

/** The control of every test here: without a fault the same person signs in. */
async function signsIn(lab: Lab): Promise<void> {
  const browser = new TestBrowser()
  await lab.signIn(browser, 'alice')
  expect(await lab.me(browser)).not.toBeNull()
}

test('UPS-01: ends at the deadline when the upstream never answers, and leaves nothing open', async () => {
  let asked = false
  const silent = await startRawLab(
    () => {
      asked = true
    },
    { options: { http: { preconnect: false } } },
  )
  expect((await atDeadline(silent.call, () => asked)).status).toBe(504)
  await until(() => [...silent.bitbucket.sockets].every(({ readyState }) => readyState !== 'open'), 'no socket')
  const lab = await startLab()
  for (const fault of [{ delivery: 'stall' }, { delivery: 'stall-in-body' }, { slow: { everyMs: 40 } }] as const) {
    await refusedAtEach(lab, () => fault, 'upstream_timeout', ENDPOINTS, true)
  }
  await signsIn(lab)
})

test('UPS-03: fails without a connection, a handshake, a trusted certificate or the right name, and shows nothing', async () => {
  const fake = await startFakeBitbucket({ tls: { key: CERTIFICATE_KEY, cert: CERTIFICATE } })
  afterwards(() => fake.close())
  const untrusting = await startLab({ fake })
  const { victim } = browsers()
  const url = await untrusting.callback(victim, 'alice')
  await untrusting.refused(victim, () => victim.get(url), { code: 'upstream_failed', upstream: 0 })

  const local = (_host: string, options: unknown, done: (...result: unknown[]) => void) =>
    (options as { all?: boolean }).all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)
  const agent = new https.Agent({ ca: CERTIFICATE, lookup: local as never })
  afterwards(() => agent.destroy())
  const named = { ...fake.endpoints, tokenURL: fake.endpoints.tokenURL.replace('127.0.0.1', 'other.localhost') }
  const misnamed = await startLab({ fake, connection: { endpoints: named }, options: { http: { agent } } })
  const second = await misnamed.callback(victim, 'alice')
  await misnamed.refused(victim, () => victim.get(second), { code: 'upstream_failed', upstream: 0 })

  const trusting = await startLab({ fake, options: { http: { agent } } })
  await trusting.signIn(victim, 'alice')
  expect(await trusting.me(victim)).toBe('u1')

  // A server that accepts the connection and never shakes hands, and a closed port.
  const half = await startRawLab(() => {})
  const secure = half.bitbucket.url.replace('http:', 'https:')
  const stuck = await startLab({
    fake,
    connection: { endpoints: { ...fake.endpoints, tokenURL: `${secure}/token`, apiURL: `${secure}/2.0` } },
  })
  const third = await stuck.callback(victim, 'alice')
  const shaking = () => half.bitbucket.sockets.size > 0
  await stuck.refused(victim, () => atDeadline(() => victim.get(third), shaking), { code: 'upstream_timeout' })
  const nobody = await startLab({
    fake,
    connection: { endpoints: { ...fake.endpoints, tokenURL: 'http://127.0.0.1:1/token' } },
  })
  const fourth = await nobody.callback(victim, 'alice')
  await nobody.refused(victim, () => victim.get(fourth), { code: 'upstream_failed' })
})

test('UPS-05: stops reading an answer after one mebibyte', async ({ lab }) => {
  await refusedAtEach(lab, () => ({ hugeBytes: 200 * 1024 * 1024 }), 'upstream_failed')
  const padding = 'x'.repeat(1024 * 1024)
  await refusedAtEach(lab, (endpoint) => ({ json: { ...GOOD[endpoint], padding } }), 'upstream_failed')
  await signsIn(lab)
})

test('UPS-05: does not decompress an answer', async ({ lab }) => {
  const bomb = gzipSync(Buffer.alloc(20 * 1024 * 1024, 32))
  await refusedAtEach(lab, () => ({ bytes: bomb, headers: { 'content-encoding': 'gzip' } }), 'upstream_failed')
  await refusedAtEach(
    lab,
    (endpoint) => ({ bytes: gzipSync(JSON.stringify(GOOD[endpoint])), headers: { 'content-encoding': 'gzip' } }),
    'upstream_failed',
  )
  expect(lab.fake.requests.every(({ headers }) => (headers['accept-encoding'] ?? 'identity') === 'identity')).toBe(true)
  await signsIn(lab)
})

test('UPS-08: accepts nothing but one JSON object', async ({ lab }) => {
  const texts = [
    '[]',
    '"x"',
    '1',
    'true',
    'null',
    '',
    ' ',
    'NaN',
    '{',
    '{}{}',
    '{"a":1} x',
    '// {}\n{}',
    '{"a":1,}',
    '\u0000',
  ]
  for (const text of texts) await refusedAtEach(lab, () => ({ bytes: Buffer.from(text) }))
  // A byte order mark, bytes that are no UTF-8, and the right object in an array.
  for (const endpoint of ENDPOINTS) {
    const good = Buffer.from(JSON.stringify(GOOD[endpoint]))
    const bytes = [
      Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), good]),
      Buffer.concat([good.subarray(0, -1), Buffer.from([0x2c, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]),
    ]
    bytes.push(Buffer.from(`[${good}]`), Buffer.from(JSON.stringify(String(good))))
    for (const each of bytes) await refusedAtEach(lab, () => ({ bytes: each }), undefined, [endpoint])
  }
  await signsIn(lab)
})

test('UPS-09: does not accept a page that contains a token', async ({ lab }) => {
  await refusedAtEach(lab, () => ({ html: '<p>x&access_token=evil&token_type=bearer&scope=account</p>' }))
  await signsIn(lab)
})

test('UPS-10: does not accept a form-encoded token, whatever its content type', async ({ lab }) => {
  for (const type of ['application/x-www-form-urlencoded', 'application/json', 'text/plain']) {
    await refusedAtEach(lab, () => ({ text: 'access_token=evil&token_type=bearer', headers: { 'content-type': type } }))
  }
  await signsIn(lab)
})

test('UPS-11: parses every content type as JSON', async () => {
  for (const type of ['text/plain', 'text/html', 'application/jsonp', '']) {
    const lab = await startLab()
    for (const endpoint of ENDPOINTS) {
      lab.fake.script(endpoint, {
        bytes: Buffer.from(JSON.stringify(GOOD[endpoint])),
        headers: { 'content-type': type },
      })
    }
    await signsIn(lab)
    await refusedAtEach(lab, () => ({ text: 'callback({"access_token":"x"})', headers: { 'content-type': type } }))
  }
})

test('UPS-13: follows no redirect, and shows no other host the secret or a token', async ({ lab }) => {
  const evil = await startEvil()
  for (const status of [301, 302, 303, 307, 308]) {
    await refusedAtEach(lab, () => ({ status, redirect: `${evil.url}/latest/meta-data` }))
    await refusedAtEach(lab, (endpoint) => ({
      status,
      json: GOOD[endpoint],
      headers: { location: `${evil.url}/token` },
    }))
  }
  expect(evil.requests).toEqual([])
  await signsIn(lab)
})

test('UPS-14: accepts status 200 only', async ({ lab }) => {
  for (const status of [201, 202, 203, 206, 226]) {
    await refusedAtEach(lab, (endpoint) => ({ status, json: GOOD[endpoint] }))
  }
  await refusedAtEach(lab, () => ({ status: 204 }))
  const storm = await startRawLab((path, socket) => {
    socket.write('HTTP/1.1 103 Early Hints\r\nlink: </evil>\r\n\r\n'.repeat(200))
    goodAnswer(path, socket)
  })
  expect((await storm.call()).location).toBe('/')
  const goOn = await startRawLab((path, socket) => {
    socket.write('HTTP/1.1 100 Continue\r\n\r\n')
    goodAnswer(path, socket)
  })
  expectStatus(await goOn.call())
  const upgrade = await startRawLab((_path, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: evil\r\n\r\n')
  })
  expectStatus(await upgrade.call())
  await signsIn(lab)
})

function expectStatus({ status, location }: { status: number; location: string }): void {
  expect([status >= 500, location]).toEqual([true, ''])
}

test('UPS-16: refuses a token of the wrong type, size or alphabet', async ({ lab }) => {
  const long = 'T'.repeat(13_000)
  for (const access_token of [{ a: 1 }, ['T'], 5, true, null, '', ' ', 'a b', 'a\r\nX-Evil: 1', 'ä', '\u0000', long]) {
    await refusedAtEach(lab, () => ({ json: { ...GOOD_TOKEN, access_token } }), 'upstream_failed', ['token'])
    expect(lab.fake.count('user') + lab.fake.count('emails')).toBe(0)
  }
  await refusedAtEach(lab, () => ({ json: { token_type: 'bearer' } }), 'upstream_failed', ['token'])
  await signsIn(lab)
})

test('UPS-17: accepts the token type bearer only, in any case', async ({ lab }) => {
  for (const token_type of ['mac', '', undefined, null, ['bearer'], 'bearer ', 'BearerX']) {
    await refusedAtEach(lab, () => ({ json: { ...GOOD_TOKEN, token_type } }), 'upstream_failed', ['token'])
    expect(lab.fake.count('user') + lab.fake.count('emails')).toBe(0)
  }
  lab.fake.script('token', { edit: (body) => ({ ...body, token_type: 'BEARER' }) })
  await signsIn(lab)
})

test('UPS-18: proves nothing by the scopes that an answer claims', async () => {
  for (const scope of [
    undefined,
    '',
    'account email repository:admin',
    'x'.repeat(5000),
    ['account'],
    { a: 1 },
    null,
  ]) {
    const lab = await startLab()
    lab.fake.script('token', { edit: ({ scope: _, ...body }) => ({ ...body, scope }) })
    await signsIn(lab)
    lab.fake.script('emails', { problem: 'missing-scope' })
    const browser = new TestBrowser()
    expect((await lab.signIn(browser, 'carol')).location).toBe('/auth/bitbucket/email')
    expect(await lab.me(browser)).toBeNull()
  }
})

test('UPS-19: ends the sign-in at a rate limit, without waiting or retrying', async ({ lab }) => {
  for (const retry of ['99999999', '-1', '0', 'Wed, 21 Oct 2099 07:28:00 GMT', 'soon']) {
    await refusedAtEach(lab, () => ({ status: 429, json: {}, headers: { 'retry-after': retry } }), 'rate_limited')
  }
  for (const problem of ['rate-limited', 'rate-limited-text', 'rate-limited-empty'] as const) {
    await refusedAtEach(lab, () => ({ problem }), 'rate_limited')
  }
  await signsIn(lab)
})

test('UPS-20: sends each request once when the server fails', async ({ lab }) => {
  for (const status of [500, 502, 503, 504, 520]) {
    for (const endpoint of ENDPOINTS) {
      const browser = new TestBrowser()
      const url = await lab.callback(browser, 'alice')
      lab.fake.clearRequests()
      lab.fake.script(endpoint, { status, html: '<h1>Bad gateway</h1>' })
      await lab.refused(browser, () => browser.get(url), { code: 'upstream_failed', reflected: ['Bad gateway'] })
      for (const each of ENDPOINTS) expect(lab.fake.count(each)).toBeLessThanOrEqual(1)
      lab.fake.clearScripts()
    }
  }
  await signsIn(lab)
})

test('UPS-20: retries a reading request once after a reset, and never the code', async ({ lab }) => {
  for (const endpoint of ENDPOINTS) {
    const browser = new TestBrowser()
    const url = await lab.callback(browser, 'alice')
    lab.fake.clearRequests()
    lab.fake.script(endpoint, { delivery: 'reset' })
    await lab.refused(browser, () => browser.get(url), { code: 'upstream_failed' })
    expect(lab.fake.count(endpoint)).toBe(endpoint === 'token' ? 1 : 2)
    lab.fake.clearScripts()
  }
  await signsIn(lab)
})

test('UPS-21: signs no user in with a token that the API refuses, and stores it nowhere', async ({ lab }) => {
  for (const problem of ['invalid-token', 'expired-token', 'missing-scope', 'not-found', 'removed'] as const) {
    await refusedAtEach(lab, () => ({ problem }), undefined, ['user'])
  }
  // The refusal counts, not the person that comes with it.
  for (const status of [400, 401, 403, 404, 410, 451]) {
    await refusedAtEach(lab, () => ({ status, json: GOOD_USER }), undefined, ['user'])
  }
  expect(lab.accounts.tokens.size).toBe(0)
  await signsIn(lab)
  expect(lab.accounts.tokens.size).toBe(1)
})

test('UPS-22: passes only checked and bounded fields of a malformed profile on', async ({ lab }) => {
  const odd = { username: 5, nickname: {}, display_name: ['x'], account_id: {}, links: 'x', created_on: null }
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`key${at}`, at]))
  const links = { avatar: { href: 'javascript:alert(1)' }, html: [{ href: 'https://u:p@evil.example/' }] }
  for (const change of [
    odd,
    many,
    { links },
    { display_name: 'x'.repeat(200_000) },
    { is_admin: true, role: 'owner' },
  ]) {
    lab.fake.script('user', { edit: (user) => ({ ...user, ...change }) })
    await signsIn(lab)
  }
  const [call] = lab.accounts.calls.filter(({ name }) => name === 'createUser')
  expect(Object.keys(call?.input.profile as object).sort()).toEqual(
    ['accountId', 'avatarUrl', 'displayName', 'emails', 'id', 'nickname', 'profileUrl', 'username'].sort(),
  )
  expect(call?.input.profile).toMatchObject({ username: null, nickname: null, displayName: 'Bitbucket user' })
  for (const { input } of lab.accounts.calls.filter(({ name }) => name === 'updateProfile')) {
    expect(JSON.stringify(input.profile).length).toBeLessThan(2000)
    expect(JSON.stringify(input.profile)).not.toMatch(/javascript|u:p@/)
  }
})

test('UPS-22: leaves out a lifetime of the token whose end no date can hold', async ({ lab }) => {
  const expiries: (string | null)[] = []
  lab.accounts.intercept = (name, input) => {
    if (name !== 'storeTokens') return
    // Like a database driver, which throws for an invalid date.
    expiries.push((input as { tokens: Tokens }).tokens.expiresAt?.toISOString() ?? null)
  }
  for (const expires_in of [1e15, 1e308, 315_360_001, 7200]) {
    lab.fake.script('token', { edit: (body) => ({ ...body, expires_in }) })
    expect((await lab.signIn(new TestBrowser(), 'alice')).location).toBe('/')
  }
  expect(expiries).toEqual([null, null, null, expect.any(String)])
})

test("UPS-25: stops at ten pages, and reads them from the API's own host only", async ({ lab }) => {
  const evil = await startEvil()
  const page = (next: string) => ({ json: { values: [], next } })
  lab.fake.script('emails', page(`${lab.fake.endpoints.apiURL}/user/emails?page=2`))
  const browser = new TestBrowser()
  // A list that could not be read whole is not a shorter list: which address would be the primary one?
  expect((await lab.signIn(browser, 'alice')).status).toBe(502)
  expect(lab.fake.count('emails')).toBe(10)
  const away = [
    `${evil.url}/2.0/user/emails`,
    'file:///etc/passwd',
    '/2.0/user',
    'x',
    '//127.0.0.1:1/x',
    evil.url.replace('127', 'u:p@127'),
  ]
  away.push(
    `${lab.fake.endpoints.apiURL.replace('http://', 'http://u:p@')}/user/emails?page=2`,
    lab.fake.endpoints.apiURL.replace('http', 'https'),
  )
  for (const next of away) {
    lab.fake.clearRequests()
    lab.fake.script('emails', page(next))
    expect((await lab.signIn(new TestBrowser(), 'alice')).status).toBe(502)
    expect(lab.fake.count('emails')).toBe(1)
    expect(lab.fake.count('other')).toBe(0)
  }
  expect(lab.faults).toEqual([])
  expect(evil.requests).toEqual([])
  lab.fake.clearScripts()
  await lab.signIn(browser, 'erin')
  expect(await lab.me(browser)).toBe('u1')
})

test('UPS-26: refuses a page with more addresses than Bitbucket sends', async ({ lab }) => {
  const values = Array.from({ length: 10_000 }, (_, at) => ({
    type: 'email',
    email: `a${at}@example.com`,
    is_primary: at === 5000,
    is_confirmed: true,
  }))
  lab.fake.script('emails', { json: { values } })
  const browser = new TestBrowser()
  expect((await lab.signIn(browser, 'alice')).status).toBe(502)
  expect(lab.mails).toEqual([])
  lab.fake.clearScripts()
  await signsIn(lab)
})

test('UPS-28: uses the last of duplicate keys, for id and address alike', async () => {
  const [first, last] = ['{11111111-1111-4111-8111-111111111111}', '{22222222-2222-4222-8222-222222222222}']
  const raw = await startRawLab((path, socket) => {
    const user = `{"type":"user","uuid":"${first}","uuid":"${last}","display_name":"Two"}`
    const emails = `{"values":[{"email":"a@example.com","email":"b@example.com","is_primary":true,"is_confirmed":false,"is_confirmed":true}]}`
    const text = path === '/token' ? JSON.stringify(GOOD_TOKEN) : path === '/2.0/user' ? user : emails
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`)
  })
  await raw.call()
  expect(raw.lab.accounts.users.get('u1')).toMatchObject({ email: 'b@example.com', identities: [{ id: last }] })
})

test('UPS-29: removes invisible and reordering characters from names, and leaves the identity alone', async ({
  lab,
}) => {
  const hostile = '\u0000A\u001b[31m\u202eecilA\u2066\u200b\u200d\ufeff\u0085 B\u{e0041}'
  lab.fake.updatePerson('alice', { displayName: hostile, nickname: hostile })
  const browser = new TestBrowser()
  await lab.signIn(browser, 'alice')
  const profile = lab.accounts.users.get('u1')?.identities[0]
  expect(profile?.id).toBe(lab.fake.person('alice').uuid)
  expect(profile?.profile?.displayName).toBe('A[31mecilA B')
  lab.fake.updatePerson('alice', { displayName: `x${'\u0301'.repeat(100_000)}` })
  await lab.signIn(new TestBrowser(), 'alice')
  expect(Array.from(lab.accounts.users.get('u1')?.identities[0]?.profile?.displayName ?? '').length).toBe(256)
})

test('UPS-31: fails without crashing on a hundred thousand levels of nesting', async ({ lab }) => {
  const deep = '['.repeat(100_000)
  await refusedAtEach(lab, () => ({ bytes: Buffer.from(deep) }))
  const closed = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
  await refusedAtEach(lab, () => ({ bytes: Buffer.from(closed) }), undefined, ['token', 'user'])
  await signsIn(lab)
})

test('UPS-32: never takes bytes after one answer for the next one', async () => {
  let extra = true
  const planted = jsonBytes({ ...GOOD_USER, uuid: '{66666666-6666-4666-8666-666666666666}' })
  const raw = await startRawLab((path, socket) => {
    if (path === '/token') return void socket.write(jsonBytes(GOOD_TOKEN) + (extra ? planted : ''))
    if (path.startsWith('/2.0/user/emails')) return void socket.write(jsonBytes(GOOD_EMAILS) + (extra ? planted : ''))
    socket.write(jsonBytes(GOOD_USER))
  })
  for (let round = 0; round < 4; round++) await raw.call()
  extra = false
  await raw.call()
  for (const user of raw.lab.accounts.users.values()) {
    expect(user.identities.every(({ id }) => id === GOOD_USER.uuid)).toBe(true)
  }
  expect(raw.lab.accounts.users.size).toBe(1)
})

test('UPS-33: ignores cookies, locations and floods of headers from the upstream', async ({ lab }) => {
  for (const endpoint of ENDPOINTS) {
    lab.fake.script(endpoint, { headers: { 'set-cookie': 'connect.sid=evil', location: 'https://evil.example/' } })
  }
  const browser = new TestBrowser()
  const answer = await lab.signIn(browser, 'alice')
  expect(answer.location).toBe('/')
  expect(JSON.stringify(answer.headers)).not.toContain('evil')
  for (const headers of [
    `x: ${'y'.repeat(20_000)}\r\n`,
    `${'a: b\r\n'.repeat(2000)}z: ${'y'.repeat(16_384)}\r\n`,
    'bad header\r\n',
    'x: \u0000\r\n',
  ]) {
    const raw = await startRawLab((path, socket) => {
      if (path === '/token') socket.write(jsonBytes(GOOD_TOKEN, headers))
      else goodAnswer(path, socket)
    })
    expectStatus(await raw.call())
  }
  for (const bytes of [
    'HTTP/1.1 2OO OK\r\n\r\n',
    'ICY 200 OK\r\n\r\n',
    '\u0016\u0003\u0001',
    'HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}',
  ]) {
    let played = false
    const raw = await startRawLab((_path, socket) => {
      played = socket.write(bytes)
    })
    expectStatus(await atDeadline(raw.call, () => played))
  }
})

test('UPS-34: ends the requests to Bitbucket when the browser leaves, and signs no user in', async ({
  lab,
  victim,
}) => {
  for (const endpoint of ENDPOINTS) {
    const url = new URL(await lab.callback(victim, 'alice'))
    lab.fake.clearRequests()
    lab.fake.script(endpoint, { delivery: 'stall' })
    const cookie = [...victim.jar(lab.url)].map(([name, value]) => `${name}=${value}`).join('; ')
    const { connect } = await import('node:net')
    const socket = connect(Number(url.port), '127.0.0.1')
    socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nCookie: ${cookie}\r\n\r\n`)
    await until(() => lab.fake.count(endpoint) === 1, `a request to ${endpoint}`)
    const before = lab.events.length
    socket.destroy()
    await until(() => lab.events.length > before, 'the end of the sign-in')
    expect(lab.events.at(-1)).toMatchObject({ code: 'upstream_failed' })
    lab.fake.clearScripts()
    await lab.refused(victim, () => victim.get(url.href), { code: 'state_invalid' })
  }
  expect(lab.accounts.users.size).toBe(0)
  expect(lab.signedIn()).toEqual([])
  await signsIn(lab)
})

test('UPS-34: creates no session for a browser that leaves while a hook runs, and keeps the one it has', async ({
  lab,
}) => {
  const { connect } = await import('node:net')
  const leave = async (browser: TestBrowser, url: URL, hook: string) => {
    const gate = door()
    let inside = false
    lab.accounts.intercept = (name) => {
      if (name !== hook || inside) return undefined
      inside = true
      return gate.opened
    }
    const cookie = [...browser.jar(lab.url)].map(([name, value]) => `${name}=${value}`).join('; ')
    const socket = connect(Number(url.port), '127.0.0.1')
    socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nCookie: ${cookie}\r\n\r\n`)
    await until(() => inside, hook)
    const before = lab.events.length
    socket.destroy()
    await turns()
    gate.open()
    await until(() => lab.events.length > before, 'the end of the step')
    lab.accounts.intercept = () => {}
  }
  const { victim } = browsers()
  await leave(victim, new URL(await lab.callback(victim, 'alice')), 'storeTokens')
  expect(lab.signedIn()).toEqual([])
  const member = new TestBrowser()
  const user = await lab.member(member)
  await leave(member, new URL(await lab.fake.signIn(await lab.link(member), { person: 'carol' })), 'linkIdentity')
  expect(await lab.me(member)).toBe(user.id)
  expect(lab.signedIn()).toEqual([user.id])
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('UPS-35: opens a bounded number of connections to a hanging Bitbucket, and still serves the app', async ({
  lab,
}) => {
  const urls: { browser: TestBrowser; url: string }[] = []
  for (let person = 0; person < 120; person++) {
    const browser = new TestBrowser()
    urls.push({ browser, url: await lab.callback(browser, 'alice') })
  }
  lab.fake.script('token', { delivery: 'stall' })
  const opened = lab.fake.connectionsOpened
  let served = false
  const call = () => Promise.all(urls.map(({ browser, url }) => browser.get(url)))
  const answers = atDeadline(call, () => served)
  await until(() => lab.fake.count('token') >= 50, 'fifty token requests')
  expect((await new TestBrowser().get(`${lab.url}/`)).text).toBe('home')
  expect(lab.fake.connectionsOpened - opened).toBeLessThanOrEqual(56)
  served = true
  for (const { status } of await answers) expect(status).toBe(504)
  lab.fake.clearScripts()
  await signsIn(lab)
})
