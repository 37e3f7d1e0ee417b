import { type AccountHooks, type BitbucketSignInOptions, IdentityTakenError } from 'passport-bitbucket-signin'
import { describe, expect, test, vi } from 'vitest'
import type { TestUser } from '../support/accounts'
import { type Answer, TestBrowser } from '../support/browser'
import { app, browser, fake, openBrowser, open as startApp } from '../support/one-app'
import { choose, enterCode, errorOf, giveAddress } from '../support/steps'

const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})

type Policy = BitbucketSignInOptions<TestUser>['policy'] & {}
interface Setting {
  readonly policy?: Policy
  readonly without?: (keyof AccountHooks<TestUser>)[]
  readonly signUp?: boolean
}

/** How far an address is proven, and the sign-in that gets it there: as Alice, or as Dave who has none. */
type Level = 'none' | 'asserted' | 'bitbucket' | 'code' | 'typed'

async function open(level: Level, { policy = {}, without = [], signUp = true }: Setting = {}): Promise<void> {
  await startApp({
    without,
    connection: { trustedProvider: level === 'bitbucket', signUp },
    options: { policy },
  })
}

/** Carries the sign-in to the point where its level is reached. The address is alice@example.com, where there is one. */
async function arrive(level: Level): Promise<Answer> {
  const answer = await app.signIn(browser, level === 'none' || level === 'typed' ? 'dave' : 'alice')
  if (level === 'code') return enterCode(app, browser)
  if (level !== 'typed') return answer
  await giveAddress(app, browser, 'alice@example.com')
  return enterCode(app, browser)
}

const ADDRESS = 'alice@example.com'
const verified = (more: Partial<TestUser> = {}) => app.accounts.add({ email: ADDRESS, emailVerified: true, ...more })
const unverified = (more: Partial<TestUser> = {}) => app.accounts.add({ email: ADDRESS, ...more })
const other = () => [{ issuer: new URL(fake.url).origin, id: '{11111111-1111-4111-8111-111111111111}' }]

async function expectSignedUp(email: { address: string; verified: boolean; verifiedBy: string | null } | null) {
  expect(app.accounts.writes()).toEqual(['createUser'])
  expect(app.accounts.calls.find(({ name }) => name === 'createUser')?.input.email).toEqual(email)
  const id = [...app.accounts.users.keys()].at(-1)
  expect(await app.me(browser)).toBe(id)
}

async function expectRefused(answer: Answer, code: string, lookups: number) {
  expect(errorOf(answer)).toBe(code)
  expect(app.accounts.writes()).toEqual([])
  expect(app.accounts.count('getAccountsByEmail')).toBe(lookups)
  expect(await app.me(browser)).toBeNull()
  expect(app.events.at(-1)).toMatchObject({ type: 'refused', code, identityId: expect.stringContaining('{') })
}

async function expectProve(answer: Answer) {
  expect(answer.location).toBe('/auth/bitbucket/continue')
  const page = await browser.get(`${app.url}/auth/bitbucket/continue`)
  expect(page.text).toContain('You already have an account')
  expect(page.text).toContain('a***@example.com')
  expect(page.text).not.toContain('Local user')
  expect(app.accounts.writes()).toEqual([])
  expect(await app.me(browser)).toBeNull()
}

async function expectLinked(user: TestUser, answer: Answer) {
  expect(answer.status).toBeLessThan(304)
  expect(app.accounts.writes()).toEqual(['linkIdentity'])
  expect(user.identities).toHaveLength(1)
  expect(await app.me(browser)).toBe(user.id)
  expect(app.accounts.endedSessions).toEqual([{ userId: user.id, reason: 'linked' }])
  expect(app.events.at(-1)).toMatchObject({ type: 'linked', userId: user.id })
}

