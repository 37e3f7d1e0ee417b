import { expect } from 'vitest'
import type { TestUser } from '../support/accounts'
import { formsOf, TestBrowser } from '../support/browser'
import { browsers, door, type Lab, MINUTE, SECOND, sessionIdOf, startLab, test, travel } from '../support/lab'

/** A member who came all the way back from Bitbucket to the callback of a link. */
async function linkAs(lab: Lab, browser: TestBrowser, person: string) {
  return browser.get(await lab.fake.signIn(await lab.link(browser), { person }))
}

test('LNK-01: starts no link on a GET, whatever it contains', async ({ lab, victim }) => {
  await lab.member(victim)
  for (const site of ['cross-site', 'same-site', 'none', 'same-origin']) {
    const answer = await victim.get(`${lab.base}/link?start=1&confirm=1`, { headers: { 'sec-fetch-site': site } })
    expect(answer.status).toBe(200)
    expect(answer.location).toBe('')
    expect(answer.setCookies.some((line) => line.startsWith('bitbucket.'))).toBe(false)
  }
  expect((await linkAs(lab, victim, 'alice')).location).toBe('/')
  expect(lab.accounts.users.get('u1')?.identities).toHaveLength(1)
})

const FOREIGN: Record<string, string | undefined>[] = [
  { 'sec-fetch-site': undefined, origin: 'https://evil.example' },
  { 'sec-fetch-site': undefined, origin: 'null' },
  { 'sec-fetch-site': undefined, origin: undefined },
  { 'sec-fetch-site': undefined, origin: 'http://127.0.0.1' },
  { 'sec-fetch-site': 'cross-site' },
  { 'sec-fetch-site': 'same-site' },
  { 'sec-fetch-site': 'none' },
  { 'sec-fetch-site': '' },
  { 'sec-fetch-site': 'Same-Origin' },
]

test('LNK-02: starts no link on a POST from another site', async ({ lab, victim }) => {
  await lab.member(victim)
  for (const headers of FOREIGN) {
    await lab.refused(victim, () => lab.post(victim, '/link', {}, { headers }), { code: 'cross_site_request' })
  }
  // An old browser without fetch metadata, from one of our pages.
  const genuine = await lab.post(victim, '/link', {}, { headers: { 'sec-fetch-site': undefined, origin: lab.url } })
  expect(genuine.status).toBe(303)
})

test('LNK-02: treats a POST from another domain of the app as one from another site', async () => {
  const lab = await startLab({
    resolver: (defaults) => {
      const { port } = new URL(defaults.callbackURL)
      const connection = { ...defaults, origins: [`http://b.localhost:${port}`, `http://c.localhost:${port}`] }
      return () => connection
    },
  })
  const { port } = new URL(lab.url)
  const at = (name: string) => `http://${name}.localhost:${port}`
  const { victim } = browsers()
  const user = lab.accounts.add({ email: 'member@example.com', emailVerified: true })
  await victim.post(`${at('b')}/local/${user.id}`, {})
  const post = (origin: string) =>
    victim.post(`${at('b')}/auth/bitbucket/link`, {}, { headers: { 'sec-fetch-site': undefined, origin } })
  for (const origin of [at('c'), lab.url, 'https://evil.example']) expect((await post(origin)).status).toBe(403)
  expect((await post(at('b'))).status).toBe(303)
})

test('LNK-03: trusts Sec-Fetch-Site over a matching Origin, on every route that changes something', async ({
  lab,
  victim,
}) => {
  await lab.member(victim)
  await linkAs(lab, victim, 'alice')
  const id = lab.accounts.users.get('u1')?.identities[0]?.id ?? ''
  const routes = [
    '/link',
    '/unlink',
    '/reauthenticate',
    '/continue',
    '/cancel',
    '/email/address',
    '/email/code',
    '/email/verify',
  ]
  for (const path of routes) {
    for (const site of ['cross-site', 'same-site']) {
      const headers = { 'sec-fetch-site': site, origin: lab.url }
      await lab.refused(victim, () => lab.post(victim, path, { id }, { headers }), { code: 'cross_site_request' })
    }
  }
  expect((await lab.post(victim, '/unlink', { id })).status).toBe(303)
})

