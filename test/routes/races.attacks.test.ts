import { expect } from 'vitest'
import { formsOf, TestBrowser } from '../support/browser'
import { afterwards, door, ourCookies, sessionIdOf, startLab, test, testLimiter, travel, until } from '../support/lab'

const ROUNDS = 10

test('RAC-01: exchanges one of concurrent callbacks', async ({ lab }) => {
  for (let round = 0; round < ROUNDS; round++) {
    const browser = new TestBrowser()
    const url = await lab.callback(browser, 'alice')
    lab.fake.clearRequests()
    const answers = await Promise.all(Array.from({ length: 5 }, () => browser.copy().get(url)))
    expect(answers.filter(({ status }) => status === 302)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 403)).toHaveLength(4)
    expect(lab.fake.count('token')).toBe(1)
  }
  expect(lab.accounts.users.size).toBe(1)
})

test('RAC-01: exchanges once in two processes with one store of limits', async () => {
  const limiter = testLimiter()
  limiter.intercept = () => new Promise((resolve) => setImmediate(resolve))
  const first = await startLab({ options: { limiter: limiter.factory } })
  const second = await startLab({
    fake: first.fake,
    accounts: first.accounts,
    connection: { callbackURL: `${first.base}/callback` },
    options: { limiter: limiter.factory },
  })
  const browser = new TestBrowser()
  const url = await first.callback(browser, 'alice')
  const other = url.replace(first.url, second.url)
  const answers = await Promise.all([browser.copy().get(url), browser.copy().get(other)])
  expect(answers.map(({ status }) => status).sort()).toEqual([302, 403])
  expect(first.fake.count('token')).toBe(1)
})

test('RAC-02: creates one account for a user who signs up in two browsers concurrently', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const lab = await startLab()
    const [left, right] = [new TestBrowser(), new TestBrowser()]
    const urls = [await lab.callback(left, 'alice'), await lab.callback(right, 'alice')]
    const gate = door()
    let waiting = 0
    lab.accounts.intercept = async (name) => {
      if (name !== 'createUser') return
      if (++waiting === 2) gate.open()
      await gate.opened
    }
    const answers = await Promise.all([left.get(urls[0] ?? ''), right.get(urls[1] ?? '')])
    expect(lab.accounts.users.size).toBe(1)
    expect(answers.every(({ status }) => status === 302)).toBe(true)
    expect(await lab.me(left)).toBe('u1')
    expect(await lab.me(right)).toBe('u1')
  }
})

test('RAC-02: enters no account after a lost race for its address', async ({ lab, attacker }) => {
  const url = await lab.callback(attacker, 'alice')
  lab.accounts.intercept = (name) => {
    if (name === 'createUser' && lab.accounts.users.size === 0) {
      lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
    }
  }
  const answer = await attacker.get(url)
  expect(answer.status).toBe(409)
  expect(await lab.me(attacker)).toBeNull()
  expect(lab.accounts.users.get('u1')?.identities).toEqual([])
  expect(lab.accounts.writes()).toEqual(['createUser'])
})

test('RAC-05: links an identity to one of two users who link it concurrently', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const lab = await startLab()
    const [left, right] = [new TestBrowser(), new TestBrowser()]
    await lab.member(left, { email: 'left@example.com' })
    await lab.member(right, { email: 'right@example.com' })
    const urls = []
    for (const browser of [left, right]) urls.push(await lab.fake.signIn(await lab.link(browser), { person: 'alice' }))
    const gate = door()
    let waiting = 0
    lab.accounts.intercept = async (name) => {
      if (name !== 'linkIdentity') return
      if (++waiting === 2) gate.open()
      await gate.opened
    }
    const answers = await Promise.all([left.get(urls[0] ?? ''), right.get(urls[1] ?? '')])
    expect(answers.map(({ status }) => status).sort()).toEqual([302, 409])
    expect([...lab.accounts.users.values()].flatMap(({ identities }) => identities)).toHaveLength(1)
  }
})

test('RAC-06: ends unlinking during a sign-in in one consistent order', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const lab = await startLab()
    const [home, other] = [new TestBrowser(), new TestBrowser()]
    const user = await lab.member(home, { email: 'alice@example.com' })
    await home.get(await lab.fake.signIn(await lab.link(home), { person: 'alice' }))
    const id = user.identities[0]?.id ?? ''
    const url = await lab.callback(other, 'alice')
    await Promise.all([other.get(url), lab.post(home, '/unlink', { id })])
    const signedIn = await lab.me(other)
    // Either it was signed in before the unlinking, and the app was asked to end it, or it was not let in.
    expect([null, user.id]).toContain(signedIn)
    expect(lab.accounts.endedSessions.at(-1)).toEqual({ userId: user.id, reason: 'unlinked' })
    expect(user.identities).toEqual([])
    expect(lab.accounts.users.size).toBe(1)
  }
})

