import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  isJsonObject,
  readEmailPage,
  readMembership,
  readProfile,
  readText,
  readTokenAnswer,
} from '../../src/bitbucket/read-answer'

import { Secret } from '../../src/contract/secret'
import { isAddress } from '../../src/decisions/email-trust'
import { parseReturnTo } from '../../src/decisions/return-to'
import { deriveKeys } from '../../src/state/keys'
import { open, seal } from '../../src/state/sealed-cookie'
import { formsOf, TestBrowser } from '../support/browser'
import { ourCookies, startLab } from '../support/lab'
import { check, client, cookieHeader, encoded, LONG, nasty, suffix, TIMEOUT } from './cases'

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

for (const version of [4, 5] as const) {
  test(
    `no query makes the callback sign a user in, call Bitbucket or fail, on Express ${version}`,
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

/** The parameters of the callback: each may be there once, as a string of this length. */
const LENGTHS = { state: 1024, code: 2048, error: 256, iss: 512, handover: 4096 } as const

/** The expected result of a callback whose browser has one open sign-in: the documented rules, written again. */
function outcomeOf(query: URLSearchParams, genuine: { state: string; code: string; iss: string }) {
  const given = (name: keyof typeof LENGTHS) => (query.getAll(name).length > 1 ? query : query.get(name))
  for (const [name, length] of Object.entries(LENGTHS) as [keyof typeof LENGTHS, number][]) {
    const value = given(name)
    if (value !== null && (typeof value !== 'string' || value === '' || value.length > length)) return 'untouched'
  }
  if (given('handover') !== null || given('state') !== genuine.state) return 'untouched'
  if (given('iss') !== null && given('iss') !== genuine.iss) return 'untouched'
  // Nothing to use: the cookie goes, and nothing is counted.
  if (given('code') === null) return 'dropped'
  if (given('error') !== null) return 'spent'
  return given('code') === genuine.code ? 'signed in' : 'exchanged'
}

for (const version of [4, 5] as const) {
  test(
    `a genuine state accepts its one genuine code once, whatever surrounds the two, on Express ${version}`,
    async () => {
      const lab = await startLab({ express: version })
      const ask = client()
      const seen = new Map<string, number>()
      const extra = fc.tuple(
        key,
        suffix,
        fc.oneof(nasty, fc.constantFrom('access_denied', 'server_error', 'CODE', 'ISS', 'x'.repeat(2100))),
      )
      const base = fc.constantFrom<readonly string[]>(
        ...[
          ['state', 'code'],
          ['state', 'code'],
          ['code', 'state'],
          ['state', 'error'],
          ['state', 'guess'],
        ],
        ...[['state'], ['code']],
      )
      await check(
        fc.asyncProperty(base, fc.array(fc.tuple(fc.nat(3), extra), { maxLength: 3 }), async (names, extras) => {
          const started = await ask(lab.base)
          const cookie = started.setCookies.map((line) => line.split(';')[0]).join('; ')
          const genuine = {
            state: new URL(started.location).searchParams.get('state') ?? '',
            code: lab.code('alice'),
            iss: lab.fake.url,
          }
          const words = new Map([...Object.entries(genuine), ['error', 'access_denied'], ['guess', 'guessed']])
          const pairs = names.map((name) => `${name === 'guess' ? 'code' : name}=${encoded(words.get(name) ?? '')}`)
          for (const [at, [name, end, text]] of extras) {
            pairs.splice(at, 0, `${name}${end}=${encoded(words.get(text.toLowerCase()) ?? text)}`)
          }
          const search = pairs.join('&')
          lab.fake.clearRequests()
          const answer = await ask(`${lab.base}/callback?${search}`, { headers: { cookie } })
          const outcome = outcomeOf(new URLSearchParams(search), genuine)
          seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
          const asked = lab.fake.count('token')
          expect([outcome, asked, lab.fake.count('user')]).toEqual([
            outcome,
            outcome === 'signed in' || outcome === 'exchanged' ? 1 : 0,
            outcome === 'signed in' ? 1 : 0,
          ])
          expect([outcome, answer.location]).toEqual([outcome, outcome === 'signed in' ? '/' : ''])
          if (outcome === 'untouched') expect(answer.status).toBe(403)
          // The genuine callback afterwards: good exactly when nothing had been used up.
          const again = new URLSearchParams({ state: genuine.state, code: lab.code('alice') })
          const { location } = await ask(`${lab.base}/callback?${again}`, { headers: { cookie } })
          const isOpen = outcome === 'untouched' || outcome === 'dropped'
          expect([outcome, location]).toEqual([outcome, isOpen ? '/' : ''])
        }),
        100,
        3000,
      )
      expect([...seen.keys()].sort()).toEqual(['dropped', 'exchanged', 'signed in', 'spent', 'untouched'])
      expect(lab.faults).toEqual([])
      expect(lab.accounts.users.size).toBe(1)
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
  // Each part of its own right, but of another value: version, key, time, nonce, content, tag.
  const exchanged = fc
    .tuple(one, one, fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }))
    .map(([left, right, takes]) => {
      const [mine, other] = [partsOf(left), partsOf(right)]
      return Buffer.concat(takes.map((own, part) => (own ? mine : other)[part] as Buffer)).toString('base64url')
    })
  return fc.oneof(
    flipped,
    cut,
    longer,
    spliced,
    exchanged,
    fc.base64String({ maxLength: 900 }).map((text) => text.replace(/[+/=]/g, '_')),
  )
}

function partsOf(sealed: string): Buffer[] {
  const bytes = Buffer.from(sealed, 'base64url')
  return [0, 1, 5, 11, 23, -16].map((from, at, all) => bytes.subarray(from, all[at + 1] ?? bytes.length))
}

const sameBytes = (a: string, b: string) => Buffer.from(a, 'base64url').equals(Buffer.from(b, 'base64url'))

test(
  'no damaged cookie of a started sign-in opens, and none disturbs the genuine one',
  async () => {
    const lab = await startLab()
    const ask = client()
    const browser = new TestBrowser()
    const genuine = new URL(await lab.callback(browser, 'alice', '/somewhere-that-can-be-read'))
    const [[name = '', value = ''] = []] = [...ourCookies(browser, lab.url)]
    // Of the same name, so that nothing but the content tells them apart.
    let stranger: string | undefined
    while (stranger === undefined) {
      const other = new TestBrowser()
      await lab.callback(other, 'carol', '/elsewhere')
      stranger = ourCookies(other, lab.url).get(name)
    }
    await check(
      fc.asyncProperty(hurt([value, stranger]), fc.constantFrom('alone', 'first', 'last'), async (bad, where) => {
        fc.pre(!sameBytes(bad, value))
        const both = where === 'first' ? [bad, value] : [value, bad]
        const cookie = (where === 'alone' ? [bad] : both).map((each) => `${name}=${each}`).join('; ')
        const { status } = await ask(genuine.href, { headers: { cookie } })
        expect(status).toBe(403)
      }),
      300,
      15_000,
    )
    // Whole, but instead of another one.
    for (const digit of [...'0123456789abcdef'].filter((each) => !name.endsWith(each))) {
      const cookie = `${name.slice(0, -1)}${digit}=${value}`
      expect((await ask(genuine.href, { headers: { cookie } })).status).toBe(403)
    }
    expect([lab.upstream(), lab.faults]).toEqual([0, []])
    expect((await browser.get(genuine.href)).location).toBe('/somewhere-that-can-be-read')
    expect(await lab.me(browser)).toBe('u1')
  },
  TIMEOUT,
)

test(
  'no damaged cookie of a pending sign-in opens, even with the right code',
  async () => {
    const lab = await startLab({ connection: { trustedProvider: false } })
    const ask = client()
    const [browser, other] = [new TestBrowser(), new TestBrowser()]
    const { code } = await lab.pendingCode(browser, 'alice')
    await lab.pendingCode(other, 'carol')
    const value = ourCookies(browser, lab.url).get('bitbucket.p') ?? ''
    const stranger = ourCookies(other, lab.url).get('bitbucket.p') ?? ''
    const [{ fields } = { fields: {} }] = formsOf((await lab.get(browser, '/email')).text)
    const form = new URLSearchParams({ ...fields, code }).toString()
    await check(
      fc.asyncProperty(hurt([value, stranger]), fc.boolean(), async (bad, withHandle) => {
        fc.pre(!sameBytes(bad, value) && !sameBytes(bad, stranger))
        const { status } = await ask(`${lab.base}/email/verify`, {
          method: 'POST',
          headers: {
            cookie: `bitbucket.p=${bad}`,
            'sec-fetch-site': 'same-origin',
            'content-type': 'application/x-www-form-urlencoded',
          },
          body: withHandle ? form : `code=${code}`,
        })
        expect(status).toBe(404)
      }),
      250,
      10_000,
    )
    expect([lab.faults, lab.signedIn(), lab.accounts.users.size]).toEqual([[], [], 0])
    await lab.verify(browser, code)
    expect(await lab.me(browser)).toBe('u1')
  },
  TIMEOUT,
)

/** The routes, each with the field that it is about. */
const POSTS = {
  '/email/address': 'address',
  '/email/code': 'pending',
  '/email/verify': 'code',
  '/continue': 'choice',
  '/link': 'returnTo',
  '/unlink': 'id',
  '/reauthenticate': 'returnTo',
  '/cancel': 'pending',
} as const

/** The fields of our forms, each with values that its route accepts, and with others. */
function bodies(own: string, genuine: { handles: string[]; ids: string[] }) {
  const right = new Map([
    ['address', fc.constantFrom('typed@example.com', ' Typed+1@Example.co.uk ', 'member@example.com')],
    ['code', fc.string({ unit: fc.constantFrom(...'BCDFGHJKLMNPQRSTVWXZ'), minLength: 8, maxLength: 8 })],
    ['choice', fc.constantFrom('link', 'switch', 'confirm')],
    ['id', fc.constantFrom(...genuine.ids)],
    ['pending', fc.constantFrom(...genuine.handles)],
    ['returnTo', fc.constantFrom('/', '/fine?x=1')],
  ])
  const any = fc.constantFrom(...right.keys(), '__proto__', 'constructor', 'userId')
  const name = fc.oneof(fc.constant(own), any)
  const rightOrNot = (each: string) =>
    fc.oneof({ weight: 3, arbitrary: right.get(each) ?? nasty }, { weight: 1, arbitrary: nasty })
  const end = fc.oneof({ weight: 5, arbitrary: fc.constant('') }, { weight: 1, arbitrary: suffix })
  const pair = name.chain((each) => fc.tuple(fc.constant(each), end, rightOrNot(each)))
  const form = fc
    .array(pair, { minLength: 1, maxLength: 5 })
    .map((pairs) => pairs.map(([each, more, text]) => `${each}${more}=${encoded(text)}`).join('&'))
  const member = name.chain((each) =>
    fc.tuple(fc.constant(each), fc.oneof({ weight: 3, arbitrary: rightOrNot(each) }, fc.jsonValue({ maxDepth: 3 }))),
  )
  const json = fc.oneof(
    fc.array(member, { maxLength: 6 }).map((pairs) => {
      return `{${pairs.map((each) => each.map((part) => JSON.stringify(part)).join(':')).join(',')}}`
    }),
    fc.json({ maxDepth: 4 }),
    fc.string({ maxLength: 80 }),
  )
  return fc.oneof(
    { weight: 4, arbitrary: fc.tuple(fc.constant('application/x-www-form-urlencoded'), form) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('application/json'), json) },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constantFrom('text/plain', 'multipart/form-data; boundary=x', 'application/json; charset=utf-7', ''),
        form,
      ),
    },
  )
}

