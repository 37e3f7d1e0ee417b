import { join } from 'node:path'
import type { Express, RequestHandler } from 'express'
import type { BitbucketSignIn } from 'passport-bitbucket-signin'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { startTestApp, type TestApp } from '../support/app'
import { formsOf, TestBrowser } from '../support/browser'
import { freePort } from '../support/free-port'
import { compile, compiled } from './compile'
import { blocksOf } from './documents'

/* Runs the samples of docs/spa.md and docs/company-mode.md. */

const SPA = 'docs/spa.md'
let folder: string
let app: TestApp
const cleanups: (() => unknown)[] = []
beforeAll(() => {
  const blocks = [SPA, 'docs/company-mode.md'].flatMap(blocksOf).filter(({ language }) => language === 'ts')
  const { errors, folder: out } = compile(blocks, 'spa')
  expect(errors).toBe('')
  folder = out
}, 60_000)
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
  await app?.close()
})

const sample = (name: string, document = SPA) => import(compiled(folder, document, name))
const JSON_ONLY = { accept: 'application/json' }

describe('an app of the same origin', () => {
  let browser: TestBrowser
  const globals = globalThis as { location?: unknown; fetch: unknown }
  const { fetch } = globals

  /** A page of the app at this path: `location` and `fetch` as the client's code sees them. */
  async function page(path: string): Promise<{ href: string; pathname: string; search: string }> {
    const { mountApi } = await sample('server.mts')
    browser = new TestBrowser()
    app = await startTestApp({ routes: (express, bitbucket) => mountApi(express, bitbucket) })
    const url = new URL(path, app.url)
    const location = { href: url.href, pathname: url.pathname, search: url.search }
    globals.location = location
    globals.fetch = async (target: string, { headers }: { headers: Headers }) => {
      const sent = { ...Object.fromEntries(headers), referer: url.href, 'sec-fetch-dest': 'empty' }
      const { status, text } = await browser.get(`${app.url}${target}`, { headers: sent })
      return new Response(text, { status })
    }
    cleanups.push(() => {
      globals.fetch = fetch
      delete globals.location
    })
    return location
  }

  test('asks for the user, starts a sign-in and returns to its page', async () => {
    const location = await page('/projects?tab=2')
    const { api } = await sample('client.mts')
    expect((await api('/api/me')).status).toBe(401)
    expect(location.href).toBe('/login?returnTo=%2Fprojects%3Ftab%3D2')
    await app.signIn(browser, 'alice')
    expect(await (await api('/api/me')).json()).toMatchObject({ id: 'u1' })
  })

  test('starts a sign-in by its button, and returns', async () => {
    const location = await page('/projects?tab=2')
    const { signIn } = await sample('client.mts')
    signIn()
    const { location: upstream } = await browser.get(`${app.url}${location.href}`)
    const callback = await app.fake.signIn(upstream, { person: 'alice' })
    expect((await browser.get(callback)).location).toBe('/projects?tab=2')
  })
})

test('gives the browser one origin behind the dev server of the sample, forms included', {
  timeout: 60_000,
}, async () => {
  const { default: config } = (await sample('vite.config.mts')) as {
    default: { server: { port: number; proxy: Record<string, { target: string; changeOrigin: boolean }> } }
  }
  expect(config.server).toMatchObject({ port: 5173, proxy: { '/auth': { target: 'http://localhost:3000' } } })
  const front = await freePort()
  app = await startTestApp({ connection: { callbackURL: `http://localhost:${front}/auth/bitbucket/callback` } })
  const { createServer: createVite } = await import('vite')
  const moved = Object.entries(config.server.proxy).map(([path, rule]) => [path, { ...rule, target: app.url }] as const)
  const proxy = Object.fromEntries(moved)
  const vite = await createVite({
    configFile: false,
    root: join(folder, '..'),
    logLevel: 'silent',
    optimizeDeps: { noDiscovery: true },
    server: { ...config.server, port: front, host: '127.0.0.1', strictPort: true, proxy, ws: false, watch: null },
  })
  await vite.listen()
  cleanups.push(() => vite.close())
  const browser = new TestBrowser()
  const origin = `http://localhost:${front}`
  const { location } = await browser.get(`${origin}/auth/bitbucket?returnTo=/projects`)
  const callback = await app.fake.signIn(location, { person: 'alice' })
  expect(new URL(callback).origin).toBe(origin)
  expect((await browser.get(callback)).location).toBe('/projects')
  // An older browser names the origin alone.
  const { text } = await browser.get(`${origin}/auth/bitbucket/reauthenticate`)
  const form = formsOf(text)[0] ?? { action: '', fields: {} }
  const headers = { 'sec-fetch-site': undefined, origin } as never
  expect((await browser.post(`${origin}${form.action}`, form.fields, { headers })).status).toBe(303)
})

