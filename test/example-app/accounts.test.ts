import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ExampleApp, startExampleApp } from './app'
import { Visitor } from './visitor'

let app: ExampleApp

beforeAll(async () => {
  app = await startExampleApp()
})
afterAll(async () => {
  await app?.stop()
})

const PASSWORD = 'a long enough password'

async function signUp(visitor: Visitor, email: string, password = PASSWORD) {
  await visitor.visit('/sign-up', { form: { name: 'Nina New', email, password } })
  return visitor.visit('/code', { form: { code: await app.code(email) } })
}

test('a user who signs up and types the mailed code has a verified account and is signed in', async () => {
  const nina = new Visitor(app.url)
  const page = await signUp(nina, 'nina@example.net')
  expect(page.status).toBe(200)
  expect(page.url).toBe(`${app.url}/account`)
  expect(await nina.me()).toMatchObject({
    name: 'Nina New',
    email: 'nina@example.net',
    emailVerified: true,
    identities: [],
  })
})

test('an account is created only after the code', async () => {
  const visitor = new Visitor(app.url)
  await visitor.visit('/sign-up', { form: { name: 'Otto', email: 'otto@example.net', password: PASSWORD } })
  const signIn = await visitor.send('/sign-in', { form: { email: 'otto@example.net', password: PASSWORD } })
  expect(signIn.status).toBe(401)
  expect(await visitor.me()).toBeNull()
})

test('a code works once, in the browser that asked for it, and not after five wrong ones', async () => {
  const email = 'pia@example.net'
  const pia = new Visitor(app.url)
  await pia.visit('/sign-up', { form: { name: 'Pia', email, password: PASSWORD } })
  const code = await app.code(email)
  const stranger = new Visitor(app.url)
  for (const refused of [await stranger.send('/code'), await stranger.send('/code', { form: { code } })]) {
    expect(refused.status).toBe(400)
    expect(refused.text).toContain('This browser is not waiting for a code')
  }
  for (let wrong = 0; wrong < 5; wrong++) {
    const answer = await pia.send('/code', { form: { code: '0000 0000' } })
    expect(answer.status).toBe(400)
  }
  const late = await pia.send('/code', { form: { code } })
  expect(late.text).toContain('already used or has expired')
  expect(await pia.me()).toBeNull()
})

test('sign-up and reset answer the same for known and unknown addresses, and email both', async () => {
  await signUp(new Visitor(app.url), 'known@example.net')
  const shape = async (path: string, email: string) => {
    const visitor = new Visitor(app.url)
    const answer = await visitor.send(path, { form: { name: 'X', email, password: PASSWORD } })
    const next = await visitor.send('/code')
    return [answer.status, answer.headers.location, answer.text, next.status, next.text.replaceAll(email, 'ADDRESS')]
  }
  for (const path of ['/sign-up', '/reset']) {
    expect(await shape(path, 'known@example.net')).toEqual(await shape(path, `unknown-${path.slice(1)}@example.net`))
    expect(await app.mails(`unknown-${path.slice(1)}@example.net`)).toHaveLength(1)
  }
  expect((await app.mails('known@example.net')).map((mail) => mail.subject)).toEqual([
    'Your code for Corkboard: setting a new password',
    'You already have an account at Corkboard',
    'Your code for Corkboard: creating your account',
  ])
})

test('signing in by password starts a new session, and the old one is signed out', async () => {
  await signUp(new Visitor(app.url), 'rosa@example.net')
  const rosa = new Visitor(app.url)
  // The wait for a code is what makes an anonymous session.
  await rosa.visit('/reset', { form: { email: 'somebody@example.net' } })
  const before = rosa.cookie('sid')
  expect(before).toBeDefined()
  await rosa.visit('/sign-in', { form: { email: 'ROSA@example.net', password: PASSWORD } })
  expect(await rosa.me()).toMatchObject({ email: 'rosa@example.net' })
  expect(rosa.cookie('sid')).not.toBe(before)
  const old = await new Visitor(app.url).send('/me', { headers: { Cookie: `sid=${before}` } })
  expect(old.json).toEqual({ user: null })
})

test('a wrong password and an unknown address get the same page; after ten tries it is 429', async () => {
  await signUp(new Visitor(app.url), 'theo@example.net')
  const visitor = new Visitor(app.url)
  const attempt = (email: string, password: string) => visitor.send('/sign-in', { form: { email, password } })
  const wrong = await attempt('theo@example.net', 'wrong')
  const unknown = await attempt('nobody@example.net', 'wrong')
  expect([wrong.status, wrong.text.replaceAll('theo', 'nobody')]).toEqual([unknown.status, unknown.text])
  for (let more = 0; more < 9; more++) await attempt('theo@example.net', 'wrong')
  expect((await attempt('theo@example.net', PASSWORD)).status).toBe(429)
})

