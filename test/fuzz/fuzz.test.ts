import http = require('node:http')

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readProfile } from '../../src/bitbucket/profile'
import { isJsonObject, readEmailPage, readMembership, readText, readTokenAnswer } from '../../src/bitbucket/wire'
import { deriveKeys } from '../../src/flow/keys'
import { open } from '../../src/flow/sealed-cookie'
import { isAddress } from '../../src/policy/email'
import { parseReturnTo } from '../../src/policy/return-to'
import { Secret } from '../../src/secret'
import { afterwards, type Lab, ourCookies, startLab } from '../attacks/lab'
import { TestBrowser } from '../support/browser'

/*
 * `npm test` runs a fixed part of this: always the same cases. `npm run fuzz` runs more than 100,000 of a new seed, or
 * of `FUZZ_SEED`, and prints the seed first.
 */
const LONG = process.env.FUZZ === 'long'
const seed = LONG ? Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31) : 20_261_123
if (LONG) console.log(`FUZZ_SEED=${seed}`)

/** Runs a property on few cases, or on many; the shares add up to more than 100,000. */
function check<T>(property: fc.IRawProperty<T>, few: number, many: number) {
  return fc.assert(property as fc.IAsyncProperty<T>, { seed, numRuns: LONG ? many : few, endOnFailure: LONG })
}

const TIMEOUT = LONG ? 20 * 60_000 : 30_000

interface Asked {
  readonly status: number
  readonly location: string
  readonly text: string
}

/** Sends requests over a few connections that stay open: a new one for each case would cost more than the case. */
function client() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  afterwards(() => agent.destroy())
  return (url: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}) =>
    new Promise<Asked>((resolve, reject) => {
      const { hostname, port } = new URL(url)
      const path = url.slice(url.indexOf('/', 8))
      const request = http.request(
        {
          hostname,
          port,
          path,
          agent,
          method: options.method ?? 'GET',
          headers: { accept: 'text/html', ...options.headers },
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              location: response.headers.location ?? '',
              text: Buffer.concat(chunks).toString(),
            }),
          )
        },
      )
      request.on('error', reject)
      request.end(options.body)
    })
}

const cookieHeader = (browser: TestBrowser, lab: Lab) =>
  [...browser.jar(lab.url)].map(([name, value]) => `${name}=${value}`).join('; ')

/** Text that parsers trip over, beside any other. */
const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 60 }),
  fc.constantFrom(
    '',
    '__proto__',
    'constructor',
    '\0',
    '\r\nSet-Cookie: a=b',
    '//evil.example',
    'null',
    '[object Object]',
    '%',
    '\ud800',
  ),
)

const key = fc.constantFrom(
  'state',
  'code',
  'error',
  'iss',
  'handover',
  'resumed',
  'returnTo',
  'error_description',
  'x',
)
const suffix = fc.constantFrom('', '', '', '[]', '[a]', '[__proto__]', '[0][1]', '%00')

/** Half a surrogate pair cannot be encoded; UTF-8 has a character for it. */
function encoded(text: string): string {
  return encodeURIComponent(Buffer.from(text).toString())
}

for (const version of [4, 5] as const) {
  test(
    `no query makes the callback sign anybody in, ask Bitbucket or fail, on Express ${version}`,
    async () => {
      const lab = await startLab({ express: version })
      const ask = client()
      const browser = new TestBrowser()
      const genuine = await lab.callback(browser, 'alice')
      const state = new URL(genuine).searchParams.get('state') ?? ''
      const headers = { cookie: cookieHeader(browser, lab) }
      const bent = fc
        .tuple(fc.nat(state.length - 1), fc.constantFrom(...'ABab01-_.=%'))
        .map(([at, letter]) => state.slice(0, at) + letter + state.slice(at + 1))
        .filter((each) => each !== state)
      const value = fc.oneof(nasty, bent, fc.constant(state.slice(0, -1)), fc.constant(`${state}${state}`))
      const query = fc.array(fc.tuple(key, suffix, value), { maxLength: 7 })
      await check(
        fc.asyncProperty(query, async (pairs) => {
          const search = pairs.map(([name, end, text]) => `${name}${end}=${encoded(text)}`).join('&')
          const { status, location } = await ask(`${lab.base}/callback?${search}`, { headers })
          expect([400, 403]).toContain(status)
          expect(location).toBe('')
        }),
        150,
        15_000,
      )
      expect([lab.upstream(), lab.faults, lab.accounts.calls, lab.signedIn()]).toEqual([0, [], [], []])
      await browser.get(genuine)
      expect(await lab.me(browser)).toBe('u1')
    },
    TIMEOUT,
  )
}

