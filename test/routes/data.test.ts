import type { HookContext } from 'passport-bitbucket-signin'
import { describe, expect, test } from 'vitest'
import { startTestApp, type TestAppOptions } from '../support/app'
import { app, browser, fake, openBrowser, open as startApp } from '../support/one-app'
import { enterCode, errorOf } from '../support/steps'

/** The `context.data` of each call of a hook. */
const dataOf = (name: string) =>
  app.accounts.calls
    .filter((call) => call.name === name)
    .map(({ input }) => (input as unknown as { context: HookContext }).context.data)

const INVITE = { invite: 'inv_123', plan: ['pro', 2, null] }
const fromQuery = (req: { query: Record<string, unknown> }) => (req.query.invite ? INVITE : undefined)

async function open(options: TestAppOptions = {}) {
  await startApp({ ...options, options: { data: fromQuery, ...options.options } })
}

async function start(query = '?invite=1') {
  const answer = await browser.get(`${app.url}/auth/bitbucket${query}`)
  return { answer, location: answer.location }
}

async function back(location: string, person = 'alice') {
  return browser.get(await fake.signIn(location, { person }), { headers: { 'sec-fetch-site': 'cross-site' } })
}

describe('data', () => {
  test.each([4, 5] as const)('reaches the hooks of the same sign-in and no other (Express %i)', async (express) => {
    await open({ express })
    await back((await start()).location)
    expect(dataOf('createUser')).toEqual([INVITE])
    expect(dataOf('beforeSignIn')).toEqual([INVITE])
    openBrowser()
    await back((await start('')).location)
    expect(dataOf('beforeSignIn')).toEqual([INVITE, undefined])
  })

  test('appears in no URL, page, email, event or log, and is unreadable in the cookie', async () => {
    await open({ connection: { trustedProvider: false } })
    const { answer, location } = await start()
    const page = await back(location)
    const code = await browser.get(`${app.url}${page.location.replace(app.url, '')}`)
    for (const text of [location, JSON.stringify(answer.headers), JSON.stringify(page.headers), code.text])
      expect(text).not.toContain('inv_123')
    expect(JSON.stringify(app.mails)).not.toContain('inv_123')
    expect(app.mails[0]?.context).not.toHaveProperty('data', INVITE)
    expect(JSON.stringify(app.events)).not.toContain('inv_123')
  })

  test('is kept while a sign-in waits for a code', async () => {
    await open({ connection: { trustedProvider: false } })
    await back((await start()).location)
    await enterCode(app, browser)
    expect(dataOf('createUser')).toEqual([INVITE])
    expect(await app.me(browser)).not.toBeNull()
  })

  test('is kept while a sign-in has to be proven, and until its tokens are fetched', async () => {
    await open({ options: { data: fromQuery, policy: { matchingAccount: 'prove' } } })
    const owner = app.accounts.add({ email: 'alice@example.com', emailVerified: true })
    await back((await start()).location)
    await app.localSignIn(browser, owner)
    const answer = await app.submit(browser, '/auth/bitbucket/continue', '/continue', { choice: 'confirm' })
    expect(dataOf('linkIdentity')).toEqual([INVITE])
    expect(answer.location).toBe('/auth/bitbucket')
    const before = dataOf('beforeSignIn').length
    const end = await back((await start('')).location)
    expect(end.location).toBe('/')
    expect(dataOf('storeTokens')).toEqual([INVITE])
    expect(dataOf('beforeSignIn')).toHaveLength(before)
  })

  test('is frozen, so one hook cannot change it for the next', async () => {
    await open()
    await back((await start()).location)
    const [data] = dataOf('createUser') as [typeof INVITE]
    expect(() => data.plan.push('x')).toThrow(TypeError)
  })

  test.each<[string, () => unknown]>([
    ['more than 512 bytes', () => ({ text: 'x'.repeat(512) })],
    ['a promise', async () => ({ invite: 1 })],
    [
      'an error',
      () => {
        throw new Error('no')
      },
    ],
  ])('refuses the start without setting or sending anything if it is %s', async (_what, data) => {
    await open({ options: { data } })
    const { answer } = await start()
    expect([answer.status, errorOf(answer)]).toEqual([500, 'hook_failed'])
    expect(answer.headers['set-cookie']).toBeUndefined()
    expect(app.errors.map(({ message }) => message)).toEqual([expect.stringContaining('data')])
  })

  test('carries 512 bytes with a return URL in four concurrent sign-ins', async () => {
    const data = { text: 'x'.repeat(501) }
    await open({ options: { data: () => data } })
    const returnTo = `/p?${'q'.repeat(100)}`
    const starts = []
    for (let count = 0; count < 4; count++) starts.push(await app.start(browser, returnTo))
    const end = await back(starts[0] as string)
    expect([end.status, errorOf(end)]).toEqual([302, null])
    expect(dataOf('createUser')).toEqual([data])
  })

  test.each([4, 5] as const)('is refused in a changed cookie (Express %i)', async (express) => {
    await open({ express })
    const { location } = await start()
    const jar = browser.jar(app.url)
    const [name, value] = [...jar].find(([each]) => each.includes('bitbucket')) as [string, string]
    jar.set(name, `${value.slice(0, 40)}${value[40] === 'A' ? 'B' : 'A'}${value.slice(41)}`)
    expect(errorOf(await back(location))).toBe('state_invalid')
  })

  test.each([4, 5] as const)('reaches no hook again when a callback is replayed (Express %i)', async (express) => {
    await open({ express })
    const { location } = await start()
    const thief = browser.copy()
    const callback = await fake.signIn(location, { person: 'alice' })
    const headers = { 'sec-fetch-site': 'cross-site' }
    await browser.get(callback, { headers })
    expect(dataOf('beforeSignIn')).toEqual([INVITE])
    expect(errorOf(await thief.get(callback, { headers }))).toBe('state_invalid')
    expect(dataOf('beforeSignIn')).toEqual([INVITE])
  })
})

