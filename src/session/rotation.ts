import type { Request } from 'express'
import {
  type AppSession,
  asApp,
  type Done,
  isSent,
  lifetimeOf,
  requireSession,
  sessionMissing,
  settled,
  storeOf,
} from './session-layer'

/**
 * Begins another session with another id; a session layer that cannot do that is refused. The old one ends first, unless
 * the caller ends it later.
 */
export async function rotate(req: Request, keepsOld = false): Promise<AppSession> {
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
  return Object.keys(session).every((key) => key === 'cookie') && !isSent(req, session.id)
}

/** Whether rotating is what express-session does: destroy, then `generate`. A store with its own `regenerate` does more. */
export function rotatesPlainly(session: object, store: object & { generate?: unknown }): boolean {
  if (Object.hasOwn(session, 'regenerate') || typeof store.generate !== 'function') return false
  let owner: object | null = store
  while (owner && !Object.hasOwn(owner, 'regenerate')) owner = Object.getPrototypeOf(owner) as object | null
  // express-session's Store has these two side by side.
  return owner !== null && Object.hasOwn(owner, 'createSession')
}

/** Skips a `save` of an unchanged session: express-session would write it again at the end of the request. */
export function saveOnlyChanges(session: AppSession, alreadySaved?: string): void {
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
export function writtenOf(session: AppSession): string {
  const { _expires, originalMaxAge, ...cookie } = { ...session.cookie } as Record<string, unknown>
  return JSON.stringify({ ...session, cookie: { ...cookie, lifetime: lifetimeOf(session) } })
}

/** Replaces a method of a session, hidden from what is stored. */
export function define(session: AppSession, name: 'regenerate' | 'save', value: unknown): void {
  Object.defineProperty(session, name, { configurable: true, enumerable: false, writable: true, value })
}
