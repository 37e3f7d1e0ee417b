// The same app with "Sign in with Bitbucket".
const { randomBytes, randomUUID, scryptSync, timingSafeEqual } = require('node:crypto')
const express = require('express')
const session = require('express-session')
const passport = require('passport')
const makeBitbucket = require('./bitbucket')
const users = require('./users')

const fake = process.env.FAKE_BITBUCKET // the URL that `npx passport-bitbucket-signin fake` prints
const bitbucket = makeBitbucket(passport, {
  clientID: process.env.BITBUCKET_CLIENT_ID,
  clientSecret: process.env.BITBUCKET_CLIENT_SECRET,
  callbackURL: process.env.BITBUCKET_CALLBACK_URL,
  ...(fake && {
    endpoints: {
      authorizationURL: `${fake}/site/oauth2/authorize`,
      tokenURL: `${fake}/site/oauth2/access_token`,
      apiURL: `${fake}/2.0`,
    },
  }),
})

passport.serializeUser((user, done) => done(null, user.id))
passport.deserializeUser((id, done) => done(null, users.get(id) ?? false))

const app = express()
app.use(express.urlencoded({ extended: false }))
app.use(session({ secret: process.env.SESSION_SECRET ?? randomUUID(), resave: false, saveUninitialized: false }))
app.use(passport.session())
app.use('/auth/bitbucket', bitbucket.router)

const page = (body) => `<!doctype html><meta charset="utf-8"><title>Notes</title>${body}`
const form = (action, label) =>
  `<form method="post" action="${action}"><input name="email" type="email" required><input name="password" type="password" required><button>${label}</button></form>`

app.get('/', (req, res) => {
  res.send(
    page(
      req.user
        ? `Hello ${req.user.id} <a href="/auth/bitbucket/link">Bitbucket</a> <form method="post" action="/logout"><button>Sign out</button></form>`
        : '<a href="/login">Sign in</a>',
    ),
  )
})

app.get('/login', async (req, res) => {
  res.send(page(`${await bitbucket.button(req)}${form('/login', 'Sign in')}${form('/sign-up', 'Sign up')}`))
})

app.post('/sign-up', (req, res, next) => {
  const { email = '', password = '' } = req.body
  if (users.withEmail(email).length > 0) return res.status(409).send(page('This address is taken.'))
  const salt = randomBytes(16)
  const user = users.add({ email, password: { salt, hash: scryptSync(password, salt, 32) } })
  signIn(req, res, next, user)
})

app.post('/login', (req, res, next) => {
  const { email = '', password = '' } = req.body
  const user = users.withEmail(email).find((each) => each.password && matches(each.password, password))
  if (!user) return res.status(401).send(page(`Incorrect email or password. ${form('/login', 'Sign in')}`))
  signIn(req, res, next, user)
})

app.post('/logout', async (req, res, next) => {
  await bitbucket.forget(req, res)
  req.logout((error) => (error ? next(error) : res.redirect('/')))
})

function signIn(req, res, next, user) {
  req.logIn(user, async (error) => {
    if (error) return next(error)
    res.redirect((await bitbucket.signedIn(req)) ?? '/')
  })
}

function matches({ salt, hash }, password) {
  return timingSafeEqual(scryptSync(password, salt, 32), hash)
}

module.exports = app
if (require.main === module) app.listen(3000, () => console.log('http://localhost:3000'))
