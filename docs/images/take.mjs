// Takes the screenshots of the README: build first, then `node docs/images/take.mjs`. CHROMIUM_PATH names a browser.
// They are shipped: make them small afterwards, with `pngquant --ext .png --force --strip 256 docs/images/*.png`.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { packagedChromium } from '../../test/browser/packaged-chromium.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const data = mkdtempSync(join(tmpdir(), 'screenshots-'))
const [port, fakePort] = [4310, 4311]
const url = `http://localhost:${port}`
const env = { ...process.env, PORT: port, FAKE_BITBUCKET_PORT: fakePort, DATA_DIR: data, BASE_URL: url }
const app = spawn(process.execPath, ['example-app/dist/server.js'], {
  cwd: root,
  env,
  stdio: ['ignore', 'pipe', 'inherit'],
})
await new Promise((resolve) => app.stdout.on('data', (chunk) => String(chunk).includes('ready') && resolve()))

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH || (await packagedChromium()),
  args: ['--headless', '--no-sandbox'],
})
const page = await browser.newPage({ viewport: { width: 640, height: 620 } })
const shoot = (name) => page.screenshot({ path: join(root, `docs/images/${name}.png`) })
try {
  await page.goto(`${url}/sign-in`)
  await shoot('sign-in')
  await page.getByRole('link', { name: 'Sign in with Bitbucket' }).click()
  await page.getByLabel('Alice Archer').check()
  await shoot('consent')
  await page.getByRole('button', { name: 'Allow' }).click()
  await shoot('code')
  const mailbox = await browser.newPage()
  await mailbox.goto(`${url}/dev/mailbox`)
  const [code] = /[B-Z]{4}-[B-Z]{4}/.exec(await mailbox.innerText('body')) ?? []
  await page.getByLabel('Code from the email').fill(code)
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.goto(`${url}/account`)
  await shoot('account')
} finally {
  await browser.close()
  app.kill()
  rmSync(data, { recursive: true, force: true })
}