/** A genuine value, hurt: bits flipped, cut, lengthened, or put together from two genuine ones. */
function hurt(values: readonly string[]): fc.Arbitrary<string> {
  const one = fc.constantFrom(...values)
  const flipped = fc.tuple(one, fc.array(fc.nat(8 * 2000), { minLength: 1, maxLength: 3 })).map(([value, bits]) => {
    const bytes = Buffer.from(value, 'base64url')
    for (const bit of bits) {
      const at = (bit >> 3) % bytes.length
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
    }
    return bytes.toString('base64url')
  })
  const cut = fc.tuple(one, fc.nat(2000)).map(([value, at]) => value.slice(0, at % value.length))
  const longer = fc
    .tuple(one, fc.base64String({ minLength: 4, maxLength: 24 }))
    .map(([value, more]) => value + more.replace(/[+/=]/g, 'A'))
  const spliced = fc
    .tuple(one, one, fc.nat(2000))
    .map(([left, right, at]) => left.slice(0, at % left.length) + right.slice(at % left.length))
  return fc.oneof(
    flipped,
    cut,
    longer,
    spliced,
    fc.base64String({ maxLength: 900 }).map((text) => text.replace(/[+/=]/g, '_')),
  )
}

const sameBytes = (a: string, b: string) => Buffer.from(a, 'base64url').equals(Buffer.from(b, 'base64url'))

test(
  'no hurt cookie of a started sign-in opens, and none disturbs the genuine one',
  async () => {
    const lab = await startLab()
    const ask = client()
    const [browser, other] = [new TestBrowser(), new TestBrowser()]
    const genuine = await lab.callback(browser, 'alice')
    await lab.callback(other, 'carol', '/somewhere')
    const [[name = '', value = ''] = []] = [...ourCookies(browser, lab.url)]
    const values = [value, ...ourCookies(other, lab.url).values()]
    await check(
      fc.asyncProperty(hurt(values), fc.boolean(), async (bad, twice) => {
        fc.pre(!sameBytes(bad, value))
        const cookie = twice ? `${name}=${bad}; ${name}=${value}` : `${name}=${bad}`
        const { status } = await ask(genuine, { headers: { cookie } })
        expect(status).toBe(403)
      }),
      250,
      15_000,
    )
    expect([lab.upstream(), lab.faults]).toEqual([0, []])
    await browser.get(genuine)
    expect(await lab.me(browser)).toBe('u1')
  },
  TIMEOUT,
)

test(
  'no hurt cookie of a waiting sign-in opens, even with the right code',
  async () => {
    const lab = await startLab({ connection: { trustedProvider: false } })
    const ask = client()
    const [browser, other] = [new TestBrowser(), new TestBrowser()]
    const { code } = await lab.pendingCode(browser, 'alice')
    await lab.pendingCode(other, 'carol')
    const value = ourCookies(browser, lab.url).get('bitbucket.p') ?? ''
    const stranger = ourCookies(other, lab.url).get('bitbucket.p') ?? ''
    await check(
      fc.asyncProperty(hurt([value, stranger]), async (bad) => {
        fc.pre(!sameBytes(bad, value) && !sameBytes(bad, stranger))
        const { status } = await ask(`${lab.base}/email/verify`, {
          method: 'POST',
          headers: {
            cookie: `bitbucket.p=${bad}`,
            'sec-fetch-site': 'same-origin',
            'content-type': 'application/x-www-form-urlencoded',
          },
          body: `code=${code}`,
        })
        expect(status).toBe(404)
      }),
      200,
      10_000,
    )
    expect([lab.faults, lab.signedIn(), lab.accounts.users.size]).toEqual([[], [], 0])
    await lab.verify(browser, code)
    expect(await lab.me(browser)).toBe('u1')
  },
  TIMEOUT,
)

