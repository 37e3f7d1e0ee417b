import type { Request } from 'express'
import type { KnownUser } from '../accounts/account-access'
import { BitbucketSignInError } from '../contract/errors'
import { configurationError } from '../contract/options'
import { withDeadline } from '../time/deadline'
import {
  type AppSession,
  asApp,
  type Done,
  lifetimeOf,
  lifetimes,
  NO_SERIALIZER,
  passportKey,
  requireSession,
  type SessionStore,
  sessionMissing,
} from './session-layer'
import { sessionChanged } from './signed-in-user'
import { signInStamp } from './stamps'

/** What crosses over from the old session. */
export type Carry = { readonly keys: readonly string[] } | 'everything'

/**
 * Signs in: opens and saves a new session before responding. Only what `carry` names crosses over. `at` stamps the
 * sign-in; `null` keeps the old stamp, for steps that proved nothing new. `entries` are set in the new session.
 * `assertEntitled` runs after the save and throws if the right to a session is gone; the session is then destroyed.
 */
export async function signIn<User>(
  req: Request,
  { user, id }: KnownUser<User>,
  carry: Carry,
  at: number | null,
  assertEntitled: () => Promise<void>,
  entries: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const session = requireSession(req)
  const kept = keptOf(req, session, carry)
  requireBrowser(req)
  if (at !== null) Object.assign(kept.content, signInStamp(id, at))
  Object.assign(kept.content, entries)
  const replaced = isSignedIn(req, session) ? session : null
  const endsLater = replaced !== null && rotatesPlainly(session, storeOf(req))
  // A store that rotates in its own way ends the old session first.
  if (replaced && !endsLater) await assertSessionUnchanged(req)
  const store = storeOf(req)
  try {
    await openSession(req, user, kept, endsLater)
    await confirmOrEnd(req, async () => {
      if (replaced && endsLater) await endReplaced(req, replaced)
      await assertEntitled()
    })
  } catch (error) {
    // Another user was to sign in here: the old one must not stay because the store failed.
    if (endsLater && carry !== 'everything' && !isSessionChanged(error)) {
      await settled((done) => store.destroy?.(session.id, done)).catch(() => {})
    }
    throw error
  }
}

/** The stored session may belong to another user by now. */
function isSessionChanged(error: unknown): boolean {
  return error instanceof BitbucketSignInError && error.code === 'session_changed'
}

async function openSession(req: Request, user: unknown, kept: Kept, keepsOld: boolean): Promise<void> {
  try {
    const fresh = fill(await rotate(req, keepsOld), kept)
    saveOnlyChanges(fresh)
    await logIn(req, user, fresh)
    // A patched Passport may have made yet another session, or may not have saved this one.
    const session = asApp(req).session === fresh ? fresh : fill(asApp(req).session, kept)
    await settled((done) => session.save(done))
  } catch (cause) {
    abandonSession(req)
    if (isUnserialized(cause)) throw configurationError(NO_SERIALIZER, cause)
    throw storeFailed('The session could not be rotated and saved; see `cause`.', cause)
  }
}

/**
 * The same for a session that Passport opens: `assertEntitled` runs after the next `req.logIn` of this request has saved
 * it. A login with `session: false` is checked too; the session is the visitor's own then, and stays as it is.
 */
export function confirmLogIn(req: Request, assertEntitled: () => Promise<void>): void {
  const app = asApp(req)
  const { logIn } = app
  const confirmed = function (this: unknown, user: unknown, given: unknown, done?: Done) {
    const [options, answer] = typeof given === 'function' ? [null, given as Done] : [given, done]
    const { session: opens = true } = (options ?? {}) as { session?: unknown }
    const before = app.session?.id
    const after: Done = (error) => {
      if (error) return answer?.(error)
      const { session } = app
      // Passport rotated and saved it; another save after the check would restore a session that was ended meanwhile.
      if (session && session.id !== before) saveOnlyChanges(session, writtenOf(session))
      confirmOrEnd(req, assertEntitled, Boolean(opens)).then(
        () => answer?.(),
        (refused) => answer?.(refused),
      )
    }
    return options ? logIn?.call(app, user, options, after) : logIn?.call(app, user, after)
  }
  app.logIn = confirmed
  app.login = confirmed
}

