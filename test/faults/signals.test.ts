import { fork } from 'node:child_process'
import { join } from 'node:path'
import { startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { expect, test } from 'vitest'
import { TestBrowser } from '../support/browser'
import { afterwards, door, until } from '../support/lab'

interface End {
  readonly code: number | null
  readonly signal: string | null
  readonly failures: readonly string[]
  /** Sessions in the store with a signed-in user. */
  readonly signedIn: number
  readonly users: number
  /** Milliseconds from the signal on. */
  readonly after: number
}

/** An app in a process of its own, with a fake Bitbucket here that can be made to wait. */
async function startServed({ closesPlugin = true } = {}) {
  const fake = await startFakeBitbucket()
  const child = fork(join(__dirname, 'served.mjs'), {
    env: { ...process.env, SERVED: JSON.stringify({ endpoints: fake.endpoints, closesPlugin }) },
    execArgv: [],
  })
  afterwards(async () => {
    if (child.exitCode === null) child.kill('SIGKILL')
    await fake.close()
  })
  const told: Record<string, unknown> = {}
  child.on('message', (message) => Object.assign(told, message))
  const ended = new Promise<Pick<End, 'code' | 'signal'>>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }))
  })
  await until(() => told.url !== undefined || child.exitCode !== null, 'the app', 10_000)
  const url = String(told.url)
  return {
    fake,
    url,
    async callback(browser: TestBrowser) {
      return fake.signIn((await browser.get(`${url}/auth/bitbucket`)).location, { person: 'alice' })
    },
    /** Sends the signal and waits until it was noticed. */
    async stop(signal: NodeJS.Signals): Promise<() => Promise<End>> {
      const start = performance.now()
      child.kill(signal)
      await until(() => told.stopping === true, 'the signal')
      return async () => {
        const end = await ended
        return { ...end, ...(told.end as Omit<End, 'code' | 'signal' | 'after'>), after: performance.now() - start }
      }
    },
  }
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const

test.each(SIGNALS)(
  '%s during a request to Bitbucket lets the sign-in finish and then the process end',
  async (signal) => {
    const { fake, stop, callback } = await startServed({ closesPlugin: false })
    const gate = door()
    fake.script('user', async () => {
      await gate.opened
      return null
    })
    const browser = new TestBrowser()
    const answer = browser.get(await callback(browser))
    await until(() => fake.count('user') === 1, 'the request for the person')
    const end = await stop(signal)
    gate.open()
    expect((await answer).location).toBe('/')
    expect(await end()).toMatchObject({ code: 0, signal: null, failures: [], signedIn: 1, users: 1 })
  },
)

test.each(SIGNALS)(
  '%s during a request to Bitbucket, with the plugin closed at once, refuses the sign-in and leaves nothing',
  async (signal) => {
    const { fake, stop, callback } = await startServed()
    fake.script('token', { delivery: 'stall' })
    const browser = new TestBrowser()
    const answer = browser.get(await callback(browser))
    await until(() => fake.count('token') === 1, 'the token request')
    const end = await stop(signal)
    expect((await answer).status).toBe(502)
    const { after, ...rest } = await end()
    expect(rest).toEqual({ code: 0, signal: null, failures: [], signedIn: 0, users: 0 })
    expect(after).toBeLessThan(5000)
  },
)

test('SIGTERM while Bitbucket never answers ends the process after the deadline of the sign-in', async () => {
  const { fake, stop, callback } = await startServed({ closesPlugin: false })
  fake.script('token', { delivery: 'stall' })
  const browser = new TestBrowser()
  const answer = browser.get(await callback(browser))
  await until(() => fake.count('token') === 1, 'the token request')
  const end = await stop('SIGTERM')
  expect((await answer).status).toBe(504)
  expect(await end()).toMatchObject({ code: 0, failures: [], signedIn: 0, users: 0 })
})

test('SIGTERM between two sign-ins ends the process in spite of open connections, spare ones and counters', async () => {
  const { stop, callback, url } = await startServed({ closesPlugin: false })
  const browser = new TestBrowser()
  expect((await browser.get(await callback(browser))).location).toBe('/')
  // An unfinished start has opened connections ahead of need.
  await new TestBrowser().get(`${url}/auth/bitbucket`)
  const end = await stop('SIGTERM')
  const { after, ...rest } = await end()
  expect(rest).toEqual({ code: 0, signal: null, failures: [], signedIn: 1, users: 1 })
  expect(after).toBeLessThan(3000)
})

test('SIGTERM after the browser left ends the process without signing a user in', async () => {
  const { fake, stop, callback } = await startServed({ closesPlugin: false })
  fake.script('user', { delivery: 'stall' })
  const browser = new TestBrowser()
  const controller = new AbortController()
  const url = await callback(browser)
  const left = fetch(url, {
    signal: controller.signal,
    headers: { cookie: [...browser.jar(url)].map(([name, value]) => `${name}=${value}`).join('; ') },
  }).catch(() => 'left')
  await until(() => fake.count('user') === 1, 'the request for the person')
  const end = await stop('SIGTERM')
  controller.abort()
  expect(await left).toBe('left')
  expect(await end()).toMatchObject({ code: 0, failures: [], signedIn: 0, users: 0 })
})
