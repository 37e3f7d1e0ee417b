import type { Response } from 'express'
import { checkIssuer, readCallback } from '../bitbucket/callback-parameters'
import { type ActiveConnection, requestOrigin } from '../connections/active-connection'
import { BitbucketSignInError } from '../contract/errors'
import { BITBUCKET_ISSUER } from '../contract/options'
import { sealHandOver } from '../state/hand-over'
import { noConnection, openVisit, type RequestContext, type Visit, visitAt } from './context'
import { sendOn } from './reply'

/**
 * The visit of a callback. One that came to the central origin for a sign-in of a custom domain is served by the
 * connection that `state` names under our signature: the central host may be no tenant's, and knows nothing of a
 * tenant's domains.
 */
export async function openCallback<User>(context: RequestContext<User>): Promise<Visit<User>> {
  const { services, req, res, state } = context
  if (req.method !== 'GET') throw onlyGet(res)
  if (!state?.from) return openVisit(context)
  const connection = await services.source.resolveFor(req, state.from)
  if (!connection) throw noConnection()
  const origin = requestOrigin(req, connection)
  return isCentral(context, connection, origin) ? visitAt(context, connection, connection.origin) : openVisit(context)
}

/** HEAD, POST and OPTIONS consume nothing: link previews and scanners send them. */
function onlyGet(res: Response): BitbucketSignInError {
  res.setHeader('Allow', 'GET')
  return new BitbucketSignInError('method_not_allowed', 'The callback answers GET only.')
}

/** Whether this callback came to the central origin for a sign-in that started, and must end, at another one. */
export function goesOnElsewhere<User>(visit: Visit<User>): boolean {
  return isCentral(visit, visit.connection, visit.origin)
}

function isCentral<User>({ state }: RequestContext<User>, connection: ActiveConnection, origin: string | null) {
  return state?.from != null && origin === connection.origin && origin !== state.from.origin
}

/** Redirects the sign-in to the origin where it started, sealed for that origin; it must still be configured. */
export async function handOver<User>(visit: Visit<User>): Promise<void> {
  const { query, services, connection } = visit
  const { state = '', code = null, error = null, iss } = readCallback(query)
  const origin = visit.state?.from?.origin ?? ''
  checkIssuer(iss, connection.authorizationURL)
  if (!connection.origins.includes(origin)) {
    throw new BitbucketSignInError(
      'origin_not_allowed',
      'The sign-in started at an origin that is no longer configured.',
    )
  }
  const [handle = ''] = state.split('.')
  const server = await serverHere(visit)
  const sealed = sealHandOver(services.state.keys.handOver, { state: handle, origin, server, code, error })
  await sendOn(visit, 'redirect', `${origin}${connection.basePath}/callback?handover=${sealed}`)
}

/**
 * The server whose answers arrive at this callback: that of the connection at this host, otherwise of the application
 * level. `state` is not consulted; otherwise a tenant with its own endpoints could receive the codes of all others.
 */
async function serverHere<User>({ services: { source }, req }: Visit<User>): Promise<string> {
  const connection = (await source.resolve(req)) ?? (await source.registered(null))
  return connection?.server ?? BITBUCKET_ISSUER
}