/** Ends the login, and destroys the session that was just saved for it, unless `assertEntitled` resolves. */
async function confirmOrEnd(req: Request, assertEntitled: () => Promise<void>, hasSession = true): Promise<void> {
  try {
    await assertEntitled()
  } catch (error) {
    const { session } = asApp(req)
    if (hasSession) abandonSession(req)
    else clearUser(req)
    if (hasSession && session) await discard(req, session)
    throw error
  }
}

/**
 * Destroys a session whose id never reached the browser. A store that cannot delete it may still take its user out; one
 * that fails at both keeps it unused.
 */
async function discard(req: Request, session: AppSession): Promise<void> {
  try {
    await settled((done) => session.destroy(done))
  } catch {
    delete session[passportKey(req)]
    await settled((done) => session.save(done)).catch(() => {})
  }
}

/** Passport's message if no serializer accepted the user; a serializer that throws has another one. */
function isUnserialized(cause: unknown): boolean {
  return cause instanceof Error && cause.message === 'Failed to serialize user into session'
}

/**
 * `req.logIn` rotates and saves in one step. It receives a session that was just rotated and already has its final content;
 * rotating it again would lose that, and a Passport that does not rotate is supported too.
 */
async function logIn(req: Request, user: unknown, fresh: AppSession): Promise<void> {
  const restore = () => Reflect.deleteProperty(fresh, 'regenerate')
  define(fresh, 'regenerate', (done: Done) => {
    restore()
    done()
    return fresh
  })
  try {
    await settled((done) => asApp(req).logIn?.(user, done))
  } finally {
    restore()
  }
}

/**
 * Begins another session with another id; a session layer that cannot do that is refused. The old one ends first, unless
 * the caller ends it later.
 */