test('LNK-05: ends no link with another user signed in than the one who started it', async ({ lab, victim }) => {
  await lab.member(victim, { email: 'first@example.com' })
  const callback = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
  const second = lab.accounts.add({ email: 'second@example.com', emailVerified: true })
  await lab.localSignIn(victim, second)
  await lab.refused(victim, () => victim.get(callback), { code: 'session_changed' })
  // The same user in a new session: the one that asked is over.
  const again = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
  await lab.localSignIn(victim, second)
  await lab.refused(victim, () => victim.get(again), { code: 'session_changed' })
  const signedOut = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
  const past = victim.copy()
  past.jar(lab.url).delete('connect.sid')
  await lab.refused(past, () => past.get(signedOut), { code: 'not_signed_in' })
  expect(second.identities).toEqual([])
  // Another user in the same session, in an app that does not rotate it.
  const kept = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
  const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
  const id = sessionIdOf(victim, lab) ?? ''
  const whole = sessions[id] ?? ''
  sessions[id] = whole.replace(`"user":"${second.id}"`, '"user":"u1"')
  expect(sessions[id]).not.toBe(whole)
  await lab.refused(victim, () => victim.get(kept), { code: 'session_changed' })
  sessions[id] = whole
  await linkAs(lab, victim, 'alice')
  expect(second.identities).toHaveLength(1)
})

test('LNK-07: stores an identity once that is linked twice, also concurrently', async ({ lab, victim }) => {
  const user = await lab.member(victim)
  await linkAs(lab, victim, 'alice')
  expect((await linkAs(lab, victim, 'alice')).location).toBe('/')
  expect(user.identities).toHaveLength(1)
  const parallel = await startLab()
  const other = await parallel.member(victim)
  const urls = []
  for (let tab = 0; tab < 4; tab++)
    urls.push(await parallel.fake.signIn(await parallel.link(victim), { person: 'alice' }))
  // None writes before all have read that no user has the identity.
  const gate = door()
  let writing = 0
  parallel.accounts.intercept = (name) => {
    if (name !== 'linkIdentity') return undefined
    if (++writing === urls.length) gate.open()
    return gate.opened
  }
  const answers = await Promise.all(urls.map((url) => victim.copy().get(url)))
  expect(other.identities).toHaveLength(1)
  expect(answers.every(({ status, location }) => location === '/' || status === 409)).toBe(true)
  expect(answers.some(({ location }) => location === '/')).toBe(true)
})

test('LNK-08: refuses a second Bitbucket identity and keeps the first, unless the app allows many', async ({
  lab,
  victim,
}) => {
  const user = await lab.member(victim)
  const second = await lab.fake.signIn(await lab.link(victim), { person: 'carol' })
  await linkAs(lab, victim, 'alice')
  const [first] = user.identities
  // The form is gone from the page, so the POST is the attack.
  const started = await lab.post(victim, '/link')
  await lab.refused(victim, async () => victim.get(await lab.fake.signIn(started.location, { person: 'carol' })), {
    code: 'another_identity_linked',
  })
  await lab.refused(victim, () => victim.get(second))
  expect(user.identities).toEqual([first])
  const many = await startLab({ options: { policy: { identitiesPerUser: 'many' } } })
  const collector = await many.member(victim)
  await linkAs(many, victim, 'alice')
  await linkAs(many, victim, 'carol')
  expect(collector.identities).toHaveLength(2)
})

