import type { Express } from 'express'
import type { BitbucketSignIn } from 'passport-bitbucket-signin'
import { expect, test } from 'vitest'
import { Secret } from '../../src/contract/secret'
import { deriveKeys, type KeyPurpose } from '../../src/state/keys'
import { seal } from '../../src/state/sealed-cookie'
import type { TestUser } from '../support/accounts'
import type { TestAppOptions } from '../support/app'
import { formsOf, type TestBrowser } from '../support/browser'
import { browsers, type Lab, MINUTE, ourCookies, startLab, travel } from '../support/lab'
import { choose, errorOf } from '../support/steps'

/** The app's own sign-in, which ends with `signedIn`, and pages around it. */
function ownRoutes(express: Express, bitbucket: BitbucketSignIn, accounts: () => Lab['accounts']): void {
  express.post('/own/:id', (req, res, next) => {
    const user = accounts().users.get(req.params.id) as TestUser
    req.logIn(user, (error?: unknown) => {
      if (error) return next(error)
      bitbucket.signedIn(req).then((path) => res.redirect(path ?? '/home'), next)
    })
  })
  // The mistake of an app: it says so on each visit of the signed-in user.
  express.get('/visit', (req, res, next) => {
    bitbucket.signedIn(req).then((path) => res.send(path ?? 'none'), next)
  })
  const asked = ({ query, originalUrl }: { query: object; originalUrl: string }) =>
    (query as { next?: string }).next ?? originalUrl
  express.get('/secret', bitbucket.requireRecentSignIn({ returnTo: asked as never }), (_req, res) => {
    res.send('the secret')
  })
}

async function startOwn(options: TestAppOptions = {}): Promise<Lab> {
  const lab: Lab = await startLab({
    ...options,
    options: { signedInAt: undefined as never, ...options.options },
    routes: (express, bitbucket) => ownRoutes(express, bitbucket, () => lab.accounts),
  })
  return lab
}

const signInOwn = async (lab: Lab, browser: TestBrowser, { id }: TestUser) =>
  (await browser.post(`${lab.url}/own/${id}`, {})).location
const local = (lab: Lab, email = 'victim@example.com') => lab.accounts.add({ email, emailVerified: true })

/** A cookie value as a holder of the secret could send it: its content is checked as well. */
const sealed = (purpose: KeyPurpose, name: string, payload: unknown) =>
  seal(deriveKeys([new Secret('test-secret-test-secret-test-secret')], 'bitbucket', purpose), name, payload)

test('SGN-01: does not count a session that the browser brought along as recent, whatever its cookie', async () => {
  const lab = await startOwn()
  const { victim } = browsers()
  await signInOwn(lab, victim, local(lab))
  travel(11 * MINUTE)
  const cookie = victim.jar(lab.url).get('connect.sid') ?? ''
  const coded = [...decodeURIComponent(cookie)].map((each) => `%${each.charCodeAt(0).toString(16)}`).join('')
  for (const value of [cookie, coded]) {
    const thief = victim.copy()
    thief.jar(lab.url).set('connect.sid', value)
    // A cookie that does not decode stands before it.
    thief.jar(lab.url).set('bad', '%')
    expect(await lab.me(thief)).toBe('u1')
    await thief.get(`${lab.url}/visit`)
    expect((await thief.get(`${lab.url}/secret`)).location).toContain('sign-in-again')
    await lab.refused(thief, () => lab.press(thief, '/link', '/link'), { code: 'recent_sign_in_required', upstream: 0 })
  }
  await signInOwn(lab, victim, lab.accounts.users.get('u1') as TestUser)
  expect((await victim.get(`${lab.url}/secret`)).text).toBe('the secret')
  expect((await lab.press(victim, '/link', '/link')).status).toBe(303)
})

type Waiting = 'code' | 'prove' | 'choose'

/** A browser in which an attacker left an identity waiting, and another user who comes next. */
async function startShared(waiting: Waiting) {
  const lab = await startOwn({
    ...(waiting === 'code' && { connection: { trustedProvider: false } }),
    ...(waiting === 'prove' && { options: { policy: { matchingAccount: 'prove' } } }),
  })
  const { victim: shared } = browsers()
  const holder = local(lab, waiting === 'prove' ? 'alice@example.com' : 'attacker@example.com')
  const victim = local(lab)
  if (waiting === 'choose') await signInOwn(lab, shared, holder)
  await lab.signIn(shared, 'alice', { returnTo: '/dash' })
  const names = () => [...ourCookies(shared, lab.url).keys()]
  expect(names()).toEqual(['bitbucket.p'])
  return { lab, shared, holder, victim, names }
}

