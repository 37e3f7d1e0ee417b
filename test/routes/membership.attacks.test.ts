import { beforeEach, describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import type { TestAppOptions } from '../support/app'
import { type Answer, formsOf, TestBrowser } from '../support/browser'
import { type Lab, MINUTE, startLab, travel } from '../support/lab'
import { askForCode, choose, enterCode, errorOf, link } from '../support/steps'

/*
 * Company mode: what a session still opens after its user left the workspace, and what nobody may make it open.
 */

const express = process.env.ATTACKS_EXPRESS === '4' ? 4 : 5
const HOUR = 60 * MINUTE
const RULES = { maxAgeMs: 8 * HOUR, graceMs: 4 * HOUR }
const PAGE = '/auth/bitbucket/membership?returnTo=%2Finternal'
const GRACE_PAGE = `${PAGE}&grace=1`

let lab: Lab
let browser: TestBrowser
beforeEach(() => {
  browser = new TestBrowser()
})

/** An app with pages for members of `acme`; alice and bob are members. */
async function open(options: TestAppOptions = {}, workspaces: readonly string[] = ['acme']): Promise<void> {
  lab = await startLab({
    express,
    connection: { workspaces, trustedProvider: true, ...options.connection },
    ...options,
    options: { signedInAt: () => new Date(Date.now()), ...options.options },
    routes: (router, bitbucket) => {
      router.all('/internal', bitbucket.requireMembership(RULES), (_req, res) => {
        res.send('internal')
      })
      router.post('/become/:id', (req, res, next) => {
        const user = lab.accounts.users.get(req.params.id) as TestUser
        req.logIn(user, { keepSessionInfo: true } as never, (error?: unknown) => (error ? next(error) : res.send('ok')))
      })
      options.routes?.(router, bitbucket)
    },
  })
}

const internal = (from = browser): Promise<Answer> => from.get(`${lab.url}/internal`)
const leave = (person: string) => lab.fake.updatePerson(person, { workspaces: [] })
const press = (page: string, action: string, from = browser) => lab.submit(from, page, action)

/** Presses the one button of the page, consents as this person, and comes back. */
async function confirm(person: string, page = PAGE): Promise<Answer> {
  const { location } = await press(page, '/reauthenticate')
  return browser.get(await lab.fake.signIn(location, { person }))
}

const expectInside = async () => expect((await internal()).text).toBe('internal')
const expectAsked = async (page: string) => expect((await internal()).location).toBe(page)

describe('a member', () => {
  test('passes without a request to Bitbucket until the confirmation is too old, confirms with one button, and comes back', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    const before = lab.upstream()
    travel(8 * HOUR - MINUTE)
    await expectInside()
    expect(lab.upstream()).toBe(before)
    travel(8 * HOUR + MINUTE)
    await expectAsked(GRACE_PAGE)
    const answer = await confirm('alice', GRACE_PAGE)
    expect(answer.location).toBe('/internal')
    await expectInside()
    travel(16 * HOUR)
    await expectInside()
  })

  test.each([
    [
      'a POST',
      (): Promise<Answer> => browser.post(`${lab.url}/internal`, {}, { headers: { accept: 'application/json' } }),
    ],
    ['a fetch', () => browser.get(`${lab.url}/internal`, { headers: { accept: '*/*', 'sec-fetch-dest': 'empty' } })],
    ['a JSON client', () => browser.get(`${lab.url}/internal`, { headers: { accept: 'application/json' } })],
  ])('%s gets 403 with the page, and passes after it', async (_, ask) => {
    await open()
    await lab.signIn(browser, 'alice')
    expect((await ask()).text).toBe('internal')
    travel(13 * HOUR)
    const refused = await ask()
    expect([refused.status, refused.json()]).toEqual([
      403,
      { error: 'membership_unconfirmed', message: expect.any(String), next: '/auth/bitbucket/membership' },
    ])
    await confirm('alice', String(refused.json().next))
    expect((await ask()).text).toBe('internal')
  })

  test('gets a page with the button after a form', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    travel(13 * HOUR)
    const answer = await browser.post(`${lab.url}/internal`, {}, { headers: { referer: `${lab.url}/internal` } })
    expect([answer.status, errorOf(answer)]).toEqual([403, 'membership_unconfirmed'])
    expect(answer.text).toContain(`href="${PAGE}"`)
  })

  test('is turned away on a page loaded ahead of a click, not sent to Bitbucket', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    travel(13 * HOUR)
    const ahead = await browser.get(`${lab.url}/internal`, { headers: { 'sec-purpose': 'prefetch' } })
    expect([ahead.status, ahead.text]).toEqual([503, ''])
  })

  test('keeps the confirmation through a link of another identity, which rotates the session', async () => {
    await open({ options: { policy: { identitiesPerUser: 'many' } } })
    await lab.signIn(browser, 'alice')
    await link(lab, browser, 'bob')
    await expectInside()
  })

  test("signed in by code has the time of Bitbucket's answer, not that of the code", async () => {
    await open({ connection: { workspaces: ['acme'], trustedProvider: false } })
    await lab.pendingCode(browser, 'alice')
    travel(9 * MINUTE)
    await enterCode(lab, browser)
    await expectInside()
    travel(8 * HOUR + 5 * MINUTE)
    await expectAsked(GRACE_PAGE)
  })

  test.each<[string, () => Promise<unknown>]>([
    [
      'code and then an account to prove',
      async () => {
        const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
        await lab.pendingCode(browser, 'alice')
        travel(20 * MINUTE)
        await askForCode(lab, browser)
        expect((await enterCode(lab, browser)).location).toBe('/auth/bitbucket/continue')
        travel(70 * MINUTE)
        await lab.localSignIn(browser, owner)
        await choose(lab, browser, 'confirm')
      },
    ],
    [
      'switch and then a code',
      async () => {
        await lab.member(browser)
        await lab.signIn(browser, 'alice')
        travel(20 * MINUTE)
        expect((await choose(lab, browser, 'switch')).location).toBe('/auth/bitbucket/email')
        travel(25 * MINUTE)
        await enterCode(lab, browser)
      },
    ],
  ])("signed in by a %s has the time of Bitbucket's answer, not that of the last step", async (_steps, signIn) => {
    const policy = { matchingAccount: 'prove' } as const
    await open({ connection: { workspaces: ['acme'], trustedProvider: false }, options: { policy } })
    await signIn()
    await expectInside()
    travel(8 * HOUR - MINUTE)
    await expectInside()
    travel(8 * HOUR + 5 * MINUTE)
    await expectAsked(GRACE_PAGE)
  })

  test('control: who signs in again with the same code has the time of the newer answer', async () => {
    await open({ connection: { workspaces: ['acme'], trustedProvider: false } })
    const { code } = await lab.pendingCode(browser, 'alice')
    travel(5 * MINUTE)
    await lab.signIn(browser, 'alice')
    await enterCode(lab, browser, code)
    travel(8 * HOUR + 3 * MINUTE)
    await expectInside()
    travel(8 * HOUR + 6 * MINUTE)
    await expectAsked(GRACE_PAGE)
  })

  test('becomes one by connecting Bitbucket to an existing account', async () => {
    await open()
    await lab.member(browser)
    const answer = await internal()
    expect([answer.status, errorOf(answer)]).toEqual([403, 'identity_required'])
    expect(answer.text).toContain('href="/auth/bitbucket/link?returnTo=%2Finternal"')
    await link(lab, browser, 'alice')
    await expectInside()
  })

  test('becomes one by proving the matching account', async () => {
    await open({ options: { policy: { matchingAccount: 'prove' } }, without: ['storeTokens'] })
    const user = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
    await lab.signIn(browser, 'alice')
    await lab.localSignIn(browser, user)
    await choose(lab, browser, 'confirm')
    await expectInside()
  })

  test('becomes one by passport.authenticate', async () => {
    await open({
      behindSession: (router, bitbucket) => {
        router.get(['/strategy', '/auth/bitbucket/callback'], (req, res, next) => {
          if (req.path !== '/strategy' && req.headers['x-strategy'] === undefined) return next()
          lab.passport.authenticate(bitbucket.strategy, { successRedirect: '/internal' })(req, res, next)
        })
      },
    })
    await lab.signIn(new TestBrowser(), 'alice')
    const { location } = await browser.get(`${lab.url}/strategy`)
    const callback = await lab.fake.signIn(location, { person: 'alice' })
    expect((await browser.get(callback, { headers: { 'x-strategy': '1' } })).location).toBe('/internal')
    await expectInside()
  })
})

