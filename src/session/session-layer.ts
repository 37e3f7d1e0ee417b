import type { TLSSocket } from 'node:tls'
import type { Request } from 'express'
import { BitbucketSignInError } from '../contract/errors'
import { configurationError } from '../contract/options'
import { withDeadline } from '../time/deadline'
import { httpsAdvice } from './proxy-advice'

/** The part of an express-session session that is used. */
export interface AppSession {
  id: string
  cookie: { secure?: unknown; sameSite?: unknown; maxAge?: unknown; originalMaxAge?: unknown }
  regenerate(done: Done): unknown
  save(done: Done): unknown
  destroy(done: Done): unknown
  [key: string]: unknown
}

/** A callback of Node's kind. */
export type Done = (error?: unknown) => void

/** The part of an express-session store that is used; `requireSession` accepts others that lack `generate` or `destroy`. */
export interface SessionStore {
  generate?(req: Request): void
  get(id: string, done: (error?: unknown, session?: AppSession | null) => void): unknown
  destroy?(id: string, done: Done): unknown
}

/** What Passport puts on a request. */
export interface AppRequest {
  session?: AppSession | null
  sessionID?: string | undefined
  sessionStore?: SessionStore
  logIn?(user: unknown, options: unknown, done?: Done): void
  _sessionManager?: { _key?: string }
  _userProperty?: string
  [key: string]: unknown
}

/** A request with what session and Passport middleware put on it. */
export const asApp = (req: Request) => req as unknown as AppRequest

/**
 * The session, when it is one that can be signed in to: it must rotate and save, Passport must keep its user there,
 * and its cookie must reach the browser. Checked before anything is sent or consumed.
 */
export function requireSession(req: Request): AppSession {
  const { session, sessionStore, logIn, _sessionManager: manager } = asApp(req)
  if (!session) {
    throw sessionMissing(
      'There is no req.session. Put app.use(session({ … })) of express-session before the router. If it is there, its store is disconnected, or its cookie.path leaves this route out.',
    )
  }
  // A session kept in its cookie stays valid after every rotation, whatever methods it has.
  const isStored = typeof sessionStore?.get === 'function' && typeof session.id === 'string' && session.id !== ''
  if (!isStored || METHODS.some((name) => typeof session[name] !== 'function')) {
    throw sessionMissing(
      'req.session cannot be rotated: it is not in a store under its own id, or lacks regenerate or save. Use express-session with a store; cookie-session is not supported, even with these methods added.',
    )
  }
  if (typeof logIn !== 'function' || !manager) {
    throw sessionMissing(
      'Passport keeps no session here. Put app.use(passport.session()) after express-session and before the router.',
    )
  }
  if (keptUser(req, session) !== undefined && userOf(req) === undefined) {
    throw sessionMissing(
      'The session has a user but req.user is not set. Put app.use(passport.session()) before the router; passport.initialize() alone does not read the session.',
    )
  }
  if (session.cookie?.secure === true && staysBehind(req)) {
    throw configurationError(
      `The session cookie is \`secure\`, and Express takes this request for plain http, so the cookie would not be sent. ${httpsAdvice(req)} For plain http on your own machine use cookie: { secure: 'auto' }.`,
    )
  }
  if (!lifetimes.has(req)) lifetimes.set(req, lifetimeOf(session))
  return session
}

const METHODS = ['regenerate', 'save'] as const

/**
 * Whether express-session would not send a secure cookie. It checks the socket, and then depends on its option `proxy`:
 * absent, `req.secure`; `true`, X-Forwarded-Proto. The option cannot be read from outside, but creating a session as a probe
 * shows what it reads; versions before 1.19 read it for `secure: 'auto'` only.
 */
function staysBehind(req: Request): boolean {
  if (req.secure || (req.socket as TLSSocket).encrypted) return false
  const { sessionStore } = asApp(req)
  const forwarded = req.headers['x-forwarded-proto']
  let looksAtProxy = false
  const seen = () => {
    looksAtProxy = true
    return forwarded
  }
  const nobody = Object.create(req, {
    secure: { value: false },
    headers: { value: Object.create(req.headers, { 'x-forwarded-proto': { get: seen } }) },
    session: { writable: true },
    sessionID: { writable: true },
  })
  sessionStore?.generate?.(nobody)
  // With `auto`, the next cookie depends on this request, not on the last cookie.
  if (asApp(nobody).session?.cookie.secure === false) return false
  return !(looksAtProxy && String(forwarded).split(',', 1)[0]?.trim().toLowerCase() === 'https')
}

/** No user can be put into a session or read from it. */
export const NO_SERIALIZER =
  'Passport has no serializer for the user. Call passport.serializeUser and passport.deserializeUser on the instance whose session() is mounted, and pass that same instance to bitbucketSignIn.'

/** Reports a mistake in the setup, and the fix. */
export function sessionMissing(message: string): BitbucketSignInError {
  return new BitbucketSignInError('session_missing', message)
}

/** Whether browsers omit the session cookie from requests of another site, such as Bitbucket's redirect. */
export function isStrictSession(req: Request): boolean {
  const sameSite = asApp(req).session?.cookie?.sameSite
  return sameSite === true || (typeof sameSite === 'string' && sameSite.toLowerCase() === 'strict')
}

/**
 * Keeps the session that express-session made for this request out of store and browser: with `saveUninitialized` its
 * cookie would replace the one that stayed behind, and sign the user out. Pages can still read it.
 */
export function withholdSession(req: Request): void {
  asApp(req).sessionID = undefined
}

/** The user of this request as Passport deserialized it, `undefined` if no user is signed in. */
export function userOf(req: Request): unknown {
  return asApp(req)[asApp(req)._userProperty ?? 'user']
}

/** The key of the session under which Passport keeps its user. */
export function passportKey(req: Request): string {
  return asApp(req)._sessionManager?._key ?? 'passport'
}

/** The serialized user in a session, `undefined` if it has none. */
export function keptUser(req: Request, session: AppSession | null | undefined): unknown {
  return (session?.[passportKey(req)] as { user?: unknown } | undefined)?.user
}

/** Whether the browser sent this session id, cookie by cookie: one that does not decode must not hide the others. */
export function isSent(req: Request, id: string): boolean {
  return (req.headers.cookie ?? '').split(';').some((pair) => pair.includes(id) || decoded(pair).includes(id))
}

function decoded(pair: string): string {
  try {
    return decodeURIComponent(pair)
  } catch {
    return ''
  }
}

/** The lifetime of a session after a request, to the second: a touch may cost a millisecond. */
export function lifetimeOf({ cookie }: AppSession): unknown {
  const lifetime = cookie?.originalMaxAge
  return typeof lifetime === 'number' ? Math.round(lifetime / 1000) * 1000 : lifetime
}

/** The session lifetime of each request when it reached us. */
export const lifetimes: WeakMap<Request, unknown> = new WeakMap<Request, unknown>()

/** As long as a hook has: both often wait for the same database. */
const STORE_DEADLINE_MS = 15_000

/** Awaits a store's function with a callback of Node's kind. */
export function settled<T = void>(work: (done: (error?: unknown, value?: T) => void) => unknown): Promise<T> {
  const answer = new Promise<T>((resolve, reject) => {
    work((error, value) => (error ? reject(error) : resolve(value as T)))
  })
  return withDeadline(answer, STORE_DEADLINE_MS, 'The session store')
}

/** The store of the session; `requireSession` has made sure that there is one. */
export function storeOf(req: Request): SessionStore {
  return asApp(req).sessionStore as SessionStore
}
