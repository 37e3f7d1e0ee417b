import type { HookContext } from 'passport-bitbucket-signin'
import { expect, test } from 'vitest'
import { Secret } from '../../src/contract/secret'
import { deriveKeys, type KeyPurpose } from '../../src/state/keys'
import { seal } from '../../src/state/sealed-cookie'
import { TestBrowser } from '../support/browser'
import { type Lab, MINUTE, ourCookies, sessionIdOf, startLab, travel } from '../support/lab'
import { errorOf } from '../support/steps'

const UNTRUSTED = { connection: { trustedProvider: false } }
const SECRET = 'invite-7f3a'
const INVITE = { invite: SECRET, plan: ['pro'] }

/** The `context.data` of each call of a hook. */
const dataOf = ({ accounts }: Lab, hook: string) =>
  accounts.calls
    .filter(({ name }) => name === hook)
    .map(({ input }) => (input as unknown as { context: HookContext }).context.data)

test("TRV-01: keeps the app's data secret and unchanged, and out of mails, pages, events and sessions", async () => {
  const lab = await startLab({ ...UNTRUSTED, options: { data: () => INVITE } })
  const browser = new TestBrowser()
  const location = await lab.start(browser)
  const seen = [location, JSON.stringify([...browser.jar(lab.url)])]
  const back = await browser.get(await lab.fake.signIn(location, { person: 'alice' }))
  const page = await lab.get(browser, '/email')
  seen.push(JSON.stringify([back.headers, page.headers, ...browser.jar(lab.url)]), page.text)
  const pending = ourCookies(browser, lab.url).get('bitbucket.p') ?? ''
  seen.push(...pending.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1')))
  const changed = browser.copy()
  changed
    .jar(lab.url)
    .set('bitbucket.p', `${pending.slice(0, 60)}${pending[60] === 'A' ? 'B' : 'A'}${pending.slice(61)}`)
  await lab.refused(changed, () => lab.post(changed, '/email/verify', { code: lab.mails[0]?.code ?? '' }))
  await lab.verify(browser, lab.mails[0]?.code ?? '')
  expect(await lab.me(browser)).toBe('u1')
  const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
  seen.push(JSON.stringify(lab.mails), JSON.stringify(lab.events), sessions[sessionIdOf(browser, lab) ?? ''] ?? '')
  expect(seen.filter((text) => text.includes(SECRET))).toEqual([])
  expect(lab.mails[0]?.context).not.toHaveProperty('data', INVITE)
  expect(dataOf(lab, 'createUser')).toEqual([INVITE])
})

test('TRV-02: refuses a start whose data is too large or not JSON, without setting or sending anything', async () => {
  let data: unknown
  const lab = await startLab({ options: { data: () => data } })
  const start = (browser: TestBrowser) => lab.get(browser, '')
  const hostile = [
    'x'.repeat(511),
    '\u20ac'.repeat(171),
    JSON.parse('{"__proto__":{"admin":true}}'),
    JSON.parse('{"a":[{"__proto__":{"admin":true}}]}'),
    { toJSON: () => ({ admin: true }) },
    Object.defineProperty({ invite: 1 }, 'toJSON', { value: () => ({ admin: true }) }),
    Object.assign([1], { toJSON: () => ({ admin: true }) }),
    Object.assign([1], { invite: 1 }),
    { [Symbol('invite')]: 1 },
    new (class extends Array {})(),
    // biome-ignore lint/suspicious/noSparseArray: JSON makes a null of it.
    [1, , 2],
    new Map([['admin', true]]),
    Promise.resolve(INVITE),
    () => INVITE,
    Number.NaN,
    [undefined],
  ]
  for (data of hostile) {
    const browser = new TestBrowser()
    await lab.refused(browser, () => start(browser), { code: 'hook_failed', upstream: 0 })
    expect(ourCookies(browser, lab.url).size).toBe(0)
  }
  data = 'x'.repeat(510)
  const browser = new TestBrowser()
  await browser.get(await lab.fake.signIn((await start(browser)).location, { person: 'alice' }))
  expect(dataOf(lab, 'createUser')).toEqual([data])
})

test('TRV-03: gives each hook data that the others cannot change', async () => {
  const lab = await startLab({ options: { data: () => INVITE } })
  const tried: unknown[] = []
  lab.accounts.intercept = (name, input) => {
    if (name !== 'createUser') return
    const { data } = (input as { context: HookContext }).context as { data: typeof INVITE }
    for (const change of [() => data.plan.push('admin'), () => Object.assign(data, { invite: 'all' })]) {
      try {
        change()
      } catch (error) {
        tried.push(error)
      }
    }
  }
  await lab.signIn(new TestBrowser(), 'alice')
  expect(tried).toEqual([expect.any(TypeError), expect.any(TypeError)])
  expect(dataOf(lab, 'beforeSignIn')).toEqual([{ invite: SECRET, plan: ['pro'] }])
})

/** A lab and a browser whose sign-in had to wait: the start that follows only fetches its tokens. */
async function startWaited(more: object = {}): Promise<{ lab: Lab; browser: TestBrowser; calls: () => number }> {
  const lab = await startLab({ ...UNTRUSTED, options: { ...more } })
  const browser = new TestBrowser()
  const { code } = await lab.pendingCode(browser, 'alice')
  expect((await lab.verify(browser, code)).location).toBe('/auth/bitbucket')
  expect(lab.accounts.count('beforeSignIn')).toBe(1)
  return { lab, browser, calls: () => lab.accounts.count('beforeSignIn') }
}

test('TRV-04: skips the hook of a second pass only for the identity and user who waited', async () => {
  const control = await startWaited()
  await control.lab.signIn(control.browser, 'alice')
  expect([control.calls(), control.lab.accounts.count('storeTokens')]).toEqual([1, 1])
  await control.lab.signIn(control.browser, 'alice')
  expect(control.calls()).toBe(2)

  const second = await startWaited()
  const [user] = second.lab.accounts.users.values()
  const { issuer = '' } = user?.identities[0] ?? {}
  user?.identities.push({ issuer, id: second.lab.fake.person('bob').uuid })
  await second.lab.signIn(second.browser, 'bob')
  expect(await second.lab.me(second.browser)).toBe('u1')
  expect(second.calls()).toBe(2)

  const signedOut = await startWaited()
  signedOut.browser.jar(signedOut.lab.url).delete('connect.sid')
  await signedOut.lab.signIn(signedOut.browser, 'alice')
  expect(await signedOut.lab.me(signedOut.browser)).toBe('u1')
  expect(signedOut.calls()).toBe(2)
})

test('TRV-05: seals a second pass for a minute and its own return URL, and refuses one of two', async () => {
  const attempts: Record<string, (lab: Lab, browser: TestBrowser, value: string) => Promise<string | undefined>> = {
    'too late': async () => void travel(2 * MINUTE),
    'another way back': async () => '/elsewhere',
    'a value of another cookie': async (lab, browser) => {
      await lab.state(browser)
      const [, other = ''] = [...ourCookies(browser, lab.url)].find(([name]) => /\.t/.test(name)) ?? []
      browser.jar(lab.url).set('bitbucket.a', other)
      return undefined
    },
    'one of two': async (lab, browser, value) => {
      browser.jar(lab.url).set('bitbucket.a', `${value}; bitbucket.a=${value}`)
      return undefined
    },
    'a changed one': async (lab, browser, value) => {
      browser.jar(lab.url).set('bitbucket.a', `${value.slice(0, 50)}${value[50] === 'A' ? 'B' : 'A'}${value.slice(51)}`)
      return undefined
    },
  }
  for (const [what, attempt] of Object.entries(attempts)) {
    const { lab, browser, calls } = await startWaited()
    const value = ourCookies(browser, lab.url).get('bitbucket.a') ?? ''
    expect(value).not.toBe('')
    const returnTo = await attempt(lab, browser, value)
    const answer = await lab.signIn(browser, 'alice', returnTo === undefined ? {} : { returnTo })
    expect([what, errorOf(answer), calls()]).toEqual([what, null, 2])
  }
})

/** A browser that was redirected to the notice of a refused form, with the value of its cookie. */
async function startNoticed(): Promise<{ lab: Lab; browser: TestBrowser; value: string }> {
  const lab = await startLab()
  const browser = new TestBrowser()
  const answer = await lab.post(browser, '/unlink', {}, { headers: SUBMITTED })
  expect([answer.status, answer.location]).toEqual([303, '/auth/bitbucket/notice'])
  return { lab, browser, value: ourCookies(browser, lab.url).get('bitbucket.e') ?? '' }
}

/** The headers of a browser that submits a form. */
const SUBMITTED = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }

