import type { Request } from 'express'
import { requestOrigin } from '../connections/active-connection'
import type { ConnectionSource } from '../connections/connection-source'
import { messageOf, type ProbedRequest, probed } from './session-trial'

/** The session layer as the router sees it, before anything is changed. */
export interface RequestSighting {
  readonly session: 'missing' | 'mounted-later' | 'cannot-rotate' | 'usable'
  readonly cookie: {
    readonly secure: unknown
    readonly httpOnly: unknown
    readonly sameSite: unknown
    readonly domain: unknown
  } | null
  readonly storeName: string | null
  /** Whether something before the router wrote into the session of a visitor who did nothing. */
  readonly isWritten: boolean
  readonly passport: 'missing' | 'too-old' | 'another-instance' | 'present'
  readonly secure: boolean
  readonly trustProxy: unknown
  /** Whether `trust proxy` lists addresses, none of them the doctor's. */
  readonly trustsOthers: boolean
  readonly connection: 'offered' | 'none' | 'origin-not-allowed' | { readonly fault: string }
}

/** What a request shows without being changed. */
export function sightingOf(
  req: Request,
  passport: object,
): Omit<RequestSighting, 'connection'> & { id: string | null } {
  const { session, sessionStore } = probed(req)
  const methods = [session?.regenerate, session?.reload, session?.save]
  const canRotate = sessionStore && session?.id && methods.every((method) => typeof method === 'function')
  const { secure, httpOnly, sameSite, domain } = session?.cookie ?? {}
  return {
    id: session?.id ?? null,
    session: !session ? 'missing' : canRotate ? 'usable' : 'cannot-rotate',
    cookie: session?.cookie ? { secure, httpOnly, sameSite, domain } : null,
    storeName: sessionStore?.constructor?.name ?? null,
    isWritten: Object.keys(session ?? {}).some((key) => key !== 'cookie'),
    passport: passportSeen(probed(req), passport),
    secure: req.secure,
    trustProxy: req.app.get('trust proxy'),
    trustsOthers: trustsOthers(req),
  }
}

function trustsOthers({ app, socket }: Request): boolean {
  if (['boolean', 'number', 'undefined'].includes(typeof app.get('trust proxy'))) return false
  const trusts: unknown = app.get('trust proxy fn')
  return typeof trusts === 'function' && !trusts(socket.remoteAddress, 0)
}

function passportSeen(req: ProbedRequest, passport: object): RequestSighting['passport'] {
  const { logIn, _sessionManager: manager } = req
  if (!manager) return typeof logIn === 'function' || req._passport ? 'too-old' : 'missing'
  const own = (passport as { _sm?: unknown })._sm
  return own !== undefined && own !== manager ? 'another-instance' : 'present'
}

/** Whether a connection would serve this request. */
export async function connectionSeen(source: ConnectionSource, req: Request): Promise<RequestSighting['connection']> {
  try {
    const connection = await source.resolve(req)
    if (!connection) return 'none'
    return requestOrigin(req, connection) === null ? 'origin-not-allowed' : 'offered'
  } catch (error) {
    return { fault: messageOf(error) }
  }
}
