import { openConnections } from '../bitbucket/exchange'
import { beginAuthorization } from '../connections/authorization'
import { BitbucketSignInError } from '../contract/errors'
import { problemOfData } from '../decisions/app-data'
import type { BegunTransaction, Start } from '../state/transaction'
import { tell, type Visit } from './context'
import { returnToOf } from './destination'
import { sendOn } from './reply'

/** `GET /`: starts a sign-in. Its only parameter is `returnTo`. */
export async function startSignIn<User>(visit: Visit<User>): Promise<void> {
  const returnTo = returnToOf(visit, visit.query.returnTo)
  const { req, res, services, connection } = visit
  const second = services.state.secondPasses.take(req, res, connection.jar, returnTo)
  const carried = second
    ? { data: second.data, after: { how: second.how, identity: second.identity } }
    : { data: dataOf(visit) }
  await sendToBitbucket(visit, { intent: 'sign-in', returnTo, login: null, ...carried })
}

/** Seals a transaction into this browser and sends it to Bitbucket. */
export async function sendToBitbucket<User>(visit: Visit<User>, start: Start): Promise<void> {
  const { state, codeChallenge } = begin(visit, start)
  tell(visit, 'started')
  await sendOn(visit, 'redirect', visit.connection.authorizationLocation(state, codeChallenge))
}

/** The app's data for this sign-in. Data that does not fit is refused here, not silently dropped. */
export function dataOf<User>({ req, services }: Visit<User>): unknown {
  if (!services.data) return undefined
  let data: unknown
  try {
    data = services.data(req)
  } catch (cause) {
    throw new BitbucketSignInError('hook_failed', '`data` failed; see `cause`.', { cause })
  }
  const problem = data === undefined ? null : problemOfData(data)
  if (problem === null) return data
  throw new BitbucketSignInError(
    'hook_failed',
    `\`data\`: ${problem}. Keep the rest on your server and pass a key to it.`,
  )
}

/** Seals a transaction and opens connections to Bitbucket while the user is at its page. */
export function begin<User>(visit: Visit<User>, start: Start): BegunTransaction {
  const begun = beginAuthorization(visit.services.state.transactions, visit, start)
  openConnections(visit.services.upstream.transport, visit.connection)
  return begun
}
