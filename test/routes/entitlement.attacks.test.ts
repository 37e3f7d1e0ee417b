import { EmailTakenError, IdentityTakenError } from 'passport-bitbucket-signin'
import { describe, expect } from 'vitest'
import type { TestUser } from '../support/accounts'
import { TestBrowser } from '../support/browser'
import { browsers, door, type Lab, startLab, test, until } from '../support/lab'
import { choose, errorOf, link } from '../support/steps'

/*
 * A session never outlives the right to it: hooks that hang while accounts change, users that are judged late, hooks
 * that change what they were given, and writes that fail for the wrong reason.
 */

const identityOf = (lab: Lab, person: string) => ({
  issuer: new URL(lab.fake.url).origin,
  id: lab.fake.person(person).uuid,
})

/** Holds the `nth` call of a hook until it is released. */
function hold(lab: Lab, hook: string, nth = 1) {
  const gate = door()
  let calls = 0
  lab.accounts.intercept = async (name) => {
    if (name !== hook || ++calls !== nth) return undefined
    await gate.opened
    return undefined
  }
  return {
    reached: () => until(() => calls >= nth, hook),
    release() {
      lab.accounts.intercept = () => {}
      gate.open()
    },
  }
}

/** Ends the stored sessions of a user, as an app does after a change. */
function endSessions(lab: Lab, userId: string): void {
  const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
  for (const [id, json] of Object.entries(sessions)) {
    if ((JSON.parse(json) as { passport?: { user?: string } }).passport?.user === userId) delete sessions[id]
  }
}

describe('case 3: canSignIn is asked before every session', () => {
  test.each([
    ['a created user', () => {}, { disabled: true }],
    ['a claimed address', (lab: Lab) => lab.accounts.add({ email: 'alice@example.com' }), { disabled: true }],
  ])('%s that may not sign in yet gets no session, now or at the second sign-in', async (_who, arrange, change) => {
    const lab = await startLab()
    arrange(lab)
    const { add } = lab.accounts
    lab.accounts.add = (user) => add.call(lab.accounts, { ...user, ...change })
    for (let count = 0; count < 2; count++) {
      const browser = new TestBrowser()
      expect(errorOf(await lab.signIn(browser, 'alice'))).toBe('account_disabled')
      expect(await lab.me(browser)).toBeNull()
    }
    expect(lab.signedIn()).toEqual([])
    expect(lab.events.some(({ type }) => type === 'signed_in')).toBe(false)
    expect(lab.events.filter(({ code }) => code === 'account_disabled')).toHaveLength(2)
  })

  test('control: a user who may sign in gets a session', async ({ lab, victim }) => {
    await lab.signIn(victim, 'alice')
    expect(await lab.me(victim)).toBe('u1')
  })
})

