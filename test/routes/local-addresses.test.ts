import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { TestBrowser } from '../support/browser'
import { choose, errorOf, link } from '../support/steps'

let app: TestApp
let browser: TestBrowser
beforeEach(() => {
  browser = new TestBrowser()
})
afterEach(() => app?.close())

async function open(localAddresses: 'unverified' | 'none', more: TestAppOptions = {}): Promise<void> {
  const { options, ...rest } = more
  app = await startTestApp({
    without: ['claimAddress'],
    ...(localAddresses === 'none' && { connection: { trustedProvider: false } }),
    ...rest,
    options: { policy: { localAddresses }, ...options },
  })
}

describe.each([4, 5] as const)('on Express %d', (express) => {
  test('case 8: links a signed-in user of an app that only stores addresses', async () => {
    await open('unverified', { express })
    const user = app.accounts.add({ email: 'alice@example.com', emailVerified: false })
    await app.localSignIn(browser, user)
    await link(app, browser, 'alice')
    expect(user.identities).toHaveLength(1)
  })

  test('case 8: signs up, signs in and links in an app without addresses, and never reads one', async () => {
    await open('none', { express })
    await app.signIn(browser, 'alice')
    const created = app.accounts.users.get((await app.me(browser)) ?? '')
    expect([created?.email, app.accounts.count('getAccountsByEmail'), app.mails.length]).toEqual([null, 0, 0])
    await app.signIn(new TestBrowser(), 'alice')
    const user = app.accounts.add({ email: null })
    const another = new TestBrowser()
    await app.localSignIn(another, user)
    await link(app, another, 'bob')
    expect(user.identities).toHaveLength(1)
    expect(app.fake.count('emails')).toBe(0)
  })
})

test("case 8: asks for the matching account's own sign-in in an app that only stores addresses, verified or not", async () => {
  await open('unverified')
  for (const emailVerified of [true, false]) {
    const person = emailVerified ? 'alice' : 'carol'
    const user = app.accounts.add({ email: `${person}@example.com`, emailVerified })
    const visitor = new TestBrowser()
    await app.signIn(visitor, person)
    expect(user.identities).toEqual([])
    await app.localSignIn(visitor, user)
    await choose(app, visitor, 'confirm')
    expect(user.identities).toHaveLength(1)
  }
})

test('case 8: does not tell a user without an address to confirm one', async () => {
  app = await startTestApp()
  const user = app.accounts.add({ email: null })
  await app.localSignIn(browser, user)
  expect((await link(app, browser, 'alice')).status).toBe(302)
  expect(user.identities).toHaveLength(1)
})

test('case 8: refuses options that contradict localAddresses at construction, by name', async () => {
  const complaint = async (options: TestAppOptions) => {
    try {
      app = await startTestApp({ connection: { trustedProvider: false }, ...options })
    } catch (error) {
      return String((error as Error).message)
    }
    await app.close()
    return 'accepted'
  }
  expect(await complaint({ options: { policy: { localAddresses: 'unverified' } } })).toContain(
    '`accounts.claimAddress`',
  )
  expect(
    await complaint({ options: { policy: { localAddresses: 'none' } }, connection: { trustedProvider: true } }),
  ).toContain('`trustedProvider`')
  for (const [name, value] of [
    ['untrustedEmail', 'verify'],
    ['missingEmail', 'ask'],
    ['matchingAccount', 'link'],
    ['codeOpensAccount', false],
  ]) {
    const policy = { localAddresses: 'none', [name as string]: value } as never
    expect(await complaint({ options: { policy } })).toContain(`\`policy.${name}\``)
  }
  expect(await complaint({ options: { policy: { localAddresses: 'none' }, sendEmailCode: undefined as never } })).toBe(
    'accepted',
  )
})

test('still refuses an account with an unverified address in an app that verifies them', async () => {
  app = await startTestApp()
  await app.localSignIn(browser, app.accounts.add({ email: 'alice@example.com', emailVerified: false }))
  expect(errorOf(await app.submit(browser, '/auth/bitbucket/link', '/link'))).toBe('email_unverified')
})