test('LNK-09: requires a sign-in of the last ten minutes to link and unlink', async ({ lab, victim }) => {
  const user = await lab.member(victim)
  await linkAs(lab, victim, 'alice')
  const id = user.identities[0]?.id ?? ''
  travel(10 * MINUTE + SECOND)
  for (const [path, fields] of [
    ['/link', {}],
    ['/unlink', { id }],
  ] as const) {
    await lab.refused(victim, () => lab.post(victim, path, fields), { code: 'recent_sign_in_required' })
  }
  travel(10 * MINUTE - 5 * SECOND)
  expect((await lab.post(victim, '/unlink', { id })).status).toBe(303)
})

test("LNK-09: accepts neither another user's recent sign-in nor a stamp from the future", async () => {
  const lab = await startLab({ options: { signedInAt: () => null } })
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  const other = lab.accounts.add({ email: 'other@example.com', emailVerified: true })
  // The app signs another user in and copies the session's content, stamp included.
  const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
  const id = sessionIdOf(victim, lab) ?? ''
  const session = JSON.parse(sessions[id] ?? '{}')
  const write = (changes: object) => {
    sessions[id] = JSON.stringify({ ...session, ...changes })
  }
  expect(session.bitbucketSignIn.user).toBe('u1')
  write({ passport: { user: other.id } })
  await lab.refused(victim, () => lab.post(victim, '/link'), { code: 'recent_sign_in_required' })
  write({ bitbucketSignIn: { at: Date.now() + 5 * MINUTE, user: 'u1' } })
  await lab.refused(victim, () => lab.post(victim, '/link'), { code: 'recent_sign_in_required' })
  write({})
  expect((await lab.post(victim, '/link')).status).toBe(303)
})

test('LNK-09: requires a recent sign-in for the choice to link after the sign-in button', async ({ lab, victim }) => {
  const user = await lab.member(victim)
  await lab.signIn(victim, 'alice')
  const form = formsOf((await lab.get(victim, '/continue')).text).find(({ fields }) => fields.choice === 'link')
  travel(10 * MINUTE + SECOND)
  await lab.refused(victim, () => lab.post(victim, '/continue', form?.fields ?? {}), {
    code: 'recent_sign_in_required',
  })
  travel(0)
  expect((await lab.post(victim, '/continue', form?.fields ?? {})).status).toBe(303)
  expect(user.identities).toHaveLength(1)
})

test('LNK-09: accepts an identity of that account only as re-authentication', async ({ lab, victim }) => {
  const user = await lab.member(victim)
  await linkAs(lab, victim, 'alice')
  await lab.signIn(new TestBrowser(), 'carol')
  const reauthenticateAs = async (person: string) =>
    lab.fake.signIn((await lab.post(victim, '/reauthenticate')).location, { person })
  for (const person of ['carol', 'erin']) {
    const url = await reauthenticateAs(person)
    await lab.refused(victim, () => victim.get(url), { code: 'reauthentication_mismatch' })
  }
  const disabled = await reauthenticateAs('alice')
  user.disabled = true
  await lab.refused(victim, () => victim.get(disabled), { code: 'account_disabled' })
  user.disabled = false
  expect((await victim.get(await reauthenticateAs('alice'))).location).toBe('/')
  expect(await lab.me(victim)).toBe(user.id)
})

test('LNK-10: unlinks nothing on a request from elsewhere', async ({ lab, victim }) => {
  const user = await lab.member(victim)
  await linkAs(lab, victim, 'alice')
  const id = user.identities[0]?.id ?? ''
  const read = await lab.get(victim, `/unlink?id=${encodeURIComponent(id)}`)
  expect([read.status, read.location]).toEqual([302, '/auth/bitbucket/link'])
  expect(user.identities).toHaveLength(1)
  for (const headers of FOREIGN) {
    await lab.refused(victim, () => lab.post(victim, '/unlink', { id }, { headers }), { code: 'cross_site_request' })
  }
  const json = {
    headers: { 'content-type': 'text/plain', 'sec-fetch-site': 'cross-site' },
    body: JSON.stringify({ id }),
  }
  await lab.refused(victim, () => lab.post(victim, '/unlink', {}, json), { code: 'cross_site_request' })
  expect((await lab.post(victim, '/unlink', { id })).status).toBe(303)
  expect(user.identities).toEqual([])
})

