import { connections } from 'passport-bitbucket-signin'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { formsOf, TestBrowser } from '../support/browser'

let app: TestApp
let warnings: string[]
beforeEach(() => {
  warnings = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
    warnings.push(String(warning))
  })
})
afterEach(async () => {
  vi.restoreAllMocks()
  await app.close()
})

/** Starts sign-ins where the router is mounted a second time. */
async function startAt(path: string, options: TestAppOptions['options'] = {}): Promise<void> {
  app = await startTestApp({ options, routes: (express, bitbucket) => express.use(path, bitbucket.router) })
  const browser = new TestBrowser()
  for (const _twice of [1, 2]) expect((await browser.get(`${app.url}${path}`)).status).toBe(302)
}

test('a router at a path without the callback warns once, and names both', async () => {
  await startAt('/login/bitbucket')
  expect(warnings).toEqual([expect.stringMatching(/mounted at \/login\/bitbucket, .*Mount it at \/auth\/bitbucket/)])
})

test('a router below the callback warns of the redirect loop', async () => {
  app = await startTestApp({
    before: (express, bitbucket) => express.use('/auth/bitbucket/callback', bitbucket.router),
  })
  await new TestBrowser().get(`${app.url}/auth/bitbucket/callback`)
  expect(warnings).toEqual([expect.stringContaining('mounted at /auth/bitbucket/callback')])
})

test('a sign-in that starts at another name of this machine warns that the callback would not see its cookie', async () => {
  app = await startTestApp({
    resolver: (defaults) => () => ({ ...defaults, id: 'default' }),
    options: { tenantClients: 'ours' },
  })
  const start = (host: string) => new TestBrowser().get(`${app.url}/auth/bitbucket`, { headers: { host } })
  const { port } = new URL(app.url)
  for (const host of [`127.0.0.1:${port}`, '127.0.0.1:1', 'app.example', 'nonsense host', '']) await start(host)
  expect(warnings).toEqual([])
  await start(`localhost:${port}`)
  await start(`localhost:${port}`)
  expect(warnings).toEqual([
    expect.stringMatching(/started at localhost and returns to (http:\/\/127\.0\.0\.1:\d+), .* Open \1 instead/),
  ])
})

test.each([
  ['the path of the callback', '/auth/bitbucket', {}],
  ['the same in other letters', '/Auth/Bitbucket', {}],
  ['what a proxy leaves of it', '/bitbucket', {}],
  ['another path with basePath', '/elsewhere', { basePath: '/auth/bitbucket' }],
])('a router at %s causes no warning', async (_what, path, options) => {
  await startAt(path, options)
  expect(warnings).toEqual([])
})

test.each([4, 5] as const)(
  'every spelling of start and callback gets the same answer on Express %i',
  async (express) => {
    app = await startTestApp({ express })
    const browser = new TestBrowser()
    for (const path of ['', '/', '?', '/?returnTo=/x', '?x=1']) {
      const { status, location } = await browser.get(`${app.url}/auth/bitbucket${path}`)
      expect({ path, status, to: location.split('?')[0] }).toEqual({
        path,
        status: 302,
        to: app.fake.endpoints.authorizationURL,
      })
    }
    for (const path of ['/callback', '/callback/', '/CALLBACK']) {
      const callback = new URL(await app.fake.signIn(await app.start(browser), { person: 'alice' }))
      callback.pathname = `/auth/bitbucket${path}`
      const head = await browser.get(callback.href, { method: 'HEAD' })
      expect({ path, status: head.status }).toEqual({ path, status: 405 })
      expect({ path, to: (await browser.get(callback.href)).location }).toEqual({ path, to: '/' })
    }
  },
)