describe('rows 0 and 1: the identity is known', () => {
  /** Signs Alice up and forgets how. */
  async function known(level: Level, setting: Setting = {}): Promise<TestUser> {
    await open(level, setting)
    await arrive(level)
    await app.me(browser)
    const user = [...app.accounts.users.values()].at(-1) as TestUser
    app.accounts.calls.length = 0
    app.mails.length = 0
    openBrowser()
    return user
  }

  test.each(['asserted', 'bitbucket'] as const)(
    'row 1: signs the user in with an address that is %s, without a look-up and without a code',
    async (level) => {
      const user = await known(level === 'asserted' ? 'code' : level)
      unverified()
      const answer = await app.signIn(browser, 'alice')
      expect(answer.status).toBe(302)
      expect(await app.me(browser)).toBe(user.id)
      expect(app.accounts.count('getAccountsByEmail')).toBe(0)
      expect(app.accounts.writes()).toEqual([])
      expect(app.mails).toEqual([])
    },
  )

  test('row 1: signs the user in when Bitbucket names another address, none, or one of another user', async () => {
    const user = await known('bitbucket')
    for (const emails of [[], [{ address: 'victim@example.com', primary: true }]]) {
      fake.updatePerson('alice', { emails })
      const again = new TestBrowser()
      await app.signIn(again, 'alice')
      expect(await app.me(again)).toBe(user.id)
      expect(user.email).toBe(ADDRESS)
    }
    expect(app.accounts.count('getAccountsByEmail')).toBe(0)
  })

  test('row 0: refuses a user who may not sign in without a look-up by address', async () => {
    const user = await known('bitbucket')
    user.disabled = true
    await expectRefused(await app.signIn(browser, 'alice'), 'account_disabled', 0)
    expect(app.events.at(-1)).toMatchObject({ userId: user.id })
  })

  test('row 0: refuses an identity whose user is gone without a look-up by address', async () => {
    await known('bitbucket')
    app.accounts.intercept = (name) => (name === 'getUserByIdentity' ? 'orphaned' : undefined)
    await expectRefused(await app.signIn(browser, 'alice'), 'account_disabled', 0)
  })
})

describe('row 2: Bitbucket names no address', () => {
  test('ask: asks for one, proves it by code, and creates the account with it', async () => {
    await open('typed')
    const answer = await app.signIn(browser, 'dave')
    expect(answer.location).toBe('/auth/bitbucket/email')
    expect(app.mails).toEqual([])
    const sent = await giveAddress(app, browser, 'Dave.New@example.com')
    expect([sent.status, sent.location]).toEqual([303, '/auth/bitbucket/email'])
    expect(app.mails.map(({ to }) => to)).toEqual(['Dave.New@example.com'])
    expect(app.accounts.count('getAccountsByEmail')).toBe(0)
    await enterCode(app, browser)
    await expectSignedUp({ address: 'Dave.New@example.com', verified: true, verifiedBy: 'code' })
  })

  test('ask: refuses an invalid address on the page, and emails nothing', async () => {
    await open('typed')
    await app.signIn(browser, 'dave')
    for (const address of [
      '',
      'dave',
      'a@b',
      'a@b@example.com',
      '"x y"@example.com',
      'ä@example.com',
      'a@example.com\nBcc: x',
    ]) {
      const answer = await giveAddress(app, browser, address)
      expect([answer.status, answer.text.includes('We cannot use this email address')]).toEqual([400, true])
    }
    expect(app.mails).toEqual([])
  })

  test('allow: creates the account without an address', async () => {
    await open('none', { policy: { missingEmail: 'allow' } })
    await arrive('none')
    await expectSignedUp(null)
    expect(app.accounts.count('getAccountsByEmail')).toBe(0)
  })

  test('reject: refuses with email_required', async () => {
    await open('none', { policy: { missingEmail: 'reject' } })
    await expectRefused(await arrive('none'), 'email_required', 0)
  })
})

