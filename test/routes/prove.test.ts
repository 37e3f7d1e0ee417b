import { describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import type { TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { travel } from '../support/clock'
import { app, browser, fake, open as startApp } from '../support/one-app'
import { choose, consented, enterCode, errorOf, giveAddress, handleOf } from '../support/steps'

let owner: TestUser

const BASE = '/auth/bitbucket'
const page = (from = browser) => from.get(`${app.url}${BASE}/continue`)
const confirm = (handle: string, from = browser) =>
  from.post(`${app.url}${BASE}/continue`, { pending: handle, choice: 'confirm' })

/** Alice's address belongs to a local account, and she has to prove it. */
async function open(options: TestAppOptions = {}): Promise<Answer> {
  await startApp({ options: { policy: { matchingAccount: 'prove' } }, ...options })
  owner = app.accounts.add({ name: 'Owner of the account', email: 'alice@example.com', emailVerified: true })
  return app.signIn(browser, 'alice', { returnTo: '/there' })
}

async function expectNotLinked(): Promise<void> {
  expect(owner.identities).toEqual([])
  expect(app.accounts.writes()).toEqual([])
}

describe.each([4, 5] as const)('proving the matching account on Express %i', (express) => {
  test('links the identity after a sign-in to it in this browser and a confirmation that names both', async () => {
    expect((await open({ express })).location).toBe(`${BASE}/continue`)
    const prove = await page()
    expect(prove.text).toContain(`/login?returnTo=${encodeURIComponent(`${BASE}/continue`)}`)
    expect(prove.text).not.toContain('Owner of the account')
    await app.localSignIn(browser, owner)
    const before = browser.copy()
    const shown = await page()
    expect(shown.text).toContain('Alice Archer')
    expect(shown.text).toContain('Owner of the account')
    await expectNotLinked()
    const answer = await choose(app, browser, 'confirm')
    expect(answer.status).toBe(303)
    expect(owner.identities.map(({ id }) => id)).toEqual([fake.person('alice').uuid])
    expect(await app.me(browser)).toBe(owner.id)
    expect(await app.me(before)).toBeNull()
    expect(app.accounts.endedSessions).toEqual([{ userId: owner.id, reason: 'linked' }])
    expect(app.events.at(-1)).toMatchObject({
      type: 'linked',
      userId: owner.id,
      identityId: fake.person('alice').uuid,
    })
  })

  test('passes once more through the start, so that the app gets the tokens', async () => {
    await open({ express })
    expect(app.accounts.tokens.size).toBe(0)
    await app.localSignIn(browser, owner)
    const answer = await choose(app, browser, 'confirm')
    expect(answer.location).toBe(`${BASE}?returnTo=%2Fthere`)
    const started = await browser.get(`${app.url}${answer.location}`)
    const end = await browser.get(await fake.signIn(started.location, { person: 'alice' }))
    expect(end.location).toBe('/there')
    expect(app.accounts.tokens.has(owner.id)).toBe(true)
    expect(app.accounts.writes()).toEqual(['linkIdentity'])
  })

  test('redirects straight to the end of the sign-in without storeTokens', async () => {
    await open({ express, without: ['storeTokens'] })
    await app.localSignIn(browser, owner)
    expect((await choose(app, browser, 'confirm')).location).toBe('/there')
  })
})

describe('who may confirm', () => {
  test('without a signed-in user asks to sign in, and consumes nothing', async () => {
    await open()
    const answer = await confirm(handleOf((await page()).text))
    expect(answer.text).toContain('You already have an account')
    await expectNotLinked()
    await app.localSignIn(browser, owner)
    expect((await choose(app, browser, 'confirm')).status).toBe(303)
  })

  test.each<[string, () => void]>([
    ['changed its address meanwhile', () => Object.assign(owner, { email: 'new@example.com' })],
    [
      'got another identity meanwhile',
      () => owner.identities.push({ issuer: fake.url, id: '{22222222-2222-4222-8222-222222222222}' }),
    ],
    ['became one of two', () => app.accounts.add({ email: 'alice@example.com', emailVerified: true })],
  ])('does not match an account that %s', async (_what, change) => {
    await open()
    await app.localSignIn(browser, owner)
    const handle = handleOf((await page()).text)
    change()
    const answer = await confirm(handle)
    expect(answer.status).toBe(409)
    expect(app.accounts.writes()).toEqual([])
  })

  test('refuses an account that may not sign in', async () => {
    await open()
    await app.localSignIn(browser, owner)
    const handle = handleOf((await page()).text)
    owner.disabled = true
    const answer = await confirm(handle)
    expect(answer.status).toBeGreaterThanOrEqual(400)
    await expectNotLinked()
  })

  test('does not match an identity that another request stored meanwhile', async () => {
    await open()
    await app.localSignIn(browser, owner)
    const handle = handleOf((await page()).text)
    app.accounts.add({ identities: [{ issuer: fake.url, id: fake.person('alice').uuid }] })
    expect((await confirm(handle)).status).toBe(409)
    await expectNotLinked()
  })

  test('links nothing when the session ends during the confirmation, and does not write it back', async () => {
    let ended = false
    await open({
      behindSession: (express) =>
        express.post(`${BASE}/continue`, (_req, _res, next) => (ended ? app.store.clear(() => next()) : next())),
    })
    await app.localSignIn(browser, owner)
    const handle = handleOf((await page()).text)
    ended = true
    const answer = await confirm(handle)
    expect([answer.status, errorOf(answer)]).toEqual([409, 'session_changed'])
    await expectNotLinked()
    expect(await app.me(browser)).toBeNull()
  })
})

describe('a pending sign-in', () => {
  test("survives the rotation at the app's own sign-in, also twice", async () => {
    await open()
    await app.localSignIn(browser, owner)
    await app.localSignIn(browser, owner)
    expect((await choose(app, browser, 'confirm')).status).toBe(303)
  })

  test('exists only in the browser that came back from Bitbucket', async () => {
    await open()
    const elsewhere = new TestBrowser()
    await app.localSignIn(elsewhere, owner)
    expect((await page(elsewhere)).location).toBe('/')
    expect(errorOf(await confirm(handleOf((await page()).text), elsewhere))).toBe('pending_missing')
    await expectNotLinked()
  })

  test('lasts an hour', async () => {
    await open()
    travel(59 * 60_000)
    await app.localSignIn(browser, owner)
    expect((await choose(app, browser, 'confirm')).status).toBe(303)
  })

  test('is over after an hour', async () => {
    await open()
    await app.localSignIn(browser, owner)
    const handle = handleOf((await page()).text)
    travel(60 * 60_000 + 1000)
    expect((await page()).location).toBe('/')
    expect(errorOf(await confirm(handle))).toBe('pending_missing')
    await expectNotLinked()
  })

  test('links once for five concurrent confirmations', async () => {
    await open()
    await app.localSignIn(browser, owner)
    const handle = handleOf((await page()).text)
    const answers = await Promise.all(Array.from({ length: 5 }, () => confirm(handle, browser.copy())))
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1)
    expect(app.accounts.count('linkIdentity')).toBe(1)
    expect(owner.identities).toHaveLength(1)
  })

  test('is gone after cancel, also for a signed-in user, and Back shows a link to start again', async () => {
    await open()
    await app.localSignIn(browser, owner)
    const handle = handleOf((await page()).text)
    const answer = await app.submit(browser, `${BASE}/continue`, '/cancel')
    expect([answer.status, answer.location]).toEqual([303, '/'])
    expect(errorOf(await confirm(handle))).toBe('pending_missing')
    expect(await app.me(browser)).toBe(owner.id)
    await expectNotLinked()
  })

  test('refuses a choice that belongs to another question', async () => {
    await open()
    await app.localSignIn(browser, owner)
    const handle = handleOf((await page()).text)
    for (const [choice, code] of [
      ['link', 'pending_replaced'],
      ['switch', 'pending_replaced'],
      ['', 'request_invalid'],
      ['toString', 'request_invalid'],
    ] as const) {
      const answer = await browser.post(`${app.url}${BASE}/continue`, { pending: handle, choice })
      expect([choice, errorOf(answer)]).toEqual([choice, code])
    }
    await expectNotLinked()
  })
})

describe('an account that was signed in to long ago', () => {
  test('is not proven, and offers to link after signing out and in again', async () => {
    await open()
    await app.localSignIn(browser, owner)
    travel(11 * 60 * 1000)
    const refused = await choose(app, browser, 'confirm')
    expect([refused.status, errorOf(refused)]).toEqual([403, 'recent_sign_in_required'])
    await expectNotLinked()
    expect(refused.text).toContain(`${BASE}/sign-in-again?returnTo=`)
    expect((await app.submit(browser, `${BASE}/sign-in-again`, '/sign-in-again')).location).toContain('/login')
    await app.localSignIn(browser, owner)
    expect((await app.signIn(browser, 'alice')).location).toBe(`${BASE}/continue`)
    expect((await choose(app, browser, 'link')).status).toBe(303)
    expect(owner.identities).toHaveLength(1)
  })

  test('is proven when the app calls signedIn, without `signedInAt`, but not by a remembered session', async () => {
    for (const recent of [false, true]) {
      await open({
        options: { policy: { matchingAccount: 'prove' }, signedInAt: () => null },
        behindSession: (express, bitbucket) =>
          express.post('/password', (req, res, next) => {
            req.logIn(owner, (error?: unknown) => {
              if (error) return next(error)
              bitbucket.signedIn(req, { recent }).then((path) => res.redirect(path ?? '/'), next)
            })
          }),
      })
      expect((await browser.post(`${app.url}/password`, {})).location).toBe(`${BASE}/continue`)
      expect([recent, (await choose(app, browser, 'confirm')).status]).toEqual([recent, recent ? 303 : 403])
      if (!recent) await app.close()
    }
  })
})

test.each<[string, string, TestAppOptions, boolean]>([
  [
    'row 5',
    'alice',
    { connection: { trustedProvider: false }, options: { policy: { untrustedEmail: 'unverified' } } },
    true,
  ],
  ['row 9', 'alice', { without: ['claimAddress'] }, false],
])('an account to prove by %s is linked unchanged after its own sign-in', async (_row, person, options, verified) => {
  await startApp({ ...options })
  owner = app.accounts.add({ email: 'alice@example.com', emailVerified: verified })
  expect((await app.signIn(browser, person)).location).toBe(`${BASE}/continue`)
  await app.localSignIn(browser, owner)
  expect((await choose(app, browser, 'confirm')).status).toBe(303)
  expect(owner.identities).toHaveLength(1)
  expect(owner).toMatchObject({ password: 'secret', emailVerified: verified })
})

test('a typed address leads to the proof of its account, and then to the link', async () => {
  await startApp()
  owner = app.accounts.add({ email: 'typed@example.com', emailVerified: true })
  await app.signIn(browser, 'dave')
  await giveAddress(app, browser, 'typed@example.com')
  expect((await enterCode(app, browser)).location).toBe(`${BASE}/continue`)
  await app.localSignIn(browser, owner)
  expect((await choose(app, browser, 'confirm')).status).toBe(303)
  expect(owner.identities.map(({ id }) => id)).toEqual([fake.person('dave').uuid])
})

test('an asserted address leads to the code, then to the proof, with one write', async () => {
  await open({ connection: { trustedProvider: false }, options: {} })
  expect(app.mails).toHaveLength(1)
  const answer = await enterCode(app, browser)
  expect(answer.location).toBe(`${BASE}/continue`)
  expect(await app.me(browser)).toBeNull()
  await app.localSignIn(browser, owner)
  expect((await choose(app, browser, 'confirm')).status).toBe(303)
  expect(app.accounts.writes()).toEqual(['linkIdentity'])
  const again = new TestBrowser()
  await again.get(await consented(app, again, 'alice'))
  expect(await app.me(again)).toBe(owner.id)
})
