import type { Socket } from 'node:net'
import { BitbucketStrategy, type PassportProfile } from 'passport-bitbucket-signin'
import { describe, expect, test } from 'vitest'
import { TestBrowser } from '../support/browser'
import { GOOD_EMAILS, GOOD_TOKEN, GOOD_USER, jsonBytes, startRawLab, startStrategyApp } from '../support/lab'

const CONFIRMED = { type: 'email', is_confirmed: true }
const PRIMARY = { ...CONFIRMED, email: 'primary@example.com', is_primary: true }
const SECONDARY = { ...CONFIRMED, email: 'secondary@example.com', is_primary: false }

/** A Bitbucket that says what it is told, a router and a strategy that listen to it. */
async function startBoth() {
  const words = {
    token: GOOD_TOKEN as unknown,
    user: GOOD_USER as unknown,
    emails: (_path: string): unknown => GOOD_EMAILS,
  }
  const answer = (path: string, socket: Socket) => {
    const body = path === '/token' ? words.token : path === '/2.0/user' ? words.user : words.emails(path)
    if (typeof body === 'string') socket.write(jsonText(body))
    else socket.write(jsonBytes(body))
  }
  const { lab, bitbucket } = await startRawLab(answer)
  const profiles: PassportProfile[] = []
  const given: Record<string, unknown>[] = []
  const app = await startStrategyApp(
    (callbackURL) =>
      new BitbucketStrategy(
        {
          clientID: 'k',
          clientSecret: 's'.repeat(32),
          callbackURL,
          endpoints: {
            authorizationURL: `${bitbucket.url}/authorize`,
            tokenURL: `${bitbucket.url}/token`,
            apiURL: `${bitbucket.url}/2.0`,
          },
        },
        (
          _access: string,
          _refresh: string,
          params: Record<string, unknown>,
          profile: PassportProfile,
          done: (error: null, user: object) => void,
        ) => {
          given.push(params)
          profiles.push(profile)
          done(null, profile)
        },
      ),
  )
  const api = `${bitbucket.url}/2.0/user/emails`
  return {
    lab,
    words,
    api,
    /** The `params` that `verify` received. */
    given,
    /** Signs in through the router. */
    async router() {
      const browser = new TestBrowser()
      return browser.get(lab.callbackURL({ code: 'c', state: await lab.state(browser) }))
    },
    /** Signs in through the strategy; the profile that `verify` got, or the status. */
    async strategy(): Promise<PassportProfile | number> {
      profiles.length = 0
      const browser = new TestBrowser()
      const { location } = await browser.get(`${app.url}/start`)
      const state = new URL(location).searchParams.get('state')
      const { status } = await browser.get(`${app.url}/callback?code=c&state=${state}`)
      return profiles[0] ?? status
    },
  }
}

function jsonText(text: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
}

const asProfile = (found: PassportProfile | number): PassportProfile => {
  if (typeof found === 'number') throw new Error(`No profile, but status ${found}.`)
  return found
}

