import { createHmac } from 'node:crypto'
import type { Request } from 'express'
import type { KnownUser } from '../accounts/guard'
import { BitbucketSignInError } from '../errors'
import { now } from '../flow/clock'
import { configurationError } from '../options'

/** The part of an express-session session that is used. */
interface AppSession {
  id: string
  cookie: { secure?: unknown; sameSite?: unknown }
  regenerate(done: (error?: unknown) => void): unknown
  save(done: (error?: unknown) => void): unknown
  reload?(done: (error?: unknown) => void): unknown
  [key: string]: unknown
}

/** What Passport puts on a request. */
interface AppRequest {
  session?: AppSession | null
  sessionStore?: { generate?(req: Request): void }
  logIn?(user: unknown, done: (error?: unknown) => void): void
  _sessionManager?: { _key?: string }
  _userProperty?: string
  [key: string]: unknown
}

const asApp = (req: Request) => req as unknown as AppRequest
const STAMP = 'bitbucketSignIn'

/** Who is signed in, `nobody`, or a hash that ends with the session or its user. */
export const NOBODY = 'nobody'

/**
 * The session, when it is one that can be signed in to: it must rotate and save, Passport must keep its user there,
 * and its cookie must reach the browser. Checked before anything is sent or used up.
 */
export function requireSession(req: Request): AppSession {
  const { session, logIn, _sessionManager: manager } = asApp(req)
  if (!session) {
    throw sessionMissing(
      'There is no req.session. Put app.use(session({ … })) of express-session in front of the router.',
    )
  }
  if (typeof session.regenerate !== 'function' || typeof session.save !== 'function') {
    throw sessionMissing(
      'req.session cannot regenerate and save, so a sign-in could not rotate it. Use express-session; cookie-session is not supported.',
    )
  }
  if (typeof logIn !== 'function' || !manager) {
    throw sessionMissing(
      'Passport keeps no session here. Put app.use(passport.session()) after express-session and in front of the router.',
    )
  }
  const user = (session[manager._key ?? 'passport'] as { user?: unknown } | undefined)?.user
  if (user !== undefined && userOf(req) === undefined) {
    throw sessionMissing(
      'The session has a user but req.user is not set. Put app.use(passport.session()) in front of the router; passport.initialize() alone does not read the session.',
    )
  }
  if (session.cookie?.secure === true && !req.secure) {
    throw configurationError(
      'The session cookie is `secure`, and Express takes this request for plain http, so the cookie would not be sent. Behind a proxy that ends TLS set app.set("trust proxy", 1).',
    )
  }
  return session
}

function sessionMissing(message: string): BitbucketSignInError {
  return new BitbucketSignInError('session_missing', message)
}

/** Whether the session cookie stays away from requests that come from another site, as Bitbucket's redirect does. */
export function isStrictSession(req: Request): boolean {
  const sameSite = asApp(req).session?.cookie?.sameSite
  return sameSite === true || (typeof sameSite === 'string' && sameSite.toLowerCase() === 'strict')
}

function userOf(req: Request): unknown {
  return asApp(req)[asApp(req)._userProperty ?? 'user']
}

/** Who is signed in, `null` for nobody and for guests. */
export function currentUser<User>(req: Request, idOf: (user: User) => string | null): KnownUser<User> | null {
  const user = userOf(req) as User | null | undefined
  if (user === null || user === undefined) return null
  const id = idOf(user)
  if (id === null) return null
  if (typeof id !== 'string' || id === '') {
    throw new BitbucketSignInError(
      'hook_failed',
      '`userId` must give a non-empty string for req.user, or null for a guest.',
    )
  }
  return { user, id }
}

/** Ties a record to this session and user; the session id itself is written nowhere. */
export function loginOf<User>(req: Request, current: KnownUser<User> | null): string {
  const session = asApp(req).session
  if (!current || !session) return NOBODY
  return createHmac('sha256', session.id).update(current.id).digest('base64url').slice(0, 22)
}

/** When the signed-in user last signed in through us, by the stamp in the session. */
export function stampOf<User>(req: Request, current: KnownUser<User>): Date | null {
  const stamp = asApp(req).session?.[STAMP] as { at?: unknown; user?: unknown } | undefined
  return typeof stamp?.at === 'number' && stamp.user === current.id ? new Date(stamp.at) : null
}

/** What the new session takes over from the old one. */
export type Carry = { readonly keys: readonly string[] } | 'everything'

/**
 * Signs in: a new session, saved, before anything is answered. Only what `carry` names crosses over. `at` stamps the
 * sign-in; `null` keeps the old stamp, for steps that proved nothing new.
 */
export async function signIn<User>(
  req: Request,
  { user, id }: KnownUser<User>,
  carry: Carry,
  at: number | null,
): Promise<void> {
  const old = requireSession(req)
  const oldId = old.id
  const kept = keptOf(old, carry, passportKey(req))
  if (at !== null) kept[STAMP] = { at, user: id }
  try {
    await logIn(req, user, kept)
    // A patched Passport may have left the session as it was.
    if (asApp(req).session?.id === oldId) {
      await settled((done) => asApp(req).session?.regenerate(done))
      Object.assign(asApp(req).session as AppSession, kept)
      await logIn(req, user, kept)
      await settled((done) => asApp(req).session?.save(done))
    }
  } catch (cause) {
    abandonSession(req)
    throw new BitbucketSignInError('store_unavailable', 'The session could not be rotated and saved; see `cause`.', {
      cause,
    })
  }
}