for (const version of [4, 5] as const) {
  test(
    `no body changes an account, signs a user in or makes a route fail, on Express ${version}`,
    async () => {
      const lab = await startLab({ express: version, connection: { trustedProvider: false } })
      const ask = client()
      const [visitor, waiting, coding, proving, member] = Array.from({ length: 5 }, () => new TestBrowser()) as [
        TestBrowser,
        TestBrowser,
        TestBrowser,
        TestBrowser,
        TestBrowser,
      ]
      await lab.signIn(waiting, 'dave')
      await lab.pendingCode(coding, 'bob')
      lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
      await lab.verify(proving, (await lab.pendingCode(proving, 'alice')).code)
      const user = await lab.member(member)
      user.identities.push({ issuer: lab.fake.url, id: lab.fake.person('carol').uuid })
      const handles: string[] = []
      for (const [browser, page] of [
        [waiting, '/email'],
        [coding, '/email'],
        [proving, '/continue'],
      ] as const) {
        handles.push(formsOf((await lab.get(browser, page)).text)[0]?.fields.pending ?? '')
      }
      expect(handles.every((handle) => handle.length === 22)).toBe(true)
      // Another user's identity: her own would be unlinked, as it should be.
      const ids = [lab.fake.person('alice').uuid, lab.fake.person('bob').uuid, UUID]
      const before = JSON.stringify([...lab.accounts.users.values()])
      const writes = lab.accounts.writes().length
      const everybody = [visitor, waiting, coding, proving, member]
      const who = fc.constantFrom(...everybody.map((browser) => cookieHeader(browser, lab)))
      const post = fc
        .constantFrom(...Object.entries(POSTS))
        .chain(([path, own]) => fc.tuple(fc.constant(path), bodies(own, { handles, ids })))
      const answers = new Set<number>()
      await check(
        fc.asyncProperty(post, who, async ([path, [type, text]], cookie) => {
          // Whether a record of these browsers is valid after `POST /cancel` is tested elsewhere.
          fc.pre(path !== '/cancel' || !cookie.includes('bitbucket.p'))
          const { status, location } = await ask(lab.base + path, {
            method: 'POST',
            headers: { cookie, 'sec-fetch-site': 'same-origin', 'content-type': type },
            body: text,
          })
          answers.add(status)
          expect(status === 200 || status >= 300).toBe(true)
          expect(status).toBeLessThan(500)
          expect(location).not.toContain('evil')
        }),
        400,
        7500,
      )
      // On to Bitbucket or the next page, refused, not signed in, nothing there, out of date, too often; a page once more.
      const wanted = [303, 400, 401, 404, 409, 429, ...(LONG ? [200] : [])]
      expect(wanted.filter((status) => !answers.has(status))).toEqual([])
      expect(lab.faults).toEqual([])
      expect(lab.accounts.writes()).toHaveLength(writes)
      expect(JSON.stringify([...lab.accounts.users.values()])).toBe(before)
      for (const browser of everybody) expect(await lab.me(browser)).toBe(browser === member ? user.id : null)
      expect((await lab.post(member, '/unlink', { id: lab.fake.person('carol').uuid })).status).toBe(303)
    },
    TIMEOUT,
  )
}

