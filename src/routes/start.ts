import { hash } from 'node:crypto'
import type { StartedLeg } from '../bitbucket/exchange'
import type { Intent } from '../contract/hooks'
import { randomBytes } from '../state/random'
import { sendOn } from './reply'
import { returnToOf, tell, type Visit } from './visit'

/** What a start is for. */
export interface Start {
  readonly intent: Intent
  readonly returnTo: string | null
  /** Who is signed in, for intents that depend on it; a plain sign-in looks at no session. */
  readonly login: string | null
}

/** `GET /`: starts a sign-in. Its only parameter is `returnTo`. */
export function startSignIn<User>(visit: Visit<User>): void {
  sendToBitbucket(visit, { intent: 'sign-in', returnTo: returnToOf(visit, visit.query.returnTo), login: null })
}

/** Seals a transaction into this browser and sends it to Bitbucket. */
export function sendToBitbucket<User>(visit: Visit<User>, start: Start): void {
  const { req, res } = visit
  const { state, codeChallenge } = begin(visit, start)
  tell(visit, 'started')
  sendOn(req, res, 'redirect', visit.connection.authorizationLocation(state, codeChallenge))
}

/** Seals a transaction and opens connections to Bitbucket while the person is there. */
export function begin<User>(visit: Visit<User>, start: Start): StartedLeg {
  const { req, res, services, connection, origin } = visit
  const codeVerifier = randomBytes(32).toString('base64url')
  const { jar, digest, tenant, application, hasCustomDomains } = connection
  const state = services.transactions.begin(
    req,
    res,
    jar,
    { ...start, codeVerifier, context: digest, origin },
    hasCustomDomains ? { origin, tenant, application } : null,
  )
  openConnections(visit)
  return { client: connection, state, codeChallenge: hash('sha256', codeVerifier, 'base64url') }
}

/** One connection for the token, two for user and e-mails. */
export function openConnections<User>({ services: { transport }, connection }: Visit<User>): void {
  const { api, tokenURL } = connection
  if (api.host === tokenURL.host) return transport.preconnect(api, 3)
  transport.preconnect(tokenURL, 1)
  transport.preconnect(api, 2)
}
