import { inspect } from 'node:util'
import type { SignInEventType } from 'passport-bitbucket-signin'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { travel } from '../support/clock'
import { askForCode, choose, enterCode, link, otherCode } from '../support/steps'

let fake: FakeBitbucket
let app: TestApp
let browser: RecordingBrowser
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  vi.useRealTimers()
  fake.reset()
  await app.close()
})

/** Keeps every answer it gets. */
class RecordingBrowser extends TestBrowser {
  readonly answers: Answer[] = []
  override async get(...request: Parameters<TestBrowser['get']>): Promise<Answer> {
    return this.#kept(await super.get(...request))
  }
  override async post(...request: Parameters<TestBrowser['post']>): Promise<Answer> {
    return this.#kept(await super.post(...request))
  }
  #kept(answer: Answer): Answer {
    this.answers.push(answer)
    return answer
  }
}

async function open(options: TestAppOptions = {}): Promise<void> {
  app = await startTestApp({ fake, ...options })
  browser = new RecordingBrowser()
}

const local = () => app.accounts.add({ email: 'local@example.com', emailVerified: true })
const uuid = (person = 'alice') => fake.person(person).uuid

describe('events', () => {
  /** Steps, and the events after `started`. */
  const outcomes: [
    string,
    () => Promise<unknown>,
    readonly (readonly [SignInEventType, string | null, string | null])[],
  ][] = [
    ['a sign-up', () => app.signIn(browser, 'alice'), [['signed_up', 'u1', null]]],
    [
      'a sign-in',
      async () => {
        await app.signIn(new TestBrowser(), 'alice')
        app.events.length = 0
        await app.signIn(browser, 'alice')
      },
      [['signed_in', 'u1', null]],
    ],
    [
      'a link by address',
      () => {
        app.accounts.add({ email: 'alice@example.com', emailVerified: true })
        return app.signIn(browser, 'alice')
      },
      [['linked', 'u1', null]],
    ],
    [
      'a claim',
      () => {
        app.accounts.add({ email: 'alice@example.com' })
        return app.signIn(browser, 'alice')
      },
      [['claimed', 'u2', null]],
    ],
    [
      'a link while signed in',
      async () => {
        await app.localSignIn(browser, local())
        await link(app, browser, 'alice')
      },
      [['linked', 'u1', null]],
    ],
    [
      'a link chosen',
      async () => {
        await app.localSignIn(browser, local())
        await app.signIn(browser, 'alice')
        await choose(app, browser, 'link')
      },
      [['linked', 'u1', null]],
    ],
    [
      'an unlink',
      async () => {
        await app.localSignIn(browser, local())
        await link(app, browser, 'alice')
        app.events.length = 1
        await browser.post(`${app.url}/auth/bitbucket/unlink`, { id: uuid() })
      },
      [['unlinked', 'u1', null]],
    ],
    [
      'a re-authentication',
      async () => {
        const user = local()
        user.identities.push({ issuer: new URL(fake.url).origin, id: uuid() })
        await app.localSignIn(browser, user)
        const { location } = await browser.post(`${app.url}/auth/bitbucket/reauthenticate`, {})
        await browser.get(await fake.signIn(location, { person: 'alice' }))
      },
      [['reauthenticated', 'u1', null]],
    ],
    [
      'a disabled user',
      async () => {
        await app.signIn(new TestBrowser(), 'alice')
        Object.assign(app.accounts.users.get('u1') ?? {}, { disabled: true })
        app.events.length = 0
        await app.signIn(browser, 'alice')
      },
      [['refused', 'u1', 'account_disabled']],
    ],
    [
      'a fault at Bitbucket',
      async () => {
        fake.script('user', { status: 500, text: 'x' })
        await app.signIn(browser, 'alice')
      },
      [['upstream_failed', null, 'upstream_failed']],
    ],
    [
      'a missing permission at Bitbucket',
      async () => {
        fake.script('user', { problem: 'missing-scope' })
        await app.signIn(browser, 'alice')
      },
      [['scope_missing', null, 'scope_missing']],
    ],
  ]

  test.each(outcomes)('%s emits one event with its fields', async (what, happen, expected) => {
    await open()
    await happen()
    const [started, ...events] = app.events
    expect(started).toMatchObject({ type: 'started', identityId: null, upstream: [] })
    expect(events.map(({ type, userId, code }) => [type, userId, code])).toEqual(expected)
    const [event] = events
    expect(Object.keys(event ?? {}).sort()).toEqual([
      'application',
      'code',
      'connection',
      'durationMs',
      'identityId',
      'tenant',
      'time',
      'type',
      'upstream',
      'userId',
    ])
    expect(event).toMatchObject({
      connection: 'default',
      tenant: null,
      application: null,
      time: expect.any(Date),
      durationMs: expect.any(Number),
      identityId: what.endsWith('at Bitbucket') ? null : uuid(),
    })
    const endpoints = event?.upstream.map(({ endpoint }) => endpoint).sort()
    const atCallback = !['an unlink', 'a link chosen'].includes(what)
    // Of a known user nothing depends on the addresses, so the answer does not wait for them.
    const known = endpoints?.filter((each) => each !== 'emails')
    expect(what === 'a disabled user' ? known : endpoints).toEqual(
      atCallback ? ['emails', 'token', 'user'].slice(what === 'a disabled user' ? 1 : 0) : [],
    )
  })

  test('a sent, a wrong and a right code emit three events', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice')
    await enterCode(app, browser, otherCode(app.mails[0]?.code ?? ''))
    await enterCode(app, browser)
    expect(app.events.map(({ type, code, identityId }) => [type, code, identityId])).toEqual([
      ['started', null, null],
      ['code_sent', null, uuid()],
      ['code_failed', 'code_wrong', uuid()],
      ['signed_up', null, uuid()],
    ])
  })

  test.each<[string, () => Promise<unknown>, () => Promise<unknown>, SignInEventType]>([
    ['a sign-up', async () => {}, () => app.signIn(browser, 'alice'), 'signed_up'],
    [
      'a link while signed in',
      () => app.localSignIn(browser, local()),
      () => link(app, browser, 'alice').catch(() => {}),
      'linked',
    ],
  ])('%s whose session cannot be saved emits its event and the refusal', async (_what, before, happen, written) => {
    await open()
    await before()
    vi.spyOn(app.store, 'set').mockImplementation((_id, _session, done) => done?.(new Error('down')))
    app.events.length = 0
    await happen()
    expect(app.events.slice(1).map(({ type, code }) => [type, code])).toEqual([
      [written, null],
      ['refused', 'store_unavailable'],
    ])
  })
})

