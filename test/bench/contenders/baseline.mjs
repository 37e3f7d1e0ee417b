import OAuth2Strategy from 'passport-oauth2'
import { CLIENT, createBaseApp, SCOPE } from './base-app.mjs'

/** The code that a careful developer writes by hand: passport-oauth2, state in the session, profile and addresses one by one. */
class BitbucketStrategy extends OAuth2Strategy {
  constructor(options, verify) {
    super(options, verify)
    this.apiURL = options.apiURL
    this._oauth2.useAuthorizationHeaderforGET(true)
  }

  userProfile(accessToken, done) {
    this.get('/user', accessToken, (error, person) => {
      if (error) return done(error)
      this.get('/user/emails', accessToken, (error, page) => done(error, error ? undefined : { person, page }))
    })
  }

  get(path, accessToken, done) {
    this._oauth2.get(this.apiURL + path, accessToken, (error, body) => {
      if (error) return done(new OAuth2Strategy.InternalOAuthError(`Could not fetch ${path}`, error))
      try {
        done(null, JSON.parse(body))
      } catch (error) {
        done(error)
      }
    })
  }
}

/** @param {import('./base-app.mjs').Surroundings} surroundings */
export function createApp(surroundings) {
  const { provider, origin } = surroundings
  return createBaseApp(surroundings, {
    behind(app, passport, users) {
      const options = {
        ...CLIENT,
        ...provider,
        callbackURL: `${origin}/auth/bitbucket/callback`,
        scope: SCOPE,
        state: true,
      }
      passport.use(
        'bitbucket',
        new BitbucketStrategy(options, (_accessToken, _refreshToken, { person, page }, done) =>
          done(null, users.findOrCreate(person, page.values)),
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
