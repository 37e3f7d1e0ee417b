import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, BrowserContext, Page as Tab } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buttonStyle, renderButton } from '../../src/pages/button'
import { PAGE_STYLE_HASH, renderDefaultPage } from '../../src/pages/render'
import { german } from '../../src/pages/texts-de'
import { english } from '../../src/pages/texts-en'
import { launchChromium } from '../browser/chromium'
import { plainStrings, type SampleStrings, sampleNames, samplePages } from './sample-pages'

// The policy of our pages: no script, and our style only.
const PAGE_CSP = `default-src 'none'; style-src ${PAGE_STYLE_HASH}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`
// An app that allows no inline style but one with a nonce.
const APP_CSP = "default-src 'none'; style-src 'nonce-n'; base-uri 'none'"

const longStrings: SampleStrings = {
  ...plainStrings,
  displayName: 'Bartholomäus-Maximilian von und zu Hohenstaufen-Wolkenstein '.repeat(2),
  identityLabel: 'x'.repeat(120),
  accountLabel: `${'a'.repeat(64)}@${'b'.repeat(60)}.example`,
}

// The browser's interface for the functions that run in it.
declare const getComputedStyle: (element: unknown) => { readonly [property: string]: string }
declare const document: { readonly documentElement: { readonly scrollWidth: number; readonly clientWidth: number } }

let server: Server
let origin: string
let browser: Browser
const documents = new Map<string, { readonly csp: string; readonly html: string }>()