describe('a user who left the workspace', () => {
  test("is signed out by Bitbucket's answer, with everything in the session", async () => {
    await open()
    await lab.signIn(browser, 'alice')
    const stolen = browser.copy()
    leave('alice')
    travel(9 * HOUR)
    const answer = await confirm('alice', GRACE_PAGE)
    expect([answer.status, errorOf(answer)]).toEqual([403, 'workspace_required'])
    expect(await lab.me(browser)).toBeNull()
    expect(await lab.me(stolen)).toBeNull()
    expect(lab.signedIn()).toEqual([])
    expect((await internal()).location).toBe('/login?returnTo=%2Finternal')
    expect(lab.events.at(-1)).toMatchObject({ type: 'refused', code: 'workspace_required', userId: 'u1' })
    // The way on signs in again and comes back, once the user is a member again.
    expect(answer.text).toContain('href="/auth/bitbucket?returnTo=%2Finternal"')
  })

  test('is signed out by a plain sign-in of the same identity as well', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    leave('alice')
    expect(errorOf(await lab.signIn(browser, 'alice'))).toBe('workspace_required')
    expect(await lab.me(browser)).toBeNull()
  })

  test("control: stays signed in when another user's membership is missing", async () => {
    await open()
    await lab.signIn(browser, 'alice')
    travel(9 * HOUR)
    expect(errorOf(await confirm('carol', GRACE_PAGE))).toBe('workspace_required')
    expect(await lab.me(browser)).toBe('u1')
    await expectAsked(GRACE_PAGE)
  })

  test("is not confirmed by another user's membership", async () => {
    await open()
    await lab.signIn(browser, 'alice')
    leave('alice')
    travel(9 * HOUR)
    expect(errorOf(await confirm('bob', GRACE_PAGE))).toBe('reauthentication_mismatch')
    await expectAsked(GRACE_PAGE)
  })

  test('may continue until the grace period ends, 15 minutes at a time, and never after it', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    leave('alice')
    travel(8 * HOUR + MINUTE)
    await expectAsked(GRACE_PAGE)
    expect((await press(GRACE_PAGE, '/membership')).location).toBe('/internal')
    await expectInside()
    travel(8 * HOUR + 17 * MINUTE)
    await expectAsked(GRACE_PAGE)
    travel(12 * HOUR - MINUTE)
    await press(GRACE_PAGE, '/membership')
    await expectInside()
    travel(12 * HOUR + MINUTE)
    await expectAsked(PAGE)
    const { text } = await browser.get(`${lab.url}${PAGE}`)
    expect(formsOf(text).map(({ action }) => action)).toEqual(['/auth/bitbucket/reauthenticate'])
  })

  test('cannot continue by a forged form after the grace period, or without any confirmation', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    travel(12 * HOUR + MINUTE)
    expect((await lab.post(browser, '/membership', { returnTo: '/internal' })).location).toBe('/internal')
    await expectAsked(PAGE)
    const other = new TestBrowser()
    travel(0)
    await lab.localSignIn(other, lab.accounts.users.get('u1') as TestUser)
    const answer = await lab.post(other, '/membership', { returnTo: '/internal' })
    expect([answer.status, errorOf(answer)]).toEqual([403, 'membership_unconfirmed'])
    expect((await internal(other)).location).toBe(PAGE)
  })

  test('cannot continue by a form of another site', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    travel(9 * HOUR)
    const answer = await lab.post(browser, '/membership', {}, { headers: { 'sec-fetch-site': 'cross-site' } })
    expect(errorOf(answer)).toBe('cross_site_request')
    await expectAsked(GRACE_PAGE)
  })

  test('cannot continue when suspended', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    travel(9 * HOUR)
    ;(lab.accounts.users.get('u1') as TestUser).disabled = true
    expect(errorOf(await press(GRACE_PAGE, '/membership'))).toBe('account_disabled')
    await expectAsked(GRACE_PAGE)
  })
})

