import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, vi } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from './app'
import { TestBrowser } from './browser'

/*
 * The harness of most flows: a fake for the file, an app and a browser for each test. The bindings are live: `open` sets
 * them, and what it started ends with the test.
 */

export let fake: FakeBitbucket
export let app: TestApp
export let browser: TestBrowser

beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  vi.useRealTimers()
  fake.reset()
  await app?.close()
})

/** Starts an app on the shared fake, and a browser without cookies. */
export async function open(options: TestAppOptions = {}): Promise<void> {
  app = await startTestApp({ fake, ...options })
  openBrowser()
}

/** Another browser instead of the one so far. */
export function openBrowser(): TestBrowser {
  browser = new TestBrowser()
  return browser
}
