import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../support/free-port'
import { type ExampleApp, failToStart, startExampleApp } from './app'
import { loadFromApp } from './built-app'

const SECRET = 'a-secret-that-is-long-enough-for-the-app-0123456789'
const PRODUCTION = {
  NODE_ENV: 'production',
  SESSION_SECRET: SECRET,
  BASE_URL: 'https://app.example.com',
  SMTP_URL: 'smtp://127.0.0.1:1',
  BITBUCKET_CLIENT_ID: 'key',
  BITBUCKET_CLIENT_SECRET: 'secret',
}
const without = (name: keyof typeof PRODUCTION) => ({ ...PRODUCTION, [name]: '' })

const started: ExampleApp[] = []
let folder: string
/** Without settings. */
let demo: ExampleApp
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'example-app-'))
  demo = await startExampleApp()
  started.push(demo)
})
afterAll(async () => {
  await Promise.all(started.map((app) => app.stop()))
  await rm(folder, { recursive: true })
})

/** The words with which a configuration is refused; none is accepted here. */
async function refusalOf(env: Record<string, string>): Promise<string> {
  const { loadConfig, ConfigError } = await loadFromApp('config.js')
  const { env: before } = process
  process.env = { DATA_DIR: folder, ...env }
  try {
    loadConfig()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message
  } finally {
    process.env = before
  }
  throw new Error('It was accepted.')
}

test.each([
  ['PORT', { PORT: 'eighty' }],
  ['PORT', { PORT: '70000' }],
  ['TRUSTED_PROVIDER', { TRUSTED_PROVIDER: 'yes' }],
  ['TRUSTED_PROVIDER', { TRUSTED_PROVIDER: '1' }],
  ['SESSION_SECRET', { SESSION_SECRET: 'short' }],
  ['BASE_URL', { BASE_URL: 'app.example.com' }],
  ['BASE_URL', { BASE_URL: 'https://app.example.com/path' }],
  ['DATABASE_URL', { DATABASE_URL: 'mysql://x' }],
  ['TRUST_PROXY', { TRUST_PROXY: 'true' }],
  ['BITBUCKET_CLIENT_SECRET', { BITBUCKET_CLIENT_ID: 'only-the-key' }],
  ['BITBUCKET_CLIENT_ID', without('BITBUCKET_CLIENT_ID')],
  ['fake', { ...without('BITBUCKET_CLIENT_ID'), BITBUCKET_CLIENT_SECRET: '' }],
  ['fake', { ...PRODUCTION, FAKE_BITBUCKET_URL: 'http://127.0.0.1:3001' }],
  ['SESSION_SECRET', without('SESSION_SECRET')],
  ['SMTP_URL', without('SMTP_URL')],
  ['BASE_URL', without('BASE_URL')],
])('%s: an invalid or missing value is named', async (name, env) => {
  const message = await refusalOf(env)
  expect(message).toContain(name)
  expect(message).not.toContain(SECRET)
})

test.each([
  ['PORT', { PORT: 'eighty', SESSION_SECRET: SECRET }],
  ['SMTP_URL', without('SMTP_URL')],
])('%s: what is refused ends the process', async (name, env) => {
  const { status, output } = await failToStart(env)
  expect(status).toBe(1)
  expect(output).toContain(name)
  expect(output).not.toContain(SECRET)
})

test.each(['PORT', 'FAKE_BITBUCKET_PORT'])('case 31: says that %s is in use and exits with 1', async (name) => {
  const holder = createServer()
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
  const { port } = holder.address() as { port: number }
  const ports = { PORT: String(await freePort()), FAKE_BITBUCKET_PORT: String(await freePort()), [name]: String(port) }
  const { status, output } = await failToStart(ports)
  holder.close()
  expect(status).toBe(1)
  expect(output).toMatch(new RegExp(`Port ${port} .*(in use|taken)`))
  expect(output).not.toContain('is ready at')
})

test('the demo prints where scenarios, mailbox and administration are', async () => {
  for (const path of ['/scenarios', '/dev/mailbox', '/admin/connections'])
    expect(demo.output()).toContain(demo.url + path)
})

test('with a client of bitbucket.org it prints the callback URL to register and the permissions to tick', async () => {
  const app = await startExampleApp({ BITBUCKET_CLIENT_ID: 'key', BITBUCKET_CLIENT_SECRET: 'the-client-secret' })
  started.push(app)
  expect(app.output()).toContain(`${app.url}/auth/bitbucket/callback`)
  expect(app.output()).toContain('Account: Read, Account: Email')
  expect(app.output()).not.toContain('the-client-secret')
  expect(app.output()).not.toContain('FAKE')
  const page = await (await fetch(app.url)).text()
  expect(page).not.toContain('fake Bitbucket')
  expect((await fetch(`${app.url}/scenarios`)).status).toBe(404)
})

test('without configuration it says in the log and on the page that a fake Bitbucket stands in', async () => {
  expect(demo.output()).toContain(`FAKE Bitbucket at ${demo.fakeURL}`)
  expect(await (await fetch(demo.url)).text()).toContain('fake Bitbucket')
})

test('outside production only this machine can connect', async () => {
  // Another address of this machine, at which a server that listens everywhere answers.
  await expect(fetch(`http://127.0.0.2:${demo.port}/healthz`)).rejects.toThrow()
})

test('an ADMIN_EMAIL of your own gets no account with the password of the demo', async () => {
  const app = await startExampleApp({ ADMIN_EMAIL: 'me@example.net' })
  started.push(app)
  const signIn = (email: string) =>
    fetch(`${app.url}/sign-in`, {
      method: 'POST',
      redirect: 'manual',
      headers: { Origin: app.url },
      body: new URLSearchParams({ email, password: 'corkboard-demo' }),
    })
  expect((await signIn('me@example.net')).status).toBe(401)
  const demo = await signIn('admin@corkboard.example')
  expect(demo.status).toBe(303)
  const headers = { Cookie: demo.headers.get('set-cookie')?.split(';')[0] ?? '' }
  expect((await fetch(`${app.url}/admin/bitbucket`, { headers })).status).toBe(404)
  expect(await (await fetch(`${app.url}/sign-in`)).text()).not.toContain('The administrator signs in')
})

test('production has secure cookies, no mailbox page, no scenarios, and ends with status 0 on SIGTERM', async () => {
  const app = await startExampleApp(PRODUCTION)
  const get = (path: string) => fetch(`http://127.0.0.1:${app.port}${path}`, { redirect: 'manual' })
  expect((await get('/healthz')).status).toBe(200)
  expect((await fetch(`http://127.0.0.2:${app.port}/healthz`)).status).toBe(200)
  expect((await get('/readyz')).status).toBe(200)
  // Another host name is sent to ours.
  expect((await get('/dev/mailbox')).headers.get('location')).toBe('https://app.example.com')
  expect(await app.stop()).toBe(0)
})
