import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ExampleApp, startExampleApp } from './app'
import { Visitor } from './visitor'

const ALICE = { provider: 'bitbucket', id: expect.stringMatching(/^\{[0-9a-f-]{36}\}$/), nickname: 'alice' }

let app: ExampleApp
beforeAll(async () => {
  app = await startExampleApp()
})
afterAll(async () => {
  await app?.stop()
})

/** Sets the stage by the scenario's own button; answers the fake's consent page and the visitor before it. */
async function play(id: string) {
  const visitor = new Visitor(app.url)
  const consent = await visitor.visit(`/scenarios/${id}`, { form: {} })
  expect(consent.url).toContain(app.fakeURL)
  return { visitor, consent }
}

test('the sign-in page offers Bitbucket, and the button leads to the consent page', async () => {
  const visitor = new Visitor(app.url)
  const page = await visitor.send('/sign-in?returnTo=/account')
  expect(page.text).toContain('href="/auth/bitbucket?returnTo=%2Faccount"')
  expect((await visitor.visit('/auth/bitbucket')).text).toContain('Corkboard')
})

test('a trusted provider: signs in directly, and as the same user in another browser', async () => {
  const { visitor, consent } = await play('trusted')
  const page = await visitor.decide(consent, 'alice')
  expect(page.url).toBe(`${app.url}/account?bitbucket=signed-up`)
  const alice = await visitor.me()
  expect(alice).toEqual({
    id: expect.any(String),
    name: 'Alice Archer',
    email: 'alice@example.com',
    emailVerified: true,
    identities: [ALICE],
  })
  expect(await app.mails('alice@example.com')).toEqual([])

  const elsewhere = new Visitor(app.url)
  await elsewhere.signInWithBitbucket('alice')
  expect(await elsewhere.me()).toEqual(alice)

  await visitor.visit('/sign-out', { form: {} })
  expect(await visitor.me()).toBeNull()
  expect(await elsewhere.me()).toEqual(alice)
})

test('an untrusted provider: mails a code, and creates the account with it', async () => {
  const { visitor, consent } = await play('code')
  const page = await visitor.decide(consent, 'alice')
  expect(await visitor.me()).toBeNull()
  const end = await visitor.submit(page, '/auth/bitbucket/email/verify', { code: await app.code('alice@example.com') })
  expect(end.url).toBe(`${app.url}/account?bitbucket=signed-up`)
  expect(await visitor.me()).toMatchObject({ email: 'alice@example.com', emailVerified: true, identities: [ALICE] })
})

test('an unconfirmed address needs a code although Bitbucket is trusted', async () => {
  const { visitor, consent } = await play('unconfirmed')
  const page = await visitor.decide(consent, 'bob')
  await visitor.submit(page, '/auth/bitbucket/email/verify', { code: await app.code('bob@example.com') })
  expect(await visitor.me()).toMatchObject({ email: 'bob@example.com', emailVerified: true })
})

test('no address: asks for one, and proves it by code', async () => {
  const { visitor, consent } = await play('none')
  const ask = await visitor.decide(consent, 'dave')
  const page = await visitor.submit(ask, '/auth/bitbucket/email/address', { address: 'dave@example.net' })
  await visitor.submit(page, '/auth/bitbucket/email/verify', { code: await app.code('dave@example.net') })
  expect(await visitor.me()).toMatchObject({ name: 'Dave Dunn', email: 'dave@example.net', emailVerified: true })
})

test('a matching account, trusted: links and signs in', async () => {
  const { visitor, consent } = await play('match-trusted')
  await visitor.decide(consent, 'carol')
  expect(await visitor.me()).toMatchObject({ email: 'carol@example.com', identities: [{ nickname: 'carol' }] })
  expect((await visitor.send('/account')).text).toContain('Bitbucket connected')
})

test('a matching account, not trusted: asks for the code, then the password, then a confirmation', async () => {
  const { visitor, consent } = await play('match')
  const page = await visitor.decide(consent, 'carol')
  const prove = await visitor.submit(page, '/auth/bitbucket/email/verify', {
    code: await app.code('carol@example.com'),
  })
  expect(await visitor.me()).toBeNull()
  expect(prove.text).toContain('href="/sign-in')
  const signIn = await visitor.send('/sign-in')
  expect(signIn.text).toContain('is pending')
  const confirm = await visitor.submit(signIn, '/sign-in', { email: 'carol@example.com', password: 'corkboard-demo' })
  expect(confirm.url).toBe(`${app.url}/auth/bitbucket/continue`)
  expect((await visitor.me()).identities).toEqual([])
  await visitor.submit(confirm, '/auth/bitbucket/continue', { choice: 'confirm' })
  expect(await visitor.me()).toMatchObject({ email: 'carol@example.com', identities: [{ nickname: 'carol' }] })
})

test('a squatted address: goes to a new account of its owner, and the stranger loses password and session', async () => {
  const { visitor, consent } = await play('squatted')
  const stranger = new Visitor(app.url)
  await stranger.visit('/sign-in', { form: { email: 'grace@example.com', password: 'corkboard-demo' } })
  expect(await stranger.me()).toMatchObject({ name: 'A stranger', emailVerified: false })

  const page = await visitor.decide(consent, 'grace')
  await visitor.submit(page, '/auth/bitbucket/email/verify', { code: await app.code('grace@example.com') })
  expect(await visitor.me()).toMatchObject({ name: 'Grace Green', email: 'grace@example.com', emailVerified: true })
  expect(await stranger.me()).toBeNull()
  const again = await stranger.send('/sign-in', { form: { email: 'grace@example.com', password: 'corkboard-demo' } })
  expect(again.status).toBe(401)
})

