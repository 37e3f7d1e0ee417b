import { randomUUID } from 'node:crypto'
import express from 'express'
import { afterEach, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { enterCode } from '../support/steps'

const BASE = '/auth/bitbucket'

let app: TestApp
afterEach(() => app.close())

/** A guard of the app before the router: each call makes a token, and only the newest one is valid. */
async function startGuarded(hiddenFields: (token: string) => Record<string, string>) {
  const newest = new Map<string, string>()
  const browserOf = (req: express.Request) => /(?:^|; )browser=([^;]*)/.exec(req.headers.cookie ?? '')?.[1] ?? ''
  app = await startTestApp({
    connection: { trustedProvider: false },
    options: {
      policy: { matchingAccount: 'prove' },
      hiddenFields: (req) => {
        const token = randomUUID()
        newest.set(browserOf(req), token)
        return hiddenFields(token)
      },
    },
    behindSession(guarded) {
      guarded.use(express.urlencoded({ extended: false }))
      guarded.use((req, res, next) => {
        const isOwn = req.method === 'POST' && req.path.startsWith(BASE)
        if (isOwn && req.body._csrf !== newest.get(browserOf(req))) return res.status(403).send('bad token')
        next()
      })
    },
  })
  const browser = new TestBrowser()
  browser.jar(app.url).set('browser', randomUUID())
  return browser
}

describe('a CSRF guard of the app mounted before the router', () => {
  test('accepts every form of our pages, also when each call makes a new token', async () => {
    const browser = await startGuarded((token) => ({ _csrf: token }))
    const owner = app.accounts.add({ name: 'Owner', email: 'alice@example.com', emailVerified: true })
    await app.signIn(browser, 'alice')
    // The code page has three forms, and the first one is posted.
    expect((await enterCode(app, browser)).location).toBe(`${BASE}/continue`)
    await app.localSignIn(browser, owner)
    expect(await app.submit(browser, `${BASE}/continue`, '/continue')).toMatchObject({ status: 303 })
    expect(await app.me(browser)).toBe(owner.id)
    expect(owner.identities.map(({ id }) => id)).toEqual([app.fake.person('alice').uuid])
  })

  test('refuses our forms without hiddenFields', async () => {
    const browser = await startGuarded(() => ({}))
    await app.signIn(browser, 'alice')
    expect(await enterCode(app, browser)).toMatchObject({ status: 403, text: 'bad token' })
    expect(await app.me(browser)).toBeNull()
  })
})
