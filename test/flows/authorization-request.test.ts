import { afterEach, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'

let app: TestApp
afterEach(() => app?.close())

// The router builds its request itself, the strategy has passport-oauth2 build it.
test.each([
  ['the default scopes', {}],
  ['extra scopes', { scope: ['repository', 'pullrequest:write'] }],
  ['no scope', { scope: false as const }],
])('with %s the route and the strategy send Bitbucket the same request', async (_case, connection) => {
  app = await startTestApp({
    connection,
    routes: (express, bitbucket) => {
      express.get('/by-strategy', (req, res, next) => {
        const strategy = Object.assign(Object.create(bitbucket.strategy), {
          redirect: (url: string) => res.redirect(url),
          error: next,
          fail: next,
        })
        strategy.authenticate(req)
      })
    },
  })
  const route = new URL((await new TestBrowser().get(`${app.url}/auth/bitbucket`)).location)
  const strategy = new URL((await new TestBrowser().get(`${app.url}/by-strategy`)).location)
  const sent = (url: URL) => {
    const random = new Set(['state', 'code_challenge'])
    const entries = [...url.searchParams].map(([name, value]) => [name, random.has(name) ? value.length : value])
    return { at: `${url.origin}${url.pathname}`, entries: entries.sort() }
  }
  expect(sent(route)).toEqual(sent(strategy))
  expect(route.search).not.toContain('+')
})
