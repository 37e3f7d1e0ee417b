import type { Request } from 'express'
import { withDeadline } from '../time/deadline'

interface ProbedSession {
  id: string
  cookie?: Record<string, unknown>
  regenerate?(done: (error?: unknown) => void): unknown
  reload?(done: (error?: unknown) => void): unknown
  save?(done: (error?: unknown) => void): unknown
  destroy?(done: (error?: unknown) => void): unknown
  [key: string]: unknown
}

/** What express-session and Passport add to a request. */
export interface ProbedRequest {
  session?: ProbedSession | null
  sessionStore?: {
    get?(id: string, done: (error: unknown, session?: unknown) => void): unknown
    destroy?(id: string, done: (error?: unknown) => void): unknown
  } & object
  logIn?: unknown
  _sessionManager?: object & { logIn(req: unknown, user: unknown, done: (error?: unknown) => void): void }
  _passport?: { readonly instance?: unknown }
}

/** A request with what express-session and Passport add to it. */
export const probed = (req: Request) => req as unknown as ProbedRequest
/** The session of a request, whatever made it. */
export const sessionOf = (req: Request) => probed(req).session

/** The result of writing, rotating and signing in to a session. */
export interface SessionTrial {
  readonly fault: string | null
  readonly rotates: boolean
  /** Whether the old session is gone from the store. */
  readonly oldIsGone: boolean
  /** `null` where Passport keeps no session. */
  readonly passportRotates: boolean | null
}

/** Our key in the trial session. */
export const MARK = 'bitbucketDoctor'

/**
 * Saves and rotates a session, and lets Passport rotate it once more. No user is made up: a store may refuse sessions of
 * users that do not exist, and the app's serializers are not called.
 */
export async function exercise(req: Request, marker: string): Promise<SessionTrial> {
  const trial = {
    fault: null as string | null,
    rotates: false,
    oldIsGone: false,
    passportRotates: null as boolean | null,
  }
  try {
    const first = sessionOf(req) as ProbedSession
    first[MARK] = marker
    const oldId = first.id
    await settled((done) => first.save?.(done))
    await settled((done) => sessionOf(req)?.regenerate?.(done))
    trial.rotates = sessionOf(req)?.id !== oldId
    trial.oldIsGone = await isGone(probed(req).sessionStore, oldId)
    trial.passportRotates = await passportRotates(req)
    const last = sessionOf(req) as ProbedSession
    last[MARK] = marker
    await settled((done) => last.save?.(done))
  } catch (error) {
    trial.fault = messageOf(error)
  }
  return trial
}

/** Passport rotates before it serializes the user, so refusing to serialize shows the rotation and stores nothing. */
async function passportRotates(req: Request): Promise<boolean | null> {
  const manager = probed(req)._sessionManager
  if (!manager) return null
  const idBefore = sessionOf(req)?.id
  const stop = new Error('The doctor signs no user in.')
  const stand = Object.assign(Object.create(manager) as typeof manager, {
    _serializeUser: (_user: unknown, _req: unknown, done: (error: Error) => void) => done(stop),
  })
  await settled((done) => stand.logIn(req, {}, (error) => done(error === stop ? undefined : error)))
  return sessionOf(req)?.id !== idBefore
}

async function isGone(store: ProbedRequest['sessionStore'], id: string): Promise<boolean> {
  if (typeof store?.get !== 'function') return true
  let found: unknown
  await settled((done) =>
    store.get?.(id, (error, session) => {
      found = session
      // To express-session this is not an error either: stores on files say so for "no such session".
      done((error as { code?: unknown } | null)?.code === 'ENOENT' ? undefined : error)
    }),
  )
  return !found
}

/**
 * Observes for which requests `passport.session()` runs. Its strategy is replaced by a copy that takes a note and does
 * the same; users' requests are served as before meanwhile.
 */
export function watchPassport(passport: object) {
  type SessionStrategy = { authenticate(...given: unknown[]): unknown }
  const strategies = (passport as { _strategies?: Record<string, SessionStrategy> })._strategies
  const original = strategies?.session
  const seen = new WeakSet<object>()
  if (!strategies || typeof original?.authenticate !== 'function') return { ran: () => null, end: () => {} }
  const copy = Object.create(original, {
    authenticate: {
      value(this: SessionStrategy, req: object, ...rest: unknown[]) {
        seen.add(req)
        return original.authenticate.call(this, req, ...rest)
      },
    },
  }) as SessionStrategy
  strategies.session = copy
  return {
    ran: (req: Request): boolean | null => seen.has(req),
    end: () => {
      if (strategies.session === copy) strategies.session = original
    },
  }
}

/** Waits for a callback of the session store, at most 5 seconds. */
export function settled(work: (done: (error?: unknown) => void) => unknown): Promise<void> {
  const done = new Promise<void>((resolve, reject) => {
    work((error) => (error ? reject(error) : resolve()))
  })
  return withDeadline(done, 5000, 'The session store')
}

/** The message of an error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