describe('rows 3 to 5: the address is asserted', () => {
  test.each([
    ['no account', () => {}],
    ['a verified account', () => verified()],
    ['an unverified account', () => unverified()],
    ['several accounts', () => [verified(), unverified(), verified()]],
    ['a disabled account', () => verified({ disabled: true })],
  ])('row 3, verify: mails a code for %s and looks no account up', async (_what, arrange) => {
    await open('asserted')
    arrange()
    const answer = await arrive('asserted')
    expect(answer.location).toBe('/auth/bitbucket/email')
    expect(app.mails.map(({ to }) => to)).toEqual([ADDRESS])
    expect(app.accounts.calls.map(({ name }) => name)).toEqual(['getUserByIdentity'])
    expect(await app.me(browser)).toBeNull()
  })

  test('row 3: does not treat an unconfirmed address of a trusted provider as proven', async () => {
    await open('bitbucket')
    const answer = await app.signIn(browser, 'bob')
    expect(answer.location).toBe('/auth/bitbucket/email')
    expect(app.mails.map(({ to }) => to)).toEqual(['bob@example.com'])
  })

  test('row 4, omit: creates the account without an address, regardless of who holds it', async () => {
    await open('asserted', { policy: { untrustedEmail: 'omit' } })
    verified()
    await arrive('asserted')
    await expectSignedUp(null)
    expect(app.accounts.count('getAccountsByEmail')).toBe(0)
    expect(app.mails).toEqual([])
  })

  test('row 4, reject: refuses with email_unverified, regardless of who holds it', async () => {
    await open('asserted', { policy: { untrustedEmail: 'reject' } })
    verified()
    await expectRefused(await arrive('asserted'), 'email_unverified', 0)
  })

  const policy: Policy = { untrustedEmail: 'unverified' }
  test('row 5, unverified: creates the account with its address marked unverified if no account holds it', async () => {
    await open('asserted', { policy })
    await arrive('asserted')
    await expectSignedUp({ address: ADDRESS, verified: false, verifiedBy: null })
  })

  test.each(['verified', 'unverified'])('row 5: asks for proof of one %s holder', async (kind) => {
    await open('asserted', { policy })
    app.accounts.add({ email: ADDRESS, emailVerified: kind === 'verified' })
    await expectProve(await arrive('asserted'))
  })

  test.each<[string, Setting, () => unknown]>([
    ['matchingAccount: reject', { policy: { ...policy, matchingAccount: 'reject' } }, () => verified()],
    ['another identity', { policy }, () => verified({ identities: other() })],
    ['two holders', { policy }, () => [verified(), unverified()]],
    ['no describeUser', { policy, without: ['describeUser'] }, () => verified()],
    ['no listIdentities', { policy, without: ['listIdentities', 'updateProfile'] }, () => verified()],
  ])('row 5: refuses %s with account_exists', async (_what, setting, arrange) => {
    await open('asserted', setting)
    arrange()
    await expectRefused(await arrive('asserted'), 'account_exists', 1)
  })
})

