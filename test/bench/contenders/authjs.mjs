import { ExpressAuth, getSession } from '@auth/express'
import Bitbucket from '@auth/express/providers/bitbucket'
import { CLIENT, createBaseApp, SCOPE, SECRET } from './base-app.mjs'

/**
 * Its own signed-in cookie (a JWT, its default), so it is mounted before express-session and does not pay for it. The
 * addresses are fetched after the profile, as its GitHub provider does.
 *
 * @param {import('./base-app.mjs').Surroundings} surroundings
 */
export function createApp(surroundings) {
  const { provider } = surroundings
  const config = {
    secret: SECRET,
    trustHost: true,
    providers: [
      Bitbucket({
        clientId: CLIENT.clientID,
        clientSecret: CLIENT.clientSecret,
        checks: ['pkce', 'state'],
        authorization: { url: provider.authorizationURL, params: { scope: SCOPE.join(' ') } },
        token: provider.tokenURL,
        userinfo: {
          url: `${provider.apiURL}/user`,
          async request({ tokens }) {
            const headers = { authorization: `Bearer ${tokens.access_token}` }
            const person = await (await fetch(`${provider.apiURL}/user`, { headers })).json()
            const page = await (await fetch(`${provider.apiURL}/user/emails`, { headers })).json()
            return { ...person, email: page.values.find((email) => email.is_primary && email.is_confirmed)?.email }
          },
        },
        profile: (person) => ({ id: person.uuid, name: person.display_name, email: person.email }),
      }),
    ],
  }
  return createBaseApp(surroundings, {
    ahead(app) {
      // It finds its base path in the first unnamed parameter, which on Express 5 only a regular expression has.
      app.use(/\/auth\/(.*)/, ExpressAuth(config))
      app.get('/me', async (req, res) => {
        const session = await getSession(req, config)
        if (session) res.json(session.user)
        else res.sendStatus(401)
      })
    },
  })
}
