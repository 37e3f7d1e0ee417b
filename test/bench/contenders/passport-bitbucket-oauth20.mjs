import { Strategy } from 'passport-bitbucket-oauth20'
import { CLIENT, createBaseApp, SCOPE } from './base-app.mjs'

/** @param {import('./base-app.mjs').Surroundings} surroundings */
export function createApp(surroundings) {
  const { provider, origin } = surroundings
  return createBaseApp(surroundings, {
    behind(app, passport, users) {
      const options = {
        ...CLIENT,
        authorizationURL: provider.authorizationURL,
        tokenURL: provider.tokenURL,
        userProfileURL: `${provider.apiURL}/user`,
        userEmailsURL: `${provider.apiURL}/user/emails`,
        callbackURL: `${origin}/auth/bitbucket/callback`,
        scope: SCOPE,
        state: true,
      }
      passport.use(
        new Strategy(options, (_accessToken, _refreshToken, profile, done) =>
          done(null, users.findOrCreate(profile._json, profile._jsonEmails.values)),
        ),
      )
      app.get('/auth/bitbucket', passport.authenticate('bitbucket'))
      app.get(
        '/auth/bitbucket/callback',
        passport.authenticate('bitbucket', { successRedirect: '/', failureRedirect: '/login' }),
      )
    },
  })
}
