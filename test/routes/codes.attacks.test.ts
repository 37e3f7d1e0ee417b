import { createHash } from 'node:crypto'
import { BitbucketStrategy } from 'passport-bitbucket-signin'
import { FAKE_CLIENT, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { expect } from 'vitest'
import { formsOf, TestBrowser } from '../support/browser'
import { afterwards, browsers, ourCookies, sessionIdOf, startStrategyApp, test } from '../support/lab'

test("COD-01: refuses a stolen code in the thief's own sign-in where Bitbucket enforces PKCE", async ({ lab }) => {
  lab.fake.setBehaviour({ pkce: 'enforce' })
  const { victim, attacker } = browsers()
  const stolen = new URL(await lab.callback(victim, 'alice')).searchParams.get('code') ?? ''
  const state = await lab.state(attacker)
  await lab.refused(attacker, () => attacker.get(lab.callbackURL({ code: stolen, state })), {
    code: 'upstream_failed',
    upstream: 1,
    reflected: [stolen],
  })
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('COD-02: refuses a used code, and keeps the signed-in user signed in', async ({ lab, victim }) => {
  const url = new URL(await lab.callback(victim, 'alice'))
  await victim.get(url.href)
  const state = await lab.state(victim)
  const spent = lab.callbackURL({ code: url.searchParams.get('code') ?? '', state })
  await lab.refused(victim, () => victim.get(spent), { code: 'upstream_failed', upstream: 1 })
  expect(await lab.me(victim)).toBe('u1')
})

test('COD-03: ignores a token inside an error answer', async ({ lab, victim }) => {
  for (const status of [201, 202, 400, 401, 403, 500, 503]) {
    const url = await lab.callback(victim, 'alice')
    lab.fake.script('token', [
      { status, json: { access_token: 'T'.repeat(43), token_type: 'bearer', scope: 'account email' } },
    ])
    await lab.refused(victim, () => victim.get(url), { upstream: 1 })
    expect(lab.fake.count('user')).toBe(0)
  }
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('COD-05: uses a new S256 verifier for each sign-in, in the token request only', async ({ lab, victim }) => {
  const answers = []
  const verifiers: string[] = []
  for (const person of ['alice', 'carol']) {
    const started = await lab.get(victim, '')
    answers.push(started)
    const authorize = new URL(started.location)
    expect(authorize.searchParams.get('code_challenge_method')).toBe('S256')
    answers.push(await victim.get(await lab.fake.signIn(started.location, { person })))
    const verifier = lab.fake.requests.filter(({ endpoint }) => endpoint === 'token').at(-1)?.form.code_verifier ?? ''
    expect(verifier).toMatch(/^[\w.~-]{43,128}$/)
    const challenge = createHash('sha256').update(verifier).digest('base64url')
    expect(authorize.searchParams.get('code_challenge')).toBe(challenge)
    verifiers.push(verifier)
  }
  expect(new Set(verifiers).size).toBe(2)
  const seen = JSON.stringify([answers, lab.events, [...lab.fake.requests].map(({ url }) => url)])
  for (const verifier of verifiers) expect(seen).not.toContain(verifier)
})

test('COD-05: sends a verifier from the strategy alone as well, and refuses a stolen code', async () => {
  const fake = await startFakeBitbucket({ behaviour: { pkce: 'enforce' } })
  afterwards(() => fake.close())
  const { clientID, clientSecret } = FAKE_CLIENT
  const app = await startStrategyApp(
    (callbackURL, verify) =>
      new BitbucketStrategy({ clientID, clientSecret, callbackURL, endpoints: fake.endpoints }, verify),
  )
  const { victim, attacker } = browsers()
  const signIn = async (browser: TestBrowser) =>
    fake.signIn((await browser.get(`${app.url}/start`)).location, { person: 'alice' })
  const code = new URL(await signIn(victim)).searchParams.get('code') ?? ''
  const own = new URL(await signIn(attacker))
  own.searchParams.set('code', code)
  expect((await attacker.get(own.href)).status).toBeGreaterThanOrEqual(400)
  expect(app.verified).toEqual([])
  await victim.get(await signIn(victim))
  expect(app.verified).toEqual([fake.person('alice').uuid])
})

test('COD-06: exchanges nothing without the sealed record, and never without a verifier', async ({ lab, victim }) => {
  const url = await lab.callback(victim, 'alice', '/aaaaaaaaaaaaaaaa')
  const jar = victim.jar(lab.url)
  const [[name = '', value = ''] = []] = [...ourCookies(victim, lab.url)]
  jar.set(name, `${value.slice(0, 60)}${value.slice(61)}`)
  await lab.refused(victim, () => victim.get(url), { code: 'state_invalid', upstream: 0 })
  jar.delete(name)
  await lab.refused(victim, () => victim.get(url), { code: 'state_invalid', upstream: 0 })
  // The way back is at the front and can be guessed: with nothing but encryption, a flipped bit would be another path.
  for (let at = 0; at < Buffer.from(value, 'base64url').length; at++) {
    const bytes = Buffer.from(value, 'base64url')
    bytes[at] = (bytes[at] ?? 0) ^ 1
    jar.set(name, bytes.toString('base64url'))
    expect([at, (await victim.get(url)).status]).toEqual([at, 403])
  }
  expect(lab.upstream()).toBe(0)
  jar.set(name, value)
  expect((await victim.get(url)).location).toBe('/aaaaaaaaaaaaaaaa')
  expect(await lab.me(victim)).toBe('u1')
  for (const { form } of lab.fake.requests.filter(({ endpoint }) => endpoint === 'token')) {
    expect(form.code_verifier).toMatch(/^[\w-]{43}$/)
  }
})

test('COD-08: ignores tokens in the query of the callback, and exchanges nothing without a code', async ({
  lab,
  victim,
  attacker,
}) => {
  const stolen = await lab.fake.signIn(await lab.start(attacker), { person: 'bob' })
  expect(stolen).toContain('code=')
  for (const smuggled of [{ access_token: 'T'.repeat(43) }, { access_token: 'T', token_type: 'bearer' }, {}]) {
    const state = await lab.state(victim)
    await lab.refused(victim, () => victim.get(lab.callbackURL({ ...smuggled, state })), {
      code: 'state_invalid',
      upstream: 0,
    })
  }
  // A code next to an error is neither; the state is consumed.
  const both = await lab.callback(victim, 'alice')
  await lab.refused(victim, () => victim.get(`${both}&error=access_denied`), { code: 'state_invalid', upstream: 0 })
  const genuine = await lab.callback(victim, 'alice')
  await victim.get(`${genuine}&access_token=evil&token_type=bearer&expires_in=1&id_token=evil&scope=evil`)
  expect(await lab.me(victim)).toBe('u1')
  expect(lab.fake.requests.some(({ url, body }) => `${url}${body}`.includes('evil'))).toBe(false)
})

test('COD-09: answers a callback with a redirect to a clean URL or an inert page, without the code', async ({
  lab,
  victim,
}) => {
  const genuine = await lab.callback(victim, 'alice')
  const state = async () => lab.state(victim)
  const code = 'SECRETCODE'
  lab.fake.script('token', (request) => (request.form.code === code ? { status: 502, html: code } : null))
  const answers = [
    await victim.get(lab.callbackURL({ code })),
    await victim.get(lab.callbackURL({ code, state: 'x' })),
    await victim.get(lab.callbackURL({ code, state: await state() })),
    await victim.get(lab.callbackURL({ error: 'access_denied', error_description: code, state: await state() })),
    await victim.get(genuine),
  ]
  for (const answer of answers) {
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.headers['referrer-policy']).toBe('no-referrer')
    expect(answer.text).not.toContain(code)
    expect(answer.location).not.toContain('code=')
    expect(answer.text).not.toMatch(/(?:src|href|action)="https?:/)
    expect(answer.text).not.toContain('<script')
  }
  expect(answers.at(-1)?.location).toBe('/')
})

test("COD-11: asks a signed-in user who returns with another user's identity, and links nothing", async ({ lab }) => {
  await lab.signIn(new TestBrowser(), 'carol')
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u2')
  const sid = victim.jar(lab.url).get('connect.sid')
  const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
  const old = sessionIdOf(victim, lab) ?? ''
  sessions[old] = JSON.stringify({ ...JSON.parse(sessions[old] ?? '{}'), basket: 'of the first user' })
  const past = victim.copy()
  const answer = await lab.signIn(victim, 'carol')
  expect(answer.location).toBe('/auth/bitbucket/continue')
  expect(await lab.me(victim)).toBe('u2')
  expect(lab.accounts.writes()).toEqual(['createUser', 'createUser'])
  const page = await lab.get(victim, '/continue')
  expect(page.text).not.toContain('carol@example.com')
  await lab.press(victim, '/continue', '/continue')
  expect(await lab.me(victim)).toBe('u1')
  expect(victim.jar(lab.url).get('connect.sid')).not.toBe(sid)
  expect(lab.accounts.writes()).toHaveLength(2)
  expect(lab.accounts.users.get('u2')?.identities).toHaveLength(1)
  expect(JSON.stringify(sessions)).not.toContain('of the first user')
  expect(await lab.me(past)).toBeNull()
})

test('COD-11: signs a user out while they switch to an identity with an unproven address', async ({
  untrusted: lab,
  victim,
}) => {
  await lab.member(victim)
  await lab.signIn(victim, 'alice')
  const past = victim.copy()
  const form = formsOf((await lab.get(victim, '/continue')).text).find(({ fields }) => fields.choice === 'switch')
  const answer = await lab.post(victim, '/continue', form?.fields ?? {})
  expect(answer.location).toBe('/auth/bitbucket/email')
  expect(await lab.me(victim)).toBeNull()
  expect(await lab.me(past)).toBeNull()
  await lab.verify(victim, lab.mails[0]?.code ?? '')
  expect(await lab.me(victim)).toBe('u2')
})

test('COD-12: refuses a code that another user redeemed first, once and with an event', async ({
  lab,
  victim,
  attacker,
}) => {
  const url = new URL(await lab.callback(victim, 'alice'))
  const code = url.searchParams.get('code') ?? ''
  const stolen = await attacker.post(
    lab.fake.endpoints.tokenURL,
    { grant_type: 'authorization_code', code, redirect_uri: `${lab.base}/callback` },
    {
      headers: {
        authorization: `Basic ${Buffer.from(`${FAKE_CLIENT.clientID}:${FAKE_CLIENT.clientSecret}`).toString('base64')}`,
      },
    },
  )
  expect(stolen.status).toBe(200)
  await lab.refused(victim, () => victim.get(url.href), { code: 'upstream_failed', upstream: 1 })
  expect(lab.events.at(-1)).toMatchObject({ type: 'upstream_failed', code: 'upstream_failed' })
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})