const POSTS = [
  '/email/address',
  '/email/code',
  '/email/verify',
  '/continue',
  '/link',
  '/unlink',
  '/reauthenticate',
  '/cancel',
]
const field = fc.constantFrom(
  'address',
  'code',
  'choice',
  'id',
  'pending',
  'returnTo',
  '__proto__',
  'constructor',
  'userId',
)
const form = fc
  .array(fc.tuple(field, suffix, nasty), { maxLength: 6 })
  .map((pairs) => pairs.map(([name, end, text]) => `${name}${end}=${encoded(text)}`).join('&'))
const json = fc.oneof(
  fc.dictionary(field, fc.jsonValue({ maxDepth: 3 })).map((value) => JSON.stringify(value)),
  fc.json({ maxDepth: 4 }),
  fc.string({ maxLength: 80 }),
)
const body = fc.oneof(
  fc.tuple(fc.constant('application/x-www-form-urlencoded'), form),
  fc.tuple(fc.constant('application/json'), json),
  fc.tuple(
    fc.constantFrom('text/plain', 'multipart/form-data; boundary=x', 'application/json; charset=utf-7', ''),
    form,
  ),
)

test(
  'no body changes an account, signs anybody in or makes a route fail',
  async () => {
    for (const version of LONG ? ([4, 5] as const) : ([5] as const)) {
      const lab = await startLab({ express: version, connection: { trustedProvider: false } })
      const ask = client()
      const [visitor, waiting, member] = [new TestBrowser(), new TestBrowser(), new TestBrowser()]
      await lab.signIn(waiting, 'dave')
      const user = await lab.member(member)
      user.identities.push({ issuer: lab.fake.url, id: lab.fake.person('carol').uuid })
      const before = JSON.stringify([...lab.accounts.users.values()])
      const who = fc.constantFrom(...[visitor, waiting, member].map((browser) => cookieHeader(browser, lab)))
      await check(
        fc.asyncProperty(fc.constantFrom(...POSTS), who, body, async (path, cookie, [type, text]) => {
          const { status, location } = await ask(lab.base + path, {
            method: 'POST',
            headers: { cookie, 'sec-fetch-site': 'same-origin', 'content-type': type },
            body: text,
          })
          expect(status).toBeGreaterThanOrEqual(300)
          // 503: the mail of a well-formed address; 500 would be a fault of ours.
          expect([500, 501, 502, 504]).not.toContain(status)
          expect(location).not.toContain('evil')
        }),
        200,
        10_000,
      )
      expect(lab.faults).toEqual([])
      expect(lab.accounts.writes()).toEqual([])
      expect(JSON.stringify([...lab.accounts.users.values()])).toBe(before)
      expect(await lab.me(visitor)).toBeNull()
      expect(await lab.me(waiting)).toBeNull()
      expect((await lab.post(member, '/unlink', { id: lab.fake.person('carol').uuid })).status).toBe(303)
    }
  },
  TIMEOUT,
)

