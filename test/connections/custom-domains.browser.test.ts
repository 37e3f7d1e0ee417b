import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium } from '../browser/chromium'
import { type Site, startSite } from '../support/site'

let chromium: Browser
let site: Site
beforeAll(async () => {
  chromium = await launchChromium()
  site = await startSite({
    rows: (at) => ({ tenants: { acme: { origins: [at('acme')] }, globex: { origins: [at('globex')] } } }),
  })
})
afterAll(async () => {
  await chromium?.close()
  await site?.close()
})

/** A person's own browser, and every address of the site that it asked for. */
async function person(): Promise<{ page: Page; visited: string[] }> {
  const context = await chromium.newContext()
  const page = await context.newPage()
  const visited: string[] = []
  page.on('request', (request) => {
    if (request.isNavigationRequest()) visited.push(request.url())
  })
  return { page, visited }
}

/** Goes to the start at a name and consents as this person of the fake. */
async function signIn(page: Page, name: string, who: string): Promise<void> {
  await page.goto(`${site.at(name)}/auth/bitbucket`)
  await page.locator(`input[name="person"][value="${who}"]`).check()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.waitForURL((url) => url.hostname.endsWith('.localhost'))
}

describe('in Chromium', () => {
  test('starts a sign-in at a custom domain, calls back centrally and ends signed in where it started', async () => {
    const { page, visited } = await person()
    await signIn(page, 'acme', 'alice')
    await page.waitForURL(`${site.at('acme')}/`)
    const me = await page.evaluate(async () => (await fetch('/me')).json())
    expect(me).toEqual({ user: 'u1' })
    const own = visited.filter((url) => !url.startsWith(site.fake.url)).map((url) => new URL(url))
    expect(own.map(({ origin, pathname }) => origin + pathname)).toEqual([
      `${site.at('acme')}/auth/bitbucket`,
      `${site.at('login')}/auth/bitbucket/callback`,
      `${site.at('acme')}/auth/bitbucket/callback`,
      `${site.at('acme')}/`,
    ])
    expect([...(own[2]?.searchParams.keys() ?? [])]).toEqual(['handover'])
    expect(own[2]?.href).not.toContain(own[1]?.searchParams.get('code'))
    const cookies = await page.context().cookies()
    expect(cookies.filter(({ name }) => name === 'connect.sid').map(({ domain }) => domain)).toEqual(['acme.localhost'])
    await page.goto(`${site.at('login')}/me`)
    expect(await page.textContent('body')).toContain('null')

    const thief = await person()
    const answer = await thief.page.goto(own[2]?.href ?? '')
    expect(answer?.status()).toBe(403)
    expect(await thief.page.textContent('body')).toContain('state_invalid')
    const replay = await page.goto(own[2]?.href ?? '')
    // Consumed; a signed-in user is redirected home.
    expect([replay?.status(), new URL(page.url()).pathname]).toEqual([200, '/'])
    await page.context().close()
    await thief.page.context().close()
  })

  test('shows a plain page with an explanation at an origin that is not configured', async () => {
    const { page } = await person()
    site.rows.tenants.other = { origins: [site.at('acme')] }
    const answer = await page.goto(`${site.at('other')}/auth/bitbucket`)
    expect(answer?.status()).toBe(403)
    expect(await page.textContent('main')).toContain('not available at this web address')
    await page.context().close()
  })
})