describe('case 4: a sign-in that hangs does not survive what happens meanwhile', () => {
  const CHANGES: Record<string, (lab: Lab, user: TestUser) => void> = {
    unlinked: (_lab, user) => {
      user.identities = []
    },
    'moved to another user': (lab, user) => {
      lab.accounts.add({ identities: user.identities })
      user.identities = []
    },
    suspended: (_lab, user) => {
      user.disabled = true
    },
    deleted: (lab, user) => {
      lab.accounts.users.delete(user.id)
    },
  }

  test.each(
    Object.keys(CHANGES).flatMap((change) =>
      (['storeTokens', 'canSignIn', 'beforeSignIn', 'getUserById'] as const).map((hook) => [change, hook] as const),
    ),
  )('%s while %s hangs leaves no session, and none in the store', async (change, hook) => {
    const lab = await startLab()
    const user = lab.accounts.add({ identities: [identityOf(lab, 'alice')] })
    const { attacker } = browsers()
    const url = await lab.callback(attacker, 'alice')
    const held = hold(lab, hook)
    const answer = attacker.get(url)
    await held.reached()
    CHANGES[change]?.(lab, user)
    endSessions(lab, user.id)
    held.release()
    expect((await answer).status).toBeGreaterThanOrEqual(400)
    expect(await lab.me(attacker)).toBeNull()
    expect(lab.signedIn()).toEqual([])
    expect(lab.events.some(({ type }) => type === 'signed_in')).toBe(false)
  })

  test('a suspension after the session was saved destroys it', async ({ lab }) => {
    const user = lab.accounts.add({ identities: [identityOf(lab, 'alice')] })
    const { attacker } = browsers()
    const url = await lab.callback(attacker, 'alice')
    const { set } = lab.store
    lab.store.set = (...args) => {
      user.disabled = true
      return set.apply(lab.store, args)
    }
    expect(errorOf(await attacker.get(url))).toBe('account_disabled')
    expect(lab.signedIn()).toEqual([])
    lab.store.set = set
    user.disabled = false
    await lab.signIn(attacker, 'alice')
    expect(await lab.me(attacker)).toBe(user.id)
  })

  test('a failed read after the session was saved destroys it', async ({ lab }) => {
    lab.accounts.add({ identities: [identityOf(lab, 'alice')] })
    const { attacker } = browsers()
    const url = await lab.callback(attacker, 'alice')
    const { set } = lab.store
    lab.store.set = (...args) => {
      lab.accounts.intercept = (name) => {
        if (name === 'getUserByIdentity') throw new Error('the database is away')
      }
      return set.apply(lab.store, args)
    }
    expect(errorOf(await attacker.get(url))).toBe('hook_failed')
    lab.accounts.intercept = () => {}
    expect(await lab.me(attacker)).toBeNull()
    expect(lab.signedIn()).toEqual([])
  })

  test("the plugin's strategy does the same in req.logIn", async () => {
    const lab = await startLab({
      behindSession: (app, bitbucket) => {
        app.get('/auth/bitbucket/callback', (req, res, next) =>
          lab.passport.authenticate('bitbucket', { failureRedirect: '/failed', successRedirect: '/' })(req, res, next),
        )
        void bitbucket
      },
    })
    lab.passport.use(lab.bitbucket.strategy)
    const user = lab.accounts.add({ identities: [identityOf(lab, 'alice')] })
    for (const suspended of [true, false]) {
      const { attacker } = browsers()
      const url = await lab.callback(attacker, 'alice')
      const { set } = lab.store
      lab.store.set = (...args) => {
        user.disabled = suspended
        return set.apply(lab.store, args)
      }
      const before = lab.events.length
      await attacker.get(url)
      lab.store.set = set
      user.disabled = false
      expect(await lab.me(attacker)).toBe(suspended ? null : user.id)
      expect(lab.signedIn()).toEqual(suspended ? [] : [user.id])
      expect(lab.events.slice(before).some(({ type }) => type === 'signed_in')).toBe(!suspended)
    }
  })

  test.each([4, 5] as const)(
    "the plugin's strategy with `session: false` leaves the session to the visitor on Express %i",
    async (express) => {
      for (const [route, suspended] of [
        [{ session: false }, true],
        [{ session: false }, false],
        [{}, true],
      ] as const) {
        const lab = await startLab({
          express,
          behindSession: (app) => {
            app.get(
              '/auth/bitbucket/callback',
              (req, _res, next) => {
                Object.assign(req.session, { note: 'of this request' })
                next()
              },
              (req, res, next) => lab.passport.authenticate('bitbucket', route)(req, res, next),
              (req, res) => void res.json({ user: (req.user as { id: string }).id }),
            )
          },
        })
        lab.passport.use(lab.bitbucket.strategy)
        const user = lab.accounts.add({ identities: [identityOf(lab, 'alice')] })
        const { victim } = browsers()
        const member = await lab.member(victim, { email: 'owner@example.com' })
        const url = await lab.callback(victim, 'alice')
        // The third check of the request is the one after the login.
        const allowed = suspended ? 2 : 3
        let checks = 0
        lab.accounts.intercept = (name) => (name === 'canSignIn' ? ++checks <= allowed : undefined)
        const answer = await victim.get(url)
        expect(checks).toBe(3)
        if (suspended) expect(errorOf(answer) ?? answer.status).not.toBe(200)
        else expect(answer.json()).toEqual({ user: user.id })
        const isOwn = 'session' in route
        expect(await lab.me(victim)).toBe(isOwn ? member.id : null)
        expect(lab.signedIn()).toEqual(isOwn ? [member.id] : [])
        const [stored] = Object.values((lab.store as unknown as { sessions: Record<string, string> }).sessions)
        if (isOwn) expect(JSON.parse(stored ?? '{}')).toMatchObject({ note: 'of this request' })
      }
    },
  )

  test.each([
    ['a plain store', () => {}],
    [
      'a store that rotates in its own way',
      ({ store }: Lab) => Object.assign(store, { regenerate: store.regenerate.bind(store) }),
    ],
  ])('a link whose session is ended meanwhile signs no user in (%s)', async (_store, arrange) => {
    for (const hook of ['getUserById', 'canSignIn', 'endOtherSessions'] as const) {
      const lab = await startLab()
      arrange(lab)
      const { attacker } = browsers()
      const user = await lab.member(attacker)
      const callback = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
      const held = hold(lab, hook)
      const answer = attacker.get(callback)
      await held.reached()
      endSessions(lab, user.id)
      held.release()
      expect([hook, errorOf(await answer)]).toEqual([hook, 'session_changed'])
      expect(lab.signedIn()).toEqual([])
    }
  })

  test('ending all sessions while the new one is saved leaves neither the old nor the new one', async () => {
    for (const ends of [true, false]) {
      const lab = await startLab()
      const { attacker } = browsers()
      const user = await lab.member(attacker)
      const callback = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
      const { set } = lab.store
      lab.store.set = (...args) => {
        if (ends) endSessions(lab, user.id)
        return set.apply(lab.store, args)
      }
      const answer = await attacker.get(callback)
      expect([ends, errorOf(answer)]).toEqual([ends, ends ? 'session_changed' : null])
      expect(lab.signedIn()).toEqual(ends ? [] : [user.id])
    }
  })

  test('a store that cannot end the old session destroys the new one, and the old one stays signed in', async ({
    lab,
    victim,
  }) => {
    const user = await lab.member(victim)
    const callback = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
    const { destroy } = lab.store
    let calls = 0
    lab.store.destroy = (id, done) => (calls++ === 0 ? done?.(new Error('away')) : destroy.call(lab.store, id, done))
    expect(errorOf(await victim.get(callback))).toBe('store_unavailable')
    expect(lab.signedIn()).toEqual([user.id])
    expect(await lab.me(victim)).toBe(user.id)
  })

  test('claimAddress may not return a holder, or a sign-in in progress would enter it', async ({ lab }) => {
    const squatter = lab.accounts.add({ email: 'alice@example.com' })
    lab.accounts.intercept = (name) => (name === 'claimAddress' ? { user: squatter } : undefined)
    const { victim } = browsers()
    expect(errorOf(await lab.signIn(victim, 'alice'))).toBe('hook_failed')
    expect(lab.signedIn()).toEqual([])
    expect(lab.errors[0]?.message).toContain('new account')
  })
})