const UUID = '{11111111-2222-4333-8444-555555555555}'
const anyJson = fc.jsonValue({ maxDepth: 3 })
/** Objects that are nearly right: known fields with right or any values. */
const token = fc.record(
  {
    access_token: fc.oneof(fc.constant('T'.repeat(43)), nasty, anyJson),
    token_type: fc.oneof(fc.constantFrom('bearer', 'Bearer', 'mac'), anyJson),
    refresh_token: fc.oneof(nasty, anyJson),
    expires_in: anyJson,
    scope: fc.oneof(nasty, anyJson),
  },
  { requiredKeys: [] },
)
const account = fc.record(
  {
    type: fc.oneof({ weight: 3, arbitrary: fc.constant('user') }, { weight: 1, arbitrary: anyJson }),
    uuid: fc.oneof({ weight: 3, arbitrary: fc.constant(UUID) }, { weight: 1, arbitrary: fc.oneof(nasty, anyJson) }),
    display_name: fc.oneof(nasty, anyJson),
    nickname: fc.oneof(nasty, anyJson),
    username: fc.oneof(nasty, anyJson),
    account_id: anyJson,
    links: fc.oneof(anyJson, fc.record({ avatar: fc.record({ href: nasty }), html: anyJson })),
  },
  { requiredKeys: ['type', 'uuid'] },
)
const entry = fc.record(
  {
    type: fc.oneof({ weight: 4, arbitrary: fc.constant('email') }, { weight: 1, arbitrary: anyJson }),
    email: fc.oneof(fc.constantFrom('a@example.com', 'b@example.com', 'A@Example.com'), nasty, anyJson),
    is_primary: fc.oneof({ weight: 4, arbitrary: fc.boolean() }, { weight: 1, arbitrary: anyJson }),
    is_confirmed: fc.oneof({ weight: 4, arbitrary: fc.boolean() }, { weight: 1, arbitrary: anyJson }),
  },
  { requiredKeys: ['email', 'is_primary', 'is_confirmed'] },
)
const emails = fc.record(
  { values: fc.oneof(fc.array(fc.oneof(entry, anyJson), { maxLength: 5 }), anyJson), next: fc.oneof(nasty, anyJson) },
  { requiredKeys: ['values'] },
)

test(
  'whatever Bitbucket answers ends in a sign-in of a well-formed person or in a refusal',
  async () => {
    const lab = await startLab({ options: { http: { timeoutMs: 5000 } } })
    const ask = client()
    let created = 0
    await check(
      fc.asyncProperty(
        fc.option(fc.oneof(token, anyJson), { nil: undefined, freq: 1 }),
        fc.oneof({ weight: 5, arbitrary: account }, { weight: 1, arbitrary: anyJson }),
        fc.oneof({ weight: 5, arbitrary: emails }, { weight: 1, arbitrary: anyJson }),
        async (tokenBody, accountBody, emailBody) => {
          lab.accounts.users.clear()
          lab.accounts.calls.length = 0
          const browser = new TestBrowser()
          const url = await lab.callback(browser, 'alice')
          lab.fake.clearScripts()
          if (tokenBody !== undefined) lab.fake.script('token', { json: tokenBody })
          lab.fake.script('user', { json: accountBody })
          lab.fake.script('emails', { json: emailBody })
          const { status } = await ask(url, { headers: { cookie: cookieHeader(browser, lab) } })
          expect([302, 500, 502]).toContain(status)
          expect(lab.faults).toEqual([])
          for (const user of lab.accounts.users.values()) {
            created++
            expect(user.identities.map(({ id }) => id)).toEqual([UUID])
            const values = (emailBody as { values?: { email?: unknown; is_confirmed?: unknown }[] }).values ?? []
            const proven = values.some((each) => each?.email === user.email && each?.is_confirmed === true)
            if (user.emailVerified) expect(proven).toBe(true)
          }
        },
      ),
      80,
      3000,
    )
    expect(created).toBeGreaterThan(0)
  },
  TIMEOUT,
)

