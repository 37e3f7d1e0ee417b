import { expect } from 'vitest'
import { TestBrowser } from '../support/browser'
import {
  browsers,
  expectRefusal,
  GOOD_TOKEN,
  GOOD_USER,
  goodAnswer,
  jsonBytes,
  startLab,
  startRawLab,
  test,
} from '../support/lab'

const one = (address: string, confirmed: boolean) => ({ emails: [{ address, primary: true, confirmed }] })

/** The addresses that `createUser` was given as verified. */
function verified(lab: Awaited<ReturnType<typeof startLab>>): unknown[] {
  return lab.accounts.calls
    .filter(({ name }) => name === 'createUser')
    .map(({ input }) => (input.email as { verified?: boolean } | null)?.verified ?? null)
}

test('EML-01: never accepts an unconfirmed address as verified, whatever the trust', async () => {
  for (const trustedProvider of [true, false]) {
    const lab = await startLab({ connection: { trustedProvider } })
    lab.fake.updatePerson('bob', one('bob@example.com', false))
    const { attacker } = browsers()
    await lab.pendingCode(attacker, 'bob')
    expect(await lab.me(attacker)).toBeNull()
    expect(verified(lab)).toEqual([])
    expect(lab.accounts.count('getAccountsByEmail')).toBe(0)
  }
  const lab = await startLab()
  await lab.signIn(new TestBrowser(), 'alice')
  expect(verified(lab)).toEqual([true])
})

test('EML-01: treats only the value true as confirmation', async () => {
  for (const is_confirmed of ['true', 1, {}, [], 'yes', null, undefined]) {
    const lab = await startLab()
    lab.fake.script('emails', {
      json: { values: [{ type: 'email', email: 'alice@example.com', is_primary: true, is_confirmed }] },
    })
    const { attacker } = browsers()
    const answer = await lab.signIn(attacker, 'alice')
    // A flag that is neither true nor false could have been meant either way: such a list was not read.
    if (is_confirmed === null || is_confirmed === undefined) expect(answer.location).toBe('/auth/bitbucket/email')
    else expect(answer.status).toBe(502)
    expect(lab.accounts.users.size).toBe(0)
  }
})

test('EML-05: opens no account by an unconfirmed address of a trusted provider', async () => {
  const lab = await startLab({ connection: { trustedProvider: true } })
  const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
  lab.fake.updatePerson('bob', one('alice@example.com', false))
  const { victim, attacker } = browsers()
  await lab.pendingCode(attacker, 'bob')
  expect(await lab.me(attacker)).toBeNull()
  expect(owner.identities).toEqual([])
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe(owner.id)
})

test('EML-05: uses a confirmed address before an unconfirmed primary one', async ({ lab }) => {
  const squat = lab.accounts.add({ email: 'frank@example.com', emailVerified: true })
  const { victim } = browsers()
  await lab.signIn(victim, 'frank')
  expect(squat.identities).toEqual([])
  expect(lab.accounts.users.get('u2')).toMatchObject({ email: 'frank.second@example.org', emailVerified: true })
})

test('EML-07: drops strings that are not addresses, and reads neither malformed nor endless lists', async () => {
  const good = { type: 'email', email: 'alice@example.com', is_primary: true, is_confirmed: true }
  const unreadable: unknown[] = [null, {}, 'alice@example.com', 5, [null], [1], ['x'], [[]], [{}]]
  unreadable.push([{ is_primary: true, is_confirmed: true }], [{ ...good, email: ['alice@example.com'] }])
  const strange: unknown[] = [[], [{ ...good, type: 'phone' }]]
  strange.push([{ ...good, email: `${'a'.repeat(300)}@example.com` }], [{ ...good, email: 'a@b@example.com' }])
  strange.push([{ ...good, email: '"a b"@example.com' }], [{ ...good, email: 'alice@localhost' }])
  strange.push([{ ...good, email: 'alice@example.com\r\nBcc: x@y.test' }], [{ ...good, email: 'älice@example.com' }])
  strange.push(
    [good, { ...good, email: 'other@example.com', is_confirmed: false }].map((each) => ({
      ...each,
      is_confirmed: false,
    })),
  )
  for (const values of [...strange, ...unreadable]) {
    const lab = await startLab()
    lab.fake.script('emails', { json: { values } })
    const { victim } = browsers()
    const { status, location } = await lab.signIn(victim, 'alice')
    if (unreadable.includes(values)) expect(status).toBe(502)
    else expect(location).toBe('/auth/bitbucket/email')
    expect(lab.mails).toEqual([])
    expect(await lab.me(victim)).toBeNull()
  }
  const lab = await startLab()
  const many = (length: number) =>
    Array.from({ length }, (_, at) => ({ ...good, email: `x${at}@example.com`, is_primary: false }))
  const { victim } = browsers()
  lab.fake.script('emails', { json: { values: [good, ...many(10_000)] } })
  expect((await lab.signIn(victim, 'alice')).status).toBe(502)
  lab.fake.script('emails', { json: { values: [good, ...many(99)] } })
  await lab.signIn(victim, 'alice')
  expect(lab.accounts.users.get('u1')?.email).toBe('alice@example.com')
})

