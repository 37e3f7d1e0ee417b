import express from 'express'
import session from 'express-session'
import passport from 'passport'

/**
 * The arguments of every contender's factory.
 *
 * @typedef {object} Surroundings
 * @property {{ authorizationURL: string, tokenURL: string, apiURL: string }} provider
 * @property {string} origin of the app, `http://127.0.0.1:<port>`
 * @property {import('../lib/store.mjs').BenchStore} store
 *
 * @typedef {(app: express.Express, passport: passport.PassportStatic, users: ReturnType<typeof createUsers>) => void} Mount
 */

export const CLIENT = { clientID: 'bench-client', clientSecret: 'bench-client-secret' }
export const SECRET = 'a secret of at least thirty-two characters for the bench'
export const SCOPE = ['account', 'email']

/**
 * The small app that all contenders share: express-session, Passport's session, a page, a page that needs no session,
 * and one that returns the signed-in user.
 *
 * @param {Surroundings} surroundings
 * @param {{ ahead?: Mount, behind?: Mount }} mounts
 *   before the session, and after it
 */
export function createBaseApp({ store }, { ahead, behind }) {
  const users = createUsers()
  const authenticator = new passport.Passport()
  authenticator.serializeUser((user, done) => done(null, user.id))
  authenticator.deserializeUser((id, done) => done(null, users.byId.get(id) ?? false))

  const app = express()
  ahead?.(app, authenticator, users)
  app.use(session({ secret: SECRET, resave: false, saveUninitialized: false, store: store.sessions }))
  app.use(authenticator.session())
  behind?.(app, authenticator, users)
  app.get('/', (_req, res) => res.send('home'))
  app.get('/unrelated', (_req, res) => res.json({ ok: true }))
  app.get('/me', (req, res) => (req.user ? res.json(req.user) : res.sendStatus(401)))
  app.use((error, _req, res, _next) => res.status(500).send(String(error?.stack ?? error)))
  return app
}

/** The app's own users, in memory: the contenders differ in how they get there. */
function createUsers() {
  const byId = new Map()
  const byUuid = new Map()
  const create = (uuid, email, name) => {
    const user = { id: String(byId.size + 1), email, name }
    byId.set(user.id, user)
    byUuid.set(uuid, user)
    return user
  }
  return {
    byId,
    byUuid,
    create,
    /** The user of a known identity, or a new one with the primary confirmed address. */
    findOrCreate(person, emails) {
      const known = byUuid.get(person.uuid)
      if (known) return known
      const primary = emails.find((email) => email.is_primary && email.is_confirmed)
      return create(person.uuid, primary?.email ?? null, person.display_name)
    },
  }
}