describe('case 5: users are read again by id', () => {
  /** An app that keeps the whole user in the session. */
  async function wholeUserApp(without: 'getUserById' | null) {
    const lab = await startLab({ ...(without && { without: [without] }) })
    const passport = lab.passport as unknown as { _serializers: unknown[]; _deserializers: unknown[] }
    passport._serializers.length = 0
    passport._deserializers.length = 0
    lab.passport.serializeUser((user, done) => done(null, { ...user }))
    lab.passport.deserializeUser((user: object, done) => done(null, user))
    return lab
  }

  test('Connect links nothing for a user suspended in the database, with the whole user in the session', async () => {
    const lab = await wholeUserApp(null)
    const { attacker } = browsers()
    const user = await lab.member(attacker)
    const callback = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
    user.disabled = true
    expect(errorOf(await attacker.get(callback))).toBe('account_disabled')
    expect(user.identities).toEqual([])
    user.disabled = false
    await link(lab, attacker, 'alice')
    expect(user.identities).toHaveLength(1)
  })

  test('the session contains the user as endOtherSessions left it', async () => {
    const lab = await wholeUserApp(null)
    const { victim } = browsers()
    const user = (await lab.member(victim)) as TestUser & { epoch?: number }
    lab.accounts.intercept = (name) => {
      if (name === 'endOtherSessions') user.epoch = 2
    }
    await link(lab, victim, 'alice')
    const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
    const epochs = Object.values(sessions).map((json) => JSON.parse(json).passport?.user?.epoch)
    expect(epochs).toEqual([2])
  })

  test('an app with whole users in the session is told to add getUserById, and no user is signed in', async () => {
    const lab = await wholeUserApp('getUserById')
    const { victim } = browsers()
    expect((await lab.signIn(victim, 'alice')).status).toBe(500)
    expect(lab.errors[0]).toMatchObject({
      code: 'configuration_invalid',
      message: expect.stringContaining('getUserById'),
    })
    expect(lab.signedIn()).toEqual([])
  })

  test("Passport's deserializer reads them without getUserById", async () => {
    const lab = await startLab({ without: ['getUserById'] })
    const { victim } = browsers()
    const user = lab.accounts.add({ identities: [identityOf(lab, 'alice')] })
    lab.accounts.intercept = (name) => {
      if (name === 'storeTokens') lab.accounts.users.set(user.id, { ...user, disabled: true })
    }
    expect(errorOf(await lab.signIn(victim, 'alice'))).toBe('account_disabled')
    expect(lab.signedIn()).toEqual([])
  })

  test('getUserById fails with hook_failed when it returns another user', async ({ lab }) => {
    const other = lab.accounts.add({ email: 'other@example.com' })
    lab.accounts.intercept = (name) => (name === 'getUserById' ? other : undefined)
    const { attacker } = browsers()
    expect(errorOf(await lab.signIn(attacker, 'alice'))).toBe('hook_failed')
    expect(lab.signedIn()).toEqual([])
  })
})

