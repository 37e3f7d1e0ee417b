import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Express, RequestHandler } from 'express'

import express5 = require('express')
import session = require('express-session')

import { Passport } from 'passport'
import {
  type BitbucketSignIn,
  type BitbucketSignInError,
  type BitbucketSignInOptions,
  bitbucketSignIn,
  type Connection,
  type ConnectionResolver,
  type EmailCodeMessage,
  type SignInEvent,
} from 'passport-bitbucket-signin'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { TestAccounts, type TestUser } from './accounts'
import { type Answer, formsOf, type TestBrowser } from './browser'

/** Options of a test app; everything has a default. */
export interface TestAppOptions {
  /** `4` runs on Express 4. Default 5. */
  readonly express?: 4 | 5
  /** A fake to share; default: one of its own, closed with the app. */
  readonly fake?: FakeBitbucket
  readonly connection?: Partial<Connection>
  /** Replaces the whole connection. */
  readonly resolver?: (defaults: Connection) => ConnectionResolver
  readonly options?: Partial<Omit<BitbucketSignInOptions<TestUser>, 'passport' | 'connection' | 'accounts'>>
  readonly accounts?: TestAccounts
  /** Hooks to leave out. */
  readonly without?: Parameters<TestAccounts['hooks']>
  readonly session?: Partial<session.SessionOptions>
  /** Instead of express-session; `null` = no session at all. */
  readonly sessionMiddleware?: RequestHandler | null
  /** Instead of `passport.session()`; `null` = none. */
  readonly passportMiddleware?: RequestHandler | null
  /** Host name in the app's own address, for example `localhost`; it listens on loopback all the same. */
  readonly host?: string
  /** Called with the app before everything. */
  readonly before?: (app: Express, bitbucket: BitbucketSignIn) => void
  /** Called with the app behind session and Passport, for routes of the test's own. */
  readonly routes?: (app: Express, bitbucket: BitbucketSignIn) => void
  /** Called with the app after session and Passport, before the plugin. */
  readonly behindSession?: (app: Express, bitbucket: BitbucketSignIn) => void
}

/** A running app on loopback with the plugin mounted as the README says. */
export interface TestApp {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly app: Express
  readonly server: Server
  readonly fake: FakeBitbucket
  readonly bitbucket: BitbucketSignIn
  /** The app's Passport instance. */
  readonly passport: InstanceType<typeof Passport>
  readonly accounts: TestAccounts
  readonly store: session.MemoryStore
  readonly mails: EmailCodeMessage[]
  readonly events: SignInEvent[]
  /** The errors that `onError` received. */
  readonly errors: BitbucketSignInError[]
  /** Errors that reached the app's error handler. */
  readonly faults: unknown[]
  /** Sign-in as a person of the fake: start, consent, callback. The answer is the callback's. */
  signIn(browser: TestBrowser, person: string, options?: { returnTo?: string }): Promise<Answer>
  /** Start only: the address at Bitbucket. */
  start(browser: TestBrowser, returnTo?: string): Promise<string>
  /** The user's id that `/me` returns, or null. */
  me(browser: TestBrowser): Promise<string | null>
  /** Signs in by the app's own method. */
  localSignIn(browser: TestBrowser, user: TestUser): Promise<Answer>
  /** Gets a page of the plugin and posts the form with this action, its hidden fields and these. */
  submit(browser: TestBrowser, page: string, action: string, fields?: Record<string, string>): Promise<Answer>
  close(): Promise<void>
}

