// An app as the README of passport-bitbucket-oauth20 taught it. The proof changes its second line and nothing else.
const express = require('express')
const { Strategy: BitbucketStrategy } = require('passport-bitbucket-oauth20')
const session = require('express-session')
const { Passport } = require('passport')

module.exports = (settings, users) => {
  const app = express()
  const passport = new Passport()

  passport.serializeUser((user, done) => done(null, user.username))
  passport.deserializeUser((username, done) => done(null, users.get(username) || false))

  passport.use(
    new BitbucketStrategy(
      {
        clientID: settings.clientID,
        clientSecret: settings.clientSecret,
        callbackURL: settings.callbackURL,
        authorizationURL: `${settings.bitbucket}/site/oauth2/authorize`,
        tokenURL: `${settings.bitbucket}/site/oauth2/access_token`,
        userProfileURL: `${settings.bitbucket}/2.0/user`,
        userEmailsURL: `${settings.bitbucket}/2.0/user/emails`,
        userAgent: 'my-app',
        ...settings.more,
      },
      (accessToken, refreshToken, profile, done) => {
        users.set(profile.username, profile)
        settings.onTokens?.(accessToken, refreshToken)
        done(null, profile)
      },
    ),
  )

  app.use(session({ secret: 'keyboard cat', resave: false, saveUninitialized: false }))
  app.use(passport.initialize())
  app.use(passport.session())

  app.get('/auth/bitbucket', passport.authenticate('bitbucket', settings.route))
  app.get('/auth/bitbucket/callback', passport.authenticate('bitbucket', { failureRedirect: '/login' }), (_req, res) =>
    res.redirect('/'),
  )
  app.get('/', (req, res) => res.json({ user: req.user || null }))
  app.use((error, _req, res, _next) => res.status(500).json({ error: error.message }))
  return app
}