describe('case 6: the id that was decided is the id that signs in', () => {
  const HOOKS = ['storeTokens', 'canSignIn', 'listIdentities', 'beforeSignIn', 'updateProfile'] as const

  test.each(HOOKS)('a hook that changes the id of its user fails with hook_failed: %s', async (hook) => {
    const lab = await startLab()
    const victim = lab.accounts.add({ email: 'victim@example.com' })
    const stored = { ...identityOf(lab, 'alice'), profile: { displayName: 'Before' } }
    lab.accounts.add({ identities: [stored] })
    lab.accounts.intercept = (name, input) => {
      if (name === hook) Object.assign((input as { user: object }).user, { id: victim.id })
    }
    const { attacker } = browsers()
    expect(errorOf(await lab.signIn(attacker, 'alice'))).toBe('hook_failed')
    expect(await lab.me(attacker)).toBeNull()
    expect(lab.signedIn()).toEqual([])
    expect(victim.identities).toEqual([])
  })

  test.each(['describeUser', 'listIdentities', 'canSignIn', 'getUserById'])(
    'no other account is linked because %s changed an id',
    async (hook) => {
      const lab = await startLab()
      const { attacker } = browsers()
      const victim = lab.accounts.add({ email: 'victim@example.com', emailVerified: true })
      await lab.member(attacker)
      const callback = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
      lab.accounts.intercept = (name, input) => {
        if (name !== hook) return undefined
        const { user } = input as { user?: object }
        if (!user) return victim
        Object.assign(user, { id: victim.id })
        return undefined
      }
      expect(errorOf(await attacker.get(callback))).toBe('hook_failed')
      expect(victim.identities).toEqual([])
    },
  )
})

