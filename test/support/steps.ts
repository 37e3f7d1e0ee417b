import type { TestApp } from './app'
import { type Answer, formsOf, type TestBrowser } from './browser'

const BASE = '/auth/bitbucket'

/** Starts, consents as this user and stops before the callback; returns its URL. */
export async function consented(
  app: TestApp,
  browser: TestBrowser,
  person: string,
  returnTo?: string,
): Promise<string> {
  return app.fake.signIn(await app.start(browser, returnTo), { person })
}

/** Enters the newest mailed code, or this one; where the code page has no field, as an older copy of it would. */
export async function enterCode(
  app: TestApp,
  browser: TestBrowser,
  code = app.mails.at(-1)?.code ?? '',
): Promise<Answer> {
  const { text } = await browser.get(`${app.url}${BASE}/email`)
  // All forms of the page have the same hidden fields.
  return browser.post(`${app.url}${BASE}/email/verify`, { ...formsOf(text)[0]?.fields, code })
}

/** Asks for another code on the code page. */
export function askForCode(app: TestApp, browser: TestBrowser): Promise<Answer> {
  return app.submit(browser, `${BASE}/email`, '/email/code')
}

/** Gives an address on the page that asks for one. */
export function giveAddress(app: TestApp, browser: TestBrowser, address: string): Promise<Answer> {
  return app.submit(browser, `${BASE}/email`, '/email/address', { address })
}

/** Makes a choice on the page of the open question. */
export async function choose(
  app: TestApp,
  browser: TestBrowser,
  choice: 'link' | 'switch' | 'confirm',
): Promise<Answer> {
  const { text } = await browser.get(`${app.url}${BASE}/continue`)
  const handle = handleOf(text)
  return browser.post(`${app.url}${BASE}/continue`, { pending: handle, choice })
}

/** The handle of what waits, as the forms of a page carry it. */
export function handleOf(html: string): string {
  return /name="pending" value="([^"]*)"/.exec(html)?.[1] ?? ''
}

/** The code of a refusal: on an error page, or on a page that shows one and can still be used. */
export function errorOf({ text, headers }: Answer): string | null {
  if (headers['content-type']?.startsWith('application/json')) {
    return ((JSON.parse(text) as { error?: string }).error ?? null) as string | null
  }
  return /Error code: <bdi>(\w+)<\/bdi>/.exec(text)?.[1] ?? null
}

/** A code that is certainly not this one. */
export function otherCode(code: string): string {
  return `${code[0] === 'B' ? 'C' : 'B'}${code.slice(1)}`
}

/** Starts linking for the signed-in user and comes back as this person: the answer of the callback. */
export async function link(app: TestApp, browser: TestBrowser, person: string): Promise<Answer> {
  const { location } = await app.submit(browser, `${BASE}/link`, '/link')
  return browser.get(await app.fake.signIn(location, { person }))
}
