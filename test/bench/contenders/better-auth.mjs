import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { getMigrations } from 'better-auth/db/migration'
import { fromNodeHeaders, toNodeHandler } from 'better-auth/node'
import { genericOAuth } from 'better-auth/plugins/generic-oauth'
import { CLIENT, createBaseApp, SCOPE, SECRET } from './base-app.mjs'

/**
 * It has its own users and sessions, so it is mounted before express-session and does not pay for it. Sessions
 * and states are in its secondary storage (its memory adapter searches row by row and would slow down with each of
 * them), or in PostgreSQL if the others' sessions are.
 *
 * @param {import('./base-app.mjs').Surroundings} surroundings
 */
export async function createApp(surroundings) {
  const { provider, origin, store } = surroundings
  const options = {
    baseURL: origin,
    secret: SECRET,
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    ...storage(store),
    plugins: [
      genericOAuth({
        config: [
          {
            providerId: 'bitbucket',
            clientId: CLIENT.clientID,
            clientSecret: CLIENT.clientSecret,
            authorizationUrl: provider.authorizationURL,
            tokenUrl: provider.tokenURL,
            scopes: SCOPE,
            pkce: true,
            getUserInfo: (tokens) => fetchUser(provider, tokens.accessToken),
          },
        ],
      }),
    ],
  }
  if (store.pool) await (await getMigrations(options)).runMigrations()
  const auth = betterAuth(options)
  return createBaseApp(surroundings, {
    ahead(app) {
      app.all('/api/auth/{*any}', toNodeHandler(auth))
      app.get('/me', async (req, res) => {
        const session = await auth.api.getSession({ headers: fromNodeHeaders(req.headers) })
        if (session) res.json(session.user)
        else res.sendStatus(401)
      })
    },
  })
}

/** One after the other, as its GitHub provider does. */
async function fetchUser(provider, accessToken) {
  const headers = { authorization: `Bearer ${accessToken}` }
  const person = await (await fetch(`${provider.apiURL}/user`, { headers })).json()
  const page = await (await fetch(`${provider.apiURL}/user/emails`, { headers })).json()
  const primary = page.values.find((email) => email.is_primary)
  return { id: person.uuid, name: person.display_name, email: primary.email, emailVerified: primary.is_confirmed }
}

function storage({ pool, values }) {
  if (pool) return { database: pool }
  return {
    database: memoryAdapter({ user: [], account: [], session: [], verification: [] }),
    secondaryStorage: {
      get: async (key) => values.get(key) ?? null,
      getAndDelete: async (key) => {
        const value = values.get(key) ?? null
        values.delete(key)
        return value
      },
      set: async (key, value) => void values.set(key, value),
      delete: async (key) => void values.delete(key),
    },
  }
}