test("SGN-02: never combines an identity that the last user left pending with the next user's sign-in", async () => {
  for (const waiting of ['code', 'prove', 'choose'] as const) {
    const { lab, shared, victim, names } = await startShared(waiting)
    // Of a proof, the victim hears that it was dropped, and nothing of the identity.
    const told = waiting === 'prove'
    const next = await signInOwn(lab, shared, victim)
    expect([waiting, next]).toEqual([waiting, told ? '/auth/bitbucket/sign-in-again?returnTo=%2Fdash' : '/dash'])
    expect([waiting, names()]).toEqual([waiting, told ? ['bitbucket.e'] : []])
    if (told) {
      const { text } = await shared.get(lab.url + next)
      expect(text).not.toMatch(/Alice|alice|a\*\*\*/)
      expect(formsOf(text).map(({ action }) => action)).toEqual(['/auth/bitbucket/sign-in-again'])
    }
    expect((await lab.get(shared, '/continue')).location).toBe('/')
    expect([...victim.identities, ...lab.accounts.writes()]).toEqual([])
  }
  const { lab, shared, holder } = await startShared('prove')
  expect(await signInOwn(lab, shared, holder)).toBe('/auth/bitbucket/continue')
  expect((await choose(lab, shared, 'confirm')).status).toBe(303)
  expect(holder.identities).toHaveLength(1)
})

test("SGN-02: drops another user's pending sign-in on the page if the app does not report a sign-in", async () => {
  for (const waiting of ['code', 'choose'] as const) {
    const { lab, shared, victim, names } = await startShared(waiting)
    await lab.localSignIn(shared, victim)
    const { location } = await lab.get(shared, waiting === 'code' ? '/email' : '/continue')
    expect([waiting, location, names()]).toEqual([waiting, '/dash', []])
    expect([...victim.identities, ...lab.accounts.writes()]).toEqual([])
  }
  const { lab, shared, victim } = await startShared('prove')
  await lab.localSignIn(shared, victim)
  await lab.refused(shared, () => choose(lab, shared, 'confirm'), { upstream: 0 })
  expect(victim.identities).toEqual([])
})

test('SGN-03: lets no other site choose the page after a sign-in: it is sealed, for ten minutes and one use', async () => {
  const lab = await startOwn()
  const user = local(lab)
  const name = 'bitbucket.n'
  const { victim } = browsers()
  await victim.get(`${lab.url}/secret?page=2`)
  const genuine = ourCookies(victim, lab.url).get(name) ?? ''
  await lab.state(victim)
  const other = [...ourCookies(victim, lab.url)].find(([each]) => each !== name)?.[1] ?? ''
  const planted = {
    'the path itself': `${name}=/evil`,
    'a value of another of our cookies': `${name}=${other}`,
    'another one beside it': `${name}=${genuine}; ${name}=${genuine}`,
    'a page elsewhere': `${name}=${sealed('asked-for', name, '//evil.example/')}`,
    'no path': `${name}=${sealed('asked-for', name, { path: '/evil' })}`,
  }
  for (const [what, cookie] of Object.entries(planted)) {
    const answer = await browsers().victim.post(`${lab.url}/own/${user.id}`, {}, { headers: { cookie } })
    expect([what, answer.location]).toEqual([what, '/home'])
  }
  const late = victim.copy()
  expect(await signInOwn(lab, victim, user)).toBe('/secret?page=2')
  expect(await signInOwn(lab, victim, user)).toBe('/home')
  travel(11 * MINUTE)
  expect(await signInOwn(lab, late, user)).toBe('/home')
  for (const next of ['//evil.example/', '/auth/bitbucket/callback?code=x', '/login']) {
    const { victim: lured } = browsers()
    await lured.get(`${lab.url}/secret?next=${encodeURIComponent(next)}`)
    expect([next, [...ourCookies(lured, lab.url).keys()]]).toEqual([next, []])
  }
})

test('SGN-04: redirects a signed-in user home once after a used callback, reports it, and never loops', async () => {
  let used = ''
  const lab = await startLab({
    options: { paths: { signedIn: '/home' } },
    routes: (express) => {
      express.get('/home', (_req, res) => {
        if (used === '') res.send('home')
        else res.redirect(used)
      })
    },
  })
  const { victim, attacker } = browsers()
  const callback = await lab.callback(victim, 'alice')
  await victim.get(callback)
  const again = await victim.get(callback)
  expect([again.status, again.location]).toEqual([302, '/home'])
  expect(lab.events.at(-1)).toMatchObject({ type: 'refused', code: 'state_invalid' })
  victim.jar(lab.url).delete('bitbucket.h')
  used = callback
  const { answer } = await victim.follow(await victim.get(callback), callback)
  expect([answer.status, errorOf(answer)]).toEqual([403, 'state_invalid'])
  expect(await lab.me(victim)).toBe('u1')
  await lab.refused(attacker, () => attacker.get(callback), { code: 'state_invalid', upstream: 0 })
  victim.jar(lab.url).delete('bitbucket.h')
  const json = { headers: { accept: 'application/json' } }
  await lab.refused(victim, () => victim.get(callback, json), { code: 'state_invalid', upstream: 0 })
  const page = `${lab.base}/continue`
  const over = await victim.get(page)
  expect([over.status, over.location]).toEqual([302, '/home'])
  await lab.refused(attacker, () => attacker.get(page), { code: 'pending_missing', upstream: 0 })
  victim.jar(lab.url).delete('bitbucket.h')
  const late = await lab.callback(victim, 'alice')
  travel(11 * MINUTE)
  await lab.refused(victim, () => victim.get(late), { code: 'state_expired', upstream: 0 })
})
