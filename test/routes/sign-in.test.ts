import { afterEach, describe, expect, test } from 'vitest'
import { createPageRoutes } from '../../src/routes/page-routes'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'

let app: TestApp
afterEach(() => app?.close())

describe.each([4, 5] as const)('on Express %i', (express) => {
  test('signs up and in a user with a confirmed address of a trusted provider', async () => {
    app = await startTestApp({ express })
    const browser = new TestBrowser()
    const answer = await app.signIn(browser, 'alice', { returnTo: '/dash?tab=1#top' })
    expect(answer.status).toBe(302)
    expect(answer.location).toBe('/dash?tab=1#top')
    expect(await app.me(browser)).toBe('u1')
    const user = app.accounts.users.get('u1')
    expect(user).toMatchObject({ email: 'alice@example.com', emailVerified: true })
    expect(user?.identities[0]?.id).toMatch(/^\{[0-9a-f-]{36}\}$/)
  })

  test('signs the same user in again, also after they were renamed at Bitbucket', async () => {
    app = await startTestApp({ express })
    await app.signIn(new TestBrowser(), 'alice')
    app.fake.updatePerson('alice', { username: 'renamed', nickname: 'renamed', displayName: 'Renamed' })
    const browser = new TestBrowser()
    await app.signIn(browser, 'alice')
    expect(await app.me(browser)).toBe('u1')
    expect(app.accounts.users.size).toBe(1)
    expect(app.accounts.users.get('u1')?.identities[0]?.profile?.displayName).toBe('Renamed')
  })
})

test("ends on the app's own page with a router at the root, whichever of our routes was the return URL", async () => {
  app = await startTestApp({
    resolver: (defaults) => () => ({
      ...defaults,
      callbackURL: defaults.callbackURL.replace('/auth/bitbucket', ''),
    }),
    options: { paths: { signedIn: '/home' } },
    routes: (express, bitbucket) => express.use(bitbucket.router),
    behindSession: (express) => {
      express.get('/home', (_req, res) => {
        res.send('the page of the app')
      })
    },
  })
  const ends = async (returnTo: string) => {
    const browser = new TestBrowser()
    const started = await browser.get(`${app.url}/?returnTo=${encodeURIComponent(returnTo)}`)
    return (await browser.get(await app.fake.signIn(started.location, { person: 'alice' }))).location
  }
  expect(await ends('/dash?tab=1')).toBe('/dash?tab=1')
  const routers = [app.bitbucket.router, createPageRoutes({} as never)]
  const routes = routers.flatMap(({ stack }) => stack.flatMap(({ route }) => (route ? [route.path] : [])))
  expect(routes).toContain('/')
  for (const route of routes) {
    // The page of links is a page to go back to like those of the app.
    expect({ route, location: await ends(route) }).toEqual({ route, location: route === '/link' ? '/link' : '/home' })
  }
})
