import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { compileFunction } from 'node:vm'
import * as ours from 'passport-bitbucket-signin'
import { BitbucketStrategy, type BitbucketStrategyOptions } from 'passport-bitbucket-signin'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Answer, TestBrowser } from '../support/browser'

interface Settings {
  clientID: string
  clientSecret: string
  callbackURL: string
  bitbucket: string
  more?: object
  route?: object
  onTokens?: (accessToken: string, refreshToken: string) => void
}

type CreateApp = (settings: Settings, users: Map<string, unknown>) => RequestListener
type Which = 'old' | 'ours'

const load = createRequire(join(process.cwd(), 'package.json'))
const OLD_APP = readFileSync(join(__dirname, 'old-app.cjs'), 'utf8')

/** The app with the old package, and the same text with the import changed. */
function appFor(which: Which): CreateApp {
  const text =
    which === 'old' ? OLD_APP : OLD_APP.replace("passport-bitbucket-oauth20')", "passport-bitbucket-signin')")
  expect(differingLines(OLD_APP, text)).toBe(which === 'old' ? 0 : 1)
  const packages: Record<string, unknown> = {
    'passport-bitbucket-oauth20': which === 'old' ? load('old-bitbucket-oauth20') : undefined,
    'passport-bitbucket-signin': ours,
  }
  const module = { exports: {} as CreateApp }
  compileFunction(text, ['require', 'module'])((name: string) => packages[name] ?? load(name), module)
  return module.exports
}

function differingLines(a: string, b: string): number {
  const lines = b.split('\n')
  return a.split('\n').filter((line, index) => line !== lines[index]).length
}

let fake: FakeBitbucket
let server: Server | undefined
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
  fake.reset()
})

async function start(which: Which, changes: Partial<Settings> = {}) {
  let listener: RequestListener = () => {}
  server = createServer((req, res) => listener(req, res))
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { clientID, clientSecret } = FAKE_CLIENT
  const settings = { clientID, clientSecret, callbackURL: `${url}/auth/bitbucket/callback`, bitbucket: fake.url }
  const users = new Map<string, unknown>()
  listener = appFor(which)({ ...settings, ...changes }, users)
  const browser = new TestBrowser()
  return {
    url,
    users,
    browser,
    begin: () => browser.get(`${url}/auth/bitbucket`),
    async signIn(person = 'alice', decision: 'allow' | 'deny' = 'allow'): Promise<Answer> {
      const { location } = await browser.get(`${url}/auth/bitbucket`)
      return browser.get(await fake.signIn(location, { person, decision }))
    },
    me: async () => (await browser.get(url)).json().user as Record<string, unknown> | null,
  }
}

describe.each(['old', 'ours'] as const)(
  'an app written for passport-bitbucket-oauth20, with the %s package',
  (which) => {
    it('signs in and shows the same profile', async () => {
      const app = await start(which)
      expect(await app.signIn()).toMatchObject({ status: 302, location: '/' })
      expect(await app.me()).toMatchObject({
        provider: 'bitbucket',
        id: fake.person('alice').uuid,
        username: 'alice',
        displayName: 'Alice Archer',
        profileUrl: expect.stringContaining('http'),
        emails: [{ value: 'alice@example.com', primary: true, verified: true }],
        _json: expect.objectContaining({ type: 'user' }),
      })
    })

    it('passes tokens to verify', async () => {
      const seen: string[] = []
      const app = await start(which, { onTokens: (...tokens) => seen.push(...tokens) })
      await app.signIn()
      expect(seen.map((token) => token.length > 1000)).toEqual([true, true])
    })

    it('redirects back to the sign-in page when the user declines', async () => {
      const app = await start(which)
      expect(await app.signIn('alice', 'deny')).toMatchObject({ status: 302, location: '/login' })
      expect(await app.me()).toBeNull()
    })

    it('reads no addresses with skipEmails', async () => {
      const app = await start(which, { more: { skipEmails: true } })
      await app.signIn()
      expect(fake.count('emails')).toBe(0)
      expect(await app.me()).not.toBeNull()
    })
  },
)

