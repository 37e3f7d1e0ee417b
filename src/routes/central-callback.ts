import type { Request, Response } from 'express'
import { checkIssuer, readCallback } from '../bitbucket/callback-parameters'
import { requestOrigin } from '../connections/active-connection'
import { BitbucketSignInError } from '../contract/errors'
import { BITBUCKET_ISSUER } from '../contract/options'
import { sealHandOver } from '../state/hand-over'
import type { StartingPoint } from '../state/transaction'
import { sendOn } from './reply'
import type { Services } from './services'
import { noConnection, openVisit, type Visit, visitOf } from './visit'

/**
 * The visit of a callback. One that came to the central origin for a sign-in of a custom domain is served by the
 * connection that `state` names under our signature: the central host may be no tenant's, and knows nothing of a
 * tenant's domains.
 */
export async function openCallback<User>(services: Services<User>, req: Request, res: Response): Promise<Visit<User>> {
  if (req.method !== 'GET') throw onlyGet(res)
  const { query } = req
  const from = startingPoint(services, query)
  if (!from) return openVisit(services, req, res, query)
  const startedAt = performance.now()
  const connection = await services.source.resolveFor(req, from)
  if (!connection) throw noConnection()
  const origin = requestOrigin(req, connection) ?? ''
  const visit = visitOf({ services, req, res, query, connection, origin, startedAt })
  return goesOnElsewhere(visit) ? visit : openVisit(services, req, res, query)
}

/** HEAD, POST and OPTIONS consume nothing: link previews and scanners send them. */
function onlyGet(res: Response): BitbucketSignInError {
  res.setHeader('Allow', 'GET')
  return new BitbucketSignInError('method_not_allowed', 'The callback answers GET only.')
}

/** Whether this callback came to the central origin for a sign-in that started, and must end, at another one. */
export function goesOnElsewhere<User>({ services, query, connection, origin }: Visit<User>): boolean {
  const from = startingPoint(services, query)
  return from !== null && origin === connection.origin && origin !== from.origin
}

/** Redirects the sign-in to the origin where it started, sealed for it alone; it must still be configured. */
export async function handOver<User>({ req, res, query, services, connection }: Visit<User>): Promise<void> {
  const { state = '', code = null, error = null, iss } = readCallback(query)
  const origin = startingPoint(services, query)?.origin ?? ''
  checkIssuer(iss, connection.authorizationURL)
  if (!connection.origins.includes(origin)) {
    throw new BitbucketSignInError(
      'origin_not_allowed',
      'The sign-in started at an origin that is no longer configured.',
    )
  }
  const [slotAndHandle = ''] = state.split('.')
  const server = await serverHere(services, req)
  const sealed = sealHandOver(services.keys.handOver, { state: slotAndHandle, origin, server, code, error })
  sendOn(req, res, 'redirect', `${origin}${connection.basePath}/callback?handover=${sealed}`)
}

/**
 * The server whose answers come to this callback: that of the connection at this host, otherwise of the application
 * level. What `state` says does not count, or a tenant with its own endpoints could receive the codes of all others.
 */
async function serverHere<User>({ source }: Services<User>, req: Request): Promise<string> {
  const connection = (await source.resolve(req)) ?? (await source.registered(null))
  return connection?.server ?? BITBUCKET_ISSUER
}

/** Where the sign-in of this callback started, if its `state` names it; the callback refuses anything invalid. */
function startingPoint<User>({ transactions }: Services<User>, query: Request['query']): StartingPoint | null {
  if (Object.hasOwn(query, 'handover') || typeof query.state !== 'string') return null
  return transactions.parseState(query.state)?.from ?? null
}