describe('an outage of Bitbucket', () => {
  test('signs no user out, lets "Go on" work until the grace period ends and confirming after the outage', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    travel(9 * HOUR)
    lab.fake.script('workspace', { status: 503 })
    expect(errorOf(await confirm('alice', GRACE_PAGE))).toBe('upstream_failed')
    expect(await lab.me(browser)).toBe('u1')
    await press(GRACE_PAGE, '/membership')
    await expectInside()
    travel(13 * HOUR)
    await expectAsked(PAGE)
    expect(errorOf(await confirm('alice'))).toBe('upstream_failed')
    expect(await lab.me(browser)).toBe('u1')
    lab.fake.clearScripts()
    await confirm('alice')
    await expectInside()
  })

  test.each([
    [
      'an answer about another workspace',
      {
        json: {
          type: 'workspace_membership',
          permission: 'owner',
          workspace: { slug: 'evil', uuid: '{470c176d-3574-44ea-bb41-89e8638bcca4}' },
        },
      },
    ],
    ['an empty answer', { status: 200, text: '' }],
    ['a missing scope', { problem: 'missing-scope' as const }],
  ])('confirms nothing by %s', async (_, fault) => {
    await open()
    await lab.signIn(browser, 'alice')
    travel(13 * HOUR)
    lab.fake.script('workspace', fault as never)
    expect((await confirm('alice')).status).toBeGreaterThanOrEqual(500)
    await expectAsked(PAGE)
    expect(await lab.me(browser)).toBe('u1')
  })
})

