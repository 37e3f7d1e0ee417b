import http = require('node:http')

import type { AccountHooks, Limiter, LimiterOptions } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestAccounts, type TestUser } from '../support/accounts'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { choose, enterCode, link } from '../support/steps'

/*
 * Races, generated: each flow runs once to record everything that its last request awaits (hooks before and after their
 * commit, the session store, counters, the mailer, Bitbucket). Then that request is sent again, from the same state, for
 * each of these points and each change of accounts: it is held there, the change happens, it continues. Whatever the
 * answer is, no session may remain that no user is entitled to.
 */

/** Counts the points that a request waits at, and holds it at one of them. */
class Stage {
  readonly points: string[] = []
  #holdAt = -1
  #happens = () => {}
  active = false

  /** Records from here on; with an index, holds there and calls `happens` before it goes on. */
  begin(holdAt = -1, happens = () => {}): void {
    this.points.length = 0
    this.active = true
    this.#holdAt = holdAt
    this.#happens = happens
  }

  async at(point: string): Promise<void> {
    if (!this.active) return
    this.points.push(point)
    if (this.points.length - 1 !== this.#holdAt) return
    // Let everything else that is under way come to its own next point first.
    await new Promise((resolve) => setImmediate(resolve))
    this.#happens()
  }
}

/** Accounts in a database: hooks wait before and after their commit, and return rows as they were then. */
class StagedAccounts extends TestAccounts {
  readonly stage: Stage
  /** A replica that lags: what was read first is read again. */
  lagging = false
  readonly #read = new Map<string, unknown>()

  constructor(stage: Stage) {
    super()
    this.stage = stage
  }

  restore(users: readonly TestUser[]): void {
    this.users.clear()
    for (const user of structuredClone(users)) this.users.set(user.id, user)
    this.calls.length = 0
    this.#read.clear()
  }

  override hooks(...without: (keyof AccountHooks<TestUser>)[]): AccountHooks<TestUser> {
    const staged = Object.entries(super.hooks(...without)).map(([name, hook]) => [
      name,
      async (input: never) => {
        await this.stage.at(`before ${name}`)
        const answer = this.#lagged(name, structuredClone(await (hook as (input: never) => unknown)(input)))
        await this.stage.at(`after ${name}`)
        return answer
      },
    ])
    return Object.fromEntries(staged) as AccountHooks<TestUser>
  }

