import { connect, type Socket } from 'node:net'
import { connections } from 'passport-bitbucket-signin'
import { beforeAll, describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { type Answer, TestBrowser } from '../support/browser'
import {
  atDeadline,
  door,
  type Lab,
  SECOND,
  startLab,
  startStrategyApp,
  testLimiter,
  turns,
  until,
} from '../support/lab'
import { handleOf } from '../support/steps'

/** The last step of a flow: a GET, or a POST of these fields. */
interface Step {
  readonly url: string
  readonly fields?: Record<string, string>
}

/** A flow that touches accounts, up to the front of its last step. */
interface Flow {
  readonly options?: Parameters<typeof startLab>[0]
  prepare(lab: Lab, browser: TestBrowser): Promise<Step>
}

const UNTRUSTED = { connection: { trustedProvider: false } }

const FLOWS: Readonly<Record<string, Flow>> = {
  'sign up': { prepare: async (lab, browser) => ({ url: await lab.callback(browser, 'alice') }) },
  'sign in': {
    async prepare(lab, browser) {
      await lab.signIn(new TestBrowser(), 'alice')
      lab.fake.updatePerson('alice', { displayName: 'Renamed' })
      return { url: await lab.callback(browser, 'alice') }
    },
  },
  'link by address': {
    async prepare(lab, browser) {
      lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
      return { url: await lab.callback(browser, 'alice') }
    },
  },
  claim: {
    async prepare(lab, browser) {
      lab.accounts.add({ email: 'alice@example.com', emailVerified: false })
      return { url: await lab.callback(browser, 'alice') }
    },
  },
  'to the code': {
    options: UNTRUSTED,
    prepare: async (lab, browser) => ({ url: await lab.callback(browser, 'alice') }),
  },
  code: {
    options: UNTRUSTED,
    async prepare(lab, browser) {
      const { code } = await lab.pendingCode(browser, 'alice')
      const { text } = await lab.get(browser, '/email')
      const pending = handleOf(text)
      return { url: `${lab.base}/email/verify`, fields: { pending, code } }
    },
  },
  confirm: {
    options: UNTRUSTED,
    async prepare(lab, browser) {
      const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
      await lab.verify(browser, (await lab.pendingCode(browser, 'alice')).code)
      await lab.localSignIn(browser, owner)
      const { text } = await lab.get(browser, '/continue')
      const pending = handleOf(text)
      return { url: `${lab.base}/continue`, fields: { pending, choice: 'confirm' } }
    },
  },
  switch: {
    async prepare(lab, browser) {
      await lab.signIn(new TestBrowser(), 'alice')
      await lab.member(browser)
      await lab.signIn(browser, 'alice')
      const { text } = await lab.get(browser, '/continue')
      const pending = handleOf(text)
      return { url: `${lab.base}/continue`, fields: { pending, choice: 'switch' } }
    },
  },
  link: {
    async prepare(lab, browser) {
      await lab.member(browser)
      return { url: await lab.fake.signIn(await lab.link(browser), { person: 'alice' }) }
    },
  },
  reauthenticate: {
    async prepare(lab, browser) {
      await lab.member(browser)
      await browser.get(await lab.fake.signIn(await lab.link(browser), { person: 'alice' }))
      const { location } = await lab.post(browser, '/reauthenticate')
      return { url: await lab.fake.signIn(location, { person: 'alice' }) }
    },
  },
  unlink: {
    async prepare(lab, browser) {
      const user = await lab.member(browser)
      await browser.get(await lab.fake.signIn(await lab.link(browser), { person: 'alice' }))
      return { url: `${lab.base}/unlink`, fields: { id: user.identities[0]?.id ?? '' } }
    },
  },
}

const HOOKS = [
  'getUserByIdentity',
  'getAccountsByEmail',
  'createUser',
  'linkIdentity',
  'claimAddress',
  'unlinkIdentity',
  'listIdentities',
  'describeUser',
  'storeTokens',
  'updateProfile',
  'canSignIn',
  'endOtherSessions',
] as const
type Hook = (typeof HOOKS)[number]

const MARK = 'words of the database'

function send(browser: TestBrowser, { url, fields }: Step): Promise<Answer> {
  return fields ? browser.post(url, fields) : browser.get(url)
}

/** The same step from a browser that can leave; the app has noticed it once `leave` resolves. */
function sendRaw(
  lab: Lab,
  browser: TestBrowser,
  { url, fields }: Step,
): { received(): string; leave(): Promise<void> } {
  const { port, host, pathname, search } = new URL(url)
  const body = fields ? new URLSearchParams(fields).toString() : ''
  const noticed = new Promise<void>((resolve) => {
    lab.server.once('connection', (theirs: Socket) => theirs.once('close', () => resolve()))
  })
  const socket = connect(Number(port), '127.0.0.1')
  let text = ''
  socket.on('data', (data) => {
    text += data
  })
  socket.on('error', () => {})
  const lines = [
    `${fields ? 'POST' : 'GET'} ${pathname}${search} HTTP/1.1`,
    `Host: ${host}`,
    `Cookie: ${[...browser.jar(url)].map(([name, value]) => `${name}=${value}`).join('; ')}`,
    ...(fields
      ? [
          'Sec-Fetch-Site: same-origin',
          'Content-Type: application/x-www-form-urlencoded',
          `Content-Length: ${body.length}`,
        ]
      : []),
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`)
  const leave = () => {
    socket.destroy()
    return noticed
  }
  return { received: () => text, leave }
}

/** Who is signed in where, and how many account writes there were. */
async function stateOf(lab: Lab, browser: TestBrowser) {
  return { me: await lab.me(browser), signedIn: lab.signedIn().sort(), writes: lab.accounts.writes().length }
}

/** No account is incomplete: each identity is stored once, and every Bitbucket-only account has one. */
function expectWhole(lab: Lab): void {
  const users = [...lab.accounts.users.values()]
  const identities = users.flatMap((user) => user.identities.map(({ id }) => id))
  expect(new Set(identities).size).toBe(identities.length)
  expect(users.filter((user) => user.password === null && user.identities.length === 0)).toEqual([])
}

/** With everything fixed, another user signs in. */
async function expectRecovered(lab: Lab): Promise<void> {
  lab.fake.addPerson({ key: 'zoe' })
  lab.fake.updatePerson('zoe', { emails: [{ address: 'zoe@example.com', primary: true, confirmed: true }] })
  expect((await lab.signIn(new TestBrowser(), 'zoe')).status).toBe(302)
}

const trap = () => new Proxy(() => {}, { get: () => fail(), getPrototypeOf: () => fail(), ownKeys: () => fail() })
function fail(): never {
  throw new Error(MARK)
}

/** Everything that a broken hook can do instead of returning a valid answer. */
const WAYS: Readonly<Record<string, () => unknown>> = {
  throws: fail,
  'throws nothing in particular': () => {
    throw undefined
  },
  rejects: () => Promise.reject(new Error(MARK)),
  'rejects with nothing in particular': () => Promise.reject(undefined),
  'answers a number': () => 42,
  'answers an empty text': () => '',
  'answers a list of nothing': () => [null],
  'answers a nameless user': () => ({ id: '' }),
  'answers what cannot be looked at': trap,
  // biome-ignore lint/suspicious/noThenProperty: that is what is broken
  'answers what is like a promise and is none': () => ({ then: fail }),
}
/** Hooks whose return value is ignored. */
const UNHEARD: readonly Hook[] = ['linkIdentity', 'storeTokens', 'updateProfile', 'endOtherSessions']
const isHarmless = (hook: Hook, how: string, flow: string) =>
  UNHEARD.includes(hook) &&
  how.startsWith('answers') &&
  !how.includes('what') &&
  // Nothing was stored, so the identity does not hold the session.
  !(hook === 'linkIdentity' && flow === 'link by address')

/** Each flow meets each hook that throws and three of the other ways, so that each hook meets each way in some flows. */
const waysIn = (flow: number, hook: number) => {
  const [first, ...others] = Object.entries(WAYS)
  const from = 3 * flow + hook
  return [
    first as (typeof others)[0],
    ...[0, 1, 2].map((n) => others[(from + n) % others.length] as (typeof others)[0]),
  ]
}

/** The hooks that the last step of each flow calls. No other one can break it. */
const CALLED = new Map<string, ReadonlySet<string>>()
beforeAll(async () => {
  for (const [name, flow] of Object.entries(FLOWS)) {
    const lab = await startLab({ ...flow.options })
    const browser = new TestBrowser()
    const step = await flow.prepare(lab, browser)
    lab.accounts.calls.length = 0
    expect([name, (await send(browser, step)).status < 400]).toEqual([name, true])
    expectWhole(lab)
    expect(lab.faults).toEqual([])
    CALLED.set(name, new Set(lab.accounts.calls.map(({ name }) => name)))
    await lab.close()
  }
})

for (const [index, [name, flow]] of Object.entries(FLOWS).entries()) {
  test.each(HOOKS)(`${name}: ends without a session and half-made data when %s is broken`, async (hook) => {
    if (!CALLED.get(name)?.has(hook)) return
    for (const [how, breaks] of waysIn(index, HOOKS.indexOf(hook))) {
      const lab = await startLab({ ...flow.options })
      const browser = new TestBrowser()
      const step = await flow.prepare(lab, browser)
      const before = await stateOf(lab, browser)
      let called = false
      lab.accounts.intercept = (each) => {
        if (each !== hook) return undefined
        called = true
        return breaks()
      }
      const { status, text } = await send(browser, step)
      if (!isHarmless(hook, how, name)) {
        expect([how, status >= 400]).toEqual([how, true])
        expect(text).not.toContain(MARK)
        // The user who was signed in still is, and no other.
        const { me, signedIn } = await stateOf(lab, browser)
        expect([how, me, signedIn]).toEqual([how, before.me, before.signedIn])
      } else {
        expect([how, status < 400]).toEqual([how, true])
      }
      expectWhole(lab)
      expect(lab.faults).toEqual([])
      lab.accounts.intercept = () => {}
      if (how === 'throws') await expectRecovered(lab)
      expect(called).toBe(true)
    }
  })

  test(`${name}: ends when a hook never settles`, async () => {
    for (const hook of CALLED.get(name) ?? []) {
      const lab = await startLab({ ...flow.options })
      const browser = new TestBrowser()
      const step = await flow.prepare(lab, browser)
      const before = await stateOf(lab, browser)
      let hanging = false
      lab.accounts.intercept = (called) => {
        if (called !== hook) return undefined
        hanging = true
        return new Promise(() => {})
      }
      const { status } = await atDeadline(
        () => send(browser, step),
        () => hanging,
      )
      expect([hook, hanging, status]).toEqual([hook, true, 500])
      const { me, signedIn } = await stateOf(lab, browser)
      expect([hook, me, signedIn]).toEqual([hook, before.me, before.signedIn])
      expectWhole(lab)
    }
  })

  test.each(['consume', 'get'] as const)(
    `${name}: answers 503 when %s of the limiter fails, hangs or returns nonsense`,
    async (call) => {
      const ways: Record<string, () => unknown> = {
        throws: fail,
        rejects: () => Promise.reject(new Error(MARK)),
        hangs: () => new Promise(() => {}),
        ...Object.fromEntries(
          [true, 1, 'OK', {}, { consumedPoints: '0' }].map((value) => [
            `answers ${JSON.stringify(value)}`,
            () => value,
          ]),
        ),
      }
      for (const [how, breaks] of Object.entries(ways)) {
        const limiter = testLimiter()
        let broken = false
        let reached = false
        const lab = await startLab({
          ...flow.options,
          options: {
            limiter: (options) => {
              const whole = limiter.factory(options)
              const asked = (key: string) => {
                reached ||= broken
                return broken ? (breaks() as never) : whole[call](key)
              }
              return { ...whole, [call]: asked }
            },
          },
        })
        const browser = new TestBrowser()
        const step = await flow.prepare(lab, browser)
        const before = { ...(await stateOf(lab, browser)), upstream: lab.upstream() }
        broken = true
        const { status, text } = await atDeadline(
          () => send(browser, step),
          () => reached,
          5 * SECOND + 1,
        )
        broken = false
        // A call that is never made here needs no second look.
        if (!reached) break
        expect([how, status]).toEqual([how, 503])
        expect(text).not.toContain(MARK)
        const { me, signedIn, writes } = await stateOf(lab, browser)
        expect([how, me, signedIn, writes]).toEqual([how, before.me, before.signedIn, before.writes])
        // The callback's counter comes before Bitbucket; the email counters come after it.
        if (name !== 'to the code') expect(lab.upstream()).toBe(before.upstream)
        expect(lab.faults).toEqual([])
      }
    },
  )

  test.each(['set', 'destroy', 'get'] as const)(
    `${name}: signs no user in when %s of the session store fails or returns nonsense`,
    async (call) => {
      const ways: Record<string, (...args: unknown[]) => void> = {
        fails: (...args) => (args.at(-1) as ((error: Error) => void) | undefined)?.(new Error(MARK)),
        throws: fail,
        ...(call === 'get' &&
          Object.fromEntries(
            [42, 'x', [], {}, { cookie: null }, { passport: { user: 'u1' } }].map((value) => [
              `answers ${JSON.stringify(value)}`,
              (_id: unknown, done: unknown) => (done as (error: null, value: unknown) => void)(null, value),
            ]),
          )),
      }
      for (const [how, breaks] of Object.entries(ways)) {
        const lab = await startLab({ ...flow.options, session: { saveUninitialized: true } })
        const browser = new TestBrowser()
        const step = await flow.prepare(lab, browser)
        const before = await stateOf(lab, browser)
        const store = lab.store as unknown as Record<string, (...args: unknown[]) => void>
        const original = store[call] as (...args: unknown[]) => void
        let called = false
        store[call] = (...args) => {
          called = true
          return breaks.apply(store, args)
        }
        const answer = await send(browser, step)
        store[call] = original
        expect(answer.text).not.toContain(MARK)
        const after = lab.signedIn().sort()
        if (answer.status >= 400 || !called) {
          // No session of another user. One that could be deleted before the store failed may be gone.
          expect([how, after.filter((user) => !before.signedIn.includes(user))]).toEqual([how, []])
          expect([how, after.length <= before.signedIn.length || !called]).toEqual([how, true])
        } else {
          // To the code page no session is needed.
          expect([name, call, how, answer.location]).toEqual([name, call, how, answer.location])
          expect([how, name]).toEqual([how, 'to the code'])
        }
        expectWhole(lab)
        await expectRecovered(lab)
        if (!called) break
      }
    },
  )
}

test('signs out the user who switches to another account if the new session cannot be saved', async () => {
  const lab = await startLab({ session: { saveUninitialized: true } })
  const browser = new TestBrowser()
  const step = await FLOWS.switch?.prepare(lab, browser)
  if (!step) throw new TypeError('The flow is missing.')
  const { set } = lab.store
  lab.store.set = (_id, _session, done) => done?.(new Error(MARK))
  expect((await send(browser, step)).status).toBe(503)
  lab.store.set = set
  expect(await lab.me(browser)).toBeNull()
})

test('a session store that never answers ends the request at the deadline, tells the operator, and signs no user in', async () => {
  const reached = new Set<string>()
  for (const [name, flow] of Object.entries(FLOWS)) {
    for (const call of ['get', 'set', 'destroy'] as const) {
      const lab = await startLab({ ...flow.options, session: { saveUninitialized: true } })
      const browser = new TestBrowser()
      const step = await flow.prepare(lab, browser)
      const before = await stateOf(lab, browser)
      const original = lab.store[call].bind(lab.store) as (...args: unknown[]) => void
      // express-session reads the session itself, before our code, and waits for as long as it takes.
      let passes = call === 'get' ? 1 : 0
      let asked = false
      lab.store[call] = ((...args: unknown[]) => {
        if (passes-- > 0) return original(...args)
        asked = true
      }) as never
      const { status } = await atDeadline(
        () => send(browser, step),
        () => asked,
      )
      lab.store[call] = original as never
      if (!asked) continue
      reached.add(call)
      // Without a session to replace, the store is read only to report a hook that ended it: that stops no user.
      if (call === 'get' && ['link by address', 'claim'].includes(name)) {
        expect(status).toBe(302)
        continue
      }
      expect([name, call, status]).toEqual([name, call, 503])
      expect([name, call, lab.errors.map(({ code }) => code)]).toEqual([name, call, ['store_unavailable']])
      // The new session is taken out again; where it cannot be deleted, at least its user is.
      const added = lab.signedIn().length - before.signedIn.length
      expect([name, call, added <= 0]).toEqual([name, call, true])
      expect(lab.signedIn().filter((user) => !before.signedIn.includes(user))).toEqual([])
    }
  }
  expect([...reached].sort()).toEqual(['destroy', 'get', 'set'])
})

/** The other functions of an app, intact. */
const FUNCTIONS: Readonly<Record<string, (...args: never[]) => unknown>> = {
  userId: ({ id }: TestUser) => id,
  signedInAt: () => new Date(),
  hiddenFields: () => ({}),
  texts: () => ({}),
  renderPage: () => undefined,
  onEvent: () => {},
  onError: () => {},
  connection: (defaults: unknown) => defaults,
}
/** Without these no user can be identified. */
const DECISIVE = ['userId', 'connection']

test.each(Object.keys(FUNCTIONS))(
  'a broken %s signs no user in, ends no process and leaves no request open',
  async (which) => {
    for (const [how, breaks] of Object.entries(WAYS)) {
      let broken = false
      let called = false
      const faulty = (...args: unknown[]) => {
        if (!broken) return FUNCTIONS[which]?.(...(args as never[]))
        called = true
        return breaks()
      }
      const lab = await startLab(
        which === 'connection'
          ? { resolver: (defaults) => () => faulty(defaults) as never }
          : { options: { [which]: faulty } },
      )
      const [visitor, second, member] = [new TestBrowser(), new TestBrowser(), new TestBrowser()]
      const user = await lab.member(member)
      const [url, other] = [await lab.callback(visitor, 'alice'), await lab.callback(second, 'carol')]
      broken = true
      const answers = [
        await lab.get(new TestBrowser(), ''),
        await lab.get(member, '/link'),
        await lab.post(member, '/link'),
        await lab.post(member, '/unlink', { id: lab.fake.person('carol').uuid }),
        await lab.get(new TestBrowser(), '/email'),
        await lab.get(new TestBrowser(), '/callback?code=x&state=y'),
      ]
      const end = await visitor.get(url)
      lab.accounts.intercept = (hook) => (hook === 'createUser' ? fail() : undefined)
      answers.push(end, await second.get(other))
      lab.accounts.intercept = () => {}
      broken = false
      expect([how, called]).toEqual([how, true])
      for (const { text } of answers) expect(text).not.toContain(MARK)
      expect(await lab.me(member)).toBe(user.id)
      expect(await lab.me(second)).toBeNull()
      if (DECISIVE.includes(which)) expect([how, end.status, await lab.me(visitor)]).toEqual([how, 500, null])
      if (which.startsWith('on')) expect([how, end.location]).toEqual([how, '/'])
      expectWhole(lab)
      await expectRecovered(lab)
    }
  },
)

test.each(['default', 'tenants', 'tenant', 'application'])(
  'a broken `%s` of connections() offers nothing and signs no user in',
  async (which) => {
    for (const [how, breaks] of Object.entries({ ...WAYS, hangs: () => new Promise(() => {}) })) {
      // A row with an id of its own is a tenant that overrides nothing.
      if (which === 'tenants' && how === 'answers a nameless user') continue
      let broken = false
      let called = false
      const faulty = <Given extends unknown[], Answer>(name: string, own: (...given: Given) => Answer) => {
        return (...given: Given): Answer => {
          if (!broken || name !== which) return own(...given)
          called = true
          return breaks() as Answer
        }
      }
      const lab = await startLab({
        resolver: (defaults) =>
          connections({
            default: faulty('default', () => defaults),
            tenants: faulty('tenants', (id: string) => (id === 'acme' ? {} : null)),
            tenant: faulty('tenant', () => 'acme'),
            application: faulty('application', () => null),
          }),
      })
      const browser = new TestBrowser()
      const url = await lab.callback(browser, 'alice')
      broken = true
      const start = await atDeadline(
        () => lab.get(new TestBrowser(), ''),
        () => called,
      )
      called = false
      const answer = await atDeadline(
        () => browser.get(url),
        () => called,
      )
      broken = false
      expect([how, called, start.status >= 400, answer.status >= 400]).toEqual([how, true, true, true])
      expect(`${start.text}${answer.text}`).not.toContain(MARK)
      expect([how, lab.upstream(), lab.faults, lab.signedIn()]).toEqual([how, 0, [], []])
      await browser.get(url)
      expect(await lab.me(browser)).toBe('u1')
    }
  },
)

test('a page that never renders ends its request after fifteen seconds', async () => {
  let drawing = false
  const lab = await startLab({
    options: {
      renderPage: () => {
        drawing = true
        return new Promise(() => {})
      },
    },
  })
  const answer = await atDeadline(
    () => lab.get(new TestBrowser(), '/email'),
    () => drawing,
  )
  expect([answer.status, answer.text]).toEqual([500, 'fault'])
})

test('a thrown value that is not an error reaches Express as one, also through passport.authenticate', async () => {
  for (const thrown of [undefined, null, 0, '', false, 'route', 'router']) {
    let broken = true
    const lab = await startLab()
    await lab.signIn(new TestBrowser(), 'alice')
    const app = await startStrategyApp(async (callbackURL) => {
      const { bitbucket } = await startLab({
        fake: lab.fake,
        accounts: lab.accounts,
        connection: { callbackURL },
        options: {
          userId: ({ id }) => {
            if (broken) throw thrown
            return id
          },
        },
      })
      return bitbucket.strategy
    })
    const signIn = async () => {
      const browser = new TestBrowser()
      const { location } = await browser.get(`${app.url}/start`)
      return browser.get(await lab.fake.signIn(location, { person: 'alice' }))
    }
    // Express would take it for "continue", and the next route would answer as if a user were signed in.
    expect([thrown, (await signIn()).status]).toEqual([thrown, 500])
    broken = false
    expect([thrown, (await signIn()).location]).toEqual([thrown, '/'])
  }
})

describe('a browser that leaves', () => {
  /** Where a flow can be when its browser goes: `at` is told and opens the door again. */
  const places: Record<string, (lab: Lab, at: () => Promise<void>) => void> = {
    ...Object.fromEntries(
      HOOKS.map((hook) => [
        `in ${hook}`,
        (lab: Lab, at: () => Promise<void>) => {
          lab.accounts.intercept = (name) => (name === hook ? at() : undefined)
        },
      ]),
    ),
    ...Object.fromEntries(
      (['token', 'user', 'emails'] as const).map((endpoint) => [
        `at Bitbucket's ${endpoint}`,
        (lab: Lab, at: () => Promise<void>) =>
          lab.fake.script(endpoint, async () => {
            await at()
            return null
          }),
      ]),
    ),
    'while the session is stored': (lab, at) => {
      const { set } = lab.store
      lab.store.set = (...args) => void at().then(() => set.apply(lab.store, args))
    },
    'while the session is deleted': (lab, at) => {
      const { destroy } = lab.store
      lab.store.destroy = (...args) => void at().then(() => destroy.apply(lab.store, args))
    },
  }

  test.each(Object.keys(FLOWS))('during %s leaves no new session behind and keeps its own', async (name) => {
    const flow = FLOWS[name] as Flow
    for (const [place, watch] of Object.entries(places)) {
      // The sign-in of a known user does not wait for the addresses: nothing of it happens there.
      if (place === "at Bitbucket's emails" && ['sign in', 'reauthenticate'].includes(name)) continue
      if (place.startsWith('in ') && !CALLED.get(name)?.has(place.slice(3))) continue
      const lab = await startLab({ ...flow.options, session: { saveUninitialized: true } })
      const browser = new TestBrowser()
      const step = await flow.prepare(lab, browser)
      const before = await stateOf(lab, browser)
      const gate = door()
      let inside = false
      let left = false
      watch(lab, async () => {
        if (left) return
        inside = true
        await gate.opened
      })
      const { received, leave } = sendRaw(lab, browser, step)
      await until(() => inside || received() !== '', place)
      left = true
      await leave()
      gate.open()
      await turns()
      lab.accounts.intercept = () => {}
      lab.fake.clearScripts()
      expectWhole(lab)
      expect([place, lab.faults]).toEqual([place, []])
      if (!inside) continue
      // The browser's own session is as it was; one that was on its way into the store when it left may be there.
      const { me, signedIn } = await stateOf(lab, browser)
      if (!place.startsWith('while')) expect([place, me, signedIn]).toEqual([place, before.me, before.signedIn])
      await expectRecovered(lab)
    }
  })

  test('in the middle of its own request leaves nothing done', async () => {
    const lab = await startLab()
    const member = new TestBrowser()
    const user = await lab.member(member)
    await member.get(await lab.fake.signIn(await lab.link(member), { person: 'alice' }))
    const { host, port } = new URL(lab.url)
    const cookie = [...member.jar(lab.url)].map(([name, value]) => `${name}=${value}`).join('; ')
    const body = `id=${encodeURIComponent(user.identities[0]?.id ?? '')}`
    const request = `POST /auth/bitbucket/unlink HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    for (const length of [20, 60, request.length - body.length, request.length - 1]) {
      const closed = new Promise((resolve) => {
        lab.server.once('connection', (theirs: Socket) => theirs.once('close', resolve))
      })
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => {})
      await new Promise((resolve) => socket.write(request.slice(0, length), resolve))
      socket.destroy()
      await closed
      await turns()
    }
    expect(user.identities).toHaveLength(1)
    expect(lab.accounts.count('unlinkIdentity')).toBe(0)
    expect(lab.faults).toEqual([])
    const whole = connect(Number(port), '127.0.0.1')
    whole.write(request)
    await until(() => user.identities.length === 0, 'the control')
    whole.destroy()
  })
})