describe('the stamp', () => {
  const stampOf = () =>
    Object.values((lab.store as unknown as { sessions: Record<string, string> }).sessions).map(
      (json) => (JSON.parse(json) as { bitbucketMembership?: Record<string, unknown> }).bitbucketMembership,
    )

  test('of another user opens nothing in a session that the app passed on', async () => {
    await open({ options: { session: { keep: ['bitbucketMembership'] } } })
    await lab.signIn(browser, 'alice')
    const other = lab.accounts.add({ email: 'other@example.com', emailVerified: true })
    await browser.post(`${lab.url}/become/${other.id}`, {})
    expect(await lab.me(browser)).toBe(other.id)
    expect(stampOf()).toEqual([expect.objectContaining({ user: 'u1' })])
    expect(errorOf(await internal())).toBe('identity_required')
  })

  test('of an identity that was disconnected opens nothing', async () => {
    await open()
    await lab.member(browser)
    await link(lab, browser, 'alice')
    await expectInside()
    await press('/auth/bitbucket/link', '/unlink')
    expect(stampOf()).toEqual([undefined])
    expect(errorOf(await internal())).toBe('identity_required')
  })

  test('control: of another identity stays', async () => {
    await open({ options: { policy: { identitiesPerUser: 'many' } } })
    await lab.member(browser)
    await link(lab, browser, 'bob')
    await link(lab, browser, 'alice')
    const { text } = await browser.get(`${lab.url}/auth/bitbucket/link`)
    const bob = lab.fake.person('bob').uuid
    const form = formsOf(text).find(({ fields }) => fields.id === bob)
    await browser.post(`${lab.url}${form?.action}`, form?.fields ?? {})
    await expectInside()
  })

  test.each([
    ['from the future', { at: Date.now() + 2 * HOUR }],
    ['without a time', { at: undefined }],
    ['of another issuer', { identity: { issuer: 'https://evil.example', id: 'x' } }],
    ['of no workspace', { workspaces: [] }],
    ['of a workspace that is no longer admitted', { workspaces: [{ slug: 'former', uuid: '{x}' }] }],
  ])('%s opens nothing', async (_, change) => {
    await open({
      behindSession: (router) => {
        router.post('/forge', (req, res) => {
          const session = req.session as unknown as { bitbucketMembership: object }
          session.bitbucketMembership = { ...session.bitbucketMembership, ...change }
          res.send('ok')
        })
      },
    })
    await lab.signIn(browser, 'alice')
    await expectInside()
    await browser.post(`${lab.url}/forge`, {})
    await expectAsked(PAGE)
  })

  test('is removed when a visitor signs in by other means', async () => {
    await open()
    await lab.signIn(browser, 'alice')
    await lab.localSignIn(browser, lab.accounts.users.get('u1') as TestUser)
    await expectAsked(PAGE)
  })
})

