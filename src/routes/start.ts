import { beginAuthorization } from '../connections/authorization'
import type { BegunTransaction, Start } from '../state/transaction'
import { sendOn } from './reply'
import { returnToOf, tell, type Visit } from './visit'

/** `GET /`: starts a sign-in. Its only parameter is `returnTo`. */
export function startSignIn<User>(visit: Visit<User>): void {
  sendToBitbucket(visit, { intent: 'sign-in', returnTo: returnToOf(visit, visit.query.returnTo), login: null })
}

/** Seals a transaction into this browser and sends it to Bitbucket. */
export function sendToBitbucket<User>(visit: Visit<User>, start: Omit<Start, 'context' | 'origin'>): void {
  const { req, res } = visit
  const { state, codeChallenge } = begin(visit, start)
  tell(visit, 'started')
  sendOn(req, res, 'redirect', visit.connection.authorizationLocation(state, codeChallenge))
}

/** Seals a transaction and opens connections to Bitbucket while the user is there. */
export function begin<User>(visit: Visit<User>, start: Omit<Start, 'context' | 'origin'>): BegunTransaction {
  const begun = beginAuthorization(visit.services.transactions, visit, start)
  openConnections(visit)
  return begun
}

/** One connection for the token, two for user and e-mails. */
export function openConnections<User>({ services: { transport }, connection }: Visit<User>): void {
  const { api, tokenURL } = connection
  if (api.host === tokenURL.host) return transport.preconnect(api, 3)
  transport.preconnect(tokenURL, 1)
  transport.preconnect(api, 2)
}
