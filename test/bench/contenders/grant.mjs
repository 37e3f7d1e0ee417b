import grant from 'grant'
import compose from 'request-compose'
import { CLIENT, createBaseApp, SCOPE } from './base-app.mjs'

/**
 * grant hands over tokens and one profile answer; the addresses are requested with its own HTTP client.
 * Tokens travel in `res.locals`, not in the session, where they would outweigh everything else.
 *
 * @param {import('./base-app.mjs').Surroundings} surroundings
 */
export function createApp(surroundings) {
  const { provider, origin } = surroundings
  return createBaseApp(surroundings, {
    behind(app, _passport, users) {
      app.use(
        grant.express()({
          defaults: { origin, transport: 'state', state: true },
          bitbucket: {
            key: CLIENT.clientID,
            secret: CLIENT.clientSecret,
            scope: SCOPE,
            pkce: true,
            authorize_url: provider.authorizationURL,
            access_url: provider.tokenURL,
            profile_url: `${provider.apiURL}/user`,
            response: ['tokens', 'profile'],
          },
        }),
      )
      app.get('/connect/bitbucket/callback', async (req, res, next) => {
        const { access_token, profile, error } = res.locals.grant.response
        if (error || !profile?.uuid) return res.redirect('/login')
        const { body } = await compose.client({
          url: `${provider.apiURL}/user/emails`,
          headers: { authorization: `Bearer ${access_token}` },
        })
        req.logIn(users.findOrCreate(profile, body.values), (error) => (error ? next(error) : res.redirect('/')))
      })
    },
  })
}