describe.each(['bitbucket', 'code', 'typed'] as const)('rows 6 to 9: the address is proven, %s', (level) => {
  const verifiedBy = level === 'bitbucket' ? 'bitbucket' : 'code'
  const person = level === 'typed' ? 'dave' : 'alice'

  test('row 6: creates the account with its address marked verified if no account holds it', async () => {
    await open(level)
    await arrive(level)
    await expectSignedUp({ address: ADDRESS, verified: true, verifiedBy })
    expect(app.accounts.count('getAccountsByEmail')).toBe(1)
    expect(app.events.at(-1)).toMatchObject({ type: 'signed_up', userId: 'u1', identityId: fake.person(person).uuid })
  })

  test('row 7: refuses two verified holders as ambiguous', async () => {
    await open(level)
    verified()
    verified()
    await expectRefused(await arrive(level), 'email_ambiguous', 1)
  })

  test('row 8: links one verified holder if Bitbucket is trusted, and asks for proof otherwise', async () => {
    await open(level)
    const user = verified()
    unverified()
    const answer = await arrive(level)
    if (level === 'bitbucket') await expectLinked(user, answer)
    else await expectProve(answer)
  })

  test('row 8, codeOpensAccount: links after a code, and never by a typed address', async () => {
    await open(level, { policy: { codeOpensAccount: true } })
    const user = verified()
    const answer = await arrive(level)
    if (level === 'typed') await expectProve(answer)
    else await expectLinked(user, answer)
  })

  test.each<[string, Policy]>([
    ['autoLink: false', { codeOpensAccount: true }],
    ['matchingAccount: prove', { matchingAccount: 'prove' }],
  ])('row 8: asks for proof of %s', async (what, policy) => {
    await open(level, { policy })
    verified({ autoLink: what !== 'autoLink: false' })
    await expectProve(await arrive(level))
  })

  test.each<[string, string, Setting, () => unknown]>([
    ['canSignIn says no', 'account_disabled', {}, () => verified({ disabled: true })],
    ['matchingAccount: reject', 'account_exists', { policy: { matchingAccount: 'reject' } }, () => verified()],
    ['another identity', 'account_exists', {}, () => verified({ identities: other() })],
    ['no listIdentities', 'account_exists', { without: ['listIdentities', 'updateProfile'] }, () => verified()],
  ])('row 8: refuses %s with %s', async (_what, code, setting, arrange) => {
    await open(level, setting)
    arrange()
    await expectRefused(await arrive(level), code, 1)
  })

  test("case 26: row 8 accepts another identity with identitiesPerUser 'many'", async () => {
    await open(level, { policy: { identitiesPerUser: 'many' } })
    const user = verified({ identities: other() })
    const answer = await arrive(level)
    if (level !== 'bitbucket') {
      await expectProve(answer)
      await app.localSignIn(browser, user)
      await choose(app, browser, 'confirm')
    }
    expect(app.accounts.writes()).toEqual(['linkIdentity'])
    expect(user.identities.map(({ id }) => id)).toEqual([other()[0]?.id, fake.person(person).uuid])
    expect(await app.me(browser)).toBe(user.id)
  })

  test('row 8: links a trusted address without describeUser, and refuses everything else with account_exists', async () => {
    await open(level, { without: ['describeUser'] })
    const user = verified()
    const answer = await arrive(level)
    if (level === 'bitbucket') await expectLinked(user, answer)
    else await expectRefused(answer, 'account_exists', 1)
  })

  test('row 9, claimAddress: gives the address of an unverified holder to a new account, and never a typed one', async () => {
    await open(level)
    const squatter = unverified({ password: 'of the squatter', identities: other() })
    const answer = await arrive(level)
    if (level === 'typed') return expectRefused(answer, 'account_exists_unverified', 1)
    expect(app.accounts.writes()).toEqual(['claimAddress'])
    expect(squatter).toMatchObject({ email: null, password: 'of the squatter' })
    const heir = app.accounts.users.get('u2')
    expect(heir).toMatchObject({ email: ADDRESS, emailVerified: true, password: null })
    expect(heir?.identities.map(({ id }) => id)).toEqual([fake.person('alice').uuid])
    expect(app.accounts.endedSessions).toEqual([squatter.id, 'u2'].map((userId) => ({ userId, reason: 'claimed' })))
    expect(await app.me(browser)).toBe('u2')
    expect(app.events.at(-1)).toMatchObject({ type: 'claimed', userId: 'u2' })
  })

  test('row 9: claims several unverified holders together', async () => {
    await open(level)
    const users = [unverified(), unverified()]
    const answer = await arrive(level)
    if (level === 'typed') return expectRefused(answer, 'account_exists_unverified', 1)
    const claim = app.accounts.calls.find(({ name }) => name === 'claimAddress')
    expect(claim?.input.holders).toEqual(users)
  })

  test('row 9 without claimAddress: asks for proof of the only holder', async () => {
    await open(level, { without: ['claimAddress'] })
    unverified()
    await expectProve(await arrive(level))
  })

  test.each<[string, string, Setting, () => unknown]>([
    ['two holders', 'account_exists_unverified', { without: ['claimAddress'] }, () => [unverified(), unverified()]],
    [
      'another identity',
      'account_exists_unverified',
      { without: ['claimAddress'] },
      () => unverified({ identities: other() }),
    ],
    ['no describeUser', 'account_exists', { without: ['claimAddress', 'describeUser'] }, () => unverified()],
    ['matchingAccount: reject', 'account_exists', { policy: { matchingAccount: 'reject' } }, () => unverified()],
    [
      'a holder that may not sign in',
      'account_exists_unverified',
      { without: ['claimAddress'] },
      () => unverified({ disabled: true }),
    ],
  ])('row 9: refuses %s with %s', async (_what, code, setting, arrange) => {
    await open(level, setting)
    arrange()
    await expectRefused(await arrive(level), code, 1)
  })

  test('case 7: claims from holders that may not sign in as well', async () => {
    await open(level)
    const users = [unverified({ disabled: true }), unverified()]
    const answer = await arrive(level)
    if (level === 'typed') return expectRefused(answer, 'account_exists_unverified', 1)
    expect(users.map(({ email }) => email)).toEqual([null, null])
    expect(await app.me(browser)).toBe('u3')
  })

  test('ignores holders whose stored address differs by more than ASCII case', async () => {
    await open(level)
    app.accounts.intercept = (name) => {
      if (name !== 'getAccountsByEmail') return undefined
      const user = [...app.accounts.users.values()][0]
      return ['alicé@example.com', 'alice@example.com.', 'a.lice@example.com', 'alice+1@example.com'].map((email) => ({
        user,
        email,
        emailVerified: true,
      }))
    }
    app.accounts.add({ email: 'somebody@example.com' })
    await arrive(level)
    await expectSignedUp({ address: ADDRESS, verified: true, verifiedBy })
  })

  test('finds a holder in another ASCII case', async () => {
    await open(level, { policy: { codeOpensAccount: true } })
    verified({ email: 'ALICE@Example.COM' })
    const answer = await arrive(level)
    expect(app.accounts.writes()).toEqual(level === 'typed' ? [] : ['linkIdentity'])
    expect(answer.status).toBeLessThan(304)
  })
})