describe('case 22: what Bitbucket returns for a user', () => {
  const OTHER = '{99999999-9999-4999-8999-999999999999}'
  const user = (more: string) => JSON.stringify(GOOD_USER).replace(/\}$/, `,${more}}`)

  test('gives no copy of `_json` another identity, at any depth', async () => {
    const { words, strategy } = await startBoth()
    const hostile = `{"uuid":"${OTHER}","is_staff":true}`
    words.user = user(
      `"__proto__":${hostile},"constructor":{"prototype":${hostile}},"links":{"avatar":{"__proto__":${hostile},"href":"https://a.example/"},"x":[{"prototype":1}]}`,
    )
    const { _json, _raw, id } = asProfile(await strategy())
    expect(id).toBe(GOOD_USER.uuid)
    expect(_raw).toBe(JSON.stringify(_json))
    expect(_raw).not.toMatch(/__proto__|constructor|prototype|is_staff/)
    const copies = [{ ..._json }, Object.assign({}, _json), JSON.parse(_raw), merge({}, JSON.parse(_raw))]
    for (const copy of copies) {
      expect(copy.uuid).toBe(GOOD_USER.uuid)
      expect(copy.is_staff).toBeUndefined()
      expect(copy.links.avatar.is_staff).toBeUndefined()
    }
    expect(({} as Record<string, unknown>).is_staff).toBeUndefined()
  })

  test('gives no copy of the `params` of `verify` another identity', async () => {
    const { words, strategy, given } = await startBoth()
    const access_token = 't'.repeat(12_000)
    words.token = JSON.stringify({ ...GOOD_TOKEN, access_token }).replace(
      /\}$/,
      ',"__proto__":{"isAdmin":true},"x":{"constructor":{"prototype":{"isAdmin":true}}},"note":"a\\r\\nb\\ud800"}',
    )
    asProfile(await strategy())
    const [params = {}] = given
    expect(JSON.stringify(params)).not.toMatch(/__proto__|constructor|prototype|isAdmin/)
    expect(Object.assign({}, params).isAdmin).toBeUndefined()
    expect(params).toMatchObject({ access_token, note: 'a\ufffdb\ufffd' })
  })

  test('is well formed, bounded and free of control characters, at any depth', async () => {
    const { words, strategy, router, lab } = await startBoth()
    words.user = user(
      `"location":"a\\r\\nb\\ud800c\\u202ed","bio":"${'x'.repeat(100_000)}","deep":${'['.repeat(50_000)}${']'.repeat(50_000)},"ke\\u0000y":1,"display_name":"Ev\\u0000e\\ud800\\u2028"`,
    )
    const { _json, _raw, displayName } = asProfile(await strategy())
    expect(displayName).toBe('Eve')
    expect(_raw).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u)
    expect(_raw.length).toBeLessThan(20_000)
    expect(_json).toMatchObject({ location: 'a\ufffdb\ufffdc\ufffdd' })
    expect(_json).not.toHaveProperty('ke\u0000y')
    expect((await router()).location).toBe('/')
    expect(lab.accounts.users.get('u1')).toMatchObject({ email: 'raw@example.com' })
  })

  test('contains addresses only, for router and strategy alike', async () => {
    const { words, strategy, router, lab } = await startBoth()
    const strings = [
      '',
      ' ',
      'a',
      'a\ud800@x.example',
      'a@x.example\r\nBcc: b@x.example',
      'a\u0000@x.example',
      '@',
      'a@',
      'a@b@c.example',
      `${'a'.repeat(300)}@x.example`,
    ]
    const values = strings.map((email) => ({ ...PRIMARY, is_primary: false, email }))
    words.emails = () => ({ values: [...values, PRIMARY] })
    expect(asProfile(await strategy()).emails).toEqual([{ value: PRIMARY.email, primary: true, verified: true }])
    await router()
    const created = lab.accounts.calls.find(({ name }) => name === 'createUser')
    expect(created?.input.profile).toMatchObject({
      emails: [{ address: PRIMARY.email, primary: true, confirmed: true }],
    })
  })
})

/** A recursive merge as many apps have it. */
function merge(target: Record<string, unknown>, source: Record<string, unknown>): Record<string, unknown> {
  for (const [key, value] of Object.entries(source)) {
    if (typeof value === 'object' && value !== null) target[key] = merge((target[key] ?? {}) as never, value as never)
    else target[key] = value
  }
  return target
}

