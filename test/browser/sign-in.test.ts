import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { travel } from '../support/clock'
import { otherCode } from '../support/steps'
import { launchChromium } from './chromium'

let chromium: Browser
let app: TestApp
beforeAll(async () => {
  chromium = await launchChromium()
})
afterAll(() => chromium.close())
afterEach(async () => {
  vi.useRealTimers()
  for (const context of chromium.contexts()) await context.close()
  await app.close()
})

/** An app at http://localhost with a sign-in page; the fake is at 127.0.0.1, so the way there and back is cross-site. */
async function open(options: TestAppOptions = {}): Promise<void> {
  app = await startTestApp({
    host: 'localhost',
    ...options,
    behindSession: (express, bitbucket) => {
      express.get('/login', async (req, res) => {
        const waiting = bitbucket.pending(req)
        const local = [...app.accounts.users.values()].map(
          ({ id, name }) => `<form method="post" action="/local/${id}"><button>Password of ${name}</button></form>`,
        )
        res.send(`<!doctype html><title>Sign-in page</title><h1>Welcome</h1>
          ${await bitbucket.button(req, { returnTo: '/board' })}
          ${waiting ? `<a href="${waiting.next}">Go on as ${waiting.label}</a>` : ''}${local.join('')}`)
      })
    },
  })
}

/** A window without scripts: everything has to work without them. */
async function openTab(path = '/login', options: BrowserContextOptions = {}): Promise<Page> {
  const context = await chromium.newContext({ javaScriptEnabled: false, ...options })
  const tab = await context.newPage()
  await tab.goto(app.url + path)
  return tab
}

const press = (tab: Page, name: string | RegExp) => clickThrough(tab, 'button', name)
const follow = (tab: Page, name: string | RegExp) => clickThrough(tab, 'link', name)
/** Clicks and waits for the next page: on a busy machine the click alone may return earlier. */
async function clickThrough(tab: Page, role: 'button' | 'link', name: string | RegExp): Promise<void> {
  await Promise.all([tab.waitForEvent('load'), tab.getByRole(role, { name }).click()])
}
const heading = (tab: Page) => tab.getByRole('heading', { level: 1 }).textContent()
const pathOf = (tab: Page) => new URL(tab.url()).pathname

/** The consent page of the fake: this person allows. */
async function allowAs(tab: Page, name: string): Promise<void> {
  expect(new URL(tab.url()).hostname).toBe('127.0.0.1')
  await tab.getByLabel(name).check()
  await press(tab, 'Allow')
}

async function signInAs(tab: Page, name: string): Promise<void> {
  await follow(tab, 'Sign in with Bitbucket')
  await allowAs(tab, name)
}

async function me(tab: Page): Promise<string | null> {
  const answer = await tab.context().request.get(`${app.url}/me`)
  return ((await answer.json()) as { user: string | null }).user
}

describe('signing in', () => {
  test('follows the button and the consent page to a signed-in user', async () => {
    await open()
    const tab = await openTab()
    await signInAs(tab, 'Alice Archer')
    expect(tab.url()).toBe(`${app.url}/board`)
    expect(await me(tab)).toBe('u1')
    expect(app.accounts.users.get('u1')).toMatchObject({ email: 'alice@example.com', emailVerified: true })
  })

  test('shows a friendly page after Deny, with links to Bitbucket and to the sign-in page', async () => {
    await open()
    const tab = await openTab()
    await follow(tab, 'Sign in with Bitbucket')
    await press(tab, 'Deny')
    expect(await heading(tab)).toBe('Sign-in cancelled')
    expect(await tab.getByRole('alert').textContent()).toContain('You can try again')
    await follow(tab, 'Go back')
    expect(await heading(tab)).toBe('Welcome')
    await tab.goBack()
    await follow(tab, 'Try again')
    await allowAs(tab, 'Alice Archer')
    expect(await me(tab)).toBe('u1')
  })

  test('finishes two tabs one after the other, the later one first', async () => {
    await open()
    const first = await openTab()
    const second = await first.context().newPage()
    await second.goto(`${app.url}/login`)
    await follow(first, 'Sign in with Bitbucket')
    await follow(second, 'Sign in with Bitbucket')
    await allowAs(second, 'Alice Archer')
    expect(await me(second)).toBe('u1')
    await allowAs(first, 'Alice Archer')
    expect(first.url()).toBe(`${app.url}/board`)
    expect(await me(first)).toBe('u1')
    expect(app.accounts.users.size).toBe(1)
  })

  test('redirects a signed-in user home after Back to the consent page and another Allow', async () => {
    await open()
    const tab = await openTab()
    await signInAs(tab, 'Alice Archer')
    await tab.goBack()
    await press(tab, 'Allow')
    expect(new URL(tab.url()).pathname).toBe('/')
    expect(await me(tab)).toBe('u1')
    expect(app.fake.count('token')).toBe(1)
  })

  test('repeats nothing when a page with a refusal is reloaded', async () => {
    await open()
    const tab = await openTab()
    await follow(tab, 'Sign in with Bitbucket')
    await press(tab, 'Deny')
    await tab.reload()
    expect(await heading(tab)).toBe('This sign-in is no longer open')
    expect(app.fake.count('token')).toBe(0)
  })
})

