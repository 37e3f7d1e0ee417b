import { expect } from 'vitest'
import { TestBrowser } from '../support/browser'
import { browsers, GOOD_EMAILS, GOOD_TOKEN, GOOD_USER, jsonBytes, startLab, startRawLab, test } from '../support/lab'

/** Signs in with a changed account object; the user of that browser. */
async function signInAs(lab: Awaited<ReturnType<typeof startLab>>, edit: (user: Record<string, unknown>) => unknown) {
  const browser = new TestBrowser()
  lab.fake.script('user', { edit })
  const answer = await lab.signIn(browser, 'alice')
  lab.fake.clearScripts('user')
  return { answer, me: await lab.me(browser) }
}

test('IDK-01: treats a username or nickname with another uuid as another identity', async ({ lab }) => {
  lab.fake.updatePerson('bob', { username: 'alice', nickname: 'alice', displayName: 'Alice Archer' })
  await lab.signIn(new TestBrowser(), 'alice')
  lab.fake.updatePerson('bob', { emails: [{ address: 'bob@example.com', primary: true, confirmed: true }] })
  const { attacker } = browsers()
  await lab.signIn(attacker, 'bob')
  expect(await lab.me(attacker)).toBe('u2')
  expect(lab.accounts.users.get('u1')?.identities).toHaveLength(1)
})

test('IDK-02: signs the same uuid in as the same user, whatever else has changed', async ({ lab }) => {
  await lab.signIn(new TestBrowser(), 'alice')
  lab.fake.updatePerson('alice', {
    username: null,
    nickname: 'new',
    displayName: 'New Name',
    accountId: '557058:changed',
    emails: [{ address: 'new@example.org', primary: true, confirmed: false }],
  })
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
  expect(lab.accounts.users.size).toBe(1)
})

