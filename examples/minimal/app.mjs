// "Sign in with Bitbucket" in one file. The users live in memory, and a fake stands in for bitbucket.org.
import { randomBytes, randomUUID } from 'node:crypto'
import express from 'express'
import session from 'express-session'
import passport from 'passport'
import { bitbucketSignIn } from 'passport-bitbucket-signin'
import { startFakeBitbucket } from 'passport-bitbucket-signin/testing'

const users = []
passport.serializeUser((user, done) => done(null, user.id))
passport.deserializeUser((id, done) => done(null, users.find((user) => user.id === id) ?? false))

const { clients, endpoints } = await startFakeBitbucket({ port: 3001 })
const { clientID, clientSecret } = clients[0]
const secret = randomBytes(32).toString('hex')

const bitbucket = bitbucketSignIn({
  passport,
  secrets: [secret],
  connection: { clientID, clientSecret, endpoints, callbackURL: 'http://localhost:3000/auth/bitbucket/callback' },
  accounts: {
    getUserByIdentity: ({ identity: { issuer, id } }) =>
      users.find(({ identity }) => identity.issuer === issuer && identity.id === id) ?? null,
    getAccountsByEmail: ({ email }) =>
      users.filter((user) => user.email === email).map((user) => ({ user, email, emailVerified: user.emailVerified })),
    createUser({ identity, profile, email }) {
      const { address = null, verified = false } = email ?? {}
      const user = { id: randomUUID(), name: profile.displayName, email: address, emailVerified: verified, identity }
      users.push(user)
      return user
    },
    linkIdentity({ user, identity }) {
      user.identity = identity
    },
    listIdentities: ({ user }) => [user.identity],
    describeUser: ({ user: { name, email, emailVerified } }) => ({ label: name, email, emailVerified }),
  },
  sendEmailCode: ({ to, code }) => console.log(`Email to ${to}: your code is ${code}`),
  paths: { signIn: '/' },
})

const app = express()
app.use(session({ secret, resave: false, saveUninitialized: false }))
app.use(passport.session())
app.use('/auth/bitbucket', bitbucket.router)
app.get('/', async (req, res) => (req.user ? res.json(req.user) : res.send(await bitbucket.button(req))))
app.listen(3000).on('listening', () => console.log('http://localhost:3000'))
