import type { Request } from 'express'
import type { KnownUser } from '../accounts/guarded-hooks'
import { BitbucketSignInError } from '../contract/errors'
import { now } from '../time/clock'
import { stampSession } from './rotate-session'
import { asApp, passportKey } from './session-layer'

/**
 * Stamps the sign-in as recent and saves the session, but only when the session began in this request: `req.logIn`
 * rotates, so the browser cannot have sent its id. A session that the browser already had proves no new sign-in.
 * `entries` are set with the stamp.
 */
export async function stampNewSession<User>(
  req: Request,
  current: KnownUser<User>,
  entries: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const { session } = asApp(req)
  const kept = session?.[passportKey(req)] as { user?: unknown } | undefined
  if (!session || kept?.user === undefined || isSent(req, session.id)) return
  stampSession(session, current.id, now())
  Object.assign(session, entries)
  try {
    await new Promise<void>((resolve, reject) => {
      session.save((error) => (error ? reject(error) : resolve()))
    })
  } catch (cause) {
    throw new BitbucketSignInError('store_unavailable', 'The session could not be saved; see `cause`.', { cause })
  }
}

/** Whether the browser sent this session id, cookie by cookie: one that does not decode must not hide the others. */
function isSent(req: Request, id: string): boolean {
  return (req.headers.cookie ?? '').split(';').some((pair) => pair.includes(id) || decoded(pair).includes(id))
}

function decoded(pair: string): string {
  try {
    return decodeURIComponent(pair)
  } catch {
    return ''
  }
}