describe('which workspaces', () => {
  test('are admitted by a guard for one of several, without a loop', async () => {
    await open(
      {
        routes: (router, bitbucket) => {
          router.get('/core', bitbucket.requireMembership({ ...RULES, workspaces: ['CORE'] }), (_req, res) => {
            res.send('core')
          })
        },
      },
      ['acme', 'core'],
    )
    await lab.signIn(browser, 'alice')
    await expectInside()
    const answer = await browser.get(`${lab.url}/core`)
    expect([answer.status, errorOf(answer)]).toEqual([403, 'workspace_required'])
    expect(answer.text).toContain('href="/auth/bitbucket/membership?returnTo=%2Fcore"')
    lab.fake.updatePerson('alice', { workspaces: [{ slug: 'core' }] })
    await confirm('alice', '/auth/bitbucket/membership?returnTo=%2Fcore')
    expect((await browser.get(`${lab.url}/core`)).text).toBe('core')
  })

  test.each([
    [
      'a workspace that no sign-in asks about',
      { ...RULES, workspaces: ['elsewhere'] },
      ['acme'],
      '"elsewhere" is not among',
    ],
    ['a connection without a gate', RULES, [], 'has no `workspaces`'],
  ])('%s is named as the mistake and admits no user', async (_, rules, workspaces, message) => {
    await open(
      {
        routes: (router, bitbucket) => {
          router.get('/odd', bitbucket.requireMembership(rules), (_req, res) => {
            res.send('inside')
          })
        },
      },
      workspaces,
    )
    await lab.signIn(browser, 'alice')
    expect((await browser.get(`${lab.url}/odd`)).status).toBe(500)
    expect(lab.faults).toEqual([
      expect.objectContaining({ code: 'configuration_invalid', message: expect.stringContaining(message) }),
    ])
  })

  test('admit no user without a connection', async () => {
    let offered = true
    await open({
      resolver: (defaults) => () => (offered ? { ...defaults, workspaces: ['acme'] } : null),
    })
    await lab.signIn(browser, 'alice')
    await expectInside()
    offered = false
    expect(errorOf(await internal())).toBe('connection_unavailable')
  })

  test.each([
    { maxAgeMs: 0, graceMs: 0 },
    { maxAgeMs: Number.NaN, graceMs: 0 },
    { maxAgeMs: Number.POSITIVE_INFINITY, graceMs: 0 },
    { maxAgeMs: 1, graceMs: -1 },
    { maxAgeMs: 1 } as never,
    { maxAgeMs: 1, graceMs: 0, workspaces: [] },
  ])('%j is refused at construction', async (options) => {
    await open()
    expect(() => lab.bitbucket.requireMembership(options)).toThrow(/^requireMembership: `\w+`/)
  })
})
