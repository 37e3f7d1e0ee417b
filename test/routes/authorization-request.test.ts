import { afterEach, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'

let app: TestApp
afterEach(() => app?.close())

const gateway = (authorize: string) => ({
  authorizationURL: `https://gateway.example${authorize}`,
  tokenURL: 'https://gateway.example/token',
  apiURL: 'https://gateway.example/2.0',
})

// The router builds its request itself, the strategy has passport-oauth2 build it.
test.each([
  ['the default scopes', {}],
  ['extra scopes', { scope: ['repository', 'pullrequest:write'] }],
  ['no scope', { scope: false as const }],
  ['a plus sign in the path and the query of the endpoint', { endpoints: gateway('/a+b/authorize?x=1+2&y=%2B') }],
])('the route and the strategy send Bitbucket the same request with %s', async (_case, connection) => {
  app = await startTestApp({
    connection,
    options: { http: { preconnect: false } },
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

test('a plus sign in the path of the endpoint stays as it is', async () => {
  app = await startTestApp({
    connection: { endpoints: gateway('/a+b/authorize?x=1+2&y=%2B') },
    options: { http: { preconnect: false } },
  })
  const { location } = await new TestBrowser().get(`${app.url}/auth/bitbucket`)
  expect(location.startsWith('https://gateway.example/a+b/authorize?x=1%202&y=%2B&')).toBe(true)
  expect(location).toContain('&scope=account%20email&')
})