test('RAC-08: never accepts both a new code and the old one', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const lab = await startLab({ connection: { trustedProvider: false } })
    const browser = new TestBrowser()
    const { code } = await lab.pendingCode(browser, 'alice')
    travel(61_000)
    const fields = formsOf((await lab.get(browser, '/email')).text)[0]?.fields ?? {}
    const [left, right] = [browser.copy(), browser.copy()]
    const [submit] = await Promise.all([
      lab.post(left, '/email/verify', { ...fields, code }),
      lab.post(right, '/email/code', fields),
    ])
    const second = await lab.post(right, '/email/verify', { ...fields, code: lab.mails[1]?.code ?? '' })
    expect([submit, second].filter(({ status }) => status === 303).length).toBeLessThanOrEqual(1)
    expect(lab.accounts.users.size).toBeLessThanOrEqual(1)
    travel(0)
  }
})

test('RAC-09: keeps a user signed out who signs out during the callback', async ({ lab, victim }) => {
  await lab.signIn(victim, 'alice')
  for (const person of ['alice', 'carol']) {
    await lab.signIn(victim, 'alice')
    const url = await lab.callback(victim, person)
    const gate = door()
    lab.fake.script('token', async () => {
      await gate.opened
      return null
    })
    const inFlight = victim.copy()
    lab.fake.clearRequests()
    const answer = inFlight.get(url)
    await until(() => lab.fake.count('token') === 1)
    await victim.post(`${lab.url}/logout`, {})
    gate.open()
    const { status } = await answer
    expect(status === 409 || status === 302).toBe(true)
    expect(await lab.me(inFlight)).toBeNull()
    expect(await lab.me(victim)).toBeNull()
    expect(lab.signedIn()).toEqual([])
    lab.fake.clearScripts()
  }
})

test('RAC-09: links nothing for a user who signs out during the callback', async ({ lab, victim }) => {
  const user = await lab.member(victim)
  const url = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
  const gate = door()
  lab.fake.script('token', async () => {
    await gate.opened
    return null
  })
  const inFlight = victim.copy()
  const answer = inFlight.get(url)
  await until(() => lab.fake.count('token') === 1)
  await victim.post(`${lab.url}/logout`, {})
  gate.open()
  expect((await answer).status).toBe(409)
  expect(user.identities).toEqual([])
  expect(lab.signedIn()).toEqual([])
  afterwards(() => {})
})

test('RAC-11: keeps fifty starts of one browser within five cookies, and the newest works', async ({ lab, victim }) => {
  await Promise.all(Array.from({ length: 50 }, () => lab.state(victim, `/${'x'.repeat(400)}`)))
  for (let tab = 0; tab < 10; tab++) await lab.state(victim, `/${'x'.repeat(400)}`)
  expect(ourCookies(victim, lab.url).size).toBeLessThanOrEqual(5)
  const size = [...ourCookies(victim, lab.url)].reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  expect(size).toBeLessThan(4200)
  const first = await lab.callback(victim, 'alice')
  for (let tab = 0; tab < 3; tab++) await lab.state(victim)
  await victim.get(first)
  expect(await lab.me(victim)).toBe('u1')
  // The oldest of many is gone, and no other start brings it back.
  const other = new TestBrowser()
  const oldest = await lab.callback(other, 'carol')
  for (let tab = 0; tab < 6; tab++) {
    travel((tab + 1) * 1000)
    await lab.state(other)
  }
  await lab.refused(other, () => other.get(oldest), { code: 'state_invalid', upstream: 0 })
  expect(sessionIdOf(other, lab)).toBeUndefined()
})

test('RAC-12: does not enter an account that appears between look-up and write', async ({ lab, attacker }) => {
  const squatter = lab.accounts.add({ email: 'alice@example.com', emailVerified: false })
  const url = await lab.callback(attacker, 'alice')
  // Between reading the holders and claiming, another request takes the holder's identity.
  lab.accounts.intercept = (name, input) => {
    if (name !== 'claimAddress') return
    squatter.identities.push({ ...(input as { identity: { issuer: string; id: string } }).identity })
    squatter.disabled = true
  }
  const answer = await attacker.get(url)
  expect(answer.status).toBe(403)
  expect(await lab.me(attacker)).toBeNull()
  const control = await startLab()
  control.accounts.add({ email: 'alice@example.com', emailVerified: false })
  await control.signIn(attacker, 'alice')
  expect(await control.me(attacker)).toBe('u2')
})
