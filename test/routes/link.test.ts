import { describe, expect, test, vi } from 'vitest'
import type { TestUser } from '../support/accounts'
import type { TestAppOptions } from '../support/app'
import { type Answer, formsOf, TestBrowser } from '../support/browser'
import { travel } from '../support/clock'
import { app, browser, fake, open as startApp } from '../support/one-app'
import { errorOf, link } from '../support/steps'

let user: TestUser
const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})

const BASE = '/auth/bitbucket'
const issuer = () => new URL(fake.url).origin
const identityOf = (person: string) => ({ issuer: issuer(), id: fake.person(person).uuid })

async function open(options: TestAppOptions = {}, more: Partial<TestUser> = {}): Promise<void> {
  await startApp({ ...options })
  user = app.accounts.add({ name: 'Who is here', email: 'local@example.com', emailVerified: true, ...more })
  await app.localSignIn(browser, user)
}

const post = (path: string, fields: Record<string, string> = {}, from = browser) =>
  from.post(`${app.url}${BASE}${path}`, fields)

async function expectRotated(before: TestBrowser): Promise<void> {
  expect(browser.jar(app.url).get('connect.sid')).not.toBe(before.jar(app.url).get('connect.sid'))
  expect(await app.me(browser)).toBe(user.id)
  expect(await app.me(before)).toBeNull()
}

async function expectRefused(answer: Answer, code: string, status: number): Promise<void> {
  expect([answer.status, errorOf(answer)]).toEqual([status, code])
  expect(app.accounts.writes()).toEqual([])
}

test('redirects from the URL of a refused unlinking to the link page', async () => {
  await open()
  const answer = await browser.get(`${app.url}${BASE}/unlink`)
  expect([answer.status, answer.location]).toEqual([302, `${BASE}/link`])
})

describe.each([4, 5] as const)('linking while signed in, on Express %i', (express) => {
  test('stores the identity, rotates the session, ends the others, and looks no address up', async () => {
    await open({ express, connection: { trustedProvider: false } })
    const before = browser.copy()
    app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    const answer = await link(app, browser, 'alice')
    expect([answer.status, answer.location]).toEqual([302, '/'])
    expect(app.accounts.writes()).toEqual(['linkIdentity'])
    expect(app.accounts.count('getAccountsByEmail')).toBe(0)
    expect(user.identities).toMatchObject([identityOf('alice')])
    expect(user.email).toBe('local@example.com')
    expect(app.mails).toEqual([])
    await expectRotated(before)
    expect(app.accounts.endedSessions).toEqual([{ userId: user.id, reason: 'linked' }])
    expect(app.accounts.tokens.has(user.id)).toBe(true)
    expect(app.events.at(-1)).toMatchObject({ type: 'linked', userId: user.id, identityId: identityOf('alice').id })
  })

  test('lists what is linked, offers to link, and returns to the page before', async () => {
    await open({ express })
    const page = await browser.get(`${app.url}${BASE}/link?returnTo=/settings`)
    expect(page.text).toContain('You are signed in as <bdi>Who is here</bdi>')
    const form = formsOf(page.text).find(({ action }) => action === `${BASE}/link`)
    const started = await browser.post(`${app.url}${BASE}/link`, form?.fields ?? {})
    const answer = await browser.get(await fake.signIn(started.location, { person: 'alice' }))
    expect(answer.location).toBe('/settings')
    const after = await browser.get(`${app.url}${BASE}/link`)
    expect(after.text).toContain('alice')
    expect(formsOf(after.text).map(({ action }) => action)).toEqual([`${BASE}/unlink`])
  })

  test('unlinks, rotates the session, and does not link again at the next sign-in', async () => {
    await open({ express }, { email: 'alice@example.com' })
    await link(app, browser, 'alice')
    const before = browser.copy()
    const page = await browser.get(`${app.url}${BASE}/link`)
    const form = formsOf(page.text).find(({ action }) => action === `${BASE}/unlink`)
    const answer = await post('/unlink', form?.fields)
    expect([answer.status, answer.location]).toEqual([303, '/'])
    expect(user.identities).toEqual([])
    expect(app.accounts.endedSessions.at(-1)).toEqual({ userId: user.id, reason: 'unlinked' })
    expect(app.events.at(-1)).toMatchObject({ type: 'unlinked', userId: user.id, identityId: identityOf('alice').id })
    await expectRotated(before)
    const again = new TestBrowser()
    expect((await app.signIn(again, 'alice')).location).toBe(`${BASE}/continue`)
    expect(await app.me(again)).toBeNull()
    expect(user.identities).toEqual([])
  })

  test("re-authenticates with the user's own identity, and stamps and rotates the session", async () => {
    await open({ express, options: { signedInAt: undefined as never } })
    user.identities.push(identityOf('alice'))
    const before = browser.copy()
    expect(errorOf(await post('/link'))).toBe('recent_sign_in_required')
    const { location } = await app.submit(browser, `${BASE}/reauthenticate?returnTo=/secret`, '/reauthenticate')
    const answer = await browser.get(await fake.signIn(location, { person: 'alice' }))
    expect(answer.location).toBe('/secret')
    expect(app.accounts.writes()).toEqual([])
    expect(app.events.at(-1)).toMatchObject({ type: 'reauthenticated', userId: user.id })
    await expectRotated(before)
    expect((await post('/link')).status).toBe(303)
  })
})