async function rotate(req: Request, keepsOld = false): Promise<AppSession> {
  const session = requireSession(req)
  const store = storeOf(req)
  const { id } = session
  // Avoids deleting a session that the store never held.
  if (keepsOld || (isUnstored(req, session) && rotatesPlainly(session, store))) store.generate?.(req)
  else await settled((done) => session.regenerate(done))
  const fresh = asApp(req).session
  if (fresh && fresh.id !== id) return fresh
  throw sessionMissing(
    'req.session.regenerate() left the session id as it was. Let `genid` of express-session return a new id each time, and remove the code that replaces regenerate().',
  )
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

/** Whether rotating is what express-session does: destroy, then `generate`. A store with its own `regenerate` does more. */
function rotatesPlainly(session: object, store: object & { generate?: unknown }): boolean {
  if (Object.hasOwn(session, 'regenerate') || typeof store.generate !== 'function') return false
  let owner: object | null = store
  while (owner && !Object.hasOwn(owner, 'regenerate')) owner = Object.getPrototypeOf(owner) as object | null
  // express-session's Store has these two side by side.
  return owner !== null && Object.hasOwn(owner, 'createSession')
}

/** Skips a `save` of an unchanged session: express-session would write it again at the end of the request. */
function saveOnlyChanges(session: AppSession, alreadySaved?: string): void {
  const { save } = session
  let saved = alreadySaved
  define(session, 'save', function (this: AppSession, done: Done = () => {}) {
    const content = writtenOf(this)
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

/** What a write changes in the store. The expiry time moves with each touch; the lifetime does not. */
function writtenOf(session: AppSession): string {
  const { _expires, originalMaxAge, ...cookie } = { ...session.cookie } as Record<string, unknown>
  return JSON.stringify({ ...session, cookie: { ...cookie, lifetime: lifetimeOf(session) } })
}

function define(session: AppSession, name: 'regenerate' | 'save', value: unknown): void {
  Object.defineProperty(session, name, { configurable: true, enumerable: false, writable: true, value })
}

/** The entries kept in the new session. */
interface Kept {
  readonly content: Record<string, unknown>
  /** In milliseconds, `null` = until the browser closes; `undefined` = as for new sessions. */
  readonly lifetime: number | null | undefined
}

function keptOf(req: Request, session: AppSession, carry: Carry): Kept {
  const keys = carry === 'everything' ? Object.keys(session) : carry.keys
  const content: Record<string, unknown> = {}
  for (const key of keys) {
    if (key === 'cookie' || key === passportKey(req) || key === '__proto__' || !Object.hasOwn(session, key)) continue
    content[key] = session[key]
  }
  // Values set by a hook of this request are meant for the sign-in; an anonymous visitor's are dropped.
  const carried = carry === 'everything' || lifetimeOf(session) !== lifetimes.get(req)
  const lifetime = session.cookie?.originalMaxAge
  return { content, lifetime: carried && (typeof lifetime === 'number' || lifetime === null) ? lifetime : undefined }
}

function fill(session: AppSession | null | undefined, { content, lifetime }: Kept): AppSession {
  if (!session) throw new TypeError('There is no session after the sign-in.')
  Object.assign(session, content)
  if (lifetime !== undefined && session.cookie) session.cookie.maxAge = lifetime
  return session
}

/**
 * A user who stopped loading or clicked twice never receives this response. The new session would belong to no browser, and the
 * one that the browser still has would be gone.
 */
function requireBrowser({ res }: Request): void {
  if (res?.destroyed) {
    throw new BitbucketSignInError('session_changed', 'The browser went away before it could get its new session.')
  }
}

/** Ends the session of the signed-in user and begins an empty one. */
export async function signOut(req: Request): Promise<void> {
  requireSession(req)
  requireBrowser(req)
  try {
    const session = await rotate(req)
    await settled((done) => session.save(done))
  } catch (cause) {
    abandonSession(req)
    throw storeFailed('The session could not be ended; see `cause`.', cause)
  }
  clearUser(req)
}

/**
 * Refuses a change if the session has ended, or changed hands, since this request began. express-session would
 * otherwise write the ended one back when the answer is sent.
 */
export async function assertSessionUnchanged(req: Request): Promise<void> {
  try {
    await assertStored(req, requireSession(req))
  } catch (cause) {
    abandonSession(req)
    throw storeFailed('The session could not be read again; see `cause`.', cause)
  }
}

/**
 * The one reading of the stored session. It leaves `req.session` as it is, with what the app and its hooks wrote into it
 * during this request: `reload` would drop that, and restore a one-time token that was consumed.
 */
async function assertStored(req: Request, session: AppSession): Promise<void> {
  const stored = await settled<AppSession | null>((done) => storeOf(req).get(session.id, done))
  if (!stored || userOfSession(req, stored) !== userOfSession(req, session)) throw sessionChanged()
}

/** Whether this work ended the session of the request, which the store had before. */
export async function endsSession(req: Request, work: () => Promise<void>): Promise<boolean> {
  const session = requireSession(req)
  // A store that cannot be read has not lost it.
  const isGone = () => assertStored(req, session).then(() => false, isSessionChanged)
  const before = await isGone()
  await work()
  return !before && (await isGone())
}

function isSignedIn(req: Request, session: AppSession): boolean {
  return userOfSession(req, session) !== undefined
}

function userOfSession(req: Request, session: AppSession | null | undefined): string | undefined {
  return JSON.stringify((session?.[passportKey(req)] as { user?: unknown } | undefined)?.user)
}

/**
 * Ends the session that the new one replaces, after that one was saved. A request that ended all sessions of the user
 * until now has ended this one, which is noticed; one that does so from now on finds the new one.
 */
async function endReplaced(req: Request, replaced: AppSession): Promise<void> {
  const store = storeOf(req)
  try {
    await assertStored(req, replaced)
    await settled((done) => store.destroy?.(replaced.id, done))
  } catch (cause) {
    throw storeFailed('The session could not be rotated and saved; see `cause`.', cause)
  }
}

function storeFailed(message: string, cause: unknown): BitbucketSignInError {
  return cause instanceof BitbucketSignInError
    ? cause
    : new BitbucketSignInError('store_unavailable', message, { cause })
}

/**
 * From here on, this request neither writes its session nor signs in. The stored session stays: it may
 * belong to another user by now. With `unset: 'destroy'`, express-session would destroy it because `req.session` is missing.
 */
function abandonSession(req: Request): void {
  clearUser(req)
  asApp(req).session = null
  asApp(req).sessionID = undefined
}

function clearUser(req: Request): void {
  asApp(req)[asApp(req)._userProperty ?? 'user'] = null
}

/** As long as a hook has: both often wait for the same database. */
const STORE_DEADLINE_MS = 15_000

function settled<T = void>(work: (done: (error?: unknown, value?: T) => void) => unknown): Promise<T> {
  const answer = new Promise<T>((resolve, reject) => {
    work((error, value) => (error ? reject(error) : resolve(value as T)))
  })
  return withDeadline(answer, STORE_DEADLINE_MS, 'The session store')
}

/** The store of the session; `requireSession` has made sure that there is one. */
function storeOf(req: Request): SessionStore {
  return asApp(req).sessionStore as SessionStore
}
