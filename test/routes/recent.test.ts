import { BitbucketSignInError } from 'passport-bitbucket-signin'
import { afterEach, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'

let app: TestApp
afterEach(() => app?.close())

/** Mounts a page that needs a recent sign-in; the test app's own `signedInAt` says "long ago". */
async function appWithSensitivePage(): Promise<TestApp> {
  app = await startTestApp({
    options: { signedInAt: () => new Date(0) },
    routes: (express, bitbucket) => {
      express.get('/sensitive', bitbucket.requireRecentSignIn(), (_req, res) => {
        res.send('sensitive')
      })
    },
  })
  return app
}

test("a sign-in with Bitbucket counts as recent although the app's own stamp is old", async () => {
  await appWithSensitivePage()
  const browser = new TestBrowser()
  await app.signIn(browser, 'alice')
  expect((await browser.get(`${app.url}/sensitive`)).text).toBe('sensitive')
})

test('case 9: a user without a Bitbucket identity and a recent sign-in is sent to sign in again, not to Bitbucket', async () => {
  await appWithSensitivePage()
  const browser = new TestBrowser()
  await app.localSignIn(browser, app.accounts.add({ email: 'local@example.com', emailVerified: true }))
  expect((await browser.get(`${app.url}/sensitive`)).location).toBe(
    '/auth/bitbucket/sign-in-again?returnTo=%2Fsensitive',
  )
})

test.each([Date.now(), new Date().toISOString(), new Date(Number.NaN)])(
  'a `signedInAt` that returns %j is a fault that the operator is told, not a user who never signed in recently',
  async (at) => {
    const errors: BitbucketSignInError[] = []
    app = await startTestApp({
      options: { signedInAt: () => at as Date, onError: (error) => void errors.push(error) },
      routes: (express, bitbucket) => {
        express.get('/sensitive', bitbucket.requireRecentSignIn())
      },
    })
    const browser = new TestBrowser()
    await app.localSignIn(browser, app.accounts.add({ email: 'local@example.com', emailVerified: true }))
    expect((await browser.get(`${app.url}/sensitive`)).status).toBe(500)
    const linking = await app.submit(browser, '/auth/bitbucket/link', '/link')
    expect(linking.status).toBe(500)
    expect(errors.map(({ code, message }) => `${code}: ${message}`)).toEqual([
      expect.stringContaining('configuration_invalid: `signedInAt` must return a valid Date or null'),
    ])
  },
)

test('the app names the return path behind a proxy that strips its beginning', async () => {
  app = await startTestApp({
    options: { signedInAt: () => new Date(0), paths: { signIn: '/app/login' } },
    routes: (express, bitbucket) => {
      const returnTo = ({ originalUrl }: { originalUrl: string }) => `/app${originalUrl}`
      express.get('/sensitive', bitbucket.requireRecentSignIn({ returnTo }))
    },
  })
  const browser = new TestBrowser()
  expect((await browser.get(`${app.url}/sensitive?x=1`)).location).toBe(
    '/app/login?returnTo=%2Fapp%2Fsensitive%3Fx%3D1',
  )
})

test('linking after an old sign-in links to signing in again and back to the link page', async () => {
  await appWithSensitivePage()
  const browser = new TestBrowser()
  await app.localSignIn(browser, app.accounts.add({ email: 'local@example.com', emailVerified: true }))
  const answer = await app.submit(browser, '/auth/bitbucket/link', '/link')
  expect(answer.status).toBe(403)
  expect(answer.text).toContain('/auth/bitbucket/sign-in-again?returnTo=%2Fauth%2Fbitbucket%2Flink')
})

test('a hook that reports its database as unavailable gets 503, any other failure 500', async () => {
  app = await startTestApp({ options: { onError: () => {} } })
  app.accounts.intercept = () => {
    throw new BitbucketSignInError('store_unavailable', 'The database is away.')
  }
  expect((await app.signIn(new TestBrowser(), 'alice')).status).toBe(503)
  app.accounts.intercept = () => {
    throw new Error('a bug')
  }
  expect((await app.signIn(new TestBrowser(), 'alice')).status).toBe(500)
})
