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

/** What express-session and Passport put on a request. */
export interface ProbedRequest {
  session?: ProbedSession | null
  sessionStore?: { get?(id: string, done: (error: unknown, session?: unknown) => void): unknown } & object
  logIn?: unknown
  _sessionManager?: object & { logIn(req: unknown, user: unknown, done: (error?: unknown) => void): void }
  _passport?: { readonly instance?: unknown }
}

/** A request with what express-session and Passport put on it. */
export const probed = (req: Request) => req as unknown as ProbedRequest
/** The session of a request, whatever made it. */
export const sessionOf = (req: Request) => probed(req).session

/** What became of a session that was written, rotated and signed in to. */
export interface SessionTrial {
  readonly fault: string | null
  readonly rotates: boolean
  /** Whether the old session is gone from the store. */
  readonly oldIsGone: boolean
  readonly passportRotates: boolean
}

/** Our key in a session that is tried. */
export const MARK = 'bitbucketDoctor'

/** Writes, rotates, and lets Passport sign a made-up user in; the app's own serializers are not asked. */
export async function exercise(req: Request, marker: string): Promise<SessionTrial> {
  const trial = { fault: null as string | null, rotates: false, oldIsGone: false, passportRotates: false }
  try {
    const first = sessionOf(req) as ProbedSession
    first[MARK] = marker
    const oldId = first.id
    await settled((done) => first.save?.(done))
    await settled((done) => sessionOf(req)?.regenerate?.(done))
    trial.rotates = sessionOf(req)?.id !== oldId
    trial.oldIsGone = await isGone(probed(req).sessionStore, oldId)
    trial.passportRotates = await passportRotates(req, marker)
    const last = sessionOf(req) as ProbedSession
    last[MARK] = marker
    await settled((done) => last.save?.(done))
  } catch (error) {
    trial.fault = messageOf(error)
  }
  return trial
}

async function passportRotates(req: Request, marker: string): Promise<boolean> {
  const manager = probed(req)._sessionManager
  if (!manager) return false
  const idBefore = sessionOf(req)?.id
  const stand = Object.assign(Object.create(manager) as typeof manager, {
    _serializeUser: (_user: unknown, _req: unknown, done: (error: null, id: string) => void) => done(null, marker),
  })
  await settled((done) => stand.logIn(req, {}, done))
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

/** Sees whether Passport asks to deserialize our made-up user, and answers in the app's place: nobody. */
export function spyOnPassport(passport: object, marker: string) {
  type Deserializer = (id: unknown, done: (error: unknown, user?: unknown) => void) => void
  const chain = (passport as { _deserializers?: Deserializer[] })._deserializers
  let called = false
  const spy: Deserializer = (id, done) => {
    if (id !== marker) return done('pass')
    called = true
    done(null, false)
  }
  if (Array.isArray(chain)) chain.unshift(spy)
  return {
    works: Array.isArray(chain),
    called: () => called,
    end: () => {
      if (Array.isArray(chain)) chain.splice(chain.indexOf(spy), 1)
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

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