test('EML-09: ignores addresses and flags inside the profile', async ({ lab }) => {
  lab.fake.updatePerson('dave', {
    user: {
      email: 'victim@example.com',
      email_verified: true,
      is_confirmed: true,
      emails: [{ value: 'victim@example.com', verified: true }],
      values: [{ type: 'email', email: 'victim@example.com', is_primary: true, is_confirmed: true }],
    },
  })
  const { attacker } = browsers()
  expect((await lab.signIn(attacker, 'dave')).location).toBe('/auth/bitbucket/email')
  expect((await lab.get(attacker, '/email')).text).not.toContain('v***')
  expect(lab.mails).toEqual([])
  // The same address where Bitbucket lists addresses.
  lab.fake.updatePerson('dave', one('victim@example.com', false))
  expect((await lab.pendingCode(new TestBrowser(), 'dave')).to).toBe('victim@example.com')
})

test('EML-11: refuses a trust flag that is not a boolean at construction', async () => {
  for (const trustedProvider of ['false', 'true', 1, 0, {}, [], 'yes', null]) {
    await expect(startLab({ connection: { trustedProvider: trustedProvider as never } })).rejects.toThrow(
      /trustedProvider.*must be a boolean/,
    )
  }
  // Without the switch it is off.
  const lab = await startLab({
    resolver:
      ({ trustedProvider: _, ...rest }) =>
      () =>
        rest,
  })
  const { victim } = browsers()
  await lab.pendingCode(victim, 'alice')
  expect(await lab.me(victim)).toBeNull()
  const trusting = await startLab({ connection: { trustedProvider: true } })
  await trusting.signIn(victim, 'alice')
  expect(await trusting.me(victim)).toBe('u1')
})

test('EML-12: does not match a user without an address with accounts whose address is empty', async () => {
  for (const missingEmail of ['ask', 'allow', 'reject'] as const) {
    const lab = await startLab({ options: { policy: { missingEmail } } })
    lab.accounts.add({ email: '', emailVerified: true })
    lab.accounts.add({ email: null, emailVerified: true })
    const { attacker } = browsers()
    await lab.signIn(attacker, 'dave')
    expect(lab.accounts.count('getAccountsByEmail')).toBe(0)
    expect(await lab.me(attacker)).toBe(missingEmail === 'allow' ? 'u3' : null)
    await lab.signIn(new TestBrowser(), 'alice')
    expect(lab.accounts.count('getAccountsByEmail')).toBe(1)
  }
})

test('EML-13: asks for an address when the permission to read addresses is missing', async ({ lab }) => {
  lab.fake.setBehaviour({ accountGivesEmails: false })
  lab.fake.script('emails', { problem: 'missing-scope' })
  const { victim } = browsers()
  expect((await lab.signIn(victim, 'alice')).location).toBe('/auth/bitbucket/email')
  expect(lab.events.some(({ type }) => type === 'scope_missing')).toBe(true)
  expect(await lab.me(victim)).toBeNull()
  // A fault is not "has no address": it admits no new user.
  lab.fake.script('emails', { status: 500 })
  const { attacker } = browsers()
  const url = await lab.callback(attacker, 'carol')
  await lab.refused(attacker, () => attacker.get(url), { code: 'upstream_failed' })
})

test('EML-14: refuses an address that two accounts have proven', async ({ lab }) => {
  lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
  const second = lab.accounts.add({ email: 'ALICE@example.com', emailVerified: true })
  const { victim, attacker } = browsers()
  const url = await lab.callback(victim, 'alice')
  await lab.refused(victim, () => victim.get(url), { code: 'email_ambiguous' })
  second.email = 'other@example.com'
  await lab.signIn(attacker, 'alice')
  expect(await lab.me(attacker)).toBe('u1')
})

test('EML-15: keeps the Bitbucket identity of an account when another identity shows its address', async ({
  lab,
  victim,
  attacker,
}) => {
  await lab.signIn(victim, 'alice')
  const owner = lab.accounts.users.get('u1')
  const identity = owner?.identities[0]
  lab.fake.updatePerson('bob', one('alice@example.com', true))
  const url = await lab.callback(attacker, 'bob')
  await lab.refused(attacker, () => attacker.get(url), { code: 'account_exists' })
  expect(owner?.identities).toEqual([identity])
})

