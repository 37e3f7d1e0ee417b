import type { Tokens } from 'passport-bitbucket-signin'
import {
  FAKE_CLIENT,
  type FakeBehaviour,
  type FakeBitbucket,
  startFakeBitbucket,
} from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { SWITCH_VALUES } from '../../src/testing/behaviour'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { allPairs, pairwise, type Row } from './pairwise'

/**
 * Whichever way the open questions about Bitbucket turn out, the client keeps its promises. Each row sets every switch of
 * the fake; together the rows contain each pair of values. `SWITCHES=table npx vitest run test/testing/switches.test.ts`
 * prints them.
 */
const VALUES = {
  ...SWITCH_VALUES,
  refreshGraceSeconds: [600, 0],
  refreshLifetimeDays: [Number.POSITIVE_INFINITY, 365],
  refreshLockoutSeconds: [0, 60],
  codeSeconds: [300, 10],
}
const ROWS = pairwise(VALUES)

const DAY_MS = 24 * 3600_000
const SHOWN = /<h1[^>]*>([^<]*)</

let fake: FakeBitbucket
let clockMs: number
let app: TestApp
beforeAll(async () => {
  clockMs = Date.now()
  fake = await startFakeBitbucket({ now: () => clockMs })
})
afterEach(() => app?.close())
afterAll(() => fake.close())

async function open(switches: Required<FakeBehaviour>, number: number, connection = {}) {
  fake.reset()
  fake.setBehaviour(switches)
  app = await startTestApp({ fake, express: number % 2 === 0 ? 5 : 4, connection })
  return new TestBrowser()
}

/** Status and code of a callback that is refused or fails, and whether its page offers a way on. */
async function refused(callback: string, browser: TestBrowser) {
  const { status, text } = await browser.get(callback, { headers: { 'sec-fetch-site': 'cross-site' } })
  const event = app.events.at(-1)
  const code = event && 'code' in event ? event.code : null
  return { status, code, heading: SHOWN.test(text), wayOn: text.includes('href="/') }
}

async function storedTokens(browser: TestBrowser) {
  await app.signIn(browser, 'frank')
  const tokens = [...app.accounts.tokens.values()].at(-1)
  if (!tokens?.refreshToken) throw new Error('no tokens were stored')
  return tokens as Tokens & { readonly refreshToken: string }
}

/** The code with which a refresh is refused, or the new refresh token. */
async function refresh(refreshToken: string): Promise<{ code?: string; token?: string }> {
  try {
    const { refreshToken: token } = await app.bitbucket.refreshTokens({ refreshToken })
    return token === null ? {} : { token }
  } catch (error) {
    return { code: (error as { code: string }).code }
  }
}

/** Codes that tell an app to ask the user again, or to try the token again later. */
const DEAD = { unauthorized_client: 'refresh_refused', invalid_grant: 'reauthorization_required' } as const

if (process.env.SWITCHES === 'table') {
  console.table(ROWS)
  const rowsWith = (name: string, value: unknown) => ROWS.filter((row) => row[name] === value).length
  console.table(
    Object.entries(VALUES).map(([name, values]) => ({
      switch: name,
      'values (rows)': values.map((value) => `${value} (${rowsWith(name, value)})`).join(', '),
    })),
  )
}

test('the rows contain every pair of values', () => {
  const covered = new Set(ROWS.flatMap((row) => [...allPairs(indexesOf(row))]))
  expect(covered.size).toBe(allPairs(VALUES).size)
  expect(ROWS.length).toBeLessThan(30)

  function indexesOf(row: Row) {
    const chosen = Object.entries(VALUES).map(([name, values]) => {
      const at = (values as readonly unknown[]).indexOf(row[name])
      return [name, Array.from({ length: at + 1 }, (_, index) => index)]
    })
    return Object.fromEntries(chosen)
  }
})

