import type { RequestHandler } from 'express'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startTestApp } from '../support/app'
import { type Site, startSite, TestBrowser } from '../support/site'

/** The path of each request that a context was made for, and each `state` that was verified. */
const seen = vi.hoisted(() => ({ contexts: [] as string[], states: [] as string[] }))

vi.mock('../../src/routes/context', async (original) => {
  const actual = await original<typeof import('../../src/routes/context')>()
  class Counted<User> extends actual.RequestContext<User> {
    constructor(...made: ConstructorParameters<typeof actual.RequestContext<User>>) {
      super(...made)
      seen.contexts.push(made[1].originalUrl.replace(/\?.*$/, ''))
    }
  }
  return { ...actual, RequestContext: Counted }
})

vi.mock('../../src/state/transaction', async (original) => {
  const actual = await original<typeof import('../../src/state/transaction')>()
  const createTransactions: typeof actual.createTransactions = (...parts) => {
    const transactions = actual.createTransactions(...parts)
    const parseState = (state: string) => {
      seen.states.push(state)
      return transactions.parseState(state)
    }
    return { ...transactions, parseState }
  }
  return { ...actual, createTransactions }
})

let site: Site
beforeEach(async () => {
  site = await startSite({
    rows: (at) => ({ tenants: { acme: { origins: [at('acme')] } } }),
    before: (app, bitbucket) => app.get('/private', bitbucket.requireRecentSignIn(), (_req, res) => res.send('in')),
  })
})
afterEach(() => site.close())

/** The counts of one request. */
async function countedBy(request: () => Promise<unknown>) {
  seen.contexts = []
  seen.states = []
  await request()
  return { contexts: seen.contexts, states: seen.states.length }
}

test('a central callback verifies `state` once, and so does the callback that it hands over to', async () => {
  const browser = new TestBrowser()
  const { location } = await site.startAt(browser, 'acme')
  const central = await site.fake.signIn(location, { person: 'alice' })
  let handedOver = ''
  const first = await countedBy(async () => {
    handedOver = (await browser.get(central)).location
  })
  expect(first).toEqual({ contexts: ['/auth/bitbucket/callback'], states: 1 })
  const second = await countedBy(() => browser.get(handedOver))
  expect(second).toEqual({ contexts: ['/auth/bitbucket/callback'], states: 1 })
  expect(await site.meAt(browser, 'acme')).toBe('u1')
})

test('a callback at the host where it started verifies `state` once, used or not', async () => {
  const browser = new TestBrowser()
  const { location } = await site.startAt(browser, 'login')
  const callback = await site.fake.signIn(location, { person: 'alice' })
  const once = { contexts: ['/auth/bitbucket/callback'], states: 1 }
  expect(await countedBy(() => browser.get(callback))).toEqual(once)
  expect(await site.meAt(browser, 'login')).toBe('u1')
  expect(await countedBy(() => new TestBrowser().get(callback))).toEqual(once)
})

test('start, page, form, refusal and guard make one context each and verify no `state`', async () => {
  const browser = new TestBrowser()
  for (const path of ['/auth/bitbucket', '/auth/bitbucket/link', '/auth/bitbucket/email', '/private']) {
    expect(await countedBy(() => browser.get(site.at('acme') + path))).toEqual({ contexts: [path], states: 0 })
  }
  const form = `${site.at('acme')}/auth/bitbucket/cancel`
  expect(await countedBy(() => browser.post(form, {}))).toEqual({ contexts: ['/auth/bitbucket/cancel'], states: 0 })
})

test("the plugin's strategy makes one context per leg and verifies `state` once", async () => {
  const app = await startTestApp({
    resolver: (defaults) => () => ({
      ...defaults,
      callbackURL: defaults.callbackURL.replace('/auth/bitbucket', '/by-hand'),
    }),
    behindSession(express) {
      const byHand: RequestHandler = (...call) => app.passport.authenticate('bitbucket')(...call)
      express.get('/by-hand', byHand)
      express.get('/by-hand/callback', byHand, (_req, res) => res.send('in'))
    },
  })
  app.passport.use(app.bitbucket.strategy)
  const { fake } = app
  app.accounts.add({ identities: [{ issuer: new URL(fake.url).origin, id: fake.person('alice').uuid }] })
  const browser = new TestBrowser()
  let location = ''
  const start = await countedBy(async () => {
    location = (await browser.get(`${app.url}/by-hand`)).location
  })
  expect(start).toEqual({ contexts: ['/by-hand'], states: 0 })
  const callback = await fake.signIn(location, { person: 'alice' })
  expect(await countedBy(() => browser.get(callback))).toEqual({ contexts: ['/by-hand/callback'], states: 1 })
  await app.close()
})
