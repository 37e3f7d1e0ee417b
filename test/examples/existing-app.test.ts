import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { formsOf, TestBrowser } from '../support/browser'

const FOLDER = join(__dirname, '../../examples/existing-app')
const load = createRequire(join(FOLDER, 'app.js'))

let fake: FakeBitbucket
let server: Server
let url: string
let browser: TestBrowser
beforeAll(async () => {
  fake = await startFakeBitbucket()
  server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  vi.stubEnv('BITBUCKET_CLIENT_ID', FAKE_CLIENT.clientID)
  vi.stubEnv('BITBUCKET_CLIENT_SECRET', FAKE_CLIENT.clientSecret)
  vi.stubEnv('BITBUCKET_CALLBACK_URL', `${url}/auth/bitbucket/callback`)
  vi.stubEnv('BITBUCKET_COOKIE_SECRET', 'only-for-this-test-only-for-this-test')
  vi.stubEnv('FAKE_BITBUCKET', fake.url)
  server.on('request', load('./app.js') as RequestListener)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  server.closeAllConnections()
  server.close()
  await fake.close()
})
beforeEach(() => {
  browser = new TestBrowser()
})

const home = async () => (await browser.get(`${url}/`)).text
const password = { email: 'alice@example.com', password: 'correct horse' }
const back = async (location: string, person = 'alice') =>
  browser.get(await fake.signIn(location, { person }), { headers: { 'sec-fetch-site': 'cross-site' } })

async function submit(path: string, action: string, fields: Record<string, string> = {}) {
  const form = formsOf((await browser.get(url + path)).text).find((each) => each.action === action)
  return browser.post(url + action, { ...form?.fields, ...fields })
}

/** Confirms the mailed code, which the example prints. */
async function enterCode(printed: string) {
  const code = /[B-Z]{4}-[B-Z]{4}/.exec(printed)?.[0] ?? ''
  return submit('/auth/bitbucket/email', '/auth/bitbucket/email/verify', { code })
}

test('the README shows the difference between the two apps', () => {
  let diff = ''
  try {
    execFileSync('diff', ['-u', '--label', 'before.js', '--label', 'app.js', 'before.js', 'app.js'], { cwd: FOLDER })
  } catch (error) {
    diff = String((error as { stdout: Buffer }).stdout)
  }
  expect(diff).toContain('makeBitbucket')
  expect(readFileSync(join(FOLDER, 'README.md'), 'utf8')).toContain(`\`\`\`diff\n${diff}\`\`\``)
})

test('passwords work as before, and the sign-in page shows the button', async () => {
  await browser.post(`${url}/sign-up`, password)
  expect(await home()).toContain('Hello')
  await browser.post(`${url}/logout`, {})
  expect((await browser.get(`${url}/login`)).text).toContain('Sign in with Bitbucket')
  expect((await browser.post(`${url}/login`, { ...password, password: 'wrong' })).status).toBe(401)
  await browser.post(`${url}/login`, password)
  expect(await home()).toContain('Hello')
})

test('an address of an existing account is proven by its password, then linked, and Bitbucket signs in to it', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  await back((await browser.get(`${url}/auth/bitbucket`)).location)
  const answer = await enterCode(String(log.mock.calls.at(-1)))
  expect(answer.location).toBe('/auth/bitbucket/continue')
  const signedIn = await browser.post(`${url}/login`, password)
  expect(signedIn.location).toBe('/auth/bitbucket/continue')
  await submit('/auth/bitbucket/continue', '/auth/bitbucket/continue', { choice: 'confirm' })
  const owner = await home()
  browser = new TestBrowser()
  await back((await browser.get(`${url}/auth/bitbucket`)).location)
  expect(await home()).toBe(owner)
})

test('a new user signs up by the mailed code', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  await back((await browser.get(`${url}/auth/bitbucket`)).location, 'carol')
  await enterCode(String(log.mock.calls.at(-1)))
  expect(await home()).toContain('Hello')
})
