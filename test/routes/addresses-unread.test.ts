import type { Profile } from 'passport-bitbucket-signin'
import { type FakeBitbucket, type FakeFault, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { turns, until } from '../support/lab'

const ACME = { slug: 'acme', uuid: '{470c176d-3574-44ea-bb41-89e8638bcca4}', permission: 'member' } as const
const NEVER = { delivery: 'stall' } as const

let fake: FakeBitbucket
let app: TestApp
beforeEach(async () => {
  fake = await startFakeBitbucket()
})
afterEach(async () => {
  await app?.close()
  await fake?.close()
})

/** An app with a deadline that no test reaches: what ends without the addresses did not wait for them. */
async function start(options: TestAppOptions = {}): Promise<void> {
  const http = { timeoutMs: 60_000, ...options.options?.http }
  app = await startTestApp({ fake, ...options, options: { ...options.options, http } })
}

/** An answer of the fake that comes when told. */
function held(fault: FakeFault | null = null): { script: () => Promise<FakeFault | null>; release(): void } {
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return { script: () => released.then(() => fault), release: () => release() }
}

const signsIn = async (browser = new TestBrowser(), person = 'alice') => {
  const answer = await app.signIn(browser, person)
  expect(answer.location).toBe('/')
  expect(await app.me(browser)).not.toBeNull()
  return browser
}

/** Whether an answer is still out when everything else has come. */
async function isWaiting(answer: Promise<Answer>): Promise<boolean> {
  await until(() => app.fake.count('emails') > 0)
  return (await Promise.race([answer, turns(100)])) === undefined
}

describe.each([4, 5] as const)('Express %i', (express) => {
  test('signs a known user in although the addresses never arrive', async () => {
    await start({ express })
    await signsIn()
    fake.script('emails', NEVER)
    fake.clearRequests()
    await signsIn()
    expect(fake.requests.map(({ endpoint }) => endpoint).filter((each) => each !== 'authorize')).toEqual(
      expect.arrayContaining(['token', 'user', 'emails']),
    )
    expect(fake.count('user')).toBe(1)
    expect(fake.count('emails')).toBe(1)
    expect(app.errors).toEqual([])
  })

  test('checks the workspace before it knows a user', async () => {
    await start({ express, connection: { workspaces: ['acme'] } })
    fake.updatePerson('alice', { workspaces: [ACME] })
    await signsIn()
    app.accounts.calls.length = 0
    fake.script('emails', NEVER)
    const gate = held()
    fake.script('workspace', gate.script)
    const answer = app.signIn(new TestBrowser(), 'alice')
    expect(await isWaiting(answer)).toBe(true)
    expect(app.accounts.calls).toEqual([])
    gate.release()
    expect((await answer).location).toBe('/')
    fake.updatePerson('alice', { workspaces: [] })
    fake.clearScripts('workspace')
    app.accounts.calls.length = 0
    expect((await app.signIn(new TestBrowser(), 'alice')).status).toBe(403)
    expect(app.accounts.calls).toEqual([])
  })

  test('waits for the addresses of a new user, and creates the account with them', async () => {
    await start({ express })
    const addresses = held()
    fake.script('emails', addresses.script)
    const answer = app.signIn(new TestBrowser(), 'alice')
    expect(await isWaiting(answer)).toBe(true)
    expect(app.accounts.writes()).toEqual([])
    addresses.release()
    expect((await answer).location).toBe('/')
    expect(app.accounts.users.get('u1')?.email).toBe('alice@example.com')
  })

  test('waits when the user has to choose', async () => {
    await start({ express })
    await signsIn()
    const bob = await signsIn(new TestBrowser(), 'erin')
    const addresses = held()
    fake.script('emails', addresses.script)
    const answer = app.signIn(bob, 'alice')
    expect(await isWaiting(answer)).toBe(true)
    addresses.release()
    expect((await answer).location).toBe('/auth/bitbucket/continue')
  })

  test('waits when the account is gone, and refuses', async () => {
    await start({ express })
    await signsIn()
    app.accounts.users.clear()
    const addresses = held()
    fake.script('emails', addresses.script)
    const answer = app.signIn(new TestBrowser(), 'alice')
    expect(await isWaiting(answer)).toBe(true)
    addresses.release()
    expect((await answer).location).toBe('/')
  })
})

describe('hooks', () => {
  test('receive `null` for unread addresses, and the list of a new user', async () => {
    await start()
    await signsIn()
    fake.updatePerson('alice', { displayName: 'Renamed' })
    fake.script('emails', NEVER)
    await signsIn()
    const addresses = (hook: string) =>
      app.accounts.calls.filter(({ name }) => name === hook).map(({ input }) => (input.profile as Profile).emails)
    expect(addresses('createUser')).toEqual([[{ address: 'alice@example.com', primary: true, confirmed: true }]])
    expect(addresses('updateProfile')).toEqual([null])
    expect(app.accounts.tokens.size).toBe(1)
  })
})

describe('the abandoned request', () => {
  test('keeps its connection usable', async () => {
    await start()
    await signsIn()
    const addresses = held()
    fake.script('emails', addresses.script)
    await signsIn()
    const opened = fake.connectionsOpened
    addresses.release()
    await until(() => fake.requests.every(({ status }) => status !== null))
    await turns()
    fake.clearScripts()
    for (let round = 0; round < 5; round++) await signsIn()
    expect(fake.connectionsOpened).toBe(opened)
  })

  test('still reports a missing permission when its answer comes late', async () => {
    await start()
    await signsIn()
    const addresses = held({ problem: 'missing-scope' })
    fake.script('emails', addresses.script)
    await signsIn()
    expect(app.errors).toEqual([])
    addresses.release()
    await vi.waitFor(() => expect(app.errors).toHaveLength(1))
    expect(app.errors[0]).toMatchObject({ code: 'scope_missing', message: expect.stringContaining('Account: Email') })
    const told = app.events.filter(({ type }) => type === 'scope_missing')
    expect(told).toEqual([expect.objectContaining({ code: 'scope_missing', identityId: expect.stringMatching(/^\{/) })])
  })

  test('ends at the deadline of its sign-in, and reports nothing else', async () => {
    await start()
    await signsIn()
    fake.script('emails', NEVER)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    await signsIn()
    await vi.advanceTimersByTimeAsync(60_001)
    vi.useRealTimers()
    await turns()
    expect(app.errors).toEqual([])
    fake.clearScripts()
    await signsIn()
  })

  test('yields its connection, so that an outage of the addresses alone stops no known user', async () => {
    await start()
    await signsIn()
    fake.script('emails', NEVER)
    for (let round = 0; round < 8; round++) {
      await Promise.all(Array.from({ length: 10 }, () => signsIn()))
    }
    expect(app.errors).toEqual([])
  })
})

test('re-authentication does not wait for addresses', async () => {
  await start()
  const browser = await signsIn()
  fake.script('emails', NEVER)
  const { location } = await app.submit(browser, '/auth/bitbucket/reauthenticate', '/reauthenticate')
  const answer = await browser.get(await fake.signIn(location, { person: 'alice' }))
  expect(answer.location).toBe('/')
})

test('the request ends when the user leaves while a new account waits for the addresses', async () => {
  await start()
  fake.script('emails', NEVER)
  const browser = new TestBrowser()
  const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
  const abort = new AbortController()
  const answer = fetch(callback, { signal: abort.signal, redirect: 'manual', headers: { cookie: cookiesOf(browser) } })
  const ended = expect(answer).rejects.toThrow()
  await vi.waitFor(() => expect(fake.count('emails')).toBe(1))
  abort.abort()
  await ended
  await vi.waitFor(() => expect(app.errors.map(({ message }) => message)).toEqual([expect.stringMatching(/went away/)]))
  expect(app.accounts.writes()).toEqual([])
})

const cookiesOf = (browser: TestBrowser) =>
  [...browser.jar(app.url)].map(([name, value]) => `${name}=${value}`).join('; ')