test('a password reset ends every session and the new password works', async () => {
  const email = 'uma@example.net'
  const uma = new Visitor(app.url)
  await signUp(uma, email)
  const elsewhere = new Visitor(app.url)
  await elsewhere.visit('/reset', { form: { email } })
  const page = await elsewhere.visit('/code', {
    form: { code: await app.code(email), password: 'another long password' },
  })
  expect(page.url).toBe(`${app.url}/account`)
  expect(await uma.me()).toBeNull()
  expect(await elsewhere.me()).toMatchObject({ email })
  expect((await uma.send('/sign-in', { form: { email, password: PASSWORD } })).status).toBe(401)
  expect((await uma.send('/sign-in', { form: { email, password: 'another long password' } })).status).toBe(303)
})

test('changing the password ends the other sessions and every copy of this one', async () => {
  const email = 'yara@example.net'
  const [here, there, copy] = [new Visitor(app.url), new Visitor(app.url), new Visitor(app.url)]
  await signUp(here, email)
  await there.visit('/sign-in', { form: { email, password: PASSWORD } })
  const headers = { Cookie: `sid=${here.cookie('sid')}` }
  expect((await copy.send('/me', { headers })).json.user).toMatchObject({ email })
  const page = await here.visit('/account/password', { form: { password: 'another long password' } })
  expect(page.text).toContain('Your password is set')
  expect(await here.me()).toMatchObject({ email })
  expect(await there.me()).toBeNull()
  expect((await copy.send('/me', { headers })).json.user).toBeNull()
})

test('a refused form says what is wrong in title and field, and keeps what was typed', async () => {
  const visitor = new Visitor(app.url)
  const reset = await visitor.send('/reset', { form: { email: 'zoe@' } })
  expect(reset.status).toBe(400)
  expect(reset.text).toContain('<title>Error: Reset your password')
  expect(reset.text).toMatch(/value="zoe@" aria-invalid="true" aria-describedby="problem" autofocus/)
  const signUpPage = await visitor.send('/sign-up', {
    form: { name: 'Zoe', email: 'zoe@example.net', password: 'short' },
  })
  expect(signUpPage.text).toMatch(/name="password"[^>]*aria-invalid="true"/)
  expect(signUpPage.text).not.toMatch(/name="email"[^>]*aria-invalid/)
  expect(signUpPage.text).toContain('value="Zoe"')
  const code = await visitor.visit('/reset', { form: { email: 'zoe@example.net' } })
  expect(code.text).not.toContain('aria-invalid')
})

test('sessions are listed and can be ended, one by one', async () => {
  const email = 'vera@example.net'
  const [here, there] = [new Visitor(app.url), new Visitor(app.url)]
  await signUp(here, email)
  await there.visit('/sign-in', { form: { email, password: PASSWORD } })
  const page = await here.visit('/account')
  expect(page.text.match(/name="id"/g)).toHaveLength(1)
  await here.submit(page, '/account/sessions/end')
  expect(await there.me()).toBeNull()
  expect(await here.me()).toMatchObject({ email })
})

test('deleting the account requires a tick, signs out and removes everything', async () => {
  const email = 'will@example.net'
  const will = new Visitor(app.url)
  await signUp(will, email)
  await will.visit('/notes', { form: { body: 'A note of Will <b>' } })
  expect((await will.send('/')).text).toContain('A note of Will &lt;b&gt;')
  await will.visit('/account/delete', { form: {} })
  expect(await will.me()).toMatchObject({ email })
  const end = await will.visit('/account/delete', { form: { sure: 'yes' } })
  expect(end.text).toContain('Your account is deleted')
  expect(await will.me()).toBeNull()
  expect((await will.send('/')).text).not.toContain('A note of Will')
  expect((await will.send('/sign-in', { form: { email, password: PASSWORD } })).status).toBe(401)
})

test('a form posted from another site or without an origin is refused, and one from this site is not', async () => {
  const visitor = new Visitor(app.url)
  const post = (headers: Record<string, string>) =>
    visitor.send('/reset', { form: { email: 'x@example.net' }, headers })
  expect((await post({ Origin: 'https://evil.example' })).status).toBe(403)
  expect((await post({ Origin: 'null' })).status).toBe(403)
  expect((await post({ Origin: app.url, 'Sec-Fetch-Site': 'cross-site' })).status).toBe(403)
  expect((await post({ Origin: 'null', 'Sec-Fetch-Site': 'same-origin' })).status).toBe(303)
  expect((await post({})).status).toBe(303)
})

test('administration is open to the administrator only', async () => {
  const visitor = new Visitor(app.url)
  expect((await visitor.send('/admin/bitbucket')).headers.location).toMatch(/^\/sign-in/)
  await signUp(visitor, 'xena@example.net')
  expect((await visitor.send('/admin/bitbucket')).status).toBe(404)
  const admin = new Visitor(app.url)
  await admin.visit('/sign-in', { form: { email: 'admin@corkboard.example', password: 'corkboard-demo' } })
  expect((await admin.send('/admin/bitbucket')).text).toContain('Social connections')
})
