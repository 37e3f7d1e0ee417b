import { expect } from 'vitest'
import { formsOf, TestBrowser } from '../support/browser'
import { browsers, MINUTE, startLab, test, travel } from '../support/lab'

const emails = (address: string, confirmed: boolean) => ({ emails: [{ address, primary: true, confirmed }] })

test("PRE-02: gives an attacker with the victim's address at Bitbucket at most a code in the victim's mailbox", async () => {
  for (const [trustedProvider, confirmed] of [
    [true, false],
    [false, true],
    [false, false],
  ] as const) {
    const lab = await startLab({ connection: { trustedProvider } })
    const owner = lab.accounts.add({ email: 'victim@example.com', emailVerified: true })
    lab.fake.updatePerson('bob', emails('victim@example.com', confirmed))
    const { attacker } = browsers()
    const { code, to } = await lab.pendingCode(attacker, 'bob')
    expect(to).toBe('victim@example.com')
    expect(await lab.me(attacker)).toBeNull()
    // Even the right code opens nothing: the account's own sign-in has to be shown as well.
    const answer = await lab.verify(attacker, code)
    expect(answer.location).toBe('/auth/bitbucket/continue')
    expect(await lab.me(attacker)).toBeNull()
    const prove = await lab.get(attacker, '/continue')
    expect(prove.text).not.toContain('Local user')
    await lab.post(attacker, '/continue', { ...formsOf(prove.text)[0]?.fields, choice: 'confirm' })
    expect(await lab.me(attacker)).toBeNull()
    expect(lab.accounts.writes()).toEqual([])
    expect(owner.identities).toEqual([])
  }
  // The control: both sides proven.
  const lab = await startLab()
  const owner = lab.accounts.add({ email: 'victim@example.com', emailVerified: true })
  lab.fake.updatePerson('bob', emails('victim@example.com', true))
  const { victim } = browsers()
  await lab.signIn(victim, 'bob')
  expect(await lab.me(victim)).toBe(owner.id)
})

test('PRE-02: does not confirm a link by a sign-in to another account', async ({ untrusted: lab }) => {
  const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
  const mallory = lab.accounts.add({ email: 'mallory@example.com', emailVerified: true })
  const { attacker } = browsers()
  const { code } = await lab.pendingCode(attacker, 'alice')
  await lab.verify(attacker, code)
  const form = formsOf((await lab.get(attacker, '/continue')).text)[0]
  await lab.localSignIn(attacker, mallory)
  const page = await lab.post(attacker, '/continue', { ...form?.fields, choice: 'confirm' })
  expect(page.status).toBe(409)
  expect(mallory.identities).toEqual([])
  expect(owner.identities).toEqual([])
  await lab.localSignIn(attacker, owner)
  expect((await lab.get(attacker, '/continue')).location).toBe('/')
  expect(owner.identities).toEqual([])
  // The control: started again, the owner's own sign-in confirms it.
  travel(MINUTE + 1000)
  const { victim } = browsers()
  await lab.verify(victim, (await lab.pendingCode(victim, 'alice')).code)
  await lab.localSignIn(victim, owner)
  await lab.press(victim, '/continue', '/continue', { choice: 'confirm' })
  expect(owner.identities).toHaveLength(1)
})

test('PRE-04: voids what the squatter left open once the owner has claimed the address', async ({
  lab,
  victim,
  attacker,
}) => {
  const squatted = await lab.member(attacker, { email: 'alice@example.com', emailVerified: true })
  const link = await lab.fake.signIn(await lab.link(attacker), { person: 'carol' })
  squatted.emailVerified = false
  const reauthentication = (await lab.post(attacker, '/reauthenticate')).location
  await lab.signIn(victim, 'alice')
  const owner = lab.accounts.users.get((await lab.me(victim)) ?? '')
  expect(owner).toMatchObject({ email: 'alice@example.com', emailVerified: true, password: null })
  expect(owner?.id).not.toBe(squatted.id)
  expect(squatted.email).toBeNull()
  expect(lab.accounts.endedSessions).toContainEqual({ userId: squatted.id, reason: 'claimed' })
  // The app ends the squatter's sessions, as the hook asks.
  for (const [id, json] of Object.entries((lab.store as unknown as { sessions: Record<string, string> }).sessions)) {
    if (attacker.jar(lab.url).get('connect.sid')?.includes(id) && json) lab.store.destroy(id)
  }
  await lab.refused(attacker, () => attacker.get(link), { code: 'not_signed_in' })
  const again = await lab.fake.signIn(reauthentication, { person: 'carol' })
  await lab.refused(attacker, () => attacker.get(again), { code: 'not_signed_in' })
  expect(squatted.identities).toEqual([])
  expect(owner?.identities.map(({ profile }) => profile?.nickname)).toEqual(['alice'])
})

test("PRE-04: links nothing into the owner's account from a surviving session of the squatter", async ({
  lab,
  victim,
  attacker,
}) => {
  const squatted = await lab.member(attacker, { email: 'alice@example.com', emailVerified: true })
  const link = await lab.fake.signIn(await lab.link(attacker), { person: 'carol' })
  squatted.emailVerified = false
  await lab.signIn(victim, 'alice')
  const owner = lab.accounts.users.get((await lab.me(victim)) ?? '')
  expect(owner?.id).not.toBe(squatted.id)
  await attacker.get(link)
  expect(await lab.me(attacker)).toBe(squatted.id)
  expect(owner?.identities.map(({ profile }) => profile?.nickname)).toEqual(['alice'])
})