test("LNK-12: refuses to unlink another user's identity like one that does not exist", async ({
  lab,
  victim,
  attacker,
}) => {
  const owner = await lab.member(victim)
  await linkAs(lab, victim, 'alice')
  const id = owner.identities[0]?.id ?? ''
  await lab.member(attacker, { email: 'attacker@example.com' })
  await linkAs(lab, attacker, 'carol')
  const missing = await lab.post(attacker, '/unlink', { id: '{00000000-0000-4000-8000-000000000000}' })
  const answers = []
  for (const fields of [
    { id },
    { id: '__proto__' },
    { id: '' },
    { id: 'constructor' },
    { 'id[]': id },
    { 'id[a]': id },
  ]) {
    const before = lab.accounts.writes().length
    answers.push(await lab.post(attacker, '/unlink', fields as Record<string, string>))
    expect(lab.accounts.writes()).toHaveLength(before)
  }
  const twice = { body: `id=${encodeURIComponent(id)}&id=${encodeURIComponent(id)}` }
  answers.push(await lab.post(attacker, '/unlink', {}, twice))
  for (const answer of answers) expect([answer.status, answer.text === missing.text]).toEqual([404, true])
  expect(owner.identities).toHaveLength(1)
  const own = [...lab.accounts.users.values()][1]?.identities[0]?.id ?? ''
  expect((await lab.post(attacker, '/unlink', { id: own })).status).toBe(303)
})

test('LNK-13: ends other sessions after unlinking, links nothing by address again, and voids pending steps', async ({
  lab,
  victim,
}) => {
  const user = await lab.member(victim, { email: 'alice@example.com' })
  await linkAs(lab, victim, 'alice')
  const id = user.identities[0]?.id ?? ''
  const callback = await lab.fake.signIn(await lab.post(victim, '/reauthenticate').then(({ location }) => location), {
    person: 'alice',
  })
  const sid = sessionIdOf(victim, lab)
  expect((await lab.post(victim, '/unlink', { id })).status).toBe(303)
  expect(lab.accounts.endedSessions).toContainEqual({ userId: user.id, reason: 'unlinked' })
  expect(sessionIdOf(victim, lab)).not.toBe(sid)
  await lab.refused(victim, () => victim.get(callback), { code: 'session_changed' })
  // The trusted, confirmed address would open the account, were it not for the unlinking.
  const other = new TestBrowser()
  const answer = await lab.signIn(other, 'alice')
  expect(answer.location).toBe('/auth/bitbucket/continue')
  expect(await lab.me(other)).toBeNull()
  expect(user.identities).toEqual([])
})

test('LNK-15: reports links and unlinks to the audit hook, with user and identity', async ({ lab, victim }) => {
  const user = await lab.member(victim)
  await linkAs(lab, victim, 'alice')
  const id = user.identities[0]?.id ?? ''
  await lab.post(victim, '/unlink', { id })
  for (const type of ['linked', 'unlinked']) {
    const event = lab.events.find((each) => each.type === type)
    expect(event).toMatchObject({ userId: user.id, identityId: id, connection: 'default' })
    expect(event?.time).toBeInstanceOf(Date)
  }
})

test('LNK-16: links the account of the session, whatever parameters and headers say', async ({
  lab,
  victim,
  attacker,
}) => {
  const owner = await lab.member(victim)
  const thief = await lab.member(attacker, { email: 'attacker@example.com' })
  const fields = { userId: owner.id, user: owner.id, tenant: 'x', email: 'member@example.com', login: 'nobody' }
  const headers = { 'x-user-id': owner.id, 'x-forwarded-user': owner.id }
  const started = await lab.post(attacker, `/link?userId=${owner.id}&user=${owner.id}`, fields, { headers })
  const callback = await lab.fake.signIn(started.location, { person: 'bob' })
  await attacker.get(`${callback}&userId=${owner.id}`, { headers })
  expect(owner.identities).toEqual([])
  expect(thief.identities).toHaveLength(1)
})

