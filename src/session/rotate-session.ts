import type { Request } from 'express'
import type { KnownUser } from '../accounts/account-access'
import { BitbucketSignInError } from '../contract/errors'
import { configurationError } from '../contract/options'
import { define, rotate, rotatesPlainly, saveOnlyChanges, writtenOf } from './rotation'
import {
  type AppSession,
  asApp,
  type Done,
  lifetimeOf,
  lifetimes,
  NO_SERIALIZER,
  passportKey,
  requireSession,
  settled,
  storeOf,
} from './session-layer'
import { signInStamp } from './stamps'
import {
  abandonSession,
  assertSessionUnchanged,
  clearUser,
  endReplaced,
  isSessionChanged,
  isSignedIn,
  storeFailed,
} from './stored-session'

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
  const store = storeOf(req)
  const endsLater = replaced !== null && rotatesPlainly(session, store)
  // A store that rotates in its own way ends the old session first.
  if (replaced && !endsLater) await assertSessionUnchanged(req)
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
