import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AxeBuilder } from '@axe-core/playwright'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from '../browser/chromium'
import { authorizeURL } from './client'

let fake: FakeBitbucket
let app: Server
let callback: string
let browser: Browser
beforeAll(async () => {
  fake = await startFakeBitbucket()
  app = createServer((_request, response) => response.end('the app')).listen(0, '127.0.0.1')
  await new Promise((resolve) => app.once('listening', resolve))
  callback = `http://localhost:${(app.address() as AddressInfo).port}/callback`
  browser = await launchChromium()
})
afterEach(() => fake.reset())
afterAll(async () => {
  await browser.close()
  await fake.close()
  app.close()
})

async function inTab(options: Parameters<Browser['newContext']>[0], visit: (tab: Page) => Promise<void>) {
  const context: BrowserContext = await browser.newContext(options)
  try {
    await visit(await context.newPage())
  } finally {
    await context.close()
  }
}

const consentURL = () => authorizeURL(fake, { redirect_uri: callback })

describe('the consent page in a browser without scripts', () => {
  it('lets a user be chosen by name and allow, and continues at the app', async () => {
    await inTab({ javaScriptEnabled: false }, async (tab) => {
      await tab.goto(consentURL())
      await tab.getByLabel('Carol Côté').check()
      await tab.getByRole('button', { name: 'Allow' }).click()
      expect(new URL(tab.url()).searchParams.get('code')).toBeTruthy()
      expect(tab.url()).toContain(callback)
    })
    expect(fake.requests.find(({ method }) => method === 'POST')?.form).toEqual({ person: 'carol', decision: 'allow' })
  })

  it('lets a user decline, and continues at the app', async () => {
    await inTab({ javaScriptEnabled: false }, async (tab) => {
      await tab.goto(consentURL())
      await tab.getByRole('button', { name: 'Deny' }).click()
      expect(new URL(tab.url()).searchParams.get('error')).toBe('access_denied')
    })
  })

  it('redirects a remembered browser straight back until it signs out', async () => {
    fake.setBehaviour({ rememberConsent: true })
    await inTab({ javaScriptEnabled: false }, async (tab) => {
      await tab.goto(consentURL())
      await tab.getByRole('button', { name: 'Allow' }).click()
      await tab.goto(consentURL())
      expect(tab.url()).toContain(callback)
      await tab.goto(fake.url)
      await tab.getByRole('button', { name: 'Sign out of the fake' }).click()
      await tab.goto(consentURL())
      expect(await tab.getByRole('button', { name: 'Allow' }).count()).toBe(1)
    })
  })
})

describe.each(['light', 'dark'] as const)("the fake's pages in %s", (colorScheme) => {
  it.each([
    ['consent', () => consentURL()],
    ['refusal', () => authorizeURL(fake, { client_id: 'x'.repeat(200) })],
    ['front', () => fake.url],
  ])('have no accessibility violation and fit a phone: %s', async (_what, url) => {
    await inTab({ colorScheme, viewport: { width: 320, height: 640 } }, async (tab) => {
      await tab.goto(url())
      const { violations } = await new AxeBuilder({ page: tab }).analyze()
      expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([])
      expect(await tab.evaluate('document.documentElement.scrollWidth')).toBe(320)
      const style = await tab.evaluate('getComputedStyle(document.querySelector("main")).maxWidth')
      expect(style).toBe('512px')
    })
  })
})
