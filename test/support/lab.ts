import dns = require('node:dns')
import net = require('node:net')

import { createServer } from 'node:http'
import type { Express, NextFunction, Request, RequestHandler, Response } from 'express'

import express = require('express')
import session = require('express-session')

import { Passport, type Strategy } from 'passport'
import {
  type EmailCodeMessage,
  type ErrorCode,
  english,
  type Limiter,
  type LimiterFactory,
  type LimiterOptions,
} from 'passport-bitbucket-signin'
import { afterEach, test as base, expect, vi } from 'vitest'
import type { TestUser } from './accounts'
import { startTestApp, type TestApp, type TestAppOptions } from './app'
import { type Answer, type RequestOptions, TestBrowser } from './browser'
import { enterCode } from './steps'

/*
 * The harness of the attack tests: a real app on loopback, browsers of victim and attacker, and one strict meaning
 * of "refused". Uncaught exceptions and unhandled rejections fail the run, because Vitest reports them.
 */

const cleanups: (() => unknown)[] = []

/** Runs after the test, newest first. */
export function afterwards(cleanup: () => unknown): void {
  cleanups.unshift(cleanup)
}

afterEach(async () => {
  vi.restoreAllMocks()
  vi.useRealTimers()
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** No test may talk to any other machine: a connection that leaves loopback is an error, and so is a look-up. */
function guardNetwork(): void {
  const local = (host: unknown) =>
    host === undefined || host === '' || /^(?:127\.|::1$|localhost$|.*\.localhost$)/.test(String(host))
  const connect = net.Socket.prototype.connect
  net.Socket.prototype.connect = function (this: net.Socket, ...args: unknown[]) {
    const [first] = Array.isArray(args[0]) ? (args[0] as unknown[]) : args
    const host = typeof first === 'object' && first !== null ? (first as net.TcpNetConnectOpts).host : args[1]
    if (typeof host === 'string' && !local(host)) throw new Error(`A test connects to ${host}.`)
    return (connect as (...args: unknown[]) => net.Socket).apply(this, args)
  } as typeof connect
  const lookup = dns.lookup
  dns.lookup = ((host: string, ...rest: unknown[]) => {
    if (!local(host)) throw new Error(`A test looks up ${host}.`)
    return (lookup as (...args: unknown[]) => void)(host, ...rest)
  }) as typeof lookup
}
guardNetwork()

/** A running app that ends with its test, with helpers for attacks. */
export interface Lab extends TestApp {
  /** Where the router is mounted. */
  readonly base: string
  /** Requests that the token endpoint and the API saw. */
  upstream(): number
  /** Users of the stored sessions, one entry per session. */
  signedIn(): string[]
  /** A valid `state` of this browser, whose start is open. */
  state(browser: TestBrowser, returnTo?: string): Promise<string>
  /** A callback URL as Bitbucket would send this browser: a start of its own and the person's consent. */
  callback(browser: TestBrowser, person: string, returnTo?: string): Promise<string>
  /** A callback URL of any parameters. */
  callbackURL(parameters: Record<string, string>): string
  /** A code for the user that no start requested. */
  code(person: string): string
  /** Starts linking for the signed-in user; the address at Bitbucket. */
  link(browser: TestBrowser): Promise<string>
  /** A sign-in up to the code page; the code that was mailed. */
  pendingCode(browser: TestBrowser, person: string): Promise<EmailCodeMessage>
  /** Submits a code on the code page of this browser. */
  verify(browser: TestBrowser, code: string): Promise<Answer>
  /** Posts to one of our routes with the fields of the form that the page shows. */
  press(browser: TestBrowser, page: string, action: string, fields?: Record<string, string>): Promise<Answer>
  post(browser: TestBrowser, path: string, fields?: Record<string, string>, options?: RequestOptions): Promise<Answer>
  get(browser: TestBrowser, path: string, options?: RequestOptions): Promise<Answer>
  /** Runs an attack and checks that it was refused in every sense. */
  refused(browser: TestBrowser, attack: () => Promise<Answer>, expected?: Refusal): Promise<Answer>
  /** Adds an account of the app and signs the browser in to it. */
  member(browser: TestBrowser, user?: Partial<TestUser>): Promise<TestUser>
}

/** Further expectations of a refusal. */
export interface Refusal {
  readonly code?: ErrorCode
  /** How many requests Bitbucket may have seen. */
  readonly upstream?: number
  /** A signed-in user's browser is led home instead of to a page. */
  readonly ledHome?: boolean
  /** Texts of the attacker that must not come back. */
  readonly reflected?: readonly string[]
}

const BASE = '/auth/bitbucket'

/** Starts an app that is closed after the test. */
export async function startLab(options: TestAppOptions = {}): Promise<Lab> {
  const app = await startTestApp(options)
  afterwards(() => app.close())
  const lab: Lab = {
    ...app,
    base: app.url + BASE,
    upstream: () => upstreamOf(app),
    signedIn: () =>
      Object.values((app.store as unknown as { sessions: Record<string, string> }).sessions).flatMap((json) => {
        const { passport } = JSON.parse(json) as { passport?: { user?: string } }
        return passport?.user === undefined ? [] : [passport.user]
      }),
    async state(browser, returnTo) {
      return new URL(await app.start(browser, returnTo)).searchParams.get('state') ?? ''
    },
    async callback(browser, person, returnTo) {
      return app.fake.signIn(await app.start(browser, returnTo), { person })
    },
    callbackURL: (parameters) => `${app.url}${BASE}/callback?${new URLSearchParams(parameters)}`,
    code: (person) => app.fake.issueCode({ person, redirectUri: `${app.url}${BASE}/callback` }),
    async link(browser) {
      return (await lab.post(browser, '/link')).location
    },
    async pendingCode(browser, person) {
      const before = app.mails.length
      const answer = await app.signIn(browser, person)
      expect(answer.location).toBe(`${BASE}/email`)
      expect(app.mails).toHaveLength(before + 1)
      return app.mails[before] as EmailCodeMessage
    },
    verify: (browser, code) => enterCode(app, browser, code),
    press: (browser, page, action, fields) => app.submit(browser, BASE + page, action, fields),
    post: (browser, path, fields = {}, more) => browser.post(`${app.url}${BASE}${path}`, fields, more),
    get: (browser, path, more) => browser.get(`${app.url}${BASE}${path}`, more),
    async member(browser, user) {
      const added = app.accounts.add({ email: 'member@example.com', emailVerified: true, ...user })
      await app.localSignIn(browser, added)
      return added
    },
    async refused(browser, attack, expected = {}) {
      const before = {
        me: await app.me(browser),
        session: sessionOf(browser, app),
        writes: app.accounts.writes().length,
        users: JSON.stringify([...app.accounts.users.values()]),
        upstream: upstreamOf(app),
        signedIn: lab.signedIn(),
      }
      const answer = await attack()
      expectRefusal(answer, expected)
      expect(await app.me(browser)).toBe(before.me)
      if (before.me === null) expect(lab.signedIn().length).toBeLessThanOrEqual(before.signedIn.length)
      else expect(sessionOf(browser, app)).toBe(before.session)
      expect(app.accounts.writes()).toHaveLength(before.writes)
      expect(JSON.stringify([...app.accounts.users.values()])).toBe(before.users)
      if (expected.upstream !== undefined) expect(upstreamOf(app) - before.upstream).toBe(expected.upstream)
      return answer
    },
  }
  return lab
}

/** Status or redirect of a refusal, its fixed code, and nothing of the attacker's in it. */
export function expectRefusal(answer: Answer, { code, reflected = [], ledHome = false }: Refusal = {}): void {
  if (ledHome) return expect([answer.status, answer.location]).toEqual([302, '/'])
  const failed = /^\/[^?]*\?error=([a-z_]+)$/.exec(answer.location)
  if (!failed) expect(answer.status).toBeGreaterThanOrEqual(400)
  if (code) expect(codesOf(answer)).toContain(code)
  const whole = `${answer.text} ${JSON.stringify(answer.headers)}`
  expect(reflected.filter((text) => whole.includes(text))).toEqual([])
}

/** The codes that an answer can stand for: named, in the failure redirect, or by the one sentence that explains it. */
export function codesOf({ location, text }: Answer): string[] {
  const plain = text.replaceAll('&#39;', "'").replaceAll('&quot;', '"').replaceAll('&amp;', '&')
  return Object.entries(english.errors).flatMap(([code, sentence]) =>
    location.endsWith(`?error=${code}`) || new RegExp(`\\b${code}\\b`).test(plain) || plain.includes(sentence)
      ? [code]
      : [],
  )
}

function upstreamOf({ fake }: TestApp): number {
  return (['token', 'user', 'emails', 'workspace'] as const).reduce((sum, each) => sum + fake.count(each), 0)
}

/** The session cookie as this browser holds it. */
export function sessionOf(browser: TestBrowser, app: Pick<TestApp, 'url'>): string | undefined {
  return browser.jar(app.url).get('connect.sid')
}

/** The id inside a session cookie, as the store knows it. */
export function sessionIdOf(browser: TestBrowser, app: Pick<TestApp, 'url'>): string | undefined {
  const cookie = sessionOf(browser, app)
  return cookie === undefined ? undefined : /^s:([^.]+)\./.exec(decodeURIComponent(cookie))?.[1]
}

/** Victim and attacker: separate browsers. */
export function browsers(): { victim: TestBrowser; attacker: TestBrowser } {
  return { victim: new TestBrowser(), attacker: new TestBrowser() }
}

interface Fixtures {
  /** An app with a trusted Bitbucket. */
  readonly lab: Lab
  /** The same with one that is not trusted, so that addresses are proven by a code. */
  readonly untrusted: Lab
  readonly victim: TestBrowser
  readonly attacker: TestBrowser
  readonly browser: TestBrowser
}

/** A test that gets the apps and browsers which it names. */
export const test = base.extend<Fixtures>({
  // biome-ignore-start lint/correctness/noEmptyPattern: Vitest reads from the pattern which fixtures are needed
  lab: async ({}, use) => use(await startLab()),
  untrusted: async ({}, use) => use(await startLab({ connection: { trustedProvider: false } })),
  victim: async ({}, use) => use(new TestBrowser()),
  attacker: async ({}, use) => use(new TestBrowser()),
  browser: async ({}, use) => use(new TestBrowser()),
  // biome-ignore-end lint/correctness/noEmptyPattern: as above
})

/** Our own cookies in a browser, by full name. */
export function ourCookies(browser: TestBrowser, url: string): Map<string, string> {
  return new Map([...browser.jar(url)].filter(([name]) => /^(?:__Host-)?bitbucket\./.test(name)))
}

/** Sets both clocks forward (or only the wall clock, with `wallOnly`); every call counts from the real time. */
export function travel(ms: number, { wallOnly = false } = {}): void {
  vi.restoreAllMocks()
  const wall = Date.now.bind(Date)
  const monotonic = performance.now.bind(performance)
  vi.spyOn(Date, 'now').mockImplementation(() => wall() + ms)
  if (!wallOnly) vi.spyOn(performance, 'now').mockImplementation(() => monotonic() + ms)
}

export const SECOND = 1000
export const MINUTE: number = 60 * SECOND

/** The real one, also while a test has the timers faked. */
const realTimeout = globalThis.setTimeout
const realNow = performance.now.bind(performance)

/** Waits until a condition holds; fails after ten seconds, or after this many milliseconds. */
export async function until(condition: () => boolean, what = 'the condition', withinMs = 10_000): Promise<void> {
  const end = realNow() + withinMs
  while (!condition()) {
    if (realNow() > end) throw new Error(`Waited in vain for ${what}.`)
    await new Promise((resolve) => realTimeout(resolve, 2))
  }
}

/** Lets everything that is under way come to its end, or to the next thing that it waits for. */
export async function turns(count = 40): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/**
 * Sends something that hangs, and lets time pass as soon as it does, so that a deadline comes at the same point on a fast
 * and on a slow machine. `reached` says that the request is where it hangs; what ends without help has its turns first.
 */
export async function atDeadline<T>(send: () => Promise<T>, reached: () => boolean, ms = 15_001): Promise<T> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    let ended = false
    const settled = send().finally(() => {
      ended = true
    })
    // A rejection is the caller's; until it is awaited it must not count as unhandled.
    settled.catch(() => {})
    await until(() => ended || reached(), 'the request to hang')
    await turns()
    // A few deadlines in a row, each with time for what it causes; a deadline far beyond the documented one must fail.
    for (let round = 1; !ended && round <= 60; round++) {
      await vi.advanceTimersByTimeAsync(ms)
      await new Promise((resolve) => realTimeout(resolve, round))
    }
    expect(ended, 'the request has ended at its deadline').toBe(true)
    return await settled
  } finally {
    vi.useRealTimers()
  }
}