beforeAll(async () => {
  server = createServer((request, response) => {
    const found = documents.get(request.url ?? '')
    // 204 leaves the browser where it is: what the resume page reloads to, and where forms go.
    if (!found) return void response.writeHead(204).end()
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': found.csp })
    response.end(found.html)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  browser = await launchChromium()
})

afterAll(async () => {
  await browser?.close()
  server?.closeAllConnections()
  server?.close()
})

function serve(path: string, html: string, csp = PAGE_CSP): string {
  documents.set(path, { csp, html })
  return origin + path
}

/** Opens a tab that fails the test when the CSP blocks something or the page logs an error. */
async function openTab(context: BrowserContext): Promise<{ tab: Tab; complaints: string[] }> {
  const tab = await context.newPage()
  const complaints: string[] = []
  tab.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  tab.on('pageerror', (error) => complaints.push(error.message))
  return { tab, complaints }
}

// Legacy mode only leaves out frames, which none of our pages has, and saves a tab for each look.
async function violationsOf(tab: Tab): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page: tab })
    .setLegacyMode(true)
    .options({ resultTypes: ['violations'] })
    .analyze()
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`))
}

// Colours do not depend on the width, nor the layout on the colours: each of both is there once.
const LOOKS = [
  { scheme: 'light', width: 360 },
  { scheme: 'dark', width: 1280 },
] as const

describe.each(LOOKS)('in a browser, $scheme, $width px wide', ({ scheme, width }) => {
  let context: BrowserContext
  let tab: Tab
  let complaints: string[]

  beforeAll(async () => {
    context = await browser.newContext({
      // axe has to put its script into the page; the tests further down hold the CSP.
      bypassCSP: true,
      colorScheme: scheme,
      viewport: { width, height: 760 },
    })
    ;({ tab, complaints } = await openTab(context))
  })
  afterAll(() => context?.close())

  it.each(sampleNames)('%s has no accessibility violation and fits the screen', async (name) => {
    await tab.goto(serve(`/page/${encodeURIComponent(name)}`, renderDefaultPage(samplePages(english)[name])))
    expect(await violationsOf(tab)).toEqual([])
    expect(await overflow(tab)).toBeLessThanOrEqual(0)
    expect(complaints).toEqual([])
  })

  it.each(['inline', 'class'] as const)('the button with looks "%s" is accessible and tall enough', async (looks) => {
    await tab.goto(serve(`/button/${looks}`, hostPage(looks)))
    expect(await violationsOf(tab)).toEqual([])
    const button = tab.locator('.bitbucket-signin')
    expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(44)
    await tab.keyboard.press('Tab')
    expect(await button.evaluate((link) => getComputedStyle(link).outlineStyle)).not.toBe('none')
  })

  it('control: a page with faults is reported', async () => {
    const good = renderDefaultPage(samplePages(english)['email-code'])
    const bad = good
      .replace('<label for="code">', '<label>')
      .replace('class="hint"', 'style="color:#888;background:#777"')
    await tab.goto(serve('/bad', bad))
    const found = (await violationsOf(tab)).map((violation) => violation.split(':')[0])
    expect(found).toEqual(expect.arrayContaining(['label', 'color-contrast']))
  })
})

describe('on a phone', () => {
  let tab: Tab
  beforeAll(async () => {
    tab = await browser.newPage({ viewport: { width: 360, height: 760 } })
  })
  afterAll(() => tab?.context().close())

  it.each(sampleNames)('%s fits in German and with very long names', async (name) => {
    await tab.goto(
      serve(`/long/${encodeURIComponent(name)}`, renderDefaultPage(samplePages(german, longStrings)[name])),
    )
    expect(await overflow(tab)).toBeLessThanOrEqual(0)
  })
})

describe('in a browser that enforces the CSP', () => {
  let context: BrowserContext

  beforeAll(async () => {
    context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 360, height: 760 } })
  })
  afterAll(() => context?.close())

  const silent = sampleNames.filter((name) => name !== 'resume')

  it.each(silent)('%s has its style without scripts, and nothing is blocked', async (name) => {
    const { tab, complaints } = await openTab(context)
    await tab.goto(serve(`/csp/${encodeURIComponent(name)}`, renderDefaultPage(samplePages(english)[name])))
    expect(await tab.locator('main').evaluate((card) => getComputedStyle(card).borderTopLeftRadius)).toBe('12px')
    expect(complaints).toEqual([])
    await tab.close()
  })

  it('every control is reached by keyboard, in order, with a visible focus', async () => {
    const { tab } = await openTab(context)
    await tab.goto(serve('/keys', renderDefaultPage(samplePages(english)['email-code wrong'])))
    const reached: string[] = []
    for (let step = 0; step < 5; step += 1) {
      const focused = tab.locator(':focus')
      reached.push(await focused.evaluate((element) => element.id || element.textContent || ''))
      expect(await focused.evaluate((element) => getComputedStyle(element).outlineWidth)).toBe('3px')
      await tab.keyboard.press('Tab')
    }
    const { emailCode, common } = english
    expect(reached).toEqual(['code', emailCode.submit, emailCode.resend, emailCode.changeAddress, common.cancel])
    await tab.close()
  })

  it('a form posts the input together with the hidden fields', async () => {
    const { tab } = await openTab(context)
    await tab.goto(serve('/post', renderDefaultPage(samplePages(english)['email-code'])))
    await tab.locator('#code').fill('bcdf-ghjk')
    const posted = tab.waitForRequest((request) => request.method() === 'POST')
    await tab.keyboard.press('Enter')
    const request = await posted
    expect(new URL(request.url()).pathname).toBe(plainStrings.action)
    expect(request.postData()).toBe('handle=b64url_value-1&code=bcdf-ghjk')
    await tab.close()
  })

  it('the resume page continues automatically', async () => {
    const { tab, complaints } = await openTab(context)
    const target = serve('/after?code=a&state=x;y', '<title>after</title>')
    await tab.goto(
      serve(
        '/resume',
        renderDefaultPage({ name: 'resume', texts: english, brand: null, href: '/after?code=a&state=x;y' }),
      ),
    )
    await tab.waitForURL(target)
    expect(complaints).toEqual([])
    await tab.close()
  })

  it.each([
    ['200%', '32px'],
    ['100%', '16px'],
    ['62.5%', '16px'],
  ])('with the text of the site at %s, that of the button is %s', async (site, button) => {
    const { tab } = await openTab(context)
    const page = hostPage('inline').replace('<style nonce="n">', `<style nonce="n">html{font-size:${site}}`)
    await tab.goto(serve(`/text/${site}`, page, `${APP_CSP}; style-src-attr 'unsafe-inline'`))
    const size = () => tab.locator('.bitbucket-signin').evaluate((link) => getComputedStyle(link).fontSize)
    expect(await size()).toBe(button)
    await tab.close()
  })

  it('the button with looks "class" is blue under a strict CSP, where "inline" would be blocked', async () => {
    const { tab, complaints } = await openTab(context)
    await tab.goto(serve('/strict', hostPage('class'), APP_CSP))
    const background = () => tab.locator('.bitbucket-signin').evaluate((link) => getComputedStyle(link).backgroundColor)
    expect(await background()).toBe('rgb(0, 82, 204)')
    expect(complaints).toEqual([])
    await tab.goto(serve('/strict-inline', hostPage('inline'), APP_CSP))
    expect(await background()).toBe('rgba(0, 0, 0, 0)')
    await tab.close()
  })
})

/** A sign-in page of an app, with our button in it. */
function hostPage(looks: 'inline' | 'class'): string {
  const style = ':root{color-scheme:light dark}'
  const button = renderButton({ href: '/auth/bitbucket', texts: english, looks })
  return `<!doctype html><html lang="en"><head><title>App</title><meta name="viewport" content="width=device-width">
<style nonce="n">${style}${looks === 'class' ? buttonStyle : ''}</style></head><body><main><h1>App</h1>${button}</main></body></html>`
}

function overflow(tab: Tab): Promise<number> {
  return tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
}