const UUID = '{11111111-2222-4333-8444-555555555555}'
const anyJson = fc.jsonValue({ maxDepth: 3 })
const odd = fc.oneof(nasty, anyJson)
const usually = <T, U>(right: fc.Arbitrary<T>, other: fc.Arbitrary<U>) =>
  fc.oneof({ weight: 9, arbitrary: right }, { weight: 1, arbitrary: other })
/** One wrong value makes a whole list of addresses unreadable. */
const mostly = <T, U>(right: fc.Arbitrary<T>, other: fc.Arbitrary<U>) =>
  fc.oneof({ weight: 39, arbitrary: right }, { weight: 1, arbitrary: other })
/** Objects that are nearly right: known fields, most with right values. */
const token = fc.record(
  {
    access_token: usually(fc.constant('T'.repeat(43)), odd),
    token_type: usually(fc.constantFrom('bearer', 'Bearer', 'BEARER'), fc.oneof(fc.constant('mac'), odd)),
    refresh_token: odd,
    expires_in: anyJson,
    scope: odd,
  },
  { requiredKeys: ['access_token', 'token_type'] },
)
const account = fc.record(
  {
    type: usually(fc.constant('user'), odd),
    uuid: usually(fc.constant(UUID), odd),
    display_name: odd,
    nickname: odd,
    username: odd,
    account_id: anyJson,
    links: fc.oneof(anyJson, fc.record({ avatar: fc.record({ href: nasty }), html: anyJson })),
  },
  { requiredKeys: ['type', 'uuid'] },
)
const entry = fc.record(
  {
    type: usually(fc.constant('email'), odd),
    email: usually(fc.constantFrom('a@example.com', 'b@example.com', 'A@Example.com'), odd),
    is_primary: mostly(fc.boolean(), odd),
    is_confirmed: mostly(fc.boolean(), odd),
  },
  { requiredKeys: ['email', 'is_primary', 'is_confirmed'] },
)
const emails = fc.record(
  {
    values: usually(fc.array(mostly(entry, anyJson), { maxLength: 4 }), anyJson),
    next: mostly(fc.constant(null), odd),
  },
  { requiredKeys: ['values'] },
)
const WORKSPACE = '{99999999-2222-4333-8444-555555555555}'
const membership = fc.record(
  {
    type: usually(fc.constant('workspace_membership'), anyJson),
    permission: usually(fc.constantFrom('owner', 'member'), fc.oneof(nasty, fc.constant('none'), anyJson)),
    workspace: usually(
      fc.record({
        slug: usually(fc.constant('acme'), fc.oneof(nasty, fc.constant('other'))),
        uuid: usually(fc.constant(WORKSPACE), fc.oneof(nasty, fc.constant(UUID))),
      }),
      anyJson,
    ),
    user: usually(fc.record({ uuid: usually(fc.constant(UUID), fc.oneof(nasty, fc.constant(WORKSPACE))) }), anyJson),
  },
  { requiredKeys: ['type', 'permission', 'workspace'] },
)