describe('outcomes of linking', () => {
  test('refuses an identity of another account without disclosing or changing anything', async () => {
    await open()
    await app.signIn(new TestBrowser(), 'alice')
    const other = [...app.accounts.users.values()].at(-1) as TestUser
    Object.assign(other, { name: 'Name of the other', email: 'secret@example.com' })
    app.accounts.calls.length = 0
    const answer = await link(app, browser, 'alice')
    await expectRefused(answer, 'identity_linked_elsewhere', 409)
    expect(answer.text).not.toMatch(/Name of the other|secret@/)
    // The way on is the page of what is linked: the person is signed in.
    expect(answer.text.match(/href="\/[^"]*"/g)).toEqual([`href="${BASE}/link"`])
    expect(await app.me(browser)).toBe(user.id)
    expect(app.events.at(-1)).toMatchObject({
      type: 'refused',
      code: 'identity_linked_elsewhere',
      userId: user.id,
      identityId: identityOf('alice').id,
    })
  })

  test('gives the same answer for an identity whose user is gone', async () => {
    await open()
    app.accounts.intercept = (name) => (name === 'getUserByIdentity' ? 'orphaned' : undefined)
    await expectRefused(await link(app, browser, 'alice'), 'identity_linked_elsewhere', 409)
  })

  test("refreshes tokens and profile of the user's own identity, without a write", async () => {
    await open()
    await link(app, browser, 'alice')
    app.accounts.calls.length = 0
    fake.updatePerson('alice', { displayName: 'Alice Renamed' })
    const { location } = await post('/link')
    const answer = await browser.get(await fake.signIn(location, { person: 'alice' }))
    expect(answer.status).toBe(302)
    expect(app.accounts.writes()).toEqual([])
    expect(app.accounts.count('storeTokens')).toBe(1)
    expect(user.identities[0]?.profile?.displayName).toBe('Alice Renamed')
  })

  test('does not count a local sign-in as recent without signedInAt, and warns once', async () => {
    warnings.mockClear()
    await open({ options: { signedInAt: undefined as never } })
    await expectRefused(await post('/link'), 'recent_sign_in_required', 403)
    await expectRefused(await post('/link'), 'recent_sign_in_required', 403)
    expect(warnings.mock.calls.map(([warning]) => warning)).toEqual([
      expect.stringContaining('bitbucket.signedIn(req)'),
    ])
  })

  test('refuses a visitor on every route of linking', async () => {
    await open()
    const nobody = new TestBrowser()
    for (const path of ['/link', '/reauthenticate']) {
      expect(errorOf(await nobody.get(`${app.url}${BASE}${path}`))).toBe('not_signed_in')
    }
    for (const path of ['/link', '/unlink', '/reauthenticate']) {
      await expectRefused(await post(path, {}, nobody), 'not_signed_in', 401)
    }
    expect(fake.count()).toBe(0)
  })

  test('does not end a link in another browser as a sign-in', async () => {
    await open()
    const { location } = await post('/link')
    const callback = await fake.signIn(location, { person: 'alice' })
    expect(errorOf(await new TestBrowser().get(callback))).toBe('state_invalid')
    expect((await browser.get(callback)).status).toBe(302)
  })

  test('accepts a lost race to another tab of the same user, and refuses one to another user', async () => {
    await open()
    app.accounts.intercept = (name) => {
      if (name === 'linkIdentity') user.identities.push(identityOf('alice'))
    }
    expect((await link(app, browser, 'alice')).status).toBe(302)
    await app.close()
    await open()
    const other = app.accounts.add({ email: 'other@example.com', emailVerified: true })
    app.accounts.intercept = (name) => {
      if (name === 'linkIdentity') other.identities.push(identityOf('alice'))
    }
    const answer = await link(app, browser, 'alice')
    expect([answer.status, errorOf(answer)]).toEqual([409, 'identity_linked_elsewhere'])
    expect(user.identities).toEqual([])
    expect(await app.me(browser)).toBe(user.id)
  })

  test('explains the setup when describeUser and listIdentities are missing', async () => {
    await open({ without: ['describeUser'] })
    await expectRefused(await post('/link'), 'configuration_invalid', 500)
    expect(app.errors.at(-1)?.message).toContain('describeUser')
  })
})

describe('unlinking', () => {
  test('keeps the last way in', async () => {
    await open()
    const browserOfAlice = new TestBrowser()
    await app.signIn(browserOfAlice, 'alice')
    const alice = [...app.accounts.users.values()].at(-1) as TestUser
    const answer = await post('/unlink', { id: alice.identities[0]?.id ?? '' }, browserOfAlice)
    expect([answer.status, errorOf(answer)]).toEqual([409, 'last_sign_in_method'])
    expect(alice.identities).toHaveLength(1)
    expect(app.accounts.endedSessions).toEqual([])
  })

  test('refuses a user who may no longer sign in', async () => {
    await open()
    user.identities.push(identityOf('alice'))
    user.disabled = true
    await expectRefused(await post('/unlink', { id: identityOf('alice').id }), 'account_disabled', 403)
    user.disabled = false
    expect((await post('/unlink', { id: identityOf('alice').id })).status).toBe(303)
  })

  test('offers none without unlinkIdentity, and the form explains the setup', async () => {
    await open({ without: ['unlinkIdentity'] })
    user.identities.push(identityOf('alice'))
    expect(formsOf((await browser.get(`${app.url}${BASE}/link`)).text)).toEqual([])
    await expectRefused(await post('/unlink', { id: identityOf('alice').id }), 'configuration_invalid', 500)
  })

  test('succeeds for one of two tabs of a user', async () => {
    await open()
    user.identities.push(identityOf('alice'))
    const [one, two] = [browser.copy(), browser.copy()]
    const answers = await Promise.all([one, two].map((tab) => post('/unlink', { id: identityOf('alice').id }, tab)))
    expect(answers.filter(({ status }) => status === 303).length).toBeGreaterThanOrEqual(1)
    expect(user.identities).toEqual([])
  })
})

describe('re-authentication', () => {
  test('refuses a user who may no longer sign in', async () => {
    await open()
    user.identities.push(identityOf('alice'))
    const { location } = await post('/reauthenticate')
    user.disabled = true
    const answer = await browser.get(await fake.signIn(location, { person: 'alice' }))
    await expectRefused(answer, 'account_disabled', 403)
    expect(app.accounts.count('storeTokens')).toBe(0)
  })

  test('does not count linking', async () => {
    await open({ options: { signedInAt: undefined as never } })
    user.identities.push(identityOf('alice'))
    expect(errorOf(await post('/unlink', { id: identityOf('alice').id }))).toBe('recent_sign_in_required')
  })
})

describe('requireRecentSignIn', () => {
  const guarded: TestAppOptions = {
    options: { signedInAt: undefined as never },
    behindSession: (express, bitbucket) => {
      express.all('/secret', bitbucket.requireRecentSignIn(), (_req, res) => {
        res.send('the secret')
      })
      express.get('/fresh', bitbucket.requireRecentSignIn({ maxAgeMs: 60_000 }), (_req, res) => {
        res.send('fresh')
      })
    },
  }
  const secret = (path = '/secret', from = browser) => from.get(`${app.url}${path}`)

  test('lets a recent sign-in pass, and redirects an older one to confirm and back to the page', async () => {
    await open(guarded)
    const alice = new TestBrowser()
    await app.signIn(alice, 'alice')
    expect((await secret('/secret', alice)).text).toBe('the secret')
    travel(2 * 60_000)
    expect((await secret('/secret', alice)).text).toBe('the secret')
    expect((await secret('/fresh', alice)).status).toBe(302)
    travel(9 * 60_000)
    const sent = await secret('/secret?page=2', alice)
    expect([sent.status, sent.location]).toEqual([302, `${BASE}/reauthenticate?returnTo=%2Fsecret%3Fpage%3D2`])
    const { location } = await app.submit(alice, sent.location, '/reauthenticate')
    const back = await alice.get(await fake.signIn(location, { person: 'alice' }))
    expect(back.location).toBe('/secret?page=2')
    expect((await secret(back.location, alice)).text).toBe('the secret')
  })

  test("redirects a visitor to the app's sign-in page, and refuses other methods and JSON", async () => {
    await open(guarded)
    const nobody = new TestBrowser()
    const sent = await secret('/secret', nobody)
    expect([sent.status, sent.location]).toEqual([302, '/login?returnTo=%2Fsecret'])
    const posted = await nobody.post(`${app.url}/secret`, {})
    expect([posted.status, errorOf(posted)]).toEqual([401, 'not_signed_in'])
    const json = await browser.get(`${app.url}/secret`, { headers: { accept: 'application/json' } })
    expect([json.status, json.json().error]).toEqual([403, 'recent_sign_in_required'])
  })
})