test('IDK-04: accepts one spelling of the id, and refuses others instead of repairing them', async ({ lab }) => {
  const { uuid } = lab.fake.person('alice')
  await lab.signIn(new TestBrowser(), 'alice')
  const bare = uuid.slice(1, -1)
  const wrong = [uuid.toUpperCase(), bare, ` ${uuid}`, `${uuid} `, `${uuid}\n`, uuid.replaceAll('-', ''), '', null, 7]
  wrong.push(
    `{${bare.replace(/\d/, '\u0661')}}`,
    `{${bare}}{${bare}}`,
    [uuid] as never,
    { uuid } as never,
    `{{${bare}}}`,
  )
  for (const id of wrong) {
    const { attacker } = browsers()
    lab.fake.script('user', { edit: (user) => ({ ...user, uuid: id }) })
    const url = await lab.callback(attacker, 'alice')
    await lab.refused(attacker, () => attacker.get(url), { code: 'profile_invalid' })
  }
  lab.fake.clearScripts()
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test("IDK-05: identifies by the uuid, also next to another user's account id", async ({ lab }) => {
  await lab.signIn(new TestBrowser(), 'carol')
  const { account_id } = { account_id: lab.fake.person('carol').accountId }
  const { me } = await signInAs(lab, (user) => ({ ...user, account_id, id: account_id, user_id: account_id }))
  expect(me).toBe('u2')
  expect(lab.accounts.users.get('u2')?.identities[0]?.id).toBe(lab.fake.person('alice').uuid)
})

test('IDK-07: refuses teams, workspaces, app users and error objects', async ({ lab }) => {
  for (const type of ['team', 'workspace', 'error', 'app_user', 'User', '', null, undefined, ['user']]) {
    const { attacker } = browsers()
    lab.fake.script('user', { edit: (user) => ({ ...user, type }) })
    const url = await lab.callback(attacker, 'alice')
    await lab.refused(attacker, () => attacker.get(url), { code: 'profile_invalid' })
  }
  lab.fake.script('user', { json: { type: 'error', error: { message: 'no' } } })
  const { victim } = browsers()
  const url = await lab.callback(victim, 'alice')
  await lab.refused(victim, () => victim.get(url), { code: 'profile_invalid' })
  lab.fake.clearScripts()
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('IDK-09: treats addresses that differ by plus tags or dots as different', async ({ lab }) => {
  for (const address of ['vic.tim@example.com', 'victim@example.com', 'victim+1@example.com']) {
    const browser = new TestBrowser()
    lab.fake.addPerson({ key: address, emails: [{ address, primary: true, confirmed: true }] })
    await lab.signIn(browser, address)
    expect(await lab.me(browser)).toBe(`u${lab.accounts.users.size}`)
  }
  expect(lab.accounts.users.size).toBe(3)
  // A look-up that takes them for one finds too much, and does not decide.
  const [first] = lab.accounts.users.values()
  lab.accounts.intercept = (name) =>
    name === 'getAccountsByEmail' && first
      ? [{ user: first, email: 'vic.tim@example.com', emailVerified: true }]
      : undefined
  for (const address of ['vic.tim+2@example.com', 'vi.ctim@example.com']) {
    const browser = new TestBrowser()
    lab.fake.addPerson({ key: address, emails: [{ address, primary: true, confirmed: true }] })
    await lab.signIn(browser, address)
    expect(await lab.me(browser)).toBe(`u${lab.accounts.users.size}`)
    expect(first?.identities).toHaveLength(1)
  }
})

test('IDK-10: compares domains in ASCII lower case, and accepts no Unicode addresses', async ({ lab }) => {
  const owner = lab.accounts.add({ email: 'victim@example.com', emailVerified: true })
  const odd = [
    'victim@exämple.com',
    'victim@example.com.',
    'victim@example。com',
    'victim@ＥＸＡＭＰＬＥ.com',
    'victim@eⓧample.com',
  ]
  for (const [at, address] of odd.entries()) {
    const browser = new TestBrowser()
    lab.fake.addPerson({ key: `odd${at}`, emails: [{ address, primary: true, confirmed: true }] })
    expect((await lab.signIn(browser, `odd${at}`)).location).toBe('/auth/bitbucket/email')
    expect(await lab.me(browser)).toBeNull()
  }
  expect(owner.identities).toEqual([])
  lab.fake.addPerson({ key: 'ascii', emails: [{ address: 'victim@EXAMPLE.com', primary: true, confirmed: true }] })
  const { victim } = browsers()
  await lab.signIn(victim, 'ascii')
  expect(await lab.me(victim)).toBe(owner.id)
})

test('IDK-11: pollutes nothing with prototype keys in the account object', async () => {
  const raw = await startRawLab((path, socket) => {
    const user = JSON.stringify(GOOD_USER).slice(0, -1)
    if (path === '/token') socket.write(jsonBytes(GOOD_TOKEN))
    else if (path.startsWith('/2.0/user/emails')) socket.write(jsonBytes(GOOD_EMAILS))
    else {
      const text = `${user},"__proto__":{"isAdmin":true,"id":"polluted"},"constructor":{"prototype":{"isAdmin":true}},"links":{"__proto__":{"avatar":{"href":"https://evil.example/"}}}}`
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`)
    }
  })
  expect((await raw.call()).location).toBe('/')
  expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined()
  const [call] = raw.lab.accounts.calls.filter(({ name }) => name === 'createUser')
  const profile = call?.input.profile as Record<string, unknown>
  expect(profile.isAdmin).toBeUndefined()
  expect(profile.avatarUrl).toBeNull()
  const lab = await startLab()
  for (const uuid of ['__proto__', 'constructor', 'toString']) {
    lab.fake.script('user', { edit: (user) => ({ ...user, uuid }) })
    const { attacker } = browsers()
    const url = await lab.callback(attacker, 'alice')
    await lab.refused(attacker, () => attacker.get(url), { code: 'profile_invalid' })
  }
})

test('IDK-12: bounds ids and addresses before hooks see them', async ({ lab }) => {
  const long = 'a'.repeat(200_000)
  const { attacker } = browsers()
  lab.fake.script('user', { edit: (user) => ({ ...user, uuid: `{${long}}` }) })
  const url = await lab.callback(attacker, 'alice')
  await lab.refused(attacker, () => attacker.get(url), { code: 'profile_invalid' })
  expect(lab.accounts.calls).toEqual([])
  lab.fake.clearScripts()
  const { me } = await signInAs(lab, (user) => ({ ...user, display_name: long, nickname: long, username: long }))
  expect(me).toBe('u1')
  const profile = lab.accounts.users.get('u1')?.identities[0]?.profile
  expect(profile?.displayName?.length).toBe(256)
  expect(profile?.nickname?.length).toBe(256)
})

test('IDK-14: ignores an id that the browser sends', async ({ lab }) => {
  await lab.signIn(new TestBrowser(), 'carol')
  const carol = lab.fake.person('carol').uuid
  const { attacker } = browsers()
  attacker.jar(lab.url).set('uuid', carol)
  attacker.jar(lab.url).set('bitbucket.uuid', carol)
  const url = await lab.callback(attacker, 'alice')
  await attacker.get(`${url}&uuid=${encodeURIComponent(carol)}&id=${encodeURIComponent(carol)}&user=u1`, {
    headers: { 'x-user-id': 'u1', 'x-bitbucket-uuid': carol },
  })
  expect(await lab.me(attacker)).toBe('u2')
})

test('IDK-16: treats the same id from another issuer as another identity', async ({ lab }) => {
  const { uuid } = lab.fake.person('alice')
  const other = lab.accounts.add({
    email: 'other@example.com',
    emailVerified: true,
    identities: [
      { issuer: 'https://github.com', id: uuid },
      { issuer: 'https://bitbucket.org', id: uuid },
    ],
  })
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).not.toBe(other.id)
  // Custom endpoints have their own issuer: the fake cannot speak for Bitbucket's users.
  expect(lab.accounts.users.get('u2')?.identities[0]).toMatchObject({ issuer: lab.fake.url, id: uuid })
})