describe('paths.signedUp and outcomeParameter', () => {
  const paths = { signedIn: '/home?tab=1#top', signedUp: '/welcome' }

  test('send a new account to its own page, and a known one to the usual page', async () => {
    await open({ options: { paths: { signedIn: '/home', signedUp: '/welcome' }, outcomeParameter: 'bitbucket' } })
    expect((await back((await start()).location)).location).toBe('/welcome?bitbucket=signed-up')
    openBrowser()
    expect((await back((await start()).location)).location).toBe('/home')
  })

  test('yield to a return URL, and keep its fragment last', async () => {
    await open({ options: { paths: { signedUp: '/welcome' }, outcomeParameter: 'bitbucket' } })
    const location = await app.start(browser, '/board?sort=1#row')
    expect((await back(location)).location).toBe('/board?sort=1&bitbucket=signed-up#row')
  })

  test('add nothing by default', async () => {
    await open()
    expect((await back((await start()).location)).location).toBe('/')
  })

  test('are checked at construction', async () => {
    await expect(startTestApp({ fake, options: { paths } })).rejects.toThrow('signedIn')
    await expect(startTestApp({ fake, options: { outcomeParameter: 'a=b&c' } })).rejects.toThrow('outcomeParameter')
  })

  test('apply to a claim, which creates an account as well', async () => {
    await open({
      without: ['storeTokens'],
      options: { paths: { signedUp: '/welcome' }, outcomeParameter: 'bitbucket' },
    })
    app.accounts.add({ email: 'alice@example.com', emailVerified: false })
    expect((await back((await start()).location)).location).toBe('/welcome?bitbucket=signed-up')
    expect(app.events.at(-1)).toMatchObject({ type: 'claimed' })
  })

  test('apply to a new account that waited and whose tokens are fetched afterwards', async () => {
    await open({
      connection: { trustedProvider: false },
      options: { paths: { signedUp: '/welcome' }, outcomeParameter: 'bitbucket' },
    })
    await back((await start()).location)
    expect((await enterCode(app, browser)).location).toBe('/auth/bitbucket')
    expect((await back((await start('')).location)).location).toBe('/welcome?bitbucket=signed-up')
  })
})