test('PRE-06: links no identity to an account with an unverified address', async ({ lab, attacker }) => {
  const squatted = await lab.member(attacker, { email: 'victim@example.com', emailVerified: false })
  await lab.refused(attacker, () => lab.post(attacker, '/link'), { code: 'email_unverified' })
  expect(squatted.identities).toEqual([])
  squatted.emailVerified = true
  expect((await lab.post(attacker, '/link')).status).toBe(303)
})

test('PRE-08: never stores an unconfirmed address as verified, whatever the policy', async () => {
  for (const untrustedEmail of ['unverified', 'omit', 'reject', 'verify'] as const) {
    const lab = await startLab({ options: { policy: { untrustedEmail } } })
    lab.fake.updatePerson('bob', emails('victim@example.com', false))
    const { attacker } = browsers()
    await lab.signIn(attacker, 'bob')
    const created = [...lab.accounts.users.values()]
    expect(created.every(({ emailVerified }) => !emailVerified)).toBe(true)
    expect(created).toHaveLength(untrustedEmail === 'unverified' || untrustedEmail === 'omit' ? 1 : 0)
    expect(JSON.stringify(lab.accounts.calls.map(({ input }) => input.email ?? null))).not.toContain('"verified":true')
    if (untrustedEmail === 'omit') expect(created[0]?.email).toBeNull()
  }
})

test('PRE-08: does not enter the victim\'s account by an unproven address under "unverified"', async () => {
  const lab = await startLab({ options: { policy: { untrustedEmail: 'unverified' } } })
  const owner = lab.accounts.add({ email: 'bob@example.com', emailVerified: true })
  const { attacker } = browsers()
  const answer = await lab.signIn(attacker, 'bob')
  expect(answer.location).toBe('/auth/bitbucket/continue')
  expect(await lab.me(attacker)).toBeNull()
  expect(owner.identities).toEqual([])
  expect(lab.accounts.users.size).toBe(1)
})

test('PRE-10: mails the purpose and the masked Bitbucket account, and nothing of the attacker', async ({
  untrusted: lab,
}) => {
  const hostile = 'Visit https://evil.example/now\r\nBcc: all@example.com <b>hurry</b>'
  lab.fake.updatePerson('bob', { nickname: hostile, displayName: hostile, ...emails('victim@example.com', false) })
  const { attacker } = browsers()
  const mail = await lab.pendingCode(attacker, 'bob')
  expect(mail).toMatchObject({ to: 'victim@example.com', purpose: 'verify-address' })
  expect(mail.maskedIdentity).toBe('Vi***')
  expect(mail.expiresAt.getTime() - Date.now()).toBeLessThanOrEqual(10 * 60 * 1000)
  expect(JSON.stringify(mail)).not.toMatch(/evil|Bcc|https?:\/\/(?!127\.0\.0\.1)/)
})

test('PRE-11: ignores a later change of address at Bitbucket, and still lets its owner sign up', async ({
  lab,
  victim,
  attacker,
}) => {
  lab.fake.updatePerson('bob', emails('bob@example.com', true))
  await lab.signIn(attacker, 'bob')
  lab.fake.updatePerson('bob', emails('alice@example.com', true))
  await attacker.post(`${lab.url}/logout`, {})
  await lab.signIn(attacker, 'bob')
  expect(await lab.me(attacker)).toBe('u1')
  expect(lab.accounts.users.get('u1')).toMatchObject({ email: 'bob@example.com' })
  expect(lab.accounts.count('getAccountsByEmail')).toBe(1)
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u2')
  expect(lab.accounts.users.get('u2')).toMatchObject({ email: 'alice@example.com', emailVerified: true })
})

test('PRE-12: treats a user who takes over a name at Bitbucket as another identity', async ({ lab }) => {
  await lab.signIn(new TestBrowser(), 'alice')
  lab.fake.removePerson('alice')
  lab.fake.addPerson({
    key: 'mallory',
    username: 'alice',
    nickname: 'alice',
    displayName: 'Alice Archer',
    emails: [{ address: 'mallory@example.com', primary: true, confirmed: true }],
  })
  const { attacker } = browsers()
  await lab.signIn(attacker, 'mallory')
  expect(await lab.me(attacker)).toBe('u2')
  expect(lab.accounts.users.get('u1')?.identities).toHaveLength(1)
})

test('PRE-14: gives the address of a prepared account to the user who proves it only', async ({ lab }) => {
  const prepared = lab.accounts.add({ email: 'alice@example.com', emailVerified: false, password: null })
  const { victim, attacker } = browsers()
  lab.fake.updatePerson('bob', emails('alice@example.com', false))
  await lab.signIn(attacker, 'bob')
  expect(await lab.me(attacker)).toBeNull()
  expect(prepared.identities).toEqual([])
  await lab.signIn(victim, 'alice')
  const owner = lab.accounts.users.get((await lab.me(victim)) ?? '')
  expect(owner).toMatchObject({ email: 'alice@example.com', emailVerified: true })
  expect(owner?.identities[0]?.profile?.nickname).toBe('alice')
  expect(prepared).toMatchObject({ email: null, identities: [] })
})

test('PRE-04: creates no account by a claim while sign-up is closed', async () => {
  for (const signUp of [false, true]) {
    const lab = await startLab({ connection: { signUp } })
    const invited = lab.accounts.add({ email: 'alice@example.com' })
    const { attacker } = browsers()
    const answer = await lab.signIn(attacker, 'alice')
    expect(lab.accounts.writes()).toEqual(signUp ? ['claimAddress'] : [])
    expect(await lab.me(attacker)).toBe(signUp ? 'u2' : null)
    if (signUp) continue
    expect(answer.location).toBe('/auth/bitbucket/continue')
    expect(invited.email).toBe('alice@example.com')
  }
})