describe('the code page', () => {
  const last = () => app.mails.at(-1)?.code ?? ''

  async function enter(tab: Page, code: string): Promise<void> {
    await tab.getByLabel('Code from the email').fill(code)
    await press(tab, 'Continue')
  }

  test('accepts a new code after too many wrong ones and a wait', async () => {
    await open({ connection: { trustedProvider: false } })
    const tab = await openTab()
    await signInAs(tab, 'Alice Archer')
    expect(await heading(tab)).toBe('Check your email')
    for (let n = 0; n < 5; n++) {
      await enter(tab, otherCode(last()))
      expect(await tab.getByRole('alert').textContent()).toContain('This code is not correct')
    }
    // No code can work any longer, so there is nothing to enter.
    expect(await tab.getByLabel('Code from the email').count()).toBe(0)
    await press(tab, 'Send code')
    expect(await tab.getByRole('alert').textContent()).toContain('too early for another code')
    travel(61_000)
    await press(tab, 'Send code')
    expect(app.mails).toHaveLength(2)
    await enter(tab, last().toLowerCase())
    // The app keeps tokens, so the browser passes once more through Bitbucket.
    await allowAs(tab, 'Alice Archer')
    expect(tab.url()).toBe(`${app.url}/board`)
    expect(await me(tab)).toBe('u1')
  })

  test('takes an address, another one instead, and the code for it', async () => {
    await open({ without: ['storeTokens'] })
    const tab = await openTab()
    await signInAs(tab, 'Dave Dunn')
    expect(await heading(tab)).toBe('What is your email address?')
    await tab.getByLabel('Email address').fill('dav@example.com')
    await press(tab, 'Send code')
    await tab.getByText('Use a different address').click()
    await tab.getByLabel('New email address').fill('dave@example.com')
    await press(tab, 'Send code to this address')
    expect(app.mails.map(({ to }) => to)).toEqual(['dav@example.com', 'dave@example.com'])
    await enter(tab, last())
    expect(tab.url()).toBe(`${app.url}/board`)
    expect(app.accounts.users.get('u1')?.email).toBe('dave@example.com')
  })

  test('offers a link after Cancel and Back, and refuses the previous code', async () => {
    await open({ connection: { trustedProvider: false } })
    const tab = await openTab()
    await signInAs(tab, 'Alice Archer')
    await press(tab, 'Cancel')
    expect(await heading(tab)).toBe('Welcome')
    await tab.goBack()
    // Not from a cache: the page is loaded again, and there is no longer anything to finish.
    expect(await heading(tab)).toBe('Nothing to finish')
    expect(await me(tab)).toBeNull()
    await follow(tab, 'Try again')
    expect(new URL(tab.url()).hostname).toBe('127.0.0.1')
  })

  test('the sign-in page redirects back to the pending sign-in', async () => {
    await open({ connection: { trustedProvider: false } })
    const tab = await openTab()
    await signInAs(tab, 'Alice Archer')
    await tab.goto(`${app.url}/login`)
    await follow(tab, 'Go on as Alice Archer')
    expect(await heading(tab)).toBe('Check your email')
  })
})

describe('Back and reload', () => {
  test('show a refused form again, and ask for nothing to be sent again', async () => {
    await open()
    app.accounts.add({ name: 'The Owner', email: 'o@example.com', emailVerified: true })
    const tab = await openTab()
    await press(tab, 'Password of The Owner')
    await tab.goto(`${app.url}/auth/bitbucket/link`)
    travel(11 * 60_000)
    await press(tab, 'Connect a Bitbucket account')
    expect([await heading(tab), pathOf(tab)]).toEqual(['Confirm that it is you', '/auth/bitbucket/notice'])
    await tab.reload()
    expect(await heading(tab)).toBe('Confirm that it is you')
    await follow(tab, 'Confirm that it is you')
    expect(await heading(tab)).toBe('Please sign in again')
    await tab.goBack()
    expect(await heading(tab)).toBe('Confirm that it is you')
    await follow(tab, 'Go back')
    // A day later the tab is restored.
    await tab.goBack()
    travel(24 * 60 * 60_000)
    await tab.reload()
    expect(pathOf(tab)).toBe('/')
  })

  test('show the code page after a wrong code, without its alert', async () => {
    await open({ connection: { trustedProvider: false }, without: ['storeTokens'] })
    const tab = await openTab()
    await signInAs(tab, 'Alice Archer')
    await tab.getByLabel('Code from the email').fill('BBBB-BBBB')
    await press(tab, 'Continue')
    expect([await tab.getByRole('alert').count(), pathOf(tab)]).toEqual([1, '/auth/bitbucket/email'])
    await tab.reload()
    expect([await tab.getByRole('alert').count(), await heading(tab)]).toEqual([0, 'Check your email'])
    await tab.getByLabel('Code from the email').fill(app.mails.at(-1)?.code ?? '')
    await press(tab, 'Continue')
    expect(tab.url()).toBe(`${app.url}/board`)
    await tab.goBack()
    expect(pathOf(tab)).toBe('/')
    expect(await me(tab)).toBe('u1')
  })
})