test.each([4, 5] as const)(
  'a tenant that is a parameter of the mount path is the same in every route on Express %i',
  async (express) => {
    const base = '/t/acme/auth/bitbucket'
    app = await startTestApp({
      express,
      connection: { trustedProvider: false },
      resolver: (defaults) =>
        connections({
          default: defaults,
          tenants: { acme: { callbackURL: defaults.callbackURL.replace('/auth', '/t/acme/auth') } },
          tenant: (req) => String(req.params.tenant),
        }),
      without: ['storeTokens'],
      behindSession: (express, { router }) => express.use('/t/:tenant/auth/bitbucket', router),
    })
    const browser = new TestBrowser()
    const { location } = await browser.get(app.url + base)
    const callback = await app.fake.signIn(location, { person: 'alice' })
    expect((await browser.get(callback)).location).toBe(`${base}/email`)
    const { code = '' } = app.mails[0] ?? {}
    expect((await app.submit(browser, `${base}/email`, '/email/verify', { code })).location).toBe('/')
    expect(await app.me(browser)).toBe('u1')
    const page = await browser.get(`${app.url}${base}/link`)
    expect(formsOf(page.text).map(({ action }) => action)).toContain(`${base}/unlink`)
    expect((await browser.get(`${app.url}/t/other/auth/bitbucket/link`)).status).toBe(404)
  },
)

test('case 25: a start at another public host on https causes one warning and a report with the host, for at most twenty, and a private name none', async () => {
  app = await startTestApp({ connection: { callbackURL: 'https://example.com/auth/bitbucket/callback' } })
  const start = (host: string) => new TestBrowser().get(`${app.url}/auth/bitbucket`, { headers: { host } })
  for (const host of ['example.com', 'app:3000', '10.0.0.1']) await start(host)
  expect([warnings, app.errors]).toEqual([[], []])
  for (const _twice of [1, 2]) await start('www.example.com')
  expect(warnings).toEqual([
    expect.stringMatching(/started at www\.example\.com .* redirect it to https:\/\/example\.com/),
  ])
  expect(app.errors).toHaveLength(1)
  for (let each = 0; each < 30; each += 1) await start(`h${each}.example`)
  expect([warnings.length, app.errors.length]).toEqual([1, 20])
})

test('case 25: `bitbucket.start` mounted alone warns like the router', async () => {
  app = await startTestApp({
    connection: { callbackURL: 'https://example.com/auth/bitbucket/callback' },
    before: (express, bitbucket) => express.get('/auth/bitbucket', bitbucket.start),
  })
  const start = () => new TestBrowser().get(`${app.url}/auth/bitbucket`, { headers: { host: 'www.example.com' } })
  for (const _twice of [1, 2]) expect((await start()).status).toBe(302)
  expect(warnings).toEqual([expect.stringMatching(/started at www\.example\.com/)])
  expect(app.errors).toHaveLength(1)
})

test('case 25: a host that no connection lists causes one warning and report with the host, for at most twenty hosts', async () => {
  app = await startTestApp({
    connection: {
      callbackURL: 'https://example.com/auth/bitbucket/callback',
      origins: ['https://www.example.com'],
    },
    before: (express) => express.set('trust proxy', 1),
    routes: (express, bitbucket) =>
      express.get('/shown', async (req, res) => {
        res.json(await bitbucket.offered(req))
      }),
  })
  const ask = (host: string, proto = 'https', path = '/auth/bitbucket') =>
    new TestBrowser().get(app.url + path, { headers: { host, 'x-forwarded-proto': proto } })
  expect((await ask('www.example.com')).status).toBe(302)
  expect([warnings, app.errors]).toEqual([[], []])
  for (const _twice of [1, 2]) expect((await ask('pr-7.preview.example')).status).toBe(403)
  await ask('shown.preview.example', 'https', '/shown')
  await ask('www.example.com', 'http')
  await ask('a b')
  expect(warnings).toEqual([
    expect.stringMatching(
      /came to https:\/\/pr-7\.preview\.example, .*`origins`.*redirect it to https:\/\/example\.com\.$/,
    ),
  ])
  expect(app.errors.map(({ code, message }) => [code, /came to (\S+)/.exec(message)?.[1]])).toEqual([
    ['origin_not_allowed', 'https://pr-7.preview.example,'],
    ['origin_not_allowed', 'https://shown.preview.example,'],
    ['origin_not_allowed', 'http://www.example.com,'],
    ['origin_not_allowed', 'an'],
  ])
  expect(app.errors[2]?.message).toContain('says `http`')
  for (let each = 0; each < 30; each += 1) await ask(`h${each}.example`)
  expect([warnings.length, app.errors.length]).toEqual([1, 20])
})