test(
  'any answer of Bitbucket ends in a sign-in of a valid user, a member if required, or in a refusal',
  async () => {
    const options = { http: { timeoutMs: 5000 } }
    const open = await startLab({ options })
    const gated = await startLab({ options, fake: open.fake, connection: { workspaces: ['acme'] } })
    const ask = client()
    const created = { open: 0, gated: 0 }
    let refused = 0
    await check(
      fc.asyncProperty(
        fc.boolean(),
        usually(token, anyJson),
        usually(account, anyJson),
        usually(emails, anyJson),
        usually(membership, anyJson),
        async (isGated, tokenBody, accountBody, emailBody, membershipBody) => {
          const lab = isGated ? gated : open
          lab.accounts.users.clear()
          lab.accounts.calls.length = 0
          const started = await ask(lab.base)
          const cookie = started.setCookies.map((line) => line.split(';')[0]).join('; ')
          const state = new URL(started.location).searchParams.get('state') ?? ''
          lab.fake.clearScripts()
          lab.fake.script('token', { json: tokenBody })
          lab.fake.script('user', { json: accountBody })
          lab.fake.script('emails', { json: emailBody })
          lab.fake.script('workspace', { json: membershipBody })
          const { status } = await ask(lab.callbackURL({ code: lab.code('alice'), state }), { headers: { cookie } })
          expect([302, 403, 500, 502]).toContain(status)
          // 403: no member.
          if (!isGated) expect(status).not.toBe(403)
          if (status !== 302) refused++
          expect(lab.faults).toEqual([])
          if (status !== 302) expect(lab.accounts.users.size).toBe(0)
          for (const user of lab.accounts.users.values()) {
            created[isGated ? 'gated' : 'open']++
            expect(user.identities.map(({ id }) => id)).toEqual([UUID])
            const values = (emailBody as { values?: { email?: unknown; is_confirmed?: unknown }[] }).values ?? []
            const proven = values.some((each) => each?.email === user.email && each?.is_confirmed === true)
            if (user.emailVerified) expect(proven).toBe(true)
            if (!isGated) continue
            const found = membershipBody as {
              type: string
              permission: string
              workspace: { slug: string }
              user?: { uuid?: unknown }
            }
            expect(['owner', 'create-project', 'member']).toContain(found.permission)
            expect([found.type, found.workspace.slug]).toEqual(['workspace_membership', 'acme'])
            // Well-formed, but another user's.
            expect(found.user?.uuid).not.toBe(WORKSPACE)
          }
        },
      ),
      150,
      5000,
    )
    // Neither side is rare.
    const few = (LONG ? 5000 : 150) / 50
    for (const count of [created.open, created.gated, refused]) expect(count).toBeGreaterThan(few)
  },
  TIMEOUT,
)