test('denied at Bitbucket: shows a page with a link back, and signs no user in', async () => {
  const { visitor, consent } = await play('denied')
  const page = await visitor.decide(consent, 'alice', 'deny')
  expect(page.status).toBe(403)
  expect(page.text).toContain('href="/sign-in"')
  expect(await visitor.me()).toBeNull()
})

test.each([
  ['stranger', 'erin', 403],
  ['closed', 'erin', 403],
  ['down', 'alice', 502],
])('the scenario %s: %s is refused with %i and a page, and no user is signed in', async (id, person, status) => {
  const { visitor, consent } = await play(id)
  expect((await visitor.decide(consent, person)).status).toBe(status)
  expect(await visitor.me()).toBeNull()
})

test('a member of the workspace is admitted', async () => {
  const { visitor, consent } = await play('member')
  await visitor.decide(consent, 'alice')
  expect(await visitor.me()).toMatchObject({ identities: [ALICE] })
})

test('the account page links and unlinks, and keeps the last way in', async () => {
  await play('trusted')
  const visitor = new Visitor(app.url)
  await visitor.visit('/sign-up', {
    form: { name: 'Lena', email: 'lena@example.net', password: 'a long enough password' },
  })
  await visitor.visit('/code', { form: { code: await app.code('lena@example.net') } })
  const linkPage = await visitor.visit('/auth/bitbucket/link?returnTo=/account')
  const consent = await visitor.submit(linkPage, '/auth/bitbucket/link')
  const account = await visitor.decide(consent, 'frank')
  expect(await visitor.me()).toMatchObject({ email: 'lena@example.net', identities: [{ nickname: 'frank' }] })
  expect(account.url).toBe(`${app.url}/account?bitbucket=linked`)

  await visitor.submit(account, '/auth/bitbucket/unlink')
  expect(await visitor.me()).toMatchObject({ identities: [] })

  // Somebody who only has Bitbucket.
  const { visitor: alice, consent: again } = await play('trusted')
  const page = await alice.decide(again, 'alice')
  const refused = await alice.submit(page, '/auth/bitbucket/unlink')
  expect(refused.status).toBe(409)
  expect(await alice.me()).toMatchObject({ identities: [ALICE] })
})

test('the administrator switches Bitbucket off and on, with immediate effect and an entry in the activity', async () => {
  const admin = new Visitor(app.url)
  await admin.visit('/sign-in', { form: { email: 'admin@corkboard.example', password: 'corkboard-demo' } })
  const save = async (fields: Record<string, string>) => {
    const page = await admin.send('/admin/bitbucket?level=default')
    return admin.submit(page, '/admin/bitbucket', fields)
  }
  expect((await save({ enabled: 'false' })).text).toContain('Disabled')
  const visitor = new Visitor(app.url)
  expect((await visitor.send('/sign-in')).text).not.toContain('href="/auth/bitbucket')
  expect((await visitor.send('/auth/bitbucket')).status).toBe(404)
  const page = await save({ enabled: 'true' })
  expect(page.text).toContain('enabled false, now true')
  expect((await visitor.send('/auth/bitbucket')).status).toBe(302)

  const tested = await admin.submit(await admin.send('/admin/bitbucket'), '/admin/bitbucket/test')
  expect(tested.text).toContain('No problem found')
})

test('a change for an unknown tenant is refused, and does not apply to all sites', async () => {
  const admin = new Visitor(app.url)
  await admin.visit('/sign-in', { form: { email: 'admin@corkboard.example', password: 'corkboard-demo' } })
  const change = (level: string) => admin.send('/admin/bitbucket', { form: { level, signUp: 'true' } })
  expect((await change('initech')).status).toBe(404)
  expect((await admin.send('/admin/bitbucket?level=initech')).status).toBe(404)
  expect((await change('acme')).status).toBe(303)
})

test('a client ID without its secret is refused, and the form keeps the input', async () => {
  const admin = new Visitor(app.url)
  await admin.visit('/sign-in', { form: { email: 'admin@corkboard.example', password: 'corkboard-demo' } })
  const page = await admin.send('/admin/bitbucket', {
    form: { level: 'acme', clientID: 'typed-id', scopeChoice: 'own' },
  })
  expect(page.status).toBe(400)
  expect(page.text).toContain('value="typed-id"')
})

test('tenants: acme inherits and gets a hand-over, globex has its own client and callback, others do not exist', async () => {
  await play('trusted')
  const at = (host: string) => app.url.replace('localhost', host)
  const visitor = new Visitor(app.url)
  const acme = await visitor.signInWithBitbucket('alice', { at: at('acme.localhost') })
  expect(acme.url).toBe(`${at('acme.localhost')}/?bitbucket=signed-up`)
  expect(await visitor.me(at('acme.localhost'))).toMatchObject({ identities: [ALICE] })
  expect(await visitor.me()).toBeNull()

  const consent = await visitor.visit(`${at('globex.localhost')}/auth/bitbucket`)
  expect(consent.text).toContain('Corkboard for Globex')
  await visitor.decide(consent, 'alice')
  expect(await visitor.me(at('globex.localhost'))).toMatchObject({ identities: [ALICE] })

  const unknown = at('initech.localhost')
  for (const path of ['/auth/bitbucket', '/sign-in', '/'])
    expect((await visitor.send(`${unknown}${path}`)).headers.location).toBe(app.url)
  expect((await visitor.send(`${unknown}/notes`, { form: { body: 'For nobody' } })).status).toBe(421)
})

test('the log contains no secret, token or code', async () => {
  const log = app.output()
  expect(log).toContain('"msg":"request"')
  for (const secret of ['corkboard-demo-secret', 'code=', 'state=', 'a long enough password', 'corkboard-demo"']) {
    expect(log.replaceAll('"clientID":"corkboard-demo"', '')).not.toContain(secret)
  }
})
