import { randomBytes } from 'node:crypto'
import type { TestSessions } from './hooks-setup'

/** The part of an express-session store that is needed. */
export interface SessionStoreLike {
  get(sessionID: string, done: (error: unknown, session?: unknown) => void): void
  set(sessionID: string, session: never, done?: (error?: unknown) => void): void
  destroy(sessionID: string, done?: (error?: unknown) => void): void
}

/** What {@link sessionsInStore} needs to know of the app. */
export interface StoredSessions<User> {
  /** As `passport.serializeUser`. Default: `user.id`. */
  readonly serializeUser?: (user: User) => unknown
  /** A session id as your app makes them. Default: 32 random characters. */
  readonly generateID?: () => string
}

/** Sessions in a store of express-session, as Passport writes them. */
export function sessionsInStore<User>(
  store: SessionStoreLike,
  { serializeUser = (user) => (user as { id?: unknown }).id, generateID = randomID }: StoredSessions<User> = {},
): TestSessions<User> {
  return {
    async open(user) {
      const sessionID = generateID()
      const expires = new Date(Date.now() + 3_600_000)
      const cookie = { originalMaxAge: 3_600_000, expires, httpOnly: true, path: '/' }
      const session = { cookie, passport: { user: serializeUser(user) } }
      await settled((done) => store.set(sessionID, session as never, done))
      return sessionID
    },
    isOpen: async (sessionID) => Boolean(await settled<unknown>((done) => store.get(sessionID, done))),
    close: (sessionID) => settled((done) => store.destroy(sessionID, done)),
  }
}

function randomID(): string {
  return randomBytes(24).toString('base64url')
}

function settled<T>(start: (done: (error?: unknown, result?: T) => void) => void): Promise<T | undefined> {
  return new Promise((resolve, reject) => start((error, result) => (error ? reject(error) : resolve(result))))
}