describe('an existing account', () => {
  const add = () =>
    app.accounts.add({ name: 'The Owner', email: 'alice@example.com', emailVerified: true, identities: [] })

  test('is proven by its password, and linked on a page that names both', async () => {
    await open({ options: { policy: { matchingAccount: 'prove' } }, without: ['storeTokens'] })
    const owner = add()
    const tab = await openTab()
    await signInAs(tab, 'Alice Archer')
    expect(await heading(tab)).toBe('You already have an account')
    await follow(tab, 'Sign in to your account')
    await press(tab, 'Password of The Owner')
    await tab.goto(`${app.url}/login`)
    await follow(tab, 'Go on as Alice Archer')
    expect(await heading(tab)).toBe('Connect with Bitbucket?')
    expect(await tab.locator('dl').textContent()).toMatch(/Alice Archer[\s\S]*The Owner/)
    await press(tab, 'Connect')
    expect(tab.url()).toBe(`${app.url}/board`)
    expect(owner.identities).toHaveLength(1)
  })

  test('is linked and unlinked, but keeps its last way in', async () => {
    await open()
    const owner = add()
    const tab = await openTab()
    await press(tab, 'Password of The Owner')
    await tab.goto(`${app.url}/auth/bitbucket/link?returnTo=/settings`)
    // From the page through Bitbucket and back: the form's redirects pass its content security policy.
    await press(tab, 'Connect a Bitbucket account')
    await allowAs(tab, 'Bob Baker')
    expect(tab.url()).toBe(`${app.url}/settings`)
    expect(owner.identities).toHaveLength(1)
    owner.password = null
    await tab.goto(`${app.url}/auth/bitbucket/link`)
    await press(tab, /^Disconnect/)
    expect(await tab.getByRole('alert').textContent()).toContain('the only way to sign in')
    expect(owner.identities).toHaveLength(1)
    owner.password = 'secret'
    await tab.goto(`${app.url}/auth/bitbucket/link`)
    await press(tab, /^Disconnect/)
    expect(owner.identities).toHaveLength(0)
  })

  test('asks, cancels, asks again and switches when a user is signed in already', async () => {
    await open({ without: ['storeTokens'] })
    app.accounts.add({ name: 'Somebody', email: 's@example.com', emailVerified: true })
    const tab = await openTab()
    await press(tab, 'Password of Somebody')
    for (const choice of ['Change nothing', 'Sign in with Bitbucket instead']) {
      await tab.goto(`${app.url}/login`)
      await signInAs(tab, 'Alice Archer')
      expect(await heading(tab)).toBe('You are already signed in')
      expect(await me(tab)).toBe('u1')
      await press(tab, choice)
    }
    expect(tab.url()).toBe(`${app.url}/board`)
    expect(await me(tab)).toBe('u2')
    expect(app.accounts.users.get('u1')?.identities).toEqual([])
  })
})

describe('a SameSite=Strict session', () => {
  const strict = { session: { cookie: { sameSite: 'strict' } } } as const

  test('finishes a plain sign-in', async () => {
    await open(strict)
    const tab = await openTab()
    await signInAs(tab, 'Alice Archer')
    await tab.waitForURL(`${app.url}/board`)
    expect(await me(tab)).toBe('u1')
  })

  test('finds the session of the user who started linking, although the redirect from Bitbucket carries none', async () => {
    const arrivals: unknown[] = []
    await open({
      ...strict,
      before: (express) =>
        express.use('/auth/bitbucket/callback', (req, _res, next) => {
          arrivals.push([req.get('sec-fetch-site'), req.get('cookie')?.includes('connect.sid')])
          next()
        }),
    })
    const owner = app.accounts.add({ name: 'The Owner', email: 'o@example.com', emailVerified: true })
    const tab = await openTab()
    await press(tab, 'Password of The Owner')
    await tab.goto(`${app.url}/auth/bitbucket/link?returnTo=/settings`)
    await press(tab, 'Connect a Bitbucket account')
    await allowAs(tab, 'Alice Archer')
    await tab.waitForURL(`${app.url}/settings`)
    expect(arrivals).toEqual([
      ['cross-site', false],
      ['same-origin', true],
    ])
    expect(owner.identities).toHaveLength(1)
    expect(await me(tab)).toBe(owner.id)
  })

  test('notices a signed-in user, and asks', async () => {
    await open(strict)
    app.accounts.add({ name: 'The Owner', email: 'o@example.com', emailVerified: true })
    const tab = await openTab()
    await press(tab, 'Password of The Owner')
    await tab.goto(`${app.url}/login`)
    await signInAs(tab, 'Alice Archer')
    await tab.waitForURL(/\/continue$/)
    expect(await heading(tab)).toBe('You are already signed in')
    expect(pathOf(tab)).toBe('/auth/bitbucket/continue')
  })
})
