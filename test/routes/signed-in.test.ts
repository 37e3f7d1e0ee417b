import { describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import type { TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { app, browser, fake, open as startApp } from '../support/one-app'
import { choose, consented, enterCode, errorOf, handleOf } from '../support/steps'

let user: TestUser

const BASE = '/auth/bitbucket'
const page = (from = browser) => from.get(`${app.url}${BASE}/continue`)
const sessions = () => Object.values((app.store as unknown as { sessions: Record<string, string> }).sessions)

/** A browser in which somebody is signed in by the app's own method, with something in the session. */
async function open(options: TestAppOptions = {}, more: Partial<TestUser> = {}): Promise<void> {
  await startApp({
    ...options,
    behindSession: (express, bitbucket) => {
      express.post('/shop', (req, res) => {
        Object.assign(req.session, { cart: ['book'] })
        res.send('ok')
      })
      options.behindSession?.(express, bitbucket)
    },
  })
  user = app.accounts.add({ name: 'Who is here', email: 'local@example.com', emailVerified: true, ...more })
  await app.localSignIn(browser, user)
  await browser.post(`${app.url}/shop`, {})
}

/** Somebody else's account, signed up with Bitbucket before. */
async function signedUp(person: string): Promise<TestUser> {
  await app.signIn(new TestBrowser(), person)
  const found = [...app.accounts.users.values()].at(-1) as TestUser
  app.accounts.calls.length = 0
  app.events.length = 0
  return found
}

async function expectUnchanged(): Promise<void> {
  expect(await app.me(browser)).toBe(user.id)
  expect(user.identities).toEqual([])
  expect(app.accounts.writes()).toEqual([])
}

describe.each([4, 5] as const)('signed in already, on Express %i', (express) => {
  test("one's own identity goes on: a new session with its content", async () => {
    await open({ express })
    await app.submit(browser, `${BASE}/link`, '/link').then(async ({ location }) => {
      await browser.get(await fake.signIn(location, { person: 'alice' }))
    })
    const before = browser.copy()
    const answer = await app.signIn(browser, 'alice', { returnTo: '/on' })
    expect(answer.location).toBe('/on')
    expect(await app.me(browser)).toBe(user.id)
    expect(await app.me(before)).toBeNull()
    expect(sessions().at(-1)).toContain('book')
    expect(app.events.at(-1)).toMatchObject({ type: 'signed_in', userId: user.id })
  })

  test('an unknown identity is never linked by itself: the person is asked', async () => {
    await open({ express })
    const answer = await app.signIn(browser, 'alice')
    expect(answer.location).toBe(`${BASE}/continue`)
    await expectUnchanged()
    const { text } = await page()
    expect(text).toContain('You are already signed in')
    expect(text).toContain('Alice Archer')
    expect(text).toContain('Connect to <bdi>Who is here</bdi>')
    expect(app.accounts.count('getAccountsByEmail')).toBe(0)
    await expectUnchanged()
  })

  test('link: the identity is linked to this account, in a new session with its content', async () => {
    await open({ express })
    await app.signIn(browser, 'alice')
    const before = browser.copy()
    const answer = await choose(app, browser, 'link')
    expect(answer.status).toBe(303)
    expect(user.identities.map(({ id }) => id)).toEqual([fake.person('alice').uuid])
    expect(app.accounts.writes()).toEqual(['linkIdentity'])
    expect(app.accounts.count('getAccountsByEmail')).toBe(0)
    expect(user.email).toBe('local@example.com')
    expect(await app.me(browser)).toBe(user.id)
    expect(await app.me(before)).toBeNull()
    expect(sessions().join()).toContain('book')
    expect(app.accounts.endedSessions).toEqual([{ userId: user.id, reason: 'linked' }])
  })

  test('switch to an unknown identity signs up in an entirely new session', async () => {
    await open({ express, options: { session: { keep: ['cart'] } } })
    await app.signIn(browser, 'alice', { returnTo: '/on' })
    const before = browser.copy()
    const answer = await choose(app, browser, 'switch')
    expect(answer.status).toBe(303)
    expect(answer.location).toBe(`${BASE}?returnTo=%2Fon`)
    expect(app.accounts.writes()).toEqual(['createUser'])
    expect(await app.me(browser)).toBe('u2')
    expect(await app.me(before)).toBeNull()
    expect(user.identities).toEqual([])
    expect(sessions().join()).not.toContain('book')
  })

  test("another user's identity asks before switching, names nothing of them, and switches to a new session", async () => {
    await open({ express, options: { session: { keep: ['cart'] } } })
    const other = await signedUp('alice')
    other.name = 'Secret name of the other'
    const answer = await app.signIn(browser, 'alice')
    expect(answer.location).toBe(`${BASE}/continue`)
    await expectUnchanged()
    const { text } = await page()
    expect(text).toContain('Switch accounts?')
    expect(text).not.toContain('Secret name')
    expect(text).not.toContain('value="link"')
    const before = browser.copy()
    expect((await choose(app, browser, 'switch')).status).toBe(303)
    expect(await app.me(browser)).toBe(other.id)
    expect(await app.me(before)).toBeNull()
    expect(sessions().join()).not.toContain('book')
    expect(user.identities).toEqual([])
    expect(app.events.at(-1)).toMatchObject({ type: 'signed_in', userId: other.id })
  })

  test('cancel changes nothing and redirects back to the app', async () => {
    await open({ express })
    await app.signIn(browser, 'alice')
    const answer = await app.submit(browser, `${BASE}/continue`, '/cancel')
    expect([answer.status, answer.location]).toEqual([303, '/'])
    await expectUnchanged()
    expect(errorOf(await page())).toBe('pending_missing')
  })
})

describe('the table applies after a switch', () => {
  test('an untrusted provider: the old session ends, then the code is asked for with no user signed in', async () => {
    await open({ connection: { trustedProvider: false } })
    await app.signIn(browser, 'alice')
    expect(app.mails).toHaveLength(0)
    const before = browser.copy()
    const answer = await choose(app, browser, 'switch')
    expect([answer.status, answer.location]).toEqual([303, `${BASE}/email`])
    expect(await app.me(browser)).toBeNull()
    expect(await app.me(before)).toBeNull()
    expect((await enterCode(app, browser)).status).toBe(303)
    expect(await app.me(browser)).toBe('u2')
    expect(sessions().join()).not.toContain('book')
  })

  test('a matching account is linked by its address only after the switch', async () => {
    await open()
    const match = app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    await app.signIn(browser, 'alice')
    expect(match.identities).toEqual([])
    await choose(app, browser, 'switch')
    expect(match.identities).toHaveLength(1)
    expect(await app.me(browser)).toBe(match.id)
    expect(user.identities).toEqual([])
  })

  test('a refusal after the switch leaves the person signed in as before', async () => {
    await open({ connection: { trustedProvider: true, signUp: false } })
    await app.signIn(browser, 'alice')
    const answer = await choose(app, browser, 'switch')
    expect([answer.status, errorOf(answer)]).toEqual([403, 'sign_up_disabled'])
    await expectUnchanged()
  })

  test('the signed-in account itself, matching by address, still has to be chosen', async () => {
    await open({}, { email: 'alice@example.com' })
    expect((await app.signIn(browser, 'alice')).location).toBe(`${BASE}/continue`)
    await expectUnchanged()
    await choose(app, browser, 'link')
    expect(user.identities).toHaveLength(1)
  })
})

describe('what may refuse', () => {
  test('linking needs a recent sign-in, and the question stays open', async () => {
    let at = new Date(0)
    await open({ options: { signedInAt: () => at } })
    await app.signIn(browser, 'alice')
    const answer = await choose(app, browser, 'link')
    expect([answer.status, errorOf(answer)]).toEqual([403, 'recent_sign_in_required'])
    await expectUnchanged()
    at = new Date()
    expect((await choose(app, browser, 'link')).status).toBe(303)
    expect(user.identities).toHaveLength(1)
  })

  test('an account whose own address is not verified does not link', async () => {
    await open({}, { emailVerified: false })
    await app.signIn(browser, 'alice')
    expect(errorOf(await choose(app, browser, 'link'))).toBe('email_unverified')
    await expectUnchanged()
  })

  test('an account that was suspended meanwhile does not link', async () => {
    await open()
    await app.signIn(browser, 'alice')
    user.disabled = true
    expect(errorOf(await choose(app, browser, 'link'))).toBe('account_disabled')
    await expectUnchanged()
  })

  test('an account with another Bitbucket identity is not offered the link, and the form is refused', async () => {
    await open({}, {})
    user.identities.push({ issuer: new URL(fake.url).origin, id: '{11111111-1111-4111-8111-111111111111}' })
    await app.signIn(browser, 'alice')
    expect((await page()).text).not.toContain('value="link"')
    expect(errorOf(await choose(app, browser, 'link'))).toBe('another_identity_linked')
    expect(user.identities).toHaveLength(1)
  })

  test.each([
    ['listIdentities', {}],
    ['describeUser', {}],
    ['listIdentities', { identitiesPerUser: 'many' }],
    ['describeUser', { localAddresses: 'unverified' }],
  ] as const)('without %s nobody is offered the link, and the form is refused (%j)', async (hook, policy) => {
    await open({ without: [hook, 'claimAddress'], options: { policy } })
    await app.signIn(browser, 'alice')
    expect((await page()).text).not.toContain('value="link"')
    const answer = await choose(app, browser, 'link')
    expect([answer.status, errorOf(answer)]).toEqual([500, 'configuration_invalid'])
    expect(app.errors.at(-1)?.message).toContain('`describeUser` and `listIdentities`')
    await expectUnchanged()
    // Switching needs neither, and the question is still open.
    expect((await choose(app, browser, 'switch')).status).toBe(303)
    expect(app.accounts.writes()).toEqual(['createUser'])
  })

  test('a disabled owner of the identity is refused without a question', async () => {
    await open()
    const other = await signedUp('alice')
    app.accounts.intercept = (name) => (name === 'getUserByIdentity' ? 'orphaned' : undefined)
    expect(errorOf(await app.signIn(browser, 'alice'))).toBe('account_disabled')
    app.accounts.intercept = () => {}
    other.disabled = true
    await app.signIn(browser, 'alice')
    expect(errorOf(await choose(app, browser, 'switch'))).toBe('account_disabled')
    await expectUnchanged()
  })

  test.each(['link', 'switch'] as const)('%s is refused when another user has signed in since', async (choice) => {
    await open()
    await app.signIn(browser, 'alice')
    const handle = handleOf((await page()).text)
    const next = app.accounts.add({ email: 'next@example.com', emailVerified: true })
    await app.localSignIn(browser, next)
    const answer = await browser.post(`${app.url}${BASE}/continue`, { pending: handle, choice })
    expect([answer.status, errorOf(answer)]).toEqual([409, 'session_changed'])
    // The page drops what the new user cannot continue.
    expect((await page()).location).toBe('/')
    expect(errorOf(await page())).toBe('pending_missing')
    expect(next.identities).toEqual([])
    expect(await app.me(browser)).toBe(next.id)
  })

  test.each(['link', 'switch'] as const)('%s is refused when the person has signed out since', async (choice) => {
    await open()
    await app.signIn(browser, 'alice')
    const handle = handleOf((await page()).text)
    browser.jar(app.url).delete('connect.sid')
    expect(errorOf(await page())).toBe('session_changed')
    const answer = await browser.post(`${app.url}${BASE}/continue`, { pending: handle, choice })
    expect(errorOf(answer)).toBe('session_changed')
    expect(user.identities).toEqual([])
    expect(app.accounts.writes()).toEqual([])
  })

  test('confirm does not answer this question', async () => {
    await open()
    await app.signIn(browser, 'alice')
    expect(errorOf(await choose(app, browser, 'confirm'))).toBe('pending_replaced')
    await expectUnchanged()
  })

  test('of five links at the same moment one is carried out', async () => {
    await open()
    await app.signIn(browser, 'alice')
    const handle = handleOf((await page()).text)
    const answers = await Promise.all(
      Array.from({ length: 5 }, () =>
        browser.copy().post(`${app.url}${BASE}/continue`, { pending: handle, choice: 'link' }),
      ),
    )
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1)
    expect(user.identities).toHaveLength(1)
  })
})

test('a guest, for whom userId says null, is nobody: the sign-in goes through, and only the kept keys cross over', async () => {
  await startApp({
    options: { userId: ({ id, password }) => (password === 'guest' ? null : id) },
  })
  await app.localSignIn(browser, app.accounts.add({ password: 'guest' }))
  await browser.get(await consented(app, browser, 'alice'))
  expect(await app.me(browser)).toBe('u2')
})

test('a guest whom the app puts on the request, and userId takes for a user: the fault names userId', async () => {
  const guest = { id: 'guest' }
  await startApp({
    behindSession: (behind) => {
      behind.use((req, _res, next) => {
        req.user ??= guest
        next()
      })
    },
  })
  expect((await app.signIn(browser, 'alice')).location).toBe(`${BASE}/continue`)
  expect(errorOf(await page())).toBe('configuration_invalid')
  expect(app.errors).toEqual([expect.objectContaining({ message: expect.stringContaining('`userId` return null') })])
})

test('signing up in the middle of a question from before leaves nothing waiting', async () => {
  await open()
  await app.signIn(browser, 'alice')
  await choose(app, browser, 'switch')
  const answer: Answer = await page()
  expect(errorOf(answer)).toBe('pending_missing')
})
