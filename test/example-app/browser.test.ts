import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium } from '../browser/chromium'
import { type ExampleApp, startExampleApp } from './app'

let app: ExampleApp
let browser: Browser
beforeAll(async () => {
  ;[app, browser] = await Promise.all([startExampleApp(), launchChromium()])
})
afterAll(async () => {
  await browser?.close()
  await app?.stop()
})

/** A page whose console must stay silent: a blocked style or script would be told there. */
async function open(colorScheme: 'light' | 'dark', width: number) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    // Notices such as a skipped autofocus depend on how fast the test types.
    if (!['error', 'warning'].includes(message.type())) return
    // The fake Bitbucket has no icon; browsers ask for one on their own.
    if (!message.location().url.endsWith('/favicon.ico')) complaints.push(`${page.url()}: ${message.text()}`)
  })
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`))
  const look = async (name: string) => {
    // Legacy mode only leaves out frames, which the app has none of, and saves a window for each page.
    const builder = new AxeBuilder({ page }).setLegacyMode(true).options({ resultTypes: ['violations'] })
    const { violations } = await builder.analyze()
    const found = violations.map(({ id, nodes }) => `${name}: ${id} ${nodes.map((node) => node.html).join(' ')}`)
    expect(found).toEqual([])
    const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
    expect(overflow, `${name} is wider than the window`).toBe(0)
  }
  return { page, look, complaints, close: () => context.close() }
}

const signInByPassword = async (page: Page, email: string, password: string) => {
  await page.goto(`${app.url}/sign-in`)
  await page.getByLabel('Email address').fill(email)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
}

// Colours do not depend on the width, nor the layout on the colours: each of both is there once.
test.each([
  ['light', 360],
  ['dark', 1280],
] as const)(
  'every page, %s and %i pixels wide: has no axe finding, cuts nothing off and blocks nothing',
  async (scheme, width) => {
    const { page, look, complaints, close } = await open(scheme, width)
    for (const path of ['sign-in', 'sign-up', 'reset', 'scenarios', 'dev/mailbox', 'invitation/token', 'nowhere']) {
      await page.goto(`${app.url}/${path}`)
      await look(path.replace('/', '-'))
    }
    await page.goto(`${app.url}/sign-up`)
    await page.getByLabel('Name').fill('Nora')
    await page.getByLabel('Email address').fill(`nora-${scheme}-${width}@example.net`)
    await page.getByLabel('Password').fill('a long enough password')
    await page.getByRole('button', { name: 'Create account' }).click()
    await look('code')
    await page.getByLabel('Code').fill(await app.code(`nora-${scheme}-${width}@example.net`))
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('heading', { name: 'Nora' }).waitFor()
    await look('account')
    await page.getByRole('link', { name: 'Board', exact: true }).click()
    await page.getByLabel('New note').fill('Buy more pins.\nAnd string.')
    await page.getByRole('button', { name: 'Pin it' }).click()
    await page.getByText('And string.').first().waitFor()
    await look('board')
    await page.getByRole('link', { name: 'Company' }).click()
    await look('company-off')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await signInByPassword(page, 'admin@corkboard.example', 'corkboard-demo')
    await page.getByRole('link', { name: 'Administration' }).click()
    await look('admin')
    await page.getByRole('link', { name: 'Add connection' }).click()
    await look('admin-add')
    await page.getByRole('link', { name: 'Bitbucket', exact: false }).click()
    await look('admin-bitbucket')
    await page.getByLabel('Workspaces').fill('acme')
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await page.getByText('Not saved').waitFor()
    await look('admin-refused')
    await page.getByRole('button', { name: 'Discard changes' }).click()
    await page.getByRole('link', { name: 'globex' }).click()
    await look('admin-tenant')
    await page.getByRole('button', { name: 'Test', exact: true }).click()
    await page.getByRole('heading', { name: 'Sign-in with Bitbucket works' }).waitFor()
    await look('admin-test')
    await page.getByRole('link', { name: 'All activity' }).click()
    await look('admin-activity')
    await page.goto(app.url)
    await look('board-admin')
    await page.goto(`${app.url}/scenarios`)
    await page.getByRole('button', { name: 'Try: A member leaves the workspace' }).click()
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByRole('heading', { name: 'Company' }).waitFor()
    await look('company')
    // Any other scenario admits everyone again.
    await page.goto(`${app.url}/scenarios`)
    await page.getByRole('button', { name: 'Try: A first sign-in, Bitbucket trusted' }).click()
    await page.getByRole('button', { name: 'Allow' }).waitFor()
    // A page that does not exist is told by the browser itself.
    const expected = (line: string) => line.includes('/nowhere') || line.includes('status of 400')
    expect(complaints.filter((line) => !expected(line))).toEqual([])
    await close()
  },
  90_000,
)

test('the operator sees a tile and copies the callback URL, overrides and resets a tenant, saves and tests', async () => {
  const { page, complaints, close } = await open('light', 1280)
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: app.url })
  await signInByPassword(page, 'admin@corkboard.example', 'corkboard-demo')
  await page.goto(`${app.url}/admin/connections`)
  await page.getByRole('link', { name: 'Add connection' }).click()
  await page.getByRole('link', { name: 'Bitbucket', exact: false }).click()
  const headings = await page.locator('form h2').allInnerTexts()
  expect(headings.slice(0, 4).map((each) => each.slice(0, 2))).toEqual(['1.', '2.', '3.', '4.'])
  await page.getByRole('button', { name: 'Copy: Callback URL in use' }).click()
  await page.getByText('Copied', { exact: true }).waitFor()
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe(`${app.url}/auth/bitbucket/callback`)
  expect(await page.getByText('Create OAuth client', { exact: true }).isVisible()).toBe(true)
  for (const name of ['account (always)', 'email (always)'])
    expect(await page.getByRole('checkbox', { name }).isChecked()).toBe(true)

  await page.getByRole('link', { name: 'acme', exact: true }).click()
  await page.getByRole('radio', { name: /^Override/ }).check()
  await page.getByLabel('People without an account').selectOption('Are refused')
  await page.getByRole('button', { name: 'Save and test' }).click()
  await page.getByRole('heading', { name: 'Sign-in with Bitbucket works' }).waitFor()
  expect(await page.getByText('Overridden').isVisible()).toBe(true)
  expect(await page.getByText('checks passed').isVisible()).toBe(true)
  await page.getByRole('button', { name: 'Reset to inherited' }).click()
  await page.getByText('Everything is inherited again').waitFor()
  expect(await page.getByText('Overridden').count()).toBe(0)
  expect(complaints).toEqual([])
  await close()
}, 60_000)

test('the operator configures a connection by keyboard only and without scripts', async () => {
  const context = await browser.newContext({ javaScriptEnabled: false })
  const page = await context.newPage()
  await signInByPassword(page, 'admin@corkboard.example', 'corkboard-demo')
  await page.goto(`${app.url}/admin/bitbucket?level=acme`)
  const reach = async (selector: string) => {
    for (let step = 0; step < 80; step++) {
      await page.keyboard.press('Tab')
      if ((await page.locator(`${selector}:focus`).count()) > 0) return
    }
    throw new Error(`Tab does not reach ${selector}`)
  }
  await reach('[name=override]')
  await page.keyboard.press('ArrowDown')
  await reach('#visible')
  await page.keyboard.press('W')
  await reach('.save button')
  await page.keyboard.press('Enter')
  await page.getByText('Saved.').waitFor()
  expect(await page.getByText('Enabled, not shown').isVisible()).toBe(true)
  await page.getByRole('button', { name: 'Reset to inherited' }).click()
  await page.getByText('Everything is inherited again').waitFor()
  await context.close()
}, 60_000)

test('a user signs in with the button, writes a note and signs out', async () => {
  const { page, complaints, close } = await open('light', 1280)
  await page.goto(`${app.url}/scenarios`)
  await page.getByRole('button', { name: 'Try: A first sign-in, Bitbucket trusted' }).click()
  await page.getByLabel('Alice Archer').check()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.waitForURL(`${app.url}/account?bitbucket=signed-up`)
  expect(await page.getByText('verified', { exact: true }).isVisible()).toBe(true)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.waitForURL(`${app.url}/`)
  await page.goto(`${app.url}/sign-in?returnTo=/account`)
  await page.getByRole('link', { name: 'Sign in with Bitbucket' }).click()
  await page.getByLabel('Alice Archer').check()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.waitForURL(`${app.url}/account`)
  expect(complaints).toEqual([])
  await close()
})

test('a user with an account enters code and password, confirms the link, and unlinks', async () => {
  const { page, complaints, close } = await open('light', 1280)
  await page.goto(`${app.url}/scenarios`)
  await page.getByRole('button', { name: 'Try: An account with this address exists, Bitbucket not trusted' }).click()
  await page.getByLabel('Carol Côté').check()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page
    .getByLabel('Code', { exact: false })
    .first()
    .fill(await app.code('carol@example.com'))
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: /sign in/i }).click()
  await page.getByText('is pending').waitFor()
  await page.getByLabel('Email address').fill('carol@example.com')
  await page.getByLabel('Password').fill('corkboard-demo')
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.waitForURL('**/auth/bitbucket/continue')
  await page.locator('form[action$="/continue"] button').first().click()
  await page.waitForURL(`${app.url}/account?bitbucket=linked`)
  expect(await page.getByRole('button', { name: 'Disconnect' }).isVisible()).toBe(true)
  await page.getByRole('button', { name: 'Disconnect' }).click()
  await page.getByRole('link', { name: 'Connect Bitbucket' }).waitFor()
  expect(complaints).toEqual([])
  await close()
})

test('a user with an unproven address exhausts the code, cancels, and cannot unlink the only way in', async () => {
  const { page, complaints, close } = await open('light', 1280)
  const allow = async (name: string) => {
    await page.getByLabel(name).check()
    await page.getByRole('button', { name: 'Allow' }).click()
  }
  await page.goto(`${app.url}/sign-in`)
  await page.getByRole('link', { name: 'Sign in with Bitbucket' }).click()
  await allow('Grace')
  // A refused form redirects to its page, which says why.
  const shown = () => page.waitForResponse(/\/auth\/bitbucket\/email$/)
  for (let attempt = 0; attempt < 5; attempt++) {
    await page.getByLabel('Code', { exact: false }).first().fill('BBBB-BBBB')
    await Promise.all([shown(), page.keyboard.press('Enter')])
    await page.getByRole('alert').waitFor()
  }
  expect(await page.getByLabel('Code', { exact: false }).count()).toBe(0)
  expect((await page.request.get(`${app.url}/me`)).status()).toBe(200)
  expect(await (await page.request.get(`${app.url}/me`)).json()).toEqual({ user: null })
  // Too early for another one: the page says so and stays.
  await Promise.all([shown(), page.getByRole('button', { name: 'Send code' }).click()])
  await page.getByRole('alert').waitFor()
  await page.goto(`${app.url}/auth/bitbucket/email`)
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.waitForURL(`${app.url}/sign-in`)

  // Bitbucket alone: the only way in cannot be taken away.
  await page.getByRole('link', { name: 'Sign in with Bitbucket' }).click()
  await allow('Erin')
  const [, address = ''] = /(\S+@\S+)/.exec((await app.mails()).at(0)?.to ?? '') ?? []
  await page
    .getByLabel('Code', { exact: false })
    .first()
    .fill(await app.code(address))
  await page.keyboard.press('Enter')
  await page.waitForURL((url) => !url.pathname.startsWith('/auth/'))
  await page.goto(`${app.url}/account`)
  await page.getByRole('button', { name: 'Disconnect' }).click()
  await page.getByText('last_sign_in_method').waitFor()
  await page.goto(`${app.url}/account`)
  expect(await page.getByRole('button', { name: 'Disconnect' }).isVisible()).toBe(true)
  expect(complaints.filter((each) => !/status of 4\d\d/.test(each))).toEqual([])
  await close()
}, 60_000)