describe('case 21: a write that fails', () => {
  const driver = () => Object.assign(new Error('duplicate key'), { code: '23505' })

  test("a driver's own error after a lost race signs in to the existing account, and is reported", async ({
    lab,
    victim,
  }) => {
    let winner: TestUser | undefined
    lab.accounts.intercept = (name) => {
      if (name !== 'createUser') return
      winner = lab.accounts.add({ email: 'alice@example.com', identities: [identityOf(lab, 'alice')] })
      throw driver()
    }
    await lab.signIn(victim, 'alice')
    expect(await lab.me(victim)).toBe(winner?.id)
    expect(lab.errors.map(({ code, cause }) => [code, (cause as { code?: string }).code])).toEqual([
      ['hook_failed', '23505'],
    ])
    expect(lab.accounts.writes()).toEqual(['createUser'])
  })

  test('a bug of createUser stays hook_failed with its cause, and is not account_exists', async ({ lab, victim }) => {
    lab.accounts.intercept = (name) => {
      if (name === 'createUser') throw Object.assign(new Error('null value in column'), { code: '23502' })
    }
    expect(errorOf(await lab.signIn(victim, 'alice'))).toBe('hook_failed')
    expect(lab.errors[0]?.cause).toMatchObject({ code: '23502' })
    expect(lab.accounts.count('createUser')).toBe(1)
  })

  test('one user in two browsers signs in even if the key of the address refuses first', async ({ lab, victim }) => {
    lab.accounts.intercept = (name) => {
      if (name !== 'createUser') return
      lab.accounts.add({ email: 'alice@example.com', emailVerified: true, identities: [identityOf(lab, 'alice')] })
      throw new EmailTakenError()
    }
    await lab.signIn(victim, 'alice')
    expect(await lab.me(victim)).toBe('u1')
    expect(lab.errors).toEqual([])
  })

  test.each([
    ['of the same user', 'self', null],
    ['of another user', 'other', 'identity_linked_elsewhere'],
  ])("a link whose driver's error hides a link %s", async (_what, whose, code) => {
    for (const how of ['link', 'confirm'] as const) {
      const lab = await startLab({ options: { policy: { matchingAccount: 'prove' } } })
      const { victim } = browsers()
      const user = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
      if (how === 'confirm') await lab.signIn(victim, 'alice')
      await lab.localSignIn(victim, user)
      const other = lab.accounts.add({ email: 'other@example.com' })
      lab.accounts.intercept = (name) => {
        if (name !== 'linkIdentity') return
        const winner = whose === 'self' ? user : other
        winner.identities.push(identityOf(lab, 'alice'))
        throw driver()
      }
      const answer = how === 'link' ? await link(lab, victim, 'alice') : await choose(lab, victim, 'confirm')
      expect([how, errorOf(answer)]).toEqual([how, code])
      expect(await lab.me(victim)).toBe(user.id)
      expect(lab.errors).toHaveLength(1)
    }
  })

  test('the second of two concurrent links of one user is told that one is linked', async ({ lab, victim }) => {
    const user = await lab.member(victim)
    lab.accounts.intercept = (name) => {
      if (name !== 'linkIdentity') return
      user.identities.push(identityOf(lab, 'carol'))
      throw new IdentityTakenError()
    }
    expect(errorOf(await link(lab, victim, 'alice'))).toBe('another_identity_linked')
  })
})

test('beforeSignIn is called once for each way to end, after the account writes', async ({ lab }) => {
  const seen = () => lab.accounts.calls.filter(({ name }) => name === 'beforeSignIn').map(({ input }) => input.how)
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  await lab.signIn(new TestBrowser(), 'alice')
  lab.accounts.add({ email: 'carol@example.com', emailVerified: true })
  await lab.signIn(new TestBrowser(), 'carol')
  const { location } = await lab.post(victim, '/reauthenticate')
  await victim.get(await lab.fake.signIn(location, { person: 'alice' }))
  expect(seen()).toEqual(['signed_up', 'signed_in', 'linked', 'reauthenticated'])
  lab.accounts.intercept = (name) => {
    if (name === 'beforeSignIn') throw new Error('no role')
  }
  expect(errorOf(await lab.signIn(new TestBrowser(), 'alice'))).toBe('hook_failed')
})

test('linkIdentity receives a proven address, and no other', async () => {
  for (const trustedProvider of [true, false]) {
    const lab = await startLab({ connection: { trustedProvider } })
    const { victim } = browsers()
    await lab.member(victim)
    await link(lab, victim, 'alice')
    const told = lab.accounts.calls.find(({ name }) => name === 'linkIdentity')?.input.email
    expect(told).toEqual(
      trustedProvider ? { address: 'alice@example.com', verified: true, verifiedBy: 'bitbucket' } : null,
    )
  }
})