describe('case 22: an incomplete list of addresses', () => {
  /** Each hides the primary address; what is left would make the secondary one count. */
  const LISTS: Readonly<Record<string, (path: string, api: string) => unknown>> = {
    'a second page without values': (path, api) =>
      path.includes('page') ? {} : { values: [SECONDARY], next: `${api}?page=2` },
    'a second page that is a list': (path, api) =>
      path.includes('page') ? [PRIMARY] : { values: [SECONDARY], next: `${api}?page=2` },
    'a second page that is an error': (path, api) =>
      path.includes('page')
        ? { type: 'error', error: { message: 'x' } }
        : { values: [SECONDARY], next: `${api}?page=2` },
    'a next page at another origin': () => ({
      values: [SECONDARY],
      next: 'https://api.bitbucket.example/2.0/user/emails',
    }),
    'a next page with credentials': (_, api) => ({ values: [SECONDARY], next: api.replace('://', '://a:b@') }),
    'a next page without an origin': () => ({ values: [SECONDARY], next: '/2.0/user/emails?page=2' }),
    'an empty next page': () => ({ values: [SECONDARY], next: '' }),
    'a next page that is a number': () => ({ values: [SECONDARY], next: 2 }),
    'a next page that is an object': () => ({ values: [SECONDARY], next: { href: 'x' } }),
    'a next page that is a list': (_, api) => ({ values: [SECONDARY], next: [`${api}?page=2`] }),
    'a next page that is false': () => ({ values: [SECONDARY], next: false }),
    'pages without end': (_, api) => ({ values: [SECONDARY], next: `${api}?page=again` }),
    'more pages than are read': (path, api) => {
      const page = Number(/page=(\d+)/.exec(path)?.[1] ?? 1)
      return page < 12
        ? { values: page === 1 ? [SECONDARY] : [], next: `${api}?page=${page + 1}` }
        : { values: [PRIMARY] }
    },
    'more entries than a page has': () => ({
      values: [...Array(100).fill({ ...SECONDARY, is_confirmed: false }), SECONDARY, PRIMARY],
    }),
    'values that are an object': () => ({ values: { 0: SECONDARY, 1: PRIMARY, length: 2 } }),
    'an entry that is a string': () => ({ values: [SECONDARY, PRIMARY.email] }),
    'an entry that is null': () => ({ values: [SECONDARY, null] }),
    'an entry that is empty': () => ({ values: [SECONDARY, {}] }),
    'an entry that is a list': () => ({ values: [SECONDARY, [PRIMARY]] }),
    'an address that is an object': () => ({ values: [SECONDARY, { ...PRIMARY, email: { value: PRIMARY.email } }] }),
    'a flag in words': () => ({ values: [SECONDARY, { ...PRIMARY, is_primary: 'true' }] }),
    'a flag in numbers': () => ({ values: [SECONDARY, { ...PRIMARY, is_confirmed: 1 }] }),
  }

  test('control: a complete list of two pages makes the primary address count', async () => {
    const { words, router, strategy, lab, api } = await startBoth()
    words.emails = (path) =>
      path.includes('page') ? { values: [PRIMARY], next: null } : { values: [SECONDARY], next: `${api}?page=2` }
    expect((await router()).location).toBe('/')
    expect(lab.accounts.users.get('u1')?.email).toBe(PRIMARY.email)
    expect(asProfile(await strategy()).emails).toHaveLength(2)
  })

  test.each(Object.entries(LISTS))('%s: is a fault for a new user, and for `verify`', async (_name, list) => {
    const { words, router, strategy, lab, api } = await startBoth()
    words.emails = (path) => list(path, api)
    expect((await router()).status).toBe(502)
    expect(lab.accounts.writes()).toEqual([])
    expect(lab.mails).toEqual([])
    expect(lab.errors.map(({ code, message }) => [code, message])).toEqual([
      ['upstream_failed', expect.stringMatching(/^emails request: /)],
    ])
    expect(await strategy()).toBe(502)
    words.emails = () => ({ values: [PRIMARY] })
    expect((await router()).location).toBe('/')
    words.emails = (path) => list(path, api)
    // Once known, nothing depends on the addresses.
    expect((await router()).location).toBe('/')
    expect(lab.accounts.users.get('u1')?.email).toBe(PRIMARY.email)
  })
})
