/*
 * The five classes of account pre-hijacking (Sudhodanan and Paverd, USENIX Security 2022): an attacker prepares an
 * account before its owner comes. Each has its control: the same steps without the hostile one.
 */
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { TestBrowser } from '../support/browser'
import { enterCode, errorOf, giveAddress, link } from '../support/steps'

let fake: FakeBitbucket
let app: TestApp
let attacker: TestBrowser
let victim: TestBrowser
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  fake.reset()
  await app.close()
})

const ADDRESS = 'alice@example.com'

/** Mallory attacks; Alice owns the address. Sessions of a user really end, as an app's store would end them. */
async function open(options: TestAppOptions = {}): Promise<void> {
  app = await startTestApp({ fake, ...options })
  attacker = new TestBrowser()
  victim = new TestBrowser()
  fake.addPerson({ key: 'mallory', emails: [{ address: 'mallory@example.net', primary: true }] })
  app.accounts.intercept = (name, input) => {
    if (name === 'endOtherSessions') endSessions((input as { user: TestUser }).user)
  }
}

function endSessions(user: TestUser): void {
  const { sessions } = app.store as unknown as { sessions: Record<string, string> }
  for (const [id, session] of Object.entries(sessions)) {
    if ((JSON.parse(session) as { passport?: { user?: string } }).passport?.user === user.id) delete sessions[id]
  }
}

/** The attacker's account, made in advance, with the victim's address, never proven. */
const trap = () => app.accounts.add({ name: 'Trap', email: ADDRESS, password: "the attacker's" })
/** An honest owner's account: the same, proven. */
const own = () => app.accounts.add({ name: 'Own', email: ADDRESS, emailVerified: true })

describe('classic-federated merge: an account with a password and the address of the victim', () => {
  test('is not entered if the app cannot empty it, because the victim would have to sign in to it', async () => {
    await open({ without: ['claimAddress'] })
    const account = trap()
    expect((await app.signIn(victim, 'alice')).location).toBe('/auth/bitbucket/continue')
    expect(await app.me(victim)).toBeNull()
    expect(account.identities).toEqual([])
  })
})

describe('unexpired session: the attacker stays signed in to the account', () => {
  test('ends with a link by address as well', async () => {
    await open()
    const account = own()
    await app.localSignIn(attacker, account)
    await app.signIn(victim, 'alice')
    expect(await app.me(victim)).toBe(account.id)
    expect(await app.me(attacker)).toBeNull()
  })

  test('control: keeps the session of another account', async () => {
    await open()
    trap()
    const other = app.accounts.add({ email: 'other@example.com', emailVerified: true })
    await app.localSignIn(attacker, other)
    await app.signIn(victim, 'alice')
    expect(await app.me(attacker)).toBe(other.id)
  })
})

describe("trojan identifier: the attacker's own Bitbucket identity on the account", () => {
  test("stays on the attacker's account when the address is claimed", async () => {
    await open()
    const account = trap()
    account.emailVerified = true
    await app.localSignIn(attacker, account)
    await link(app, attacker, 'mallory')
    account.emailVerified = false
    expect(account.identities).toHaveLength(1)
    await app.signIn(victim, 'alice')
    const owner = app.accounts.users.get((await app.me(victim)) ?? '')
    expect(owner?.identities.map(({ id }) => id)).toEqual([fake.person('alice').uuid])
    expect(account.email).toBeNull()
    const again = new TestBrowser()
    await app.signIn(again, 'mallory')
    expect(await app.me(again)).toBe(account.id)
  })

  test('keeps the victim out of an account that cannot be emptied, instead of sharing it', async () => {
    await open({ without: ['claimAddress'], options: { policy: { localAddresses: 'unverified' } } })
    const account = trap()
    await app.localSignIn(attacker, account)
    await link(app, attacker, 'mallory')
    expect(errorOf(await app.signIn(victim, 'alice'))).toBe('account_exists_unverified')
    expect(await app.me(victim)).toBeNull()
  })

  test('control: the owner of a proven address links their own identity', async () => {
    await open()
    const account = own()
    await app.localSignIn(victim, account)
    await link(app, victim, 'alice')
    expect(account.identities).toHaveLength(1)
  })
})

describe('unexpired email change: the attacker has the address of the victim half way', () => {
  test('never opens the account that the victim creates meanwhile', async () => {
    await open()
    fake.updatePerson('mallory', { emails: [] })
    await app.signIn(attacker, 'mallory')
    await giveAddress(app, attacker, ADDRESS)
    await app.signIn(victim, 'alice')
    const account = app.accounts.users.get((await app.me(victim)) ?? '')
    // Even with the victim's mail in hand.
    const answer = await enterCode(app, attacker)
    expect(errorOf(answer)).toBe('account_exists')
    expect(await app.me(attacker)).toBeNull()
    expect(account?.identities.map(({ id }) => id)).toEqual([fake.person('alice').uuid])
  })

  test('control: signs a user up whose typed address no other user has', async () => {
    await open()
    fake.updatePerson('mallory', { emails: [] })
    await app.signIn(attacker, 'mallory')
    await giveAddress(app, attacker, 'mallory@example.net')
    await enterCode(app, attacker)
    expect(await app.me(attacker)).not.toBeNull()
  })
})
