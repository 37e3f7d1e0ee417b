import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { formsOf, TestBrowser } from '../support/browser'

/** A callback URL on a port that is free. */
export async function freeCallback(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}/callback`
}

/** The operator's last step. */
export type End = 'check' | 'finish'

/** Walks through the steps of the guide as an operator does with a browser, and returns the pages seen. */
export async function operate(guide: string, end: End, beforeEnd = () => {}): Promise<string[]> {
  const browser = new TestBrowser()
  const titles: string[] = []
  for (let step = 0; step < 40; step++) {
    const { text } = await browser.get(guide)
    const title = /<h1>([^<]*)</.exec(text)?.[1] ?? 'none'
    titles.push(title)
    if (title === 'Recorded') return titles
    if (text.includes('href="/start"')) await visit(browser, guide, title, text)
    else {
      beforeEnd()
      await press(browser, guide, end, (await browser.get(guide)).text)
    }
  }
  throw new Error(`The steps do not end: ${titles.join(', ')}`)
}

async function visit(browser: TestBrowser, guide: string, title: string, page: string): Promise<void> {
  if (page.includes('remembers the earlier one')) await undoDenial(browser, guide)
  const { location } = await browser.get(`${guide}start`)
  const consent = await browser.get(location)
  if (consent.status >= 400) return press(browser, guide, 'error', page)
  const decision = title.startsWith('Deny') ? 'deny' : 'allow'
  const callback = consent.location || (await browser.post(location, { person: 'alice', decision })).location
  await browser.get(callback)
}

async function undoDenial(browser: TestBrowser, guide: string): Promise<void> {
  const { location } = await browser.get(`${guide}start`)
  await browser.post(`${new URL(location).origin}/sign-out`, {})
}

async function press(browser: TestBrowser, guide: string, action: string, page: string): Promise<void> {
  const form = formsOf(page).find((each) => each.action === `/${action}`)
  if (!form) throw new Error(`no button ${action}: ${page}`)
  await browser.post(`${guide.replace(/\/$/, '')}${form.action}`, { ...form.fields })
}
