import type { Request, Response } from 'express'
import { BitbucketStrategy } from 'passport-bitbucket-signin'
import { FAKE_CLIENT, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { expect } from 'vitest'
import { TestBrowser } from '../support/browser'
import {
  afterwards,
  browsers,
  door,
  type Handler,
  ourCookies,
  SECOND,
  sessionIdOf,
  sessionOf,
  startLab,
  startStrategyApp,
  test,
  travel,
  turns,
  until,
} from '../support/lab'
import { handleOf } from '../support/steps'

test('SES-01: voids a session cookie that an attacker planted', async () => {
  const lab = await startLab({ session: { saveUninitialized: true } })
  const { victim, attacker } = browsers()
  await attacker.get(`${lab.url}/`)
  const planted = sessionOf(attacker, lab) ?? ''
  const id = sessionIdOf(attacker, lab) ?? ''
  victim.jar(lab.url).set('connect.sid', planted)
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
  expect(sessionOf(victim, lab)).not.toBe(planted)
  expect(await lab.me(attacker)).toBeNull()
  expect(Object.keys((lab.store as unknown as { sessions: object }).sessions)).not.toContain(id)
})

test('SES-02: opens a new session at every change of privileges and voids the old one', async ({ lab, victim }) => {
  const user = await lab.member(victim)
  const steps = {
    link: async () => victim.get(await lab.fake.signIn(await lab.link(victim), { person: 'alice' })),
    reauthenticate: async () =>
      victim.get(await lab.fake.signIn((await lab.post(victim, '/reauthenticate')).location, { person: 'alice' })),
    'sign-in': () => lab.signIn(victim, 'alice'),
    unlink: () => lab.post(victim, '/unlink', { id: user.identities[0]?.id ?? '' }),
  }
  for (const [name, step] of Object.entries(steps)) {
    const before = sessionIdOf(victim, lab)
    const old = victim.copy()
    const answer = await step()
    expect([name, answer.location]).toEqual([name, '/'])
    expect(sessionIdOf(victim, lab)).not.toBe(before)
    expect(await lab.me(victim)).toBe(user.id)
    expect(await lab.me(old)).toBeNull()
  }
  const coded = await startLab({ connection: { trustedProvider: false }, session: { saveUninitialized: true } })
  const browser = new TestBrowser()
  const { code } = await coded.pendingCode(browser, 'alice')
  const old = browser.copy()
  await coded.verify(browser, code)
  expect(sessionIdOf(browser, coded)).not.toBe(sessionIdOf(old, coded))
  expect(await coded.me(old)).toBeNull()
})

test.each([4, 5] as const)(
  'SES-02: restores no one-time token that a guard of the app consumed in the same request on Express %i',
  async (express) => {
    const lab = await startLab({
      express,
      behindSession: (app) => {
        app.use((req, _res, next) => {
          const session = req.session as unknown as { tokens?: string[]; seen?: number }
          if (req.user) {
            session.tokens = (session.tokens ?? ['first', 'second', 'third', 'fourth']).slice(1)
            session.seen = (session.seen ?? 0) + 1
          }
          next()
        })
      },
    })
    const { victim } = browsers()
    const user = await lab.member(victim)
    const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
    const stored = () => {
      const { tokens, seen } = JSON.parse(sessions[sessionIdOf(victim, lab) ?? ''] ?? '{}')
      return { tokens, seen }
    }
    await lab.me(victim)
    expect(stored()).toEqual({ tokens: ['second', 'third', 'fourth'], seen: 1 })
    const callback = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
    expect(stored()).toEqual({ tokens: ['third', 'fourth'], seen: 2 })
    expect((await victim.get(callback)).location).toBe('/')
    expect(stored()).toEqual({ tokens: ['fourth'], seen: 3 })
    await lab.post(victim, '/unlink', { id: user.identities[0]?.id ?? '' })
    expect(stored()).toEqual({ tokens: [], seen: 4 })
    expect((await lab.signIn(victim, 'carol')).location).toBe('/auth/bitbucket/continue')
    const before = stored().seen
    await lab.press(victim, '/continue', '/continue')
    expect(user.identities).toHaveLength(1)
    // The page and its form.
    expect(stored().seen).toBe(before + 2)
  },
)

test('SES-05: signs no user in and consumes the callback when the session cannot be rotated', async () => {
  const lab = await startLab({ session: { saveUninitialized: true } })
  const { victim } = browsers()
  const url = await lab.callback(victim, 'alice')
  const past = victim.copy()
  const { destroy } = lab.store
  lab.store.destroy = (_id, done) => done?.(new Error('the session store is down'))
  const answer = await victim.get(url)
  expect(answer.status).toBe(503)
  expect(answer.text).not.toContain('session store is down')
  lab.store.destroy = destroy
  expect(await lab.me(victim)).toBeNull()
  expect(await lab.me(past)).toBeNull()
  expect(lab.signedIn()).toEqual([])
  await lab.refused(past, () => past.get(url), { code: 'state_invalid', upstream: 0 })
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('SES-06: signs no user in when the session cannot be saved', async ({ lab, victim }) => {
  const url = await lab.callback(victim, 'alice')
  const { set } = lab.store
  lab.store.set = (_id, _session, done) => done?.(new Error('disk full'))
  const answer = await victim.get(url)
  expect(answer.status).toBe(503)
  expect(answer.location).toBe('')
  lab.store.set = set
  expect(await lab.me(victim)).toBeNull()
  expect(lab.signedIn()).toEqual([])
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('SES-06: redirects after the session is stored only', async ({ lab, victim }) => {
  const url = await lab.callback(victim, 'alice')
  const { set } = lab.store
  const gate = door()
  let waiting = false
  lab.store.set = (id, session, done) => {
    waiting = true
    void gate.opened.then(() => set.call(lab.store, id, session, done))
  }
  let answered = false
  const answer = victim.get(url).finally(() => {
    answered = true
  })
  await until(() => waiting)
  await turns()
  expect(answered).toBe(false)
  gate.open()
  expect((await answer).location).toBe('/')
  expect(await lab.me(victim)).toBe('u1')
})

test('SES-08: leaves an old session alone when a sign-in fails, and keeps nothing of it when one succeeds', async () => {
  const lab = await startLab({ session: { saveUninitialized: true } })
  const { victim } = browsers()
  const user = await lab.member(victim)
  const denied = await lab.fake.signIn(await lab.start(victim), { person: 'alice', decision: 'deny' })
  await lab.refused(victim, () => victim.get(denied), { code: 'access_denied', upstream: 0 })
  expect(await lab.me(victim)).toBe(user.id)
  // A genuine cookie of an ended session, and an unsigned one.
  const over = victim.copy()
  await victim.post(`${lab.url}/logout`, {})
  expect(await lab.me(over)).toBeNull()
  const forged = new TestBrowser()
  forged.jar(lab.url).set('connect.sid', 's%3Agone.signature')
  for (const stale of [over, forged]) {
    const before = sessionOf(stale, lab)
    await lab.signIn(stale, 'alice')
    expect(await lab.me(stale)).toBe('u2')
    expect(sessionOf(stale, lab)).not.toBe(before)
  }
})

test('SES-09: ends pending sign-ins, codes and links at sign-out', async ({ untrusted: lab, victim }) => {
  const open = await lab.callback(victim, 'alice')
  const { code } = await lab.pendingCode(victim, 'carol')
  const past = victim.copy()
  await victim.post(`${lab.url}/logout`, {})
  expect(ourCookies(victim, lab.url).size).toBe(0)
  // Copies of the cookies, taken before the sign-out.
  await lab.refused(past, () => past.get(open), { code: 'state_invalid', upstream: 0 })
  const again = past.copy()
  const page = await lab.get(again, '/email')
  const form = handleOf(page.text)
  await lab.refused(again, () => lab.post(again, '/email/verify', { pending: form, code }), {
    code: 'pending_replaced',
  })
  travel(61 * SECOND)
  await lab.refused(again, () => lab.post(again, '/email/code', { pending: form }), { code: 'pending_replaced' })
  expect(lab.mails).toHaveLength(1)
  travel(0)
  const member = new TestBrowser()
  await lab.member(member)
  const link = await lab.fake.signIn(await lab.link(member), { person: 'alice' })
  const kept = member.copy()
  await member.post(`${lab.url}/logout`, {})
  await lab.refused(kept, () => kept.get(link), { upstream: 0 })
  expect(lab.accounts.writes()).toEqual([])
})

test('SES-11: ends each of several open sign-ins once, and never switches the user silently', async ({
  lab,
  victim,
}) => {
  const [first, second] = [await lab.callback(victim, 'alice'), await lab.callback(victim, 'alice')]
  const other = await lab.callback(victim, 'carol')
  await victim.get(first)
  const sid = sessionIdOf(victim, lab)
  await victim.get(second)
  expect(await lab.me(victim)).toBe('u1')
  expect(sessionIdOf(victim, lab)).not.toBe(sid)
  await lab.refused(victim, () => victim.get(first), { upstream: 0, ledHome: true })
  expect((await victim.get(other)).location).toBe('/auth/bitbucket/continue')
  expect(await lab.me(victim)).toBe('u1')
})

test('SES-12: refuses a session layer that cannot be rotated before calling Bitbucket', async () => {
  const cookieSession: Handler = (req, _res, next) => {
    Object.defineProperty(req, 'session', { value: { passport: {} }, writable: true })
    next()
  }
  const lab = await startLab({
    before: (app) => {
      app.use((req: Request, res: Response, next) =>
        req.path.startsWith('/auth') ? cookieSession(req, res, next) : next(),
      )
    },
  })
  const { victim } = browsers()
  const url = await lab.callback(victim, 'alice')
  await lab.refused(victim, () => victim.get(url), { code: 'session_missing', upstream: 0 })
  const control = await startLab()
  await control.signIn(victim, 'alice')
  expect(await control.me(victim)).toBe('u1')

  // One that only says that it was renewed would sign the victim in under an id that the attacker may have planted.
  const pretending = await startLab({
    behindSession: (app) => {
      app.use((req: Request, _res: Response, next) => {
        Object.assign(req.session, { planted: true })
        req.session.regenerate = (done) => {
          done(null)
          return req.session
        }
        next()
      })
    },
  })
  const other = browsers().victim
  const answer = await other.get(await pretending.callback(other, 'alice'))
  expect(answer.status).toBe(500)
  expect(await pretending.me(other)).toBeNull()
})

test('SES-14: refuses one of our cookies that comes twice, in any order', async ({
  untrusted: lab,
  victim,
  attacker,
}) => {
  const genuine = await lab.callback(victim, 'alice')
  const [name = '', own = ''] = [...ourCookies(victim, lab.url)][0] ?? []
  let planted = ''
  while (planted === '') {
    await lab.state(attacker)
    planted = ourCookies(attacker, lab.url).get(name) ?? ''
  }
  for (const cookie of [
    `${name}=${planted}; ${name}=${own}`,
    `${name}=${own}; ${name}=${planted}`,
    `${name}=${own}; ${name}=${own}`,
    Array.from({ length: 20 }, () => `${name}=${own}`).join('; '),
  ]) {
    const cookies = { headers: { cookie } }
    await lab.refused(victim, () => victim.get(genuine, cookies), { code: 'state_invalid', upstream: 0 })
  }
  await victim.get(genuine)
  const pending = ourCookies(victim, lab.url).get('bitbucket.p') ?? ''
  const doubled = { headers: { cookie: `bitbucket.p=${pending}; bitbucket.p=${pending}` } }
  const code = lab.mails[0]?.code ?? ''
  await lab.refused(victim, () => lab.post(victim, '/email/verify', { code }, doubled), { code: 'pending_missing' })
  await lab.verify(victim, code)
  expect(await lab.me(victim)).toBe('u1')
})

test('SES-15: asks the app to end other sessions whenever the ways into an account change', async ({ lab }) => {
  const claimed = lab.accounts.add({ email: 'alice@example.com', emailVerified: false })
  await lab.signIn(new TestBrowser(), 'alice')
  expect(lab.accounts.endedSessions).toEqual([claimed.id, 'u2'].map((userId) => ({ userId, reason: 'claimed' })))
  const linked = lab.accounts.add({ email: 'carol@example.com', emailVerified: true })
  await lab.signIn(new TestBrowser(), 'carol')
  expect(lab.accounts.endedSessions.at(-1)).toEqual({ userId: linked.id, reason: 'linked' })
  const browser = new TestBrowser()
  await lab.localSignIn(browser, linked)
  await lab.post(browser, '/unlink', { id: linked.identities[0]?.id ?? '' })
  expect(lab.accounts.endedSessions.at(-1)).toEqual({ userId: linked.id, reason: 'unlinked' })
  await lab.signIn(new TestBrowser(), 'alice')
  expect(lab.accounts.endedSessions).toHaveLength(4)
})

test.each([4, 5] as const)(
  'SES-15: reports an endOtherSessions that ends the session of the request too on Express %i',
  async (express) => {
    for (const endsOwn of [true, false]) {
      const lab = await startLab({ express })
      const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
      lab.accounts.intercept = (name, input) => {
        if (name !== 'endOtherSessions') return
        const { req, user } = input as { req: Request; user: { id: string } }
        for (const [id, stored] of Object.entries(sessions)) {
          if (JSON.parse(stored).passport?.user === user.id && (endsOwn || id !== req.sessionID)) delete sessions[id]
        }
      }
      const { victim, attacker } = browsers()
      const user = await lab.member(victim)
      await lab.localSignIn(attacker, user)
      const answer = await victim.get(await lab.fake.signIn(await lab.link(victim), { person: 'alice' }))
      expect(answer.status).toBe(endsOwn ? 409 : 302)
      expect(lab.signedIn()).toEqual(endsOwn ? [] : [user.id])
      expect(lab.errors.map(({ code, message }) => [code, message.includes('`req.sessionID`')])).toEqual(
        endsOwn ? [['hook_failed', true]] : [],
      )
      expect(user.identities).toHaveLength(1)
    }
  },
)

test("SES-16: rotates the session with Passport's custom callback as well", async () => {
  const fake = await startFakeBitbucket()
  afterwards(() => fake.close())
  const app = await startStrategyApp(
    (callbackURL, verify) =>
      new BitbucketStrategy(
        {
          clientID: FAKE_CLIENT.clientID,
          clientSecret: FAKE_CLIENT.clientSecret,
          callbackURL,
          endpoints: fake.endpoints,
        },
        verify,
      ),
    {
      handle: (passport, req, res, next) => {
        const done = (error: unknown, user: unknown) => {
          if (error || !user) return next(error ?? new Error('refused'))
          req.logIn(user, (failed?: unknown) => (failed ? next(failed) : res.redirect('/')))
        }
        ;(passport.authenticate('bitbucket', done as never) as (...args: unknown[]) => void)(req, res, next)
      },
    },
  )
  const { victim, attacker } = browsers()
  const signIn = async (browser: TestBrowser, person: string) =>
    browser.get(await fake.signIn((await browser.get(`${app.url}/start`)).location, { person }))
  await signIn(attacker, 'carol')
  // The attacker's own session, genuine, planted in the victim's browser before the sign-in.
  victim.jar(app.url).set('connect.sid', sessionOf(attacker, app) ?? '')
  await signIn(victim, 'alice')
  expect((await victim.get(`${app.url}/me`)).json().user).toBe(fake.person('alice').uuid)
  expect(sessionOf(victim, app)).not.toBe(sessionOf(attacker, app))
  expect((await attacker.get(`${app.url}/me`)).json().user).toBeNull()
})

test('SES-16: rotates the session with a Passport patched not to', async () => {
  const patched: Handler = (req, _res, next) => {
    const asked = req as unknown as {
      logIn(user: { id: string }, done: (error?: unknown) => void): void
      user: unknown
    }
    asked.logIn = (user, done) => {
      ;(req.session as unknown as { passport: unknown }).passport = { user: user.id }
      asked.user = user
      req.session.save(done)
    }
    next()
  }
  const lab = await startLab({
    session: { saveUninitialized: true },
    behindSession: (app) => void app.use('/auth', patched as never),
  })
  const { victim, attacker } = browsers()
  await attacker.get(`${lab.url}/`)
  victim.jar(lab.url).set('connect.sid', sessionOf(attacker, lab) ?? '')
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
  expect(await lab.me(attacker)).toBeNull()
})

test('SES-17: puts no user on the request, into the session or into hooks before the code is checked', async ({
  untrusted: lab,
  victim,
}) => {
  const { code } = await lab.pendingCode(victim, 'alice')
  // In this order: Passport takes a user whom it does not find out of the session again.
  expect(lab.signedIn()).toEqual([])
  expect(await lab.me(victim)).toBeNull()
  expect(lab.accounts.writes()).toEqual([])
  expect(lab.accounts.users.size).toBe(0)
  await lab.verify(victim, code)
  expect(lab.signedIn()).toEqual(['u1'])
})

test('SES-01: drops what an anonymous visitor wrote into the session, except for the keys that the app names', async () => {
  const lab = await startLab({
    session: { saveUninitialized: true },
    options: { session: { keep: ['cart'] } },
  })
  const { victim } = browsers()
  await victim.get(`${lab.url}/`)
  const id = sessionIdOf(victim, lab) ?? ''
  const sessions = (lab.store as unknown as { sessions: Record<string, string> }).sessions
  sessions[id] = JSON.stringify({ ...JSON.parse(sessions[id] ?? '{}'), cart: 'apples', isAdmin: true, user: 'u9' })
  await lab.signIn(victim, 'alice')
  const after = JSON.parse(sessions[sessionIdOf(victim, lab) ?? ''] ?? '{}')
  expect(after).toMatchObject({ cart: 'apples', passport: { user: 'u1' } })
  expect(after.isAdmin ?? after.user).toBeUndefined()
})