test(
  'the readers of the wire never throw, and give nothing that was not checked',
  async () => {
    const value = fc.oneof(token, account, emails, anyJson, fc.anything())
    await check(
      fc.property(value, fc.string(), (given, asked) => {
        readText(given)
        if (!isJsonObject(given)) return
        const read = readTokenAnswer(given)
        if (read) expect(read.accessToken).toMatch(/^[\x21-\x7e]{1,12000}$/)
        const profile = readProfile(given, [])
        if (profile) {
          expect(profile.id).toMatch(/^\{[0-9a-f-]{36}\}$/)
          expect(Array.from(profile.displayName).length).toBeLessThanOrEqual(256)
          expect(profile.displayName).not.toMatch(/[\p{Cc}\p{Cf}]/u)
          for (const link of [profile.avatarUrl, profile.profileUrl])
            if (link !== null) expect(link).toMatch(/^https?:\/\//)
        }
        for (const { address, confirmed } of readEmailPage(given).emails) {
          expect(address.length).toBeLessThanOrEqual(254)
          expect(typeof confirmed).toBe('boolean')
        }
        const membership = readMembership(given, asked)
        if (membership) expect([membership.slug, membership.uuid]).toContain(asked)
      }),
      1500,
      20_000,
    )
  },
  TIMEOUT,
)

test(
  'a way back that is accepted stays on the site for every reader',
  async () => {
    const pieces = fc.constantFrom(
      ...[
        '/',
        '//',
        '\\',
        '.',
        '..',
        '%2e',
        '%2f',
        '%5c',
        '%0a',
        '?',
        '#',
        '@',
        ':',
        'evil.example',
        'a',
        ' ',
        '\t',
        '\n',
        '\u00a0',
        ';',
        '%',
        'é',
        '//evil.example',
        'https:',
        '\u2028',
      ],
    )
    const path = fc.array(fc.oneof({ weight: 6, arbitrary: pieces }, { weight: 1, arbitrary: nasty }), { maxLength: 9 })
    const rules = { basePath: '/auth/bitbucket', signInPath: '/login' }
    let accepted = 0
    await check(
      fc.property(path, fc.boolean(), (parts, leading) => {
        const given = (leading ? '/' : '') + parts.join('')
        const kept = parseReturnTo(given, rules)
        if (kept === undefined) return
        accepted++
        expect(kept).toBe(given)
        for (const base of ['https://app.example/auth/bitbucket/callback', 'http://app.example/']) {
          const url = new URL(kept, base)
          expect(url.origin).toBe(new URL(base).origin)
          // Written again, or joined to the origin, it still stays.
          expect(new URL(url.pathname + url.search + url.hash, base).origin).toBe(url.origin)
          expect(new URL(new URL(base).origin + kept).origin).toBe(url.origin)
        }
        // What `res.redirect` and our own header line make of it.
        const line = kept.replace(/[^\x21-\x7e]+/gu, encodeURIComponent)
        expect(line).toMatch(/^\/(?![/\\])[\x21-\x7e]*$/)
        expect(new URL(line, 'https://app.example/x').origin).toBe('https://app.example')
      }),
      4000,
      20_000,
    )
    expect(accepted).toBeGreaterThan(100)
  },
  TIMEOUT,
)

test(
  'nothing but what we sealed opens, and nothing but an address is one',
  async () => {
    const keys = deriveKeys([new Secret('fuzz-secret-fuzz-secret-fuzz-secret')], 'bitbucket', 'transaction')
    const address = fc.array(
      fc.constantFrom(
        'a',
        'B',
        '.',
        '@',
        '-',
        '"',
        ' ',
        '\\',
        '[',
        ']',
        'é',
        '\u212a',
        '<',
        '\r',
        '\n',
        ',',
        ';',
        '+',
        'example.com',
      ),
      { maxLength: 12 },
    )
    await check(
      fc.property(fc.string({ maxLength: 200 }), fc.uint8Array({ maxLength: 300 }), address, (text, bytes, parts) => {
        expect(open(keys, 'bitbucket.t0', text)).toBeUndefined()
        expect(open(keys, 'bitbucket.t0', Buffer.from([1, ...bytes]).toString('base64url'))).toBeUndefined()
        const candidate = parts.join('')
        if (!isAddress(candidate)) return
        expect(candidate).toMatch(/^[\x21-\x7e]+@[A-Za-z0-9.-]+$/)
        expect(candidate).not.toMatch(/[\s,;<>()[\]"\\]/)
        expect(candidate.split('@')).toHaveLength(2)
      }),
      1500,
      10_000,
    )
  },
  TIMEOUT,
)