/** Starts one. Routes of its own: `/me`, `POST /local/<user id>`, `POST /logout`, everything else 200 "home". */
export async function startTestApp(options: TestAppOptions = {}): Promise<TestApp> {
  const fake = options.fake ?? (await startFakeBitbucket())
  const accounts = options.accounts ?? new TestAccounts()
  const mails: EmailCodeMessage[] = []
  const events: SignInEvent[] = []
  const errors: BitbucketSignInError[] = []
  const faults: unknown[] = []
  const express = options.express === 4 ? (require('express-4') as typeof express5) : express5
  const app = express()
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://${options.host ?? '127.0.0.1'}:${(server.address() as AddressInfo).port}`

  const passport = new Passport()
  passport.serializeUser((user, done) => done(null, (user as TestUser).id))
  passport.deserializeUser((id: string, done) => done(null, accounts.users.get(id) ?? false))
  const store = new session.MemoryStore()

  const defaults: Connection = {
    id: 'default',
    clientID: FAKE_CLIENT.clientID,
    clientSecret: FAKE_CLIENT.clientSecret,
    callbackURL: `${url}/auth/bitbucket/callback`,
    trustedProvider: true,
    endpoints: fake.endpoints,
    ...options.connection,
  }
  const bitbucket = bitbucketSignIn<TestUser>({
    passport,
    secrets: ['test-secret-test-secret-test-secret'],
    connection: options.resolver ? options.resolver(defaults) : defaults,
    accounts: accounts.hooks(...(options.without ?? [])),
    sendEmailCode: (message) => {
      mails.push(message)
    },
    onEvent: (event) => {
      events.push(event)
    },
    onError: (error) => {
      errors.push(error)
    },
    signedInAt: (req) => {
      const at = (req.session as unknown as { signedInAt?: number; bitbucketSignIn?: { at: number } }) ?? {}
      return new Date(at.signedInAt ?? at.bitbucketSignIn?.at ?? 0)
    },
    ...options.options,
  })

  options.before?.(app, bitbucket)
  const ownSession = session({ secret: 'session', resave: false, saveUninitialized: false, store, ...options.session })
  for (const middleware of [
    options.sessionMiddleware === undefined ? ownSession : options.sessionMiddleware,
    options.passportMiddleware === undefined ? passport.session() : options.passportMiddleware,
  ]) {
    if (middleware) app.use(middleware)
  }
  options.behindSession?.(app, bitbucket)
  app.use('/auth/bitbucket', bitbucket.router)
  options.routes?.(app, bitbucket)
  app.get('/me', (req, res) => {
    res.json({ user: (req.user as TestUser | undefined)?.id ?? null })
  })
  app.post('/local/:id', (req, res, next) => {
    const user = accounts.users.get(req.params.id)
    if (!user) return next(new Error('no such user'))
    req.logIn(user, (error?: unknown) => {
      if (error) return next(error)
      ;(req.session as unknown as { signedInAt: number }).signedInAt = Date.now()
      req.session.save(() => res.redirect('/'))
    })
  })
  app.post('/logout', async (req, res, next) => {
    await bitbucket.forget(req, res)
    req.logout((error?: unknown) => (error ? next(error) : res.redirect('/')))
  })
  app.use((_req, res) => {
    res.send('home')
  })
  app.use((error: unknown, _req: express5.Request, res: express5.Response, _next: express5.NextFunction) => {
    faults.push(error)
    if (!res.headersSent) res.status(500).send('fault')
  })

  const testApp: TestApp = {
    url,
    app,
    server,
    fake,
    bitbucket,
    passport,
    accounts,
    store,
    mails,
    events,
    errors,
    faults,
    async start(browser, returnTo) {
      const query = returnTo === undefined ? '' : `?returnTo=${encodeURIComponent(returnTo)}`
      return (await browser.get(`${url}/auth/bitbucket${query}`)).location
    },
    async signIn(browser, person, { returnTo } = {}) {
      const callback = await fake.signIn(await testApp.start(browser, returnTo), { person })
      return browser.get(callback, { headers: { 'sec-fetch-site': 'cross-site' } })
    },
    async me(browser) {
      return (await browser.get(`${url}/me`)).json().user as string | null
    },
    localSignIn: (browser, user) => browser.post(`${url}/local/${user.id}`, {}),
    async submit(browser, page, action, fields = {}) {
      const { text } = await browser.get(`${url}${page}`)
      const form = formsOf(text).find((each) => each.action.endsWith(action))
      if (!form) throw new Error(`no form for ${action} on ${page}: ${text}`)
      return browser.post(`${url}${form.action}`, { ...form.fields, ...fields })
    },
    async close() {
      bitbucket.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      if (!options.fake) await fake.close()
    },
  }
  return testApp
}
