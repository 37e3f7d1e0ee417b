/**
 * A small app in a process of its own, to be ended by a signal in the middle of things. It ends the way Node's own
 * documentation shows: `server.close()`, and nothing that would force it. Told by messages what is going on in it.
 */
import { createServer } from 'node:http'
import express from 'express'
import session from 'express-session'
import { Passport } from 'passport'
import { bitbucketSignIn } from 'passport-bitbucket-signin'

const { endpoints, closesPlugin } = JSON.parse(process.env.SERVED)
const failures = []
for (const event of ['uncaughtException', 'unhandledRejection', 'warning']) {
  process.on(event, (error) => failures.push(`${event}: ${error?.stack ?? error}`))
}

const users = new Map()
const accounts = {
  getUserByIdentity: async ({ identity }) => users.get(identity.id) ?? null,
  getAccountsByEmail: async () => [],
  createUser: async ({ identity }) => {
    const user = { id: identity.id, identity }
    users.set(user.id, user)
    return user
  },
  linkIdentity: async () => {},
  listIdentities: async ({ user }) => [user.identity],
  describeUser: async ({ user }) => ({ label: user.id, email: null, emailVerified: false }),
}

const app = express()
const server = createServer(app)
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${server.address().port}`
const passport = new Passport()
passport.serializeUser((user, done) => done(null, user.id))
passport.deserializeUser((id, done) => done(null, users.get(id) ?? false))
const bitbucket = bitbucketSignIn({
  passport,
  secrets: ['served-secret-served-secret-served'],
  connection: {
    clientID: 'fake-client-id',
    clientSecret: 'fake-client-secret',
    callbackURL: `${url}/auth/bitbucket/callback`,
    trustedProvider: true,
    endpoints,
  },
  accounts,
  sendEmailCode: () => {},
  onError: () => {},
  http: { timeoutMs: 1000 },
})
const store = new session.MemoryStore()
app.use(session({ secret: 'served', resave: false, saveUninitialized: false, store }))
app.use(passport.session())
app.use('/auth/bitbucket', bitbucket.router)

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    process.send({ stopping: true })
    server.close()
    if (closesPlugin) bitbucket.close()
  })
}
process.on('exit', () => {
  const signedIn = Object.values(store.sessions).filter((json) => JSON.parse(json).passport).length
  process.send({ end: { failures, signedIn, users: users.size } })
})
process.send({ url })
// The channel to the test is no reason to stay.
process.channel.unref()
