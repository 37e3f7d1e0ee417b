import { describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import type { TestAppOptions } from '../support/app'
import { TestBrowser } from '../support/browser'
import { app, browser, fake, open as startApp } from '../support/one-app'
import { choose, enterCode, errorOf, handleOf } from '../support/steps'

let user: TestUser

const BASE = '/auth/bitbucket'
const page = (from = browser) => from.get(`${app.url}${BASE}/continue`)
const sessions = () => Object.values((app.store as unknown as { sessions: Record<string, string> }).sessions)

/** A browser with a user signed in by the app's own method, and content in the session. */
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

/** Another user's account, signed up with Bitbucket before. */
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
  test("with the user's own identity keeps the content in a new session", async () => {
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

  test('asks about an unknown identity, and links nothing', async () => {
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

  test('links the identity to this account, in a new session with its content', async () => {
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

  test('signs up in an entirely new session by a switch to an unknown identity', async () => {
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

  test("asks before switching to another user's identity, names nothing of them, and starts a new session", async () => {
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

  test('changes nothing by cancel, and redirects back to the app', async () => {
    await open({ express })
    await app.signIn(browser, 'alice')
    const answer = await app.submit(browser, `${BASE}/continue`, '/cancel')
    expect([answer.status, answer.location]).toEqual([303, '/'])
    await expectUnchanged()
    expect((await page()).location).toBe('/')
  })
})

describe('a switch follows the table', () => {
  test('and ends the old session before it asks for a code of an untrusted provider', async () => {
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

  test('and links a matching account by its address only afterwards', async () => {
    await open()
    const match = app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    await app.signIn(browser, 'alice')
    expect(match.identities).toEqual([])
    await choose(app, browser, 'switch')
    expect(match.identities).toHaveLength(1)
    expect(await app.me(browser)).toBe(match.id)
    expect(user.identities).toEqual([])
  })

  test('and keeps the user signed in as before if it is refused', async () => {
    await open({ connection: { trustedProvider: true, signUp: false } })
    await app.signIn(browser, 'alice')
    const answer = await choose(app, browser, 'switch')
    expect([answer.status, errorOf(answer)]).toEqual([403, 'sign_up_disabled'])
    await expectUnchanged()
  })

  test('and still asks about the signed-in account itself when it matches by address', async () => {
    await open({}, { email: 'alice@example.com' })
    expect((await app.signIn(browser, 'alice')).location).toBe(`${BASE}/continue`)
    await expectUnchanged()
    await choose(app, browser, 'link')
    expect(user.identities).toHaveLength(1)
  })
})

describe('a choice', () => {
  test('to link is not offered to an account with another Bitbucket identity, and refused', async () => {
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
  ] as const)('to link is neither offered nor accepted without %s (%j)', async (hook, policy) => {
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

  test('is not offered for an identity whose owner is disabled', async () => {
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

  test.each(['link', 'switch'] as const)('to %s is refused when another user has signed in since', async (choice) => {
    await open()
    await app.signIn(browser, 'alice')
    const handle = handleOf((await page()).text)
    const next = app.accounts.add({ email: 'next@example.com', emailVerified: true })
    await app.localSignIn(browser, next)
    const answer = await browser.post(`${app.url}${BASE}/continue`, { pending: handle, choice })
    expect([answer.status, errorOf(answer)]).toEqual([409, 'session_changed'])
    // The page drops what the new user cannot continue.
    expect([(await page()).location, browser.jar(app.url).has('bitbucket.p')]).toEqual(['/', false])
    expect(next.identities).toEqual([])
    expect(await app.me(browser)).toBe(next.id)
  })

  test.each(['link', 'switch'] as const)('to %s is refused when the user has signed out since', async (choice) => {
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

  test('to confirm is refused', async () => {
    await open()
    await app.signIn(browser, 'alice')
    expect(errorOf(await choose(app, browser, 'confirm'))).toBe('pending_replaced')
    await expectUnchanged()
  })

  test('to link is carried out once for five concurrent requests', async () => {
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

test('a guest on the request whom userId takes for a user causes a fault that names userId', async () => {
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

test('signing up during an older question leaves nothing pending', async () => {
  await open()
  await app.signIn(browser, 'alice')
  await choose(app, browser, 'switch')
  expect([(await page()).location, app.events.at(-1)?.code]).toEqual(['/', 'pending_missing'])
})