  #lagged(name: string, answer: unknown): unknown {
    if (!this.lagging || !['getUserByIdentity', 'getUserById', 'canSignIn'].includes(name)) return answer
    if (!this.#read.has(name) && answer !== null) this.#read.set(name, answer)
    return structuredClone(this.#read.get(name) ?? answer)
  }
}

let fake: FakeBitbucket
const agent = new http.Agent({ keepAlive: true })
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(async () => {
  agent.destroy()
  await fake.close()
})

interface Bench {
  readonly app: TestApp
  readonly accounts: StagedAccounts
  readonly stage: Stage
  /** Forgets everything. */
  reset(): void
  /** Remembers accounts, sessions, counters and cookies as they are; the function returned brings them back. */
  snapshot(browser: TestBrowser): () => void
}

async function startBench(options: TestAppOptions = {}): Promise<Bench> {
  const stage = new Stage()
  const accounts = new StagedAccounts(stage)
  const counts = new Map<string, number>()
  const limiter = ({ keyPrefix, points }: LimiterOptions): Limiter => ({
    async consume(key) {
      await stage.at(`before counting ${keyPrefix}`)
      const consumedPoints = (counts.get(`${keyPrefix} ${key}`) ?? 0) + 1
      counts.set(`${keyPrefix} ${key}`, consumedPoints)
      await stage.at(`after counting ${keyPrefix}`)
      if (consumedPoints > points) throw { consumedPoints }
      return { consumedPoints }
    },
    async get(key) {
      await stage.at(`reading ${keyPrefix}`)
      return { consumedPoints: counts.get(`${keyPrefix} ${key}`) ?? 0 }
    },
  })
  const app = await startTestApp({
    fake,
    accounts,
    ...options,
    options: {
      limiter,
      sendEmailCode: async (message) => {
        app.mails.push(message)
        await stage.at('mailing')
      },
      ...options.options,
    },
  })
  stageStore(app, stage)
  const restore = (users: readonly TestUser[], sessions: object, counted: ReadonlyMap<string, number>) => {
    stage.active = false
    accounts.restore(users)
    counts.clear()
    for (const [key, count] of counted) counts.set(key, count)
    for (const list of [app.events, app.errors]) list.length = 0
    ;(app.store as unknown as Stored).sessions = Object.assign(Object.create(null), sessions)
    fake.reset()
    for (const endpoint of ['token', 'user', 'emails'] as const) {
      fake.script(endpoint, async () => {
        await stage.at(`Bitbucket ${endpoint}`)
        return null
      })
    }
  }
  const snapshot = (browser: TestBrowser) => {
    const users = structuredClone([...accounts.users.values()])
    const sessions = { ...(app.store as unknown as Stored).sessions }
    const counted = new Map(counts)
    const { cookies } = browser.copy()
    const mails = app.mails.length
    return () => {
      restore(users, sessions, counted)
      app.mails.length = mails
      for (const [host, jar] of cookies) browser.cookies.set(host, new Map(jar))
    }
  }
  return { app, accounts, stage, reset: () => restore([], {}, new Map()), snapshot }
}

interface Stored {
  sessions: Record<string, string>
}

function stageStore(app: TestApp, stage: Stage): void {
  const store = app.store as unknown as Record<string, (...args: unknown[]) => void>
  for (const name of ['get', 'set', 'destroy']) {
    const original = store[name]?.bind(app.store)
    store[name] = (...args) => {
      const done = args.at(-1)
      if (typeof done !== 'function') return original?.(...args)
      void stage.at(`before store ${name}`).then(() =>
        original?.(...args.slice(0, -1), (...answer: unknown[]) => {
          void stage.at(`after store ${name}`).then(() => (done as (...answer: unknown[]) => void)(...answer))
        }),
      )
    }
  }
}

interface Flow {
  readonly options?: TestAppOptions
  /** By what the session is held at the end. */
  readonly heldBy: 'identity' | 'member'
  /** Everything before the request that is raced; gives that request, and the user who is signed in. */
  prepare(bench: Bench, browser: TestBrowser): Promise<{ send: () => Promise<Answer>; member?: TestUser }>
}

const alice = () => ({ issuer: new URL(fake.url).origin, id: fake.person('alice').uuid })
const ADDRESS = 'alice@example.com'

/** A start and the consent of Alice: sends the callback, with a new code each time. */
async function callback({ app }: Bench, browser: TestBrowser): Promise<() => Promise<Answer>> {
  return returning(browser, await app.start(browser))
}

async function returning(browser: TestBrowser, location: string): Promise<() => Promise<Answer>> {
  const url = new URL(await fake.signIn(location, { person: 'alice' }))
  return () => {
    url.searchParams.set('code', fake.issueCode({ person: 'alice', redirectUri: url.origin + url.pathname }))
    return browser.get(url.href)
  }
}

const signIn = (arrange: (accounts: StagedAccounts) => unknown, options?: TestAppOptions): Flow => ({
  ...(options && { options }),
  heldBy: 'identity',
  async prepare(bench, browser) {
    arrange(bench.accounts)
    return { send: await callback(bench, browser) }
  },
})

const asMember = (
  act: (bench: Bench, browser: TestBrowser, member: TestUser) => Promise<() => Promise<Answer>>,
  more: Partial<Pick<Flow, 'heldBy' | 'options'>> = {},
): Flow => ({
  heldBy: 'member',
  ...more,
  async prepare(bench, browser) {
    const member = bench.accounts.add({ email: ADDRESS, emailVerified: true })
    await bench.app.localSignIn(browser, member)
    return { member, send: await act(bench, browser, member) }
  },
})

const FLOWS: Readonly<Record<string, Flow>> = {
  'sign in': signIn((accounts) => accounts.add({ identities: [alice()] })),
  'sign up': signIn(() => {}),
  'link by address': signIn((accounts) => accounts.add({ email: ADDRESS, emailVerified: true })),
  'claim an address': signIn((accounts) => accounts.add({ email: ADDRESS })),
  'sign in again': asMember(
    async (bench, browser, member) => {
      member.identities.push(alice())
      return callback(bench, browser)
    },
    { heldBy: 'identity' },
  ),
  'to the code': signIn(() => {}, { connection: { trustedProvider: false } }),
  'type the code': {
    options: { connection: { trustedProvider: false } },
    heldBy: 'identity',
    async prepare(bench, browser) {
      await (await callback(bench, browser))()
      return { send: () => enterCode(bench.app, browser) }
    },
  },
  link: asMember(async ({ app }, browser) => {
    return returning(browser, (await app.submit(browser, '/auth/bitbucket/link', '/link')).location)
  }),
  confirm: {
    options: { options: { policy: { matchingAccount: 'prove' } } },
    heldBy: 'member',
    async prepare(bench, browser) {
      const member = bench.accounts.add({ email: ADDRESS, emailVerified: true })
      await (await callback(bench, browser))()
      await bench.app.localSignIn(browser, member)
      return { member, send: () => choose(bench.app, browser, 'confirm') }
    },
  },
  switch: {
    heldBy: 'identity',
    async prepare(bench, browser) {
      bench.accounts.add({ identities: [alice()] })
      const member = bench.accounts.add({ email: 'other@example.com', emailVerified: true })
      await bench.app.localSignIn(browser, member)
      await (await callback(bench, browser))()
      return { member, send: () => choose(bench.app, browser, 'switch') }
    },
  },
  unlink: asMember(async ({ app }, browser) => {
    await link(app, browser, 'alice')
    return () => browser.post(`${app.url}/auth/bitbucket/unlink`, { id: alice().id })
  }),
  reauthenticate: asMember(async ({ app }, browser, member) => {
    member.identities.push(alice())
    return returning(browser, (await browser.post(`${app.url}/auth/bitbucket/reauthenticate`, {})).location)
  }),
  "the plugin's strategy": {
    heldBy: 'identity',
    options: {
      behindSession: (express, bitbucket) => {
        express.get('/auth/bitbucket/callback', (req, res, next) => {
          const { passport } = req.app.locals as { passport: TestApp['passport'] }
          passport.use(bitbucket.strategy)
          passport.authenticate('bitbucket', { successRedirect: '/', failureRedirect: '/failed' })(req, res, next)
        })
      },
    },
    async prepare(bench, browser) {
      bench.app.app.locals.passport = bench.app.passport
      bench.accounts.add({ identities: [alice()] })
      return { send: await callback(bench, browser) }
    },
  },
}

/** Changes of accounts as other requests make them: committed, then the sessions of the user end. */
const CHANGES: Readonly<Record<string, (accounts: StagedAccounts, user: TestUser) => void>> = {
  claimed(accounts, user) {
    if (user.emailVerified || user.email === null) return
    user.email = null
    accounts.add({ email: ADDRESS, emailVerified: true, identities: [{ issuer: alice().issuer, id: '{zoe}' }] })
  },
  unlinked(_accounts, user) {
    user.identities = []
  },
  moved(accounts, user) {
    accounts.add({ identities: user.identities })
    user.identities = []
  },
  suspended(_accounts, user) {
    user.disabled = true
  },
  deleted(accounts, user) {
    accounts.users.delete(user.id)
  },
  'sessions ended'() {},
}

function endSessions(app: TestApp, userId: string): void {
  const { sessions } = app.store as unknown as Stored
  for (const [id, json] of Object.entries(sessions)) if (userOf(json) === userId) delete sessions[id]
}

const userOf = (json: string) => (JSON.parse(json) as { passport?: { user?: string } }).passport?.user

/** The users whom a change is about: whose identity, address or session it is. */
function concerned({ users }: TestAccounts, member: TestUser | undefined): TestUser[] {
  const { id } = alice()
  return [...users.values()].filter(
    (user) => user.id === member?.id || user.email === ADDRESS || user.identities.some((each) => each.id === id),
  )
}

interface Race {
  readonly point: string
  readonly change: string
  readonly violations: readonly string[]
}

/** A prepared flow, and how to restore its state. */
interface Prepared {
  readonly send: () => Promise<Answer>
  readonly member: TestUser | undefined
  readonly restore: () => void
}

/** Sends the request with one change at one point, and reports which invariants do not hold afterwards; `null` = not reached. */
async function race(bench: Bench, flow: Flow, prepared: Prepared, at: number, change: string): Promise<Race | null> {
  const { app, accounts, stage } = bench
  const { send, member, restore } = prepared
  restore()
  let point: string | null = null
  stage.begin(at, () => {
    point = stage.points[at] ?? ''
    for (const user of concerned(accounts, member)) {
      CHANGES[change]?.(accounts, user)
      endSessions(app, user.id)
    }
  })
  const answer = await send()
  stage.active = false
  if (point === null) return null
  return { point, change, violations: violationsOf(bench, flow, { member, answer }) }
}

function violationsOf(
  { app, accounts }: Bench,
  flow: Flow,
  { member, answer }: { member: TestUser | undefined; answer: Answer },
): string[] {
  const violations: string[] = []
  const owner = accounts.byIdentity(alice())
  const { sessions } = app.store as unknown as Stored
  for (const id of Object.values(sessions).flatMap((json) => userOf(json) ?? [])) {
    const user = accounts.users.get(id)
    if (!user) violations.push('a session of a deleted user')
    else if (user.disabled) violations.push('a session of a suspended user')
    else if (flow.heldBy === 'identity' && owner?.id !== id) violations.push('a session without the identity')
    else if (flow.heldBy === 'member' && id !== member?.id) violations.push('a session of another user')
    else if (flow.heldBy === 'member') violations.push('a session that was ended')
  }
  if (answer.status >= 400 && app.events.some(({ type }) => type === 'signed_in' || type === 'reauthenticated')) {
    violations.push('a success was reported for a refusal')
  }
  const identities = [...accounts.users.values()].flatMap((user) => user.identities.map(({ id }) => id))
  if (new Set(identities).size !== identities.length) violations.push('an identity is stored twice')
  return violations
}

/** Every point of a flow with every change. */
async function races(bench: Bench, flow: Flow): Promise<{ points: number; found: Race[] }> {
  bench.reset()
  const browser = new TestBrowser('127.0.0.1', agent)
  const { send, member } = await flow.prepare(bench, browser)
  const prepared = { send, member, restore: bench.snapshot(browser) }
  prepared.restore()
  bench.stage.begin()
  await send()
  const points = bench.stage.points.length
  const found: Race[] = []
  for (let at = 0; at < points; at++) {
    for (const change of Object.keys(CHANGES)) {
      const one = await race(bench, flow, prepared, at, change)
      if (one) found.push(one)
    }
  }
  return { points, found }
}

const failing = (found: readonly Race[]) =>
  found
    .filter(({ violations }) => violations.length > 0)
    .map(({ point, change, violations }) => `${change} ${point}: ${violations}`)

describe('a change at every await leaves no unjustified session', () => {
  test.each(Object.keys(FLOWS))('%s', { timeout: 60_000 }, async (name) => {
    const flow = FLOWS[name] as Flow
    const bench = await startBench(flow.options)
    try {
      const { points, found } = await races(bench, flow)
      console.info(`${name}: ${points} awaits x ${Object.keys(CHANGES).length} changes, ${found.length} races reached`)
      expect(failing(found)).toEqual([])
      // Nothing is proven by points that are not there.
      expect(found.length).toBeGreaterThan(points * 4)
      expect(points).toBeGreaterThan(10)
    } finally {
      await bench.app.close()
    }
  })

  test('control: finds sessions when the database answers late reads with old rows', {
    timeout: 60_000,
  }, async () => {
    const flow = FLOWS['sign in'] as Flow
    const bench = await startBench(flow.options)
    bench.accounts.lagging = true
    try {
      const { found } = await races(bench, flow)
      const kinds = new Set(failing(found).map((each) => each.split(': ')[1]))
      expect([...kinds].sort()).toEqual([
        'a session of a deleted user',
        'a session of a suspended user',
        'a session without the identity',
      ])
    } finally {
      await bench.app.close()
    }
  })
})