describe('two origins', () => {
  const ORIGIN = 'https://app.example.com'

  async function open(): Promise<TestBrowser> {
    const { cors, mountReturn } = (await sample('two-origins.mts')) as {
      cors(origin: string): RequestHandler
      mountReturn(app: Express, bitbucket: BitbucketSignIn, origin: string): void
    }
    app = await startTestApp({
      before: (express) => express.use('/api', cors(ORIGIN)),
      routes: (express, bitbucket) => {
        mountReturn(express, bitbucket, ORIGIN)
        express.get(
          '/api/me',
          bitbucket.requireSignedIn(),
          (req, res) => void res.json({ id: (req.user as TestUser).id }),
        )
      },
    })
    return new TestBrowser()
  }

  test('end the sign-in at one and continue at the app, at pages that exist', async () => {
    const browser = await open()
    const answer = await app.signIn(browser, 'alice', { returnTo: '/signed-in?page=/projects' })
    expect(answer.location).toBe('/signed-in?page=/projects')
    expect((await browser.get(`${app.url}${answer.location}`)).location).toBe(`${ORIGIN}/projects`)
    const hostile = await browser.get(`${app.url}/signed-in?page=.evil.example/`)
    expect(hostile.location).toBe(`${ORIGIN}/`)
  })

  test('let scripts of the app read the API with the session, and no other scripts', async () => {
    const browser = await open()
    await app.signIn(browser, 'alice')
    const ask = (origin: string, method = 'GET') =>
      browser.get(`${app.url}/api/me`, { method, headers: { ...JSON_ONLY, origin } })
    const own = await ask(ORIGIN)
    expect(own.headers).toMatchObject({
      'access-control-allow-origin': ORIGIN,
      'access-control-allow-credentials': 'true',
      vary: 'Origin',
    })
    expect(own.json()).toEqual({ id: 'u1' })
    expect((await ask(ORIGIN, 'OPTIONS')).status).toBe(204)
    const other = await ask('https://evil.example')
    expect(other.headers['access-control-allow-origin']).toBeUndefined()
    const router = await browser.get(`${app.url}/auth/bitbucket/link`, { headers: { ...JSON_ONLY, origin: ORIGIN } })
    expect(router.headers['access-control-allow-origin']).toBeUndefined()
  })
})

test('issue a token from the session to pages of this origin only', async () => {
  const { mountToken } = await sample('token.mts')
  app = await startTestApp({
    routes: (express, bitbucket) => mountToken(express, bitbucket, (user: TestUser) => `token of ${user.id}`),
  })
  const browser = new TestBrowser()
  const ask = (headers: Record<string, string> = {}) =>
    browser.post(`${app.url}/token`, {}, { headers: { ...JSON_ONLY, ...headers } })
  expect((await ask()).json()).toMatchObject({ error: 'not_signed_in' })
  await app.signIn(browser, 'alice')
  expect((await ask({ 'sec-fetch-site': 'same-site' })).status).toBe(403)
  const answer = await ask()
  expect([answer.json(), answer.headers['cache-control']]).toEqual([
    { token: 'token of u1', expiresInSeconds: 600 },
    'no-store',
  ])
})

test('the role recipe of company mode grants the greatest permission of each sign-in', async () => {
  const { beforeSignIn } = await sample('roles.mts', 'docs/company-mode.md')
  const roles = new Map<string, string>()
  const globals = globalThis as { pool?: unknown }
  globals.pool = { query: (_sql: string, [id, role]: [string, string]) => roles.set(id, role) }
  cleanups.push(() => delete globals.pool)
  app = await startTestApp({ connection: { workspaces: ['acme', 'other'] } })
  app.accounts.intercept = (name, input) => (name === 'beforeSignIn' ? beforeSignIn(input) : undefined)
  const roleWith = async (...permissions: string[]) => {
    const slugs = ['acme', 'other']
    const workspaces = permissions.map((permission, at) => ({ slug: slugs[at] ?? '', permission: permission as never }))
    app.fake.updatePerson('alice', { workspaces })
    await app.signIn(new TestBrowser(), 'alice')
    return roles.get('u1')
  }
  expect(await roleWith('member', 'owner')).toBe('admin')
  expect(await roleWith('create-project', 'member')).toBe('editor')
  expect(await roleWith('member')).toBe('viewer')
})
