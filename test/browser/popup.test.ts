import { readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { compile, compiled } from '../docs/compile'
import { blocksOf } from '../docs/documents'
import { startTestApp, type TestApp } from '../support/app'
import { launchChromium } from './chromium'

/* The popup of docs/spa.md, in Chromium. */

let chromium: Browser
let app: TestApp
let script: string
beforeAll(async () => {
  const blocks = blocksOf('docs/spa.md').filter(({ text }) => text.startsWith('// popup.mts'))
  script = readFileSync(compiled(compile(blocks, 'popup').folder, 'docs/spa.md', 'popup.mts'), 'utf8')
  chromium = await launchChromium()
})
afterAll(() => chromium.close())
afterEach(() => app.close())

test('a popup that passes one of our pages loses its opener, and still notifies the page that opened it', async () => {
  app = await startTestApp({
    connection: { trustedProvider: false },
    without: ['storeTokens'],
    behindSession: (express) => {
      express.get('/popup.mjs', (_req, res) => void res.type('js').send(script))
      express.get('/login', (_req, res) => {
        res.send(`<!doctype html><title>App</title><button>Sign in</button><output></output><script type="module">
import { signInWithPopup } from '/popup.mjs'
document.querySelector('button').onclick = () => signInWithPopup(async () => {
  document.querySelector('output').textContent = JSON.stringify(await (await fetch('/me')).json())
})
</script>`)
      })
      express.get('/popup-done', (_req, res) => {
        res.send(`<!doctype html><title>Done</title><a href="/">Continue</a><script type="module">
import { tellOpener } from '/popup.mjs'
tellOpener()
</script>`)
      })
    },
  })
  const context = await chromium.newContext()
  const tab = await context.newPage()
  await tab.goto(`${app.url}/login`)
  const [popup] = await Promise.all([tab.waitForEvent('popup'), tab.getByRole('button').click()])
  await popup.getByLabel('Alice Archer').check()
  await Promise.all([popup.waitForURL('**/email'), popup.getByRole('button', { name: 'Allow' }).click()])
  expect(await popup.evaluate(() => window.opener)).toBeNull()
  await popup.locator('#code').fill(app.mails[0]?.code ?? '')
  await popup.getByRole('button', { name: 'Continue' }).click()
  await tab.locator('output', { hasText: '"u1"' }).waitFor({ timeout: 5000 })
  await expect.poll(() => popup.isClosed()).toBe(true)
  await context.close()
})