describe('sign-up is closed', () => {
  test.each<[string, Level, Policy]>([
    ['row 2', 'none', { missingEmail: 'allow' }],
    ['row 4', 'asserted', { untrustedEmail: 'omit' }],
    ['row 5', 'asserted', { untrustedEmail: 'unverified' }],
    ['row 6', 'bitbucket', {}],
    ['row 6 by code', 'code', {}],
    ['row 6 by a typed address', 'typed', {}],
  ])('%s: refuses to create an account', async (_row, level, policy) => {
    await open(level, { policy, signUp: false })
    const answer = await arrive(level)
    expect(errorOf(answer)).toBe('sign_up_disabled')
    expect(app.accounts.writes()).toEqual([])
  })

  test('row 9: claims no address for a new account, asks for proof of one holder and refuses two', async () => {
    await open('bitbucket', { signUp: false })
    unverified()
    await expectProve(await arrive('bitbucket'))
    unverified()
    openBrowser()
    expect(errorOf(await arrive('bitbucket'))).toBe('account_exists_unverified')
    expect(app.accounts.writes()).toEqual([])
  })

  test('row 3: mails the code all the same, so that a closed sign-up does not reveal who has an account', async () => {
    await open('asserted', { signUp: false })
    expect((await arrive('asserted')).location).toBe('/auth/bitbucket/email')
    expect(app.mails).toHaveLength(1)
  })

  test('signs known identities in, and links matching accounts', async () => {
    await open('bitbucket', { signUp: false })
    const user = verified()
    await arrive('bitbucket')
    const again = new TestBrowser()
    await app.signIn(again, 'alice')
    expect(await app.me(again)).toBe(user.id)
  })
})

describe('missing optional hooks', () => {
  test('need four to sign users up and in', async () => {
    const optional = [
      'claimAddress',
      'unlinkIdentity',
      'listIdentities',
      'describeUser',
      'storeTokens',
      'updateProfile',
      'canSignIn',
      'endOtherSessions',
    ] as const
    await open('bitbucket', { without: [...optional] })
    await arrive('bitbucket')
    await expectSignedUp({ address: ADDRESS, verified: true, verifiedBy: 'bitbucket' })
    const again = new TestBrowser()
    await app.signIn(again, 'alice')
    expect(await app.me(again)).toBe('u1')
  })

  test('cause a warning at the start with their names and consequences', async () => {
    warnings.mockClear()
    await open('bitbucket', { without: ['describeUser', 'listIdentities'] })
    expect(warnings.mock.calls[0]?.[0]).toContain('listIdentities and describeUser')
    expect(warnings.mock.calls[0]?.[0]).toContain('account_exists')
  })

  test('cause no warning if all are set', async () => {
    warnings.mockClear()
    await open('bitbucket')
    expect(warnings).not.toHaveBeenCalled()
  })
})

describe('which address counts', () => {
  test.each([
    ['carol', 'carol@example.com', true],
    ['erin', 'erin@example.com', true],
    ['frank', 'frank.second@example.org', true],
  ])('%s signs up with %s', async (person, address) => {
    await open('bitbucket')
    await app.signIn(browser, person)
    await expectSignedUp({ address, verified: true, verifiedBy: 'bitbucket' })
  })

  test('asks for one without the permission to read addresses, and reports why in an event', async () => {
    await open('bitbucket')
    fake.script('emails', { problem: 'missing-scope' })
    expect((await app.signIn(browser, 'alice')).location).toBe('/auth/bitbucket/email')
    expect((await browser.get(`${app.url}/auth/bitbucket/email`)).text).toContain('What is your email address?')
    expect(app.events.map(({ type }) => type)).toContain('scope_missing')
  })

  test('ignores an address in the profile itself', async () => {
    await open('bitbucket')
    fake.updatePerson('dave', { user: { email: 'victim@example.com', email_verified: true, is_confirmed: true } })
    expect((await app.signIn(browser, 'dave')).location).toBe('/auth/bitbucket/email')
    expect((await browser.get(`${app.url}/auth/bitbucket/email`)).text).toContain('What is your email address?')
  })
})

test('case 26: a link that loses to another one of the same user is refused as that, and not as linked elsewhere', async () => {
  await open('code')
  const user = verified()
  await expectProve(await arrive('code'))
  await app.localSignIn(browser, user)
  app.accounts.intercept = (name) => {
    if (name !== 'linkIdentity') return
    user.identities = other()
    throw new IdentityTakenError()
  }
  const answer = await choose(app, browser, 'confirm')
  expect([answer.status, errorOf(answer)]).toEqual([409, 'another_identity_linked'])
  expect(user.identities).toEqual(other())
})

test('links a user who proves the matching account after the code with one write', async () => {
  await open('code')
  const user = verified()
  await expectProve(await arrive('code'))
  await app.localSignIn(browser, user)
  const answer = await choose(app, browser, 'confirm')
  await expectLinked(user, answer)
})