test(
  'the wire readers never throw, and return checked values only',
  async () => {
    const value = fc.oneof(token, account, emails, membership, anyJson, fc.anything())
    const asked = fc.oneof(fc.constantFrom('acme', WORKSPACE), fc.string())
    const read = { token: 0, profile: 0, email: 0, membership: 0 }
    await check(
      fc.property(value, asked, (given, workspace) => {
        readText(given)
        if (!isJsonObject(given)) return
        const found = readTokenAnswer(given)
        if (found) {
          read.token++
          expect(found.accessToken).toMatch(/^[\x21-\x7e]{1,12000}$/)
        }
        const profile = readProfile(given, [])
        if (profile) {
          read.profile++
          expect(profile.id).toMatch(/^\{[0-9a-f-]{36}\}$/)
          expect(Array.from(profile.displayName).length).toBeLessThanOrEqual(256)
          expect(profile.displayName).not.toMatch(/[\p{Cc}\p{Cf}]/u)
          for (const link of [profile.avatarUrl, profile.profileUrl])
            if (link !== null) expect(link).toMatch(/^https?:\/\//)
        }
        for (const { address, confirmed } of readEmailPage(given)?.emails ?? []) {
          read.email++
          expect(address.length).toBeLessThanOrEqual(254)
          expect(typeof confirmed).toBe('boolean')
        }
        const member = readMembership(given, workspace)
        if (member) {
          read.membership++
          expect([member.slug, member.uuid]).toContain(workspace)
        }
      }),
      1500,
      20_000,
    )
    for (const count of Object.values(read)) expect(count).toBeGreaterThan((LONG ? 20_000 : 1500) / 200)
  },
  TIMEOUT,
)

test(
  'an accepted return URL stays on the site for every URL parser',
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
        // As `res.redirect` and our own header line write it.
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
  'only what we sealed opens, and only addresses are accepted as addresses',
  async () => {
    const keys = deriveKeys([new Secret('fuzz-secret-fuzz-secret-fuzz-secret')], 'bitbucket', 'transaction')
    const address = fc.tuple(
      fc.array(fc.constantFrom(...'aB.-"\\[]<,;+', '@', ' ', 'é', '\u212a', '\r', '\n'), { maxLength: 5 }),
      fc.constantFrom('@example.com', '@Example.co.uk', '@a-b.c', '', '@', '@[127.0.0.1]', '@exämple.com', '@x'),
    )
    let addresses = 0
    await check(
      fc.property(fc.string({ maxLength: 200 }), fc.uint8Array({ maxLength: 300 }), address, (text, bytes, parts) => {
        expect(open(keys, 'bitbucket.t0', text)).toBeUndefined()
        // With the right version, and with the name of the right key, so that decryption is what refuses it.
        for (const head of [Buffer.of(1), Buffer.concat([Buffer.of(1), keys[0].id])]) {
          expect(open(keys, 'bitbucket.t0', Buffer.concat([head, bytes]).toString('base64url'))).toBeUndefined()
        }
        const candidate = parts.flat().join('')
        if (!isAddress(candidate)) return
        addresses++
        expect(candidate).toMatch(/^[\x21-\x7e]+@[A-Za-z0-9.-]+$/)
        expect(candidate).not.toMatch(/[\s,;<>()[\]"\\]/)
        expect(candidate.split('@')).toHaveLength(2)
      }),
      1500,
      10_000,
    )
    expect(addresses).toBeGreaterThan(20)
    expect(open(keys, 'bitbucket.t0', seal(keys, 'bitbucket.t0', 1))?.payload).toBe(1)
  },
  TIMEOUT,
)