test('EML-15: never enters an account by its address if it may not sign in', async ({ lab }) => {
  const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true, disabled: true })
  const { attacker } = browsers()
  const url = await lab.callback(attacker, 'alice')
  await lab.refused(attacker, () => attacker.get(url), { code: 'account_disabled' })
  expect(owner).toMatchObject({ password: 'secret', identities: [] })
  owner.disabled = false
  await lab.signIn(attacker, 'alice')
  expect(await lab.me(attacker)).toBe(owner.id)
})

test('EML-15: case 7: lets the owner claim an address from a holder that never proved it and may not sign in', async () => {
  for (const claims of [true, false]) {
    const lab = await startLab(claims ? {} : { without: ['claimAddress'] })
    const squatter = lab.accounts.add({ email: 'alice@example.com', disabled: true })
    const { victim } = browsers()
    const answer = await lab.signIn(victim, 'alice')
    if (claims) expect(await lab.me(victim)).toBe('u2')
    else expectRefusal(answer, { code: 'account_exists_unverified' })
    expect(squatter).toMatchObject({ password: 'secret', identities: [], email: claims ? null : 'alice@example.com' })
    expect(lab.signedIn()).toEqual(claims ? ['u2'] : [])
  }
})

test('EML-16: enters no account by an unproven address under any combination of policies', async () => {
  for (const untrustedEmail of ['verify', 'unverified', 'omit', 'reject'] as const) {
    for (const matchingAccount of ['link', 'prove', 'reject'] as const) {
      for (const codeOpensAccount of [true, false]) {
        const lab = await startLab({ options: { policy: { untrustedEmail, matchingAccount, codeOpensAccount } } })
        const owner = lab.accounts.add({ email: 'bob@example.com', emailVerified: true, name: 'bob' })
        const { attacker } = browsers()
        await lab.signIn(attacker, 'bob')
        expect(await lab.me(attacker)).not.toBe(owner.id)
        expect(owner.identities).toEqual([])
        lab.fake.updatePerson('bob', one('bob@example.com', true))
        if (untrustedEmail === 'unverified' || untrustedEmail === 'omit') lab.accounts.users.delete('u2')
        const victim = new TestBrowser()
        await lab.signIn(victim, 'bob')
        expect(await lab.me(victim)).toBe(matchingAccount === 'link' ? owner.id : null)
      }
    }
  }
})

test('EML-18: passes addresses on as written, and compares them without folding more than ASCII case', async ({
  lab,
}) => {
  const plain = lab.accounts.add({ email: 'vim@example.com', emailVerified: true })
  const others = ['v.im@example.com', 'vim+tag@example.com', 'vim@exa-mple.com', 'vim@example.com.test']
  for (const [at, address] of others.entries()) {
    lab.fake.addPerson({ key: `p${at}`, ...one(address, true) })
    const browser = new TestBrowser()
    await lab.signIn(browser, `p${at}`)
    expect(await lab.me(browser)).toBe(`u${at + 2}`)
    expect(lab.accounts.users.get(`u${at + 2}`)?.email).toBe(address)
  }
  // A database that folds more than it should finds too much; the comparison here is the one that counts.
  // A dotless i, and the sign for kelvin: `toLowerCase` makes a plain k of it.
  for (const [at, [stored, named]] of [
    ['vım@example.com', 'vim@example.com'],
    ['\u212aim@example.com', 'kim@example.com'],
  ].entries()) {
    lab.accounts.intercept = (name) =>
      name === 'getAccountsByEmail' ? [{ user: plain, email: stored, emailVerified: true }] : undefined
    lab.fake.addPerson({ key: `folded${at}`, ...one(named ?? '', true) })
    const folded = new TestBrowser()
    await lab.signIn(folded, `folded${at}`)
    expect(await lab.me(folded)).not.toBe(plain.id)
    expect(plain.identities).toEqual([])
    lab.accounts.intercept = () => {}
    lab.accounts.users.delete((await lab.me(folded)) ?? '')
  }
  lab.fake.addPerson({ key: 'case', ...one('VIM@Example.COM', true) })
  const control = new TestBrowser()
  await lab.signIn(control, 'case')
  expect(await lab.me(control)).toBe(plain.id)
})

test('EML-18: keeps an address byte for byte', async () => {
  const raw = await startRawLab((path, socket) => {
    if (path.startsWith('/2.0/user/emails')) {
      socket.write(
        jsonBytes({ values: [{ type: 'email', email: 'Raw+Tag@Example.COM', is_primary: true, is_confirmed: true }] }),
      )
    } else if (path === '/2.0/user') socket.write(jsonBytes(GOOD_USER))
    else if (path === '/token') socket.write(jsonBytes(GOOD_TOKEN))
    else goodAnswer(path, socket)
  })
  await raw.call()
  expect(raw.lab.accounts.users.get('u1')?.email).toBe('Raw+Tag@Example.COM')
})