test('no event, error, page, header, session or inspected object contains a secret, token or code', async () => {
  await open({ connection: { trustedProvider: false }, session: { saveUninitialized: true } })
  // Everything there is: a sign-up by code with a wrong one and a resend, a link, an unlink, a re-authentication, faults.
  await app.signIn(browser, 'alice')
  await enterCode(app, browser, otherCode(app.mails[0]?.code ?? ''))
  travel(61_000)
  await askForCode(app, browser)
  await enterCode(app, browser)
  await app.signIn(browser, 'alice')
  await app.signIn(browser, 'bob')
  await browser.get(`${app.url}/auth/bitbucket/continue`)
  await choose(app, browser, 'link')
  const user = local()
  await app.localSignIn(browser, user)
  await link(app, browser, 'carol')
  await browser.get(`${app.url}/auth/bitbucket/link`)
  await browser.get(`${app.url}/auth/bitbucket/reauthenticate`)
  await browser.post(`${app.url}/auth/bitbucket/unlink`, { id: uuid('carol') })
  fake.script('token', { edit: (body) => ({ ...body, token_type: 'mac' }) })
  await app.signIn(browser, 'alice')
  fake.clearScripts()
  app.accounts.intercept = (name) => (name === 'getUserByIdentity' ? false : undefined)
  await app.signIn(browser, 'alice')

  const sent = fake.requests.filter(({ endpoint }) => endpoint === 'token')
  const tokens = [...app.accounts.tokens.values()].flatMap(({ accessToken, refreshToken }) => [
    accessToken,
    refreshToken,
  ])
  const secrets = {
    clientSecret: [FAKE_CLIENT.clientSecret],
    basic: sent.map(({ headers }) => String(headers.authorization).slice('Basic '.length)),
    bearer: fake.requests.flatMap(({ endpoint, headers }) =>
      endpoint === 'user' ? [String(headers.authorization).slice('Bearer '.length)] : [],
    ),
    tokens: tokens.filter((token) => token !== null),
    authorizationCodes: sent.map(({ form }) => form.code ?? ''),
    verifiers: sent.map(({ form }) => form.code_verifier ?? ''),
    mailedCodes: app.mails.flatMap(({ code }) => [code, code.replace('-', '')]),
    ownSecrets: ['test-secret-test-secret'],
  }
  const places = {
    events: JSON.stringify(app.events) + inspect(app.events, { depth: 30, showHidden: true }),
    errors: JSON.stringify(app.errors) + inspect(app.errors, { depth: 6, showHidden: true }),
    pages: browser.answers.map(({ text }) => text).join(),
    headers: browser.answers.map(({ headers }) => JSON.stringify(headers)).join(),
    sessions: JSON.stringify((app.store as unknown as { sessions: object }).sessions),
    plugin: inspect(app.bitbucket, { depth: 30, showHidden: true }),
    strategy:
      inspect(app.bitbucket.strategy, { depth: 30, showHidden: true }) + JSON.stringify({ ...app.bitbucket.strategy }),
    router: inspect(app.bitbucket.router, { depth: 30, showHidden: true }),
  }
  expect(app.errors.length).toBeGreaterThan(1)
  expect(sent.length).toBeGreaterThan(4)
  for (const [kind, values] of Object.entries(secrets)) {
    expect([kind, values.length > 0 && values.every((value) => value.length >= 8)]).toEqual([kind, true])
    for (const [place, text] of Object.entries(places)) {
      const found = values.filter((value) => text.includes(value))
      expect([kind, place, found]).toEqual([kind, place, []])
    }
  }
})