test('LNK-18: links no account with an unverified address, at the start nor at the end', async ({ lab, attacker }) => {
  const user = await lab.member(attacker, { emailVerified: false })
  await lab.refused(attacker, () => lab.post(attacker, '/link'), { code: 'email_unverified', upstream: 0 })
  user.emailVerified = true
  const callback = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
  user.emailVerified = false
  await lab.refused(attacker, () => attacker.get(callback), { code: 'email_unverified' })
  user.emailVerified = true
  await linkAs(lab, attacker, 'alice')
  expect(user.identities).toHaveLength(1)
})

test('LNK-19: changes no stored address and no third account by the address of a linked identity', async ({
  lab,
  victim,
}) => {
  const third = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
  const before = JSON.stringify(third)
  const user = await lab.member(victim)
  await linkAs(lab, victim, 'alice')
  expect(user).toMatchObject({ email: 'member@example.com', identities: [{}] })
  expect(JSON.stringify(third)).toBe(before)
  expect(lab.accounts.count('getAccountsByEmail')).toBe(0)
})

test('LNK-20: forbids framing of pages that confirm, and refuses a press from a frame elsewhere', async ({
  lab,
  victim,
}) => {
  await lab.member(victim)
  await lab.signIn(victim, 'alice')
  for (const path of ['/link', '/continue', '/reauthenticate']) {
    const page = await lab.get(victim, path)
    expect(page.status).toBe(200)
    expect(page.headers['x-frame-options']).toBe('DENY')
    expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'")
  }
  const forms = formsOf((await lab.get(victim, '/continue')).text)
  const link = forms.find(({ fields }) => fields.choice === 'link')
  await lab.refused(
    victim,
    () => lab.post(victim, '/continue', link?.fields ?? {}, { headers: { 'sec-fetch-site': 'cross-site' } }),
    { code: 'cross_site_request' },
  )
  expect((await lab.post(victim, '/continue', link?.fields ?? {})).status).toBe(303)
  expect(lab.accounts.users.get('u1')?.identities).toHaveLength(1)
})

test('LNK-21: links nothing for a signed-in user who presses the sign-in button', async ({ lab, victim }) => {
  const user = await lab.member(victim, { email: 'alice@example.com' })
  const answer = await lab.signIn(victim, 'alice')
  expect(answer.location).toBe('/auth/bitbucket/continue')
  expect(lab.accounts.writes()).toEqual([])
  expect(user.identities).toEqual([])
  expect(await lab.me(victim)).toBe(user.id)
  // The choice is bound to the user it was shown to.
  const form = formsOf((await lab.get(victim, '/continue')).text).find(({ fields }) => fields.choice === 'link')
  const second = lab.accounts.add({ email: 'second@example.com', emailVerified: true })
  const switched = victim.copy()
  switched.jar(lab.url).delete('connect.sid')
  await lab.localSignIn(switched, second)
  await lab.refused(switched, () => lab.post(switched, '/continue', form?.fields ?? {}), { code: 'session_changed' })
  await lab.post(victim, '/continue', form?.fields ?? {})
  expect(user.identities).toHaveLength(1)
})

test('LNK-23: treats a guest as no user, opens a new session and links nothing to the guest', async () => {
  const lab = await startLab({
    options: { userId: (user: TestUser) => (user.name === 'Guest' ? null : user.id) },
  })
  const { victim } = browsers()
  const guest = await lab.member(victim, { name: 'Guest', email: null, emailVerified: false })
  const sid = sessionIdOf(victim, lab)
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u2')
  expect(sessionIdOf(victim, lab)).not.toBe(sid)
  expect(guest.identities).toEqual([])
  const forGuest = new TestBrowser()
  await lab.localSignIn(forGuest, guest)
  await lab.refused(forGuest, () => lab.post(forGuest, '/link'), { code: 'not_signed_in' })
})
