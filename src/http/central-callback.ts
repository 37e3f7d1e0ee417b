import type { Request, Response } from 'express'
import { checkIssuer, readCallback } from '../bitbucket/callback'
import { requestOrigin } from '../connection'
import { BitbucketSignInError } from '../errors'
import { sealHandOver } from '../flow/hand-over'
import type { StartingPoint } from '../flow/transaction'
import { sendOn } from './reply'
import type { Services } from './services'
import { noConnection, type Visit, visitOf } from './visit'

/**
 * The visit of a callback that came to the central origin for a sign-in of a custom domain; `null` for every other
 * callback. Its connection is the one that `state` names under our signature: the central host may be no tenant's, and
 * knows nothing of a tenant's domains.
 */
export async function openCentralVisit<User>(
  services: Services<User>,
  req: Request,
  res: Response,
): Promise<Visit<User> | null> {
  const startedAt = performance.now()
  const from = startingPoint(services, req)
  if (!from) return null
  const connection = await services.source.resolveFor(req, from)
  if (!connection) throw noConnection()
  const origin = requestOrigin(req, connection)
  if (origin !== connection.origin || origin === from.origin) return null
  return visitOf(services, req, res, connection, origin, startedAt)
}

/** Sends the sign-in on to where it started, sealed for that origin alone, which must still be configured. */
export function handOver<User>({ req, res, services, connection }: Visit<User>): void {
  const { state = '', code = null, error = null, iss } = readCallback(req.query)
  const origin = startingPoint(services, req)?.origin ?? ''
  checkIssuer(iss, connection.authorizationURL)
  if (!connection.origins.includes(origin)) {
    throw new BitbucketSignInError(
      'origin_not_allowed',
      'The sign-in started at an origin that is no longer configured.',
    )
  }
  const [handle = ''] = state.split('.')
  const sealed = sealHandOver(services.keys.handOver, { state: handle, origin, code, error })
  sendOn(req, res, 'redirect', `${origin}${connection.basePath}/callback?handover=${sealed}`)
}

/** Where the sign-in of this callback started, if its `state` says so; what is odd about it, the callback refuses. */
function startingPoint<User>({ transactions }: Services<User>, { query }: Request): StartingPoint | null {
  if (Object.hasOwn(query, 'handover') || typeof query.state !== 'string') return null
  return transactions.parseState(query.state)?.from ?? null
}