test('TRV-06: shows a notice that this site sealed, on its page and for ten minutes, and no other', async () => {
  const control = await startNoticed()
  for (const query of ['', '?code=account_disabled&retryHref=//evil.example']) {
    const page = await control.lab.get(control.browser, `/notice${query}`)
    expect([page.status, errorOf(page)]).toEqual([401, 'not_signed_in'])
    expect(page.text).not.toContain('evil.example')
  }
  const forged = { page: '/notice', code: 'account_disabled', retryHref: 'https://evil.example', backHref: '/' }
  const attempts: Record<string, (value: string) => string | undefined> = {
    'none at all': () => '',
    'too late': () => void travel(11 * MINUTE),
    'not sealed': () => Buffer.from(JSON.stringify(forged)).toString('base64url'),
    'plain JSON': () => encodeURIComponent(JSON.stringify(forged)),
    'one of two': (value) => `${value}; bitbucket.e=${value}`,
    'a changed one': (value) => `${value.slice(0, 50)}${value[50] === 'A' ? 'B' : 'A'}${value.slice(51)}`,
    'for another page': () => sealedNotice({ ...forged, page: '/email' }),
    'by another key': () => sealedNotice(forged, 'asked-for'),
  }
  for (const [what, attempt] of Object.entries(attempts)) {
    const { lab, browser, value } = await startNoticed()
    browser.jar(lab.url).set('bitbucket.e', attempt(value) ?? value)
    const page = await lab.get(browser, '/notice')
    expect([what, page.status, page.location]).toEqual([what, 302, '/login'])
  }
})

function sealedNotice(notice: object, purpose: KeyPurpose = 'notice'): string {
  const keys = deriveKeys([new Secret('test-secret-test-secret-test-secret')], 'bitbucket', purpose)
  return seal(keys, 'bitbucket.e', notice)
}