describe.each(ROWS.map((row, number) => ({ number, switches: row as unknown as Required<FakeBehaviour> })))(
  'row $number of the cover',
  ({ number, switches }) => {
    test('signs the same identity in, whatever the answers look like', async () => {
      const browser = await open(switches, number)
      const end = await app.signIn(browser, 'alice', { returnTo: '/x' })
      if (switches.emailList === 'empty') {
        expect(end.location).toBe('/auth/bitbucket/email')
      } else {
        expect([end.location, await app.me(browser)]).toEqual(['/x', 'u1'])
        expect(app.accounts.users.get('u1')).toMatchObject({ email: 'alice@example.com', emailVerified: true })
        expect(app.accounts.users.get('u1')?.identities[0]?.id).toBe(fake.person('alice').uuid)
      }
      expect(app.errors).toEqual([])
    })

    test('admits a member of a workspace, and refuses a stranger', async () => {
      const browser = await open(switches, number, { workspaces: ['acme'] })
      app.accounts.add({
        identities: [{ issuer: new URL(fake.url).origin, id: fake.person('alice').uuid }],
      })
      await app.signIn(browser, 'alice')
      expect(await app.me(browser)).toBe('u1')
      const stranger = new TestBrowser()
      await app.signIn(stranger, 'carol')
      expect(await app.me(stranger)).toBeNull()
      expect(app.events.at(-1)).toMatchObject({ type: 'refused', code: 'workspace_required' })
    })

    test('ends a denial on a page with a link, and does not loop at a second try', async () => {
      const browser = await open(switches, number)
      const denied = await fake.signIn(await app.start(browser), { person: 'carol', decision: 'deny' })
      const denial = { status: 403, code: 'access_denied', heading: true, wayOn: true }
      expect(await refused(denied, browser)).toEqual(denial)
      const again = await fake.signIn(await app.start(browser), { person: 'carol' })
      if (switches.rememberDenial) {
        expect(await refused(again, browser)).toEqual(denial)
      } else {
        expect((await browser.get(again)).status).toBe(302)
      }
      expect(fake.count('token')).toBe(switches.rememberDenial ? 0 : 1)
    })

    test.each(['used', 'expired'])(
      'reports a code that is %s as a fault with a way on, not as a wrong client',
      async (kind) => {
        const browser = await open(switches, number)
        const first = new URL(await fake.signIn(await app.start(browser), { person: 'alice' }))
        if (kind === 'expired') clockMs += (switches.codeSeconds + 1) * 1000
        else await browser.get(first.href)
        const second = new URL(await app.start(browser))
        const replay = new URL(first)
        if (kind === 'used') replay.searchParams.set('state', second.searchParams.get('state') ?? '')
        else replay.searchParams.set('state', first.searchParams.get('state') ?? '')
        const page = await refused(replay.href, browser)
        expect(page).toEqual({ status: 502, code: 'upstream_failed', heading: true, wayOn: true })
      },
    )

    test('reports wrong credentials as a setup mistake', async () => {
      const browser = await open(switches, number, { clientSecret: 'wrong' })
      const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
      expect(await refused(callback, browser)).toMatchObject({ status: 500, code: 'client_rejected' })
      expect(app.errors.map((error) => error.code)).toEqual(['client_rejected'])
    })

    test('recognizes a rate limit, whatever its body', async () => {
      const browser = await open(switches, number)
      fake.script('user', { problem: 'rate-limited' })
      const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
      expect(await refused(callback, browser)).toMatchObject({ status: 503, code: 'rate_limited' })
    })

    test('signs in a client with Account alone, or names its missing permission', async () => {
      const browser = await open(switches, number, { scope: false })
      fake.addClient({ ...FAKE_CLIENT, scopes: ['account'] })
      const end = await app.signIn(browser, 'alice')
      if (switches.accountGivesEmails) expect(end.status).toBe(302)
      else expect(app.errors.map((error) => error.code)).toEqual(['scope_missing'])
    })

    test('refreshes next to a dead token, and reports which tokens are dead', async () => {
      const browser = await open({ ...switches, emailList: 'own' }, number)
      const { refreshToken } = await storedTokens(browser)
      const other = await storedTokens(new TestBrowser())
      const rotated = await refresh(refreshToken)
      expect(rotated.token).toBeDefined()
      clockMs += (switches.refreshGraceSeconds + 1) * 1000
      const dead = switches.deadRefreshToken === 'unauthorized_client' ? DEAD.unauthorized_client : DEAD.invalid_grant
      expect(await refresh(refreshToken)).toEqual({ code: dead })
      if (switches.refreshLockoutSeconds > 0) {
        expect(await refresh(other.refreshToken)).toEqual({ code: dead })
        clockMs += (switches.refreshLockoutSeconds + 1) * 1000
      }
      expect((await refresh(other.refreshToken)).token).toBeDefined()
      const sibling = await refresh(rotated.token ?? '')
      if (switches.refreshReuse === 'revokes-family') expect(sibling).toEqual({ code: dead })
      else expect(sibling.token).toBeDefined()
    })

    test('ends a refresh token that is used every month with its consent, if consents end', async () => {
      const browser = await open({ ...switches, emailList: 'own' }, number)
      let token: string | undefined = (await storedTokens(browser)).refreshToken
      for (let day = 30; day < 365; day += 30) {
        clockMs += 30 * DAY_MS
        token = (await refresh(token ?? '')).token
      }
      expect(token).toBeDefined()
      clockMs += 40 * DAY_MS
      const { code } = await refresh(token ?? '')
      expect(code === undefined).toBe(switches.refreshLifetimeDays === Number.POSITIVE_INFINITY)
    })
  },
)
