import { AxeBuilder } from '@axe-core/playwright'
import { startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openGuide } from '../../src/record/guide'
import { Recording } from '../../src/record/recording'
import { launchChromium } from '../browser/chromium'
import { freeCallback } from './operator'

const CLIENT = { clientID: 'a-client', clientSecret: 'a-secret' }

let browser: Browser
beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

async function expectAccessible(tab: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page: tab }).analyze()
  expect(violations.map(({ id }) => id)).toEqual([])
  expect(await tab.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
}

test('an operator reaches the end with a browser without scripts, on a phone', async () => {
  const callbackURL = await freeCallback()
  const fake = await startFakeBitbucket({ clients: [{ ...CLIENT, callbackURL }] })
  const recording = new Recording({ ...CLIENT, ...fake.endpoints, callbackURL })
  const guide = await openGuide({ recording, file: 'bitbucket-record.json', waitMs: 0, done: async () => {} })
  const context = await browser.newContext({ viewport: { width: 360, height: 640 } })
  const tab = await context.newPage()
  try {
    await tab.goto(guide.url)
    await expectAccessible(tab)
    while (recording.visit) {
      const { id } = recording.visit
      await tab.getByRole('link', { name: 'Go to Bitbucket' }).click()
      const choice = tab.getByRole('button', { name: id.includes('denial') ? 'Deny' : 'Allow', exact: true })
      if ((await choice.count()) === 1) await choice.click()
      else {
        await tab.goto(guide.url)
        await tab.getByRole('button', { name: 'Bitbucket showed an error page' }).click()
      }
      await tab.getByRole('heading', { level: 1 }).waitFor()
    }
    await expectAccessible(tab)
    await tab.getByRole('button', { name: 'Check now and finish' }).click()
    await tab.getByRole('heading', { name: 'Recorded' }).waitFor()
    await expectAccessible(tab)
    expect(await tab.locator('dt').count()).toBe(13)
  } finally {
    await context.close()
    await guide.close()
    await fake.close()
  }
})
