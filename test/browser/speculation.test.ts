import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { launchChromium } from './chromium'

let chromium: Browser
let app: TestApp
beforeAll(async () => {
  chromium = await launchChromium()
})
afterAll(() => chromium.close())
afterEach(async () => {
  for (const context of chromium.contexts()) await context.close()
  await app.close()
})

const START = '/auth/bitbucket'
const rules = (kind: 'prefetch' | 'prerender') =>
  `<script type="speculationrules">{"${kind}":[{"source":"list","urls":["${START}"],"eagerness":"immediate"}]}</script>`

test.for([
  ['prerender', rules('prerender'), 'sec-purpose', /^prefetch;\s*prerender/],
  ['prefetch by speculation rules', rules('prefetch'), 'sec-purpose', /^prefetch/],
  ['link with rel=prefetch', `<link rel="prefetch" href="${START}">`, 'sec-purpose', /^prefetch/],
  ['image', `<img src="${START}">`, 'sec-fetch-dest', /^image$/],
  ['frame', `<iframe src="${START}"></iframe>`, 'sec-fetch-dest', /^iframe$/],
] as const)(
  'case 2: %s signs no user in, and the click that follows does',
  async ([, markup, header, value], { skip }) => {
    const seen: string[] = []
    app = await startTestApp({
      host: 'localhost',
      before: (express) => {
        express.use(START, (req, _res, next) => {
          seen.push(String(req.headers[header] ?? ''))
          next()
        })
        express.get('/login', (_req, res) => {
          res.send(`<!doctype html><title>Sign in</title>${markup}<a href="${START}">Sign in with Bitbucket</a>`)
        })
      },
    })
    const tab = await (await chromium.newContext()).newPage()
    await tab.goto(`${app.url}/login`)
    const wasSent = () => seen.some((each) => value.test(each))
    for (let waited = 0; !wasSent() && waited < 3000; waited += 50) await tab.waitForTimeout(50)
    // The browser of @sparticuz/chromium never loads ahead: with it nothing would be tested here.
    const loadsAhead = wasSent() || header === 'sec-fetch-dest'
    skip(!loadsAhead, `Chromium ${chromium.version()} loads nothing ahead; install Debian's chromium to run this test.`)
    expect(wasSent()).toBe(true)
    await tab.waitForTimeout(100)
    expect(app.events).toEqual([])
    expect((await tab.context().cookies()).map(({ name }) => name)).toEqual([])
    expect(app.fake.count()).toBe(0)

    await Promise.all([tab.waitForEvent('load'), tab.getByRole('link', { name: 'Sign in with Bitbucket' }).click()])
    expect(new URL(tab.url()).hostname).toBe('127.0.0.1')
    await tab.getByLabel('Alice Archer').check()
    await Promise.all([tab.waitForEvent('load'), tab.getByRole('button', { name: 'Allow' }).click()])
    await tab.goto(`${app.url}/me`)
    expect(await tab.locator('body').textContent()).toContain('u1')
  },
)