/**
 * `req.logIn` regenerates and saves in one go. What belongs into the new session is put there between the two, so
 * that it is there from the first write, and the store is spared what changes nothing in it: deleting a session that it
 * never held, and writing the new one a second time at the end of the answer, as express-session would.
 */
async function logIn(req: Request, user: unknown, kept: Record<string, unknown>): Promise<void> {
  const session = asApp(req).session as AppSession
  const { regenerate } = session
  const { sessionStore } = asApp(req)
  const begin = (done: (error?: unknown) => void) => {
    if (!isUnstored(req, session) || typeof sessionStore?.generate !== 'function') return regenerate.call(session, done)
    sessionStore.generate(req)
    done()
  }
  define(session, 'regenerate', (done: (error?: unknown) => void) => {
    begin((error?: unknown) => {
      if (!error) saveOnlyChanges(Object.assign(asApp(req).session as AppSession, kept))
      done(error)
    })
    return session
  })
  try {
    await settled((done) => asApp(req).logIn?.(user, done))
  } finally {
    // Only what hangs off the prototype is left.
    Reflect.deleteProperty(session, 'regenerate')
  }
}

/** Whether the store cannot hold this session: it was made for this very request, and nothing was put into it. */
function isUnstored(req: Request, session: AppSession): boolean {
  if (Object.keys(session).some((key) => key !== 'cookie')) return false
  const sent = req.headers.cookie ?? ''
  if (sent.includes(session.id)) return false
  try {
    return !decodeURIComponent(sent).includes(session.id)
  } catch {
    return false
  }
}

/** Makes a `save` of a session that was saved as it is do nothing: its lifetime was written a moment ago. */
function saveOnlyChanges(session: AppSession): void {
  const contentOf = (each: AppSession) => JSON.stringify({ ...each, cookie: undefined })
  const { save } = session
  let saved: string | undefined
  define(session, 'save', function (this: AppSession, done: (error?: unknown) => void = () => {}) {
    const content = contentOf(this)
    if (content === saved) {
      done()
      return this
    }
    return save.call(this, (error?: unknown) => {
      if (!error) saved = content
      done(error)
    })
  })
}

function define(session: AppSession, name: 'regenerate' | 'save', value: unknown): void {
  Object.defineProperty(session, name, { configurable: true, enumerable: false, writable: true, value })
}

function keptOf(session: AppSession, carry: Carry, passport: string): Record<string, unknown> {
  const keys = carry === 'everything' ? Object.keys(session) : carry.keys
  const kept: Record<string, unknown> = {}
  for (const key of keys) {
    if (key === 'cookie' || key === passport || key === '__proto__' || !Object.hasOwn(session, key)) continue
    kept[key] = session[key]
  }
  return kept
}

function passportKey(req: Request): string {
  return asApp(req)._sessionManager?._key ?? 'passport'
}

/** Ends the session of the signed-in user and begins an empty one. */
export async function signOut(req: Request): Promise<void> {
  const session = requireSession(req)
  try {
    await settled((done) => session.regenerate(done))
    await settled((done) => asApp(req).session?.save(done))
  } catch (cause) {
    abandonSession(req)
    throw new BitbucketSignInError('store_unavailable', 'The session could not be ended; see `cause`.', { cause })
  }
  asApp(req)[asApp(req)._userProperty ?? 'user'] = null
}

/**
 * Reads the session again in front of a change: it may have ended, or changed hands, since this request began.
 * express-session would otherwise write the ended one back when the answer is sent.
 */
export async function assertSessionUnchanged(req: Request): Promise<void> {
  const session = requireSession(req)
  if (typeof session.reload !== 'function') return
  const key = passportKey(req)
  const userIn = (each: AppSession | null | undefined) =>
    JSON.stringify((each?.[key] as { user?: unknown } | undefined)?.user)
  const before = userIn(session)
  try {
    await settled((done) => session.reload?.(done))
  } catch {
    abandonSession(req)
    throw sessionChanged()
  }
  if (userIn(asApp(req).session) === before) return
  abandonSession(req)
  throw sessionChanged()
}

/** The sign-in was tied to a session or user that is no longer there. */
export function sessionChanged(): BitbucketSignInError {
  return new BitbucketSignInError('session_changed', 'Somebody signed in or out since this step began.')
}

/** Nothing of this request's session is written or signed in any more. */
function abandonSession(req: Request): void {
  asApp(req)[asApp(req)._userProperty ?? 'user'] = null
  asApp(req).session = null
}

/** The time of a sign-in as it is stamped. */
export function stampNow(): number {
  return now()
}

function settled(work: (done: (error?: unknown) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    work((error) => (error ? reject(error) : resolve()))
  })
}