/** Row by row what the guide says differs. */
describe('the differences that the guide lists', () => {
  const authorize = async (which: Which) => new URL((await (await start(which)).begin()).location).searchParams

  it('state and PKCE: never before, always now', async () => {
    const [before, now] = [await authorize('old'), await authorize('ours')]
    expect([before.has('state'), now.has('state')]).toEqual([false, true])
    expect([before.has('code_challenge'), now.has('code_challenge')]).toEqual([false, true])
  })

  it('a callback that another person started: signed in before, refused now', async () => {
    for (const which of ['old', 'ours'] as const) {
      const app = await start(which)
      const code = fake.issueCode({ person: 'bob', redirectUri: `${app.url}/auth/bitbucket/callback` })
      const answer = await app.browser.get(`${app.url}/auth/bitbucket/callback?code=${code}`)
      expect(answer.location).toBe(which === 'old' ? '/' : '/login')
      expect((await app.me())?.username).toBe(which === 'old' ? 'bob' : undefined)
    }
  })

  it('scope: none before, `account email` now', async () => {
    expect((await authorize('old')).get('scope')).toBeNull()
    expect((await authorize('ours')).get('scope')).toBe('account email')
  })

  it('addresses that Bitbucket refuses to list: an error before, a profile without addresses now', async () => {
    for (const which of ['old', 'ours'] as const) {
      fake.script('emails', { problem: 'missing-scope' })
      const app = await start(which)
      const answer = await app.signIn()
      expect(answer.status).toBe(which === 'old' ? 500 : 302)
      expect((await app.me())?.emails).toEqual(which === 'old' ? undefined : [])
    }
  })

  it('addresses beyond the first page: missing before, included now', async () => {
    for (const which of ['old', 'ours'] as const) {
      const app = await start(which)
      await app.signIn('erin')
      const { emails } = (await app.me()) as { emails: { primary: boolean }[] }
      expect(emails.some(({ primary }) => primary)).toBe(which === 'ours')
    }
  })

  it('fields of the profile: raw addresses before, photos now', async () => {
    const keys: Record<Which, string[]> = { old: [], ours: [] }
    for (const which of ['old', 'ours'] as const) {
      const app = await start(which)
      await app.signIn()
      keys[which] = Object.keys((await app.me()) ?? {})
    }
    expect(keys.old.filter((key) => !keys.ours.includes(key))).toEqual(['_rawEmails', '_jsonEmails'])
    expect(keys.ours.filter((key) => !keys.old.includes(key))).toEqual(['photos'])
  })

  it('addresses with skipEmails: missing before, an empty list now', async () => {
    for (const which of ['old', 'ours'] as const) {
      const app = await start(which, { more: { skipEmails: true } })
      await app.signIn()
      expect((await app.me())?.emails).toEqual(which === 'old' ? undefined : [])
    }
  })

  it('an id that is not a uuid: accepted before, refused now', async () => {
    for (const which of ['old', 'ours'] as const) {
      fake.script('user', { edit: (body) => ({ ...body, uuid: 'id123' }) })
      const app = await start(which)
      expect((await app.signIn()).status).toBe(which === 'old' ? 302 : 500)
      expect((await app.me())?.id).toBe(which === 'old' ? 'id123' : undefined)
    }
  })

  it('requests after the code: sequential before, the two of the API concurrent now', async () => {
    for (const which of ['old', 'ours'] as const) {
      let together = false
      fake.clearRequests()
      fake.script('user', async () => {
        // Answered once the other one is asked for, or as it seems that it will not be.
        together = await vi
          .waitFor(() => expect(fake.count('emails')).toBe(1), 300 + (which === 'ours' ? 5000 : 0))
          .then(
            () => true,
            () => false,
          )
        return null
      })
      const app = await start(which)
      await app.signIn()
      expect(together).toBe(which === 'ours')
      expect(fake.count('emails')).toBe(1)
    }
  })

  it('a Bitbucket that does not answer: an endless wait before, an error at the deadline now', async () => {
    fake.script('user', { delivery: 'stall' })
    const app = await start('ours', { more: { timeoutMs: 300 } })
    expect((await app.signIn()).status).toBe(500)
    const old = await start('old')
    const answered = old.signIn().then(
      () => true,
      () => false,
    )
    expect(await Promise.race([answered, new Promise((resolve) => setTimeout(() => resolve('waiting'), 1500))])).toBe(
      'waiting',
    )
    server?.closeAllConnections()
  })

  it('the same person after a rename: another row when keyed on the username, the same row when keyed on the id', async () => {
    const app = await start('ours')
    await app.signIn()
    fake.updatePerson('alice', { username: 'alice2' })
    await app.signIn()
    expect([...app.users.keys()]).toEqual(['alice', 'alice2'])
    const ids = [...app.users.values()].map((user) => (user as { id: string }).id)
    expect(new Set(ids).size).toBe(1)
  })

  it('a route that asks for a scope or passes a state: refused with the right place for it', async () => {
    const scope = await start('ours', { route: { scope: ['repository'] } })
    expect((await scope.begin()).json().error).toContain('move it to the `scope` option of the strategy')
    const state = await start('ours', { route: { state: 'fixed' } })
    expect((await state.begin()).json().error).toContain('remove the `state` option')
    const callbackURL = await start('ours', { route: { callbackURL: '/elsewhere' } })
    expect((await callbackURL.begin()).json().error).toContain('remove the `callbackURL` option')
    const same = await start('ours', { route: { scope: 'account' } })
    expect((await same.begin()).status).toBe(302)
  })
})