/** A door that opens when told: delays inside hooks and the fake without guessing times. */
export function door(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

/** Sends bytes as they are and reads until the other side closes (or 300 ms of silence). */
export function raw(url: string, request: string): Promise<string> {
  const { port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), '127.0.0.1')
    const chunks: Buffer[] = []
    socket.setTimeout(300, () => socket.destroy())
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
    socket.write(request, 'latin1')
  })
}

/** A server that keeps count of who connects and says nothing good: where secrets must never arrive. */
export async function startEvil(): Promise<{ readonly url: string; readonly requests: string[] }> {
  const requests: string[] = []
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data) => {
      requests.push(data.toString('latin1'))
      socket.end('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  afterwards(() => new Promise((resolve) => server.close(resolve)))
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, requests }
}

/** A Bitbucket made of raw bytes: whatever the function writes to the socket for a path is the answer. */
export async function startRawBitbucket(
  answer: (path: string, socket: net.Socket, request: string) => void,
): Promise<{ readonly url: string; readonly requests: string[]; readonly sockets: Set<net.Socket> }> {
  const requests: string[] = []
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let buffer = ''
    socket.on('data', (data) => {
      buffer += data.toString('latin1')
      const end = buffer.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = Number(/content-length: (\d+)/i.exec(buffer)?.[1] ?? 0)
      if (buffer.length < end + 4 + length) return
      const request = buffer.slice(0, end + 4 + length)
      buffer = buffer.slice(end + 4 + length)
      requests.push(request)
      answer(request.split(' ')[1] ?? '', socket, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  afterwards(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, requests, sockets }
}

/** A complete HTTP answer with a JSON body. */
export function jsonBytes(body: unknown, extra = ''): string {
  const text = JSON.stringify(body)
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${extra}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
}

export const GOOD_TOKEN = {
  access_token: 'T'.repeat(43),
  token_type: 'bearer',
  expires_in: 7200,
  scope: 'account email',
}
export const GOOD_USER = {
  type: 'user',
  uuid: '{11111111-2222-4333-8444-555555555555}',
  display_name: 'Raw Person',
  nickname: 'raw',
}
export const GOOD_EMAILS = {
  values: [{ type: 'email', email: 'raw@example.com', is_primary: true, is_confirmed: true }],
}

/** A harness whose Bitbucket answers raw bytes, and a browser at its callback with a valid `state`. */
export async function startRawLab(
  answer: (path: string, socket: net.Socket, request: string) => void,
  options: TestAppOptions = {},
) {
  const bitbucket = await startRawBitbucket(answer)
  const lab = await startLab({
    ...options,
    connection: {
      endpoints: {
        authorizationURL: `${bitbucket.url}/authorize`,
        tokenURL: `${bitbucket.url}/token`,
        apiURL: `${bitbucket.url}/2.0`,
      },
      ...options.connection,
    },
  })
  const browser = new TestBrowser()
  return {
    lab,
    bitbucket,
    browser,
    call: async () => browser.get(lab.callbackURL({ code: 'raw-code', state: await lab.state(browser) })),
  }
}

/** Answers everything as it should be: the control of raw attacks. */
export function goodAnswer(path: string, socket: net.Socket): void {
  if (path.startsWith('/token')) socket.write(jsonBytes(GOOD_TOKEN))
  else if (path.startsWith('/2.0/user/emails')) socket.write(jsonBytes(GOOD_EMAILS))
  else socket.write(jsonBytes(GOOD_USER))
}

/** A limiter in memory whose store can be broken or slowed down, and which counts its keys. */
export function testLimiter(): {
  readonly factory: LimiterFactory
  readonly keys: Set<string>
  /** The counters that were made, by name, with their points and lifetime. */
  readonly made: Map<string, LimiterOptions>
  intercept: (call: 'consume' | 'get', key: string) => unknown
  clear(): void
} {
  const counts = new Map<string, { consumedPoints: number; until: number }>()
  const found = (full: string) => {
    const count = counts.get(full)
    return count && count.until > Date.now() ? count : undefined
  }
  const lab = {
    keys: new Set<string>(),
    made: new Map<string, LimiterOptions>(),
    intercept: (_call: 'consume' | 'get', _key: string): unknown => undefined,
    clear: () => counts.clear(),
    factory: (options: LimiterOptions): Limiter => {
      const { keyPrefix, points, duration } = options
      lab.made.set(keyPrefix.slice(keyPrefix.indexOf('.') + 1), options)
      return {
        async consume(key) {
          const full = `${keyPrefix}:${key}`
          lab.keys.add(full)
          await lab.intercept('consume', full)
          const before = found(full) ?? { consumedPoints: 0, until: Date.now() + duration * 1000 }
          const count = { ...before, consumedPoints: before.consumedPoints + 1 }
          counts.set(full, count)
          if (count.consumedPoints > points) throw { consumedPoints: count.consumedPoints }
          return count
        },
        async get(key) {
          const full = `${keyPrefix}:${key}`
          await lab.intercept('get', full)
          return found(full) ?? null
        },
      }
    },
  }
  return lab
}

/** Express's own types for handlers that tests add. */
export type Handler = (req: Request, res: Response, next: (error?: unknown) => void) => void

/** An app that uses a strategy through Passport. */
export interface StrategyApp {
  readonly url: string
  readonly store: session.MemoryStore
  /** The profile ids that `verify` received, in order. */
  readonly verified: string[]
  readonly faults: unknown[]
}

/**
 * An app without our router: `passport.authenticate` on `/start` and `/callback`, each way of giving the strategy.
 * `make` gets the callback URL and a verify callback that accepts everybody.
 */
export async function startStrategyApp(
  make: (callbackURL: string, verify: (...args: unknown[]) => void) => Strategy | Promise<Strategy>,
  {
    by = 'name',
    options = {},
    handle,
    before,
  }: {
    by?: 'name' | 'instance'
    options?: object
    handle?: (passport: InstanceType<typeof Passport>, req: Request, res: Response, next: NextFunction) => void
    before?: (app: Express) => void
  } = {},
): Promise<StrategyApp> {
  const app = express()
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`
  afterwards(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const verified: string[] = []
  const faults: unknown[] = []
  const passport = new Passport()
  passport.serializeUser((user, done) => done(null, (user as { id: string }).id))
  passport.deserializeUser((id: string, done) => done(null, { id }))
  const strategy = await make(`${url}/callback`, (_access, _refresh, profile, done) => {
    verified.push((profile as { id: string }).id)
    ;(done as (error: null, user: unknown) => void)(null, profile)
  })
  passport.use('bitbucket', strategy)
  const store = new session.MemoryStore()
  before?.(app)
  app.use(session({ secret: 'session', resave: false, saveUninitialized: false, store }))
  app.use(passport.session())
  const given = by === 'name' ? 'bitbucket' : strategy
  app.get('/start', passport.authenticate(given as string, options))
  app.get('/callback', (req, res, next) =>
    handle
      ? handle(passport, req, res, next)
      : (passport.authenticate(given as string, options) as RequestHandler)(req, res, (error?: unknown) =>
          error ? next(error) : res.redirect('/'),
        ),
  )
  app.get('/me', (req, res) => void res.json({ user: (req.user as { id?: string } | undefined)?.id ?? null }))
  app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
    faults.push(error)
    res.status((error as { status?: number }).status ?? 500).send(String((error as { code?: string }).code))
  })
  return { url, store, verified, faults }
}
