/** The app of the soak test, in its own process, so that its memory can be measured alone. Everything in it is bounded. */
import { createServer } from 'node:http'
import { connect } from 'node:net'
import express from 'express'
import session from 'express-session'
import { Passport } from 'passport'
import { bitbucketSignIn, IdentityTakenError } from 'passport-bitbucket-signin'
import { memoryLimiter } from '../../dist/flow/limits.js'

/** Reached within the first minute, so that what grows afterwards is a leak. */
const MAX_USERS = 300
const MAX_SESSIONS = 300
const MAX_COUNTER_SECONDS = 20
const { endpoints, leak } = JSON.parse(process.env.SOAK)

/** Sessions in memory, the oldest dropped: `MemoryStore` would grow for ever, and that is not what is measured here. */
class BoundedStore extends session.Store {
  sessions = new Map()

  get(id, done) {
    const json = this.sessions.get(id)
    setImmediate(done, null, json === undefined ? null : JSON.parse(json))
  }

  set(id, value, done) {
    this.sessions.delete(id)
    this.sessions.set(id, JSON.stringify(value))
    if (this.sessions.size > MAX_SESSIONS) this.sessions.delete(this.sessions.keys().next().value)
    setImmediate(done ?? (() => {}), null)
  }

  destroy(id, done) {
    this.sessions.delete(id)
    setImmediate(done ?? (() => {}), null)
  }

  touch(_id, _value, done) {
    setImmediate(done ?? (() => {}), null)
  }
}

const users = new Map()
const byIdentity = new Map()
const codes = new Map()
const failures = []
let nextId = 1

function addUser(identity, email) {
  if (byIdentity.has(identity.id)) throw new IdentityTakenError()
  const user = {
    id: String(nextId++),
    identity,
    email: email?.address ?? null,
    emailVerified: email?.verified ?? false,
  }
  users.set(user.id, user)
  byIdentity.set(identity.id, user)
  if (users.size > MAX_USERS) {
    const [id, oldest] = users.entries().next().value
    users.delete(id)
    byIdentity.delete(oldest.identity.id)
  }
  return user
}

const accounts = {
  getUserByIdentity: async ({ identity }) => byIdentity.get(identity.id) ?? null,
  getAccountsByEmail: async () => [],
  createUser: async ({ identity, email }) => addUser(identity, email),
  linkIdentity: async () => {},
  listIdentities: async ({ user }) => [user.identity],
  describeUser: async ({ user }) => ({ label: user.id, email: user.email, emailVerified: user.emailVerified }),
  storeTokens: async ({ tokens }) => leakOn('heap', () => kept.push(tokens)),
}

/** Kept by a leak; `--leak` plants one on purpose. */
const kept = []
let calls = 0
function leakOn(kind, keep) {
  if (leak === kind && calls++ % LEAKS[kind] === 0) keep()
}
const LEAKS = { heap: 1, sockets: 50, timers: 50, rejections: 100 }
const leakAnything = () => {
  leakOn('sockets', () => kept.push(connect(Number(new URL(endpoints.apiURL).port), '127.0.0.1')))
  leakOn('timers', () => kept.push(setInterval(() => {}, 60_000)))
  leakOn('rejections', () => void Promise.reject(new Error('planted')))
}

const app = express()
const server = createServer(app)
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address()
const passport = new Passport()
passport.serializeUser((user, done) => done(null, user.id))
passport.deserializeUser((id, done) => done(null, users.get(id) ?? false))
const bitbucket = bitbucketSignIn({
  passport,
  secrets: ['soak-secret-soak-secret-soak-secret'],
  connection: {
    clientID: 'fake-client-id',
    clientSecret: 'fake-client-secret',
    callbackURL: `http://127.0.0.1:${port}/auth/bitbucket/callback`,
    trustedProvider: true,
    endpoints,
  },
  accounts,
  sendEmailCode: async ({ to, code }) => {
    codes.set(to, code)
    if (codes.size > MAX_USERS) codes.delete(codes.keys().next().value)
  },
  onEvent: leakAnything,
  onError: () => {},
  http: { timeoutMs: 2000 },
  // The package's own counters, but short-lived: theirs remember for a quarter of an hour, some for a day.
  limiter: (options) => memoryLimiter({ ...options, duration: Math.min(options.duration, MAX_COUNTER_SECONDS) }),
})
app.use(session({ secret: 'soak', resave: false, saveUninitialized: false, store: new BoundedStore() }))
app.use(passport.session())
app.use('/auth/bitbucket', bitbucket.router)
app.get('/me', (req, res) => res.json({ user: req.user?.id ?? null }))
// The mailbox of everybody.
app.get('/code', (req, res) => res.json({ code: codes.get(req.query.to) ?? null }))
app.use((error, _req, res, _next) => {
  failures.push(String(error?.stack ?? error))
  res.status(500).end()
})
for (const event of ['uncaughtException', 'unhandledRejection', 'warning']) {
  process.on(event, (error) => {
    if (error?.name !== 'BitbucketSignInWarning') failures.push(`${event}: ${error?.stack ?? error}`)
  })
}

function figures() {
  globalThis.gc()
  const open = (name) => process.getActiveResourcesInfo().filter((each) => each === name).length
  const { rss, heapUsed, external } = process.memoryUsage()
  return {
    rss,
    heapUsed,
    external,
    sockets: open('TCPSocketWrap'),
    timers: open('Timeout'),
    failures: failures.splice(0),
  }
}

process.on('message', (id) => process.send({ id, figures: figures() }))
process.on('disconnect', () => process.exit())
process.send({ url: `http://127.0.0.1:${port}` })