describe('an option of an old app', () => {
  const make = (options: Partial<BitbucketStrategyOptions> & Record<string, unknown>) => () =>
    new BitbucketStrategy(
      { clientID: 'key', clientSecret: 'secret', callbackURL: 'https://app.example.com/cb', ...options },
      () => {},
    )

  it.each([
    ['state', { state: true }],
    ['pkce', { pkce: 'S256' }],
    ['customHeaders', { customHeaders: { 'User-Agent': 'x' } }],
    ['userAgent', { userAgent: 'x' }],
    ['scopeSeparator', { scopeSeparator: ' ' }],
    [
      'the URLs of Bitbucket',
      {
        userProfileURL: 'https://api.bitbucket.org/2.0/user',
        tokenURL: 'https://bitbucket.org/site/oauth2/access_token',
      },
    ],
    ['userEmailsURL alone', { userEmailsURL: 'https://api.bitbucket.org/2.0/user/emails' }],
  ])('%s is accepted', (_name, options) => {
    expect(make(options)).not.toThrow()
  })

  it.each([
    ['a relative callback', { callbackURL: '/auth/bitbucket/callback' }, 'must be an absolute URL'],
    ['no callback', { callbackURL: undefined }, 'callbackURL'],
    ['a retired address', { userProfileURL: 'https://bitbucket.org/api/2.0/user' }, 'no longer answers'],
    ['version 1.0 of the API', { userProfileURL: 'https://api.bitbucket.org/1.0/user' }, 'no longer answers'],
    ['an odd profile URL', { userProfileURL: 'https://gw.example.com/me' }, 'must end in /user'],
    [
      'addresses from elsewhere',
      { userEmailsURL: 'https://gw.example.com/emails' },
      'must be https://api.bitbucket.org/2.0/user/emails',
    ],
    [
      'both ways at once',
      {
        tokenURL: 'https://gw.example.com/t',
        endpoints: {
          authorizationURL: 'https://a.example/',
          tokenURL: 'https://a.example/',
          apiURL: 'https://a.example/',
        },
      },
      'not both',
    ],
    ['a typing mistake', { clientId: 'key' }, 'BitbucketStrategy: unknown option `clientId`. Did you mean `clientID`?'],
    ['a variable that is not set', { clientSecret: undefined }, 'BitbucketStrategy: `clientSecret` is not a string'],
  ])('%s is refused with the fix', (_name, options, words) => {
    expect(make(options as never)).toThrow(words)
  })
})
