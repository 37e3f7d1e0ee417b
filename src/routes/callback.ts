import { ownerOf } from '../accounts/resolve-sign-in'
import {
  accessDenied,
  type CallbackParameters,
  NotOpenError,
  readCallback,
  stateInvalid,
} from '../bitbucket/callback-parameters'
import { openConnections, openExchange } from '../bitbucket/exchange'
import { type IdentifiedPerson, redeem, type SignInResult } from '../bitbucket/fetch-person'
import { deniedWithoutState, findAuthorization, takeAuthorization } from '../connections/authorization'
import { BitbucketSignInError } from '../contract/errors'
import type { Identity } from '../contract/identity'
import { isAdmitted } from '../decisions/connection-levels'
import { signOut } from '../session/rotate-session'
import { isStrictSession, requireSession, withholdSession } from '../session/session-layer'
import { openHandOver } from '../state/hand-over'
import type { FoundTransaction, ParsedState, Transaction } from '../state/transaction'
import { completeSignIn } from './complete-sign-in'
import { signedInUser, tell, type Visit } from './context'
import { startAt, withReturnTo } from './destination'
import { workspaceRequired } from './finish'
import { orLeadHome } from './lead-home'
import { hooksOf } from './request-hooks'

const RESUMED = 'resumed'

/**
 * `GET /callback`. The order is the defence: parameters, state and its cookie, issuer, a session that can be signed in
 * to, the transaction consumed, and only then the first byte to Bitbucket.
 */
export function callback<User>(visit: Visit<User>): Promise<void> {
  return orLeadHome(visit, completeCallback, NotOpenError)
}

/** Where the same step starts again. */
function againOf<User>(visit: Visit<User>, { intent, returnTo }: Transaction): string {
  if (intent === 'sign-in') return startAt(visit, returnTo)
  return withReturnTo(`${visit.connection.basePath}/${intent}`, returnTo)
}

async function completeCallback<User>(visit: Visit<User>): Promise<void> {
  const { parameters, found } = findTransaction(visit)
  requireSession(visit.req)
  if (needsResume(visit)) return resume(visit)
  const { transaction } = found
  const code = await takeAuthorization(visit.services.state.transactions, visit, found, parameters)
  const result = await exchangeFor(visit, transaction, code)
  switch (transaction.intent) {
    case 'sign-in':
      return completeSignIn(visit, result, transaction)
    case 'link':
      return signedInSteps().completeLink(visit, result, transaction)
    case 'reauthenticate':
      return signedInSteps().completeReauthentication(visit, result, transaction)
  }
}

/** Loaded on use: most callbacks are sign-ins. */
const signedInSteps = () => require('./complete-link') as typeof import('./complete-link')

/** The open transaction of this callback, in this browser, at this origin, for this very connection. Consumes nothing. */
export function findTransaction<User>(visit: Visit<User>): { parameters: CallbackParameters; found: FoundTransaction } {
  const { parameters, state } = received(visit)
  const lookup = findAuthorization(visit.services.state.transactions, visit, state, parameters.iss)
  switch (lookup.type) {
    case 'open':
      visit.retry = againOf(visit, lookup.found.transaction)
      return { parameters, found: lookup.found }
    case 'unknown':
      refuseDenial(visit, parameters)
      throw new NotOpenError()
    case 'other-connection':
      throw reported(visit, OTHER_CONNECTION)
    case 'other-issuer':
      throw reported(visit, OTHER_ISSUER)
  }
}

/** Reports a denial without `state` as one if a sign-in is open. "Try again" keeps its return URL if all open ones share it. */
function refuseDenial<User>(visit: Visit<User>, parameters: CallbackParameters): void {
  const denied = deniedWithoutState(visit.services.state.transactions, visit, parameters)
  if (denied.length === 0) return
  const [again = null, ...others] = new Set(denied.map((each) => againOf(visit, each)))
  visit.retry = others.length === 0 ? again : null
  throw accessDenied()
}

/** The connection changed since the start, or a resolver returned another one here, which refuses every sign-in. */
const OTHER_CONNECTION =
  'This sign-in was started under another connection. Once, after a change of client, callback or endpoints, this is expected. If it happens each time, the tenant or application is resolved differently at the callback than at the start: let it follow from host or mount path.'

/** An attempt to mix up two servers, or a server that names itself differently, which refuses every sign-in. */
const OTHER_ISSUER =
  'The parameter `iss` of a callback differs from the origin of `authorizationURL`. If it happens each time, the server at `endpoints` names itself differently: let both be the same.'

const OTHER_SERVER =
  'This sign-in came back by a central callback that belongs to another server than the one it was started with. A connection with its own `endpoints` needs a `callbackURL` on its own host, at which it is the connection of the request.'

/** The browser gets the usual refusal, the operator the details. */
function reported<User>({ req, services }: Visit<User>, details: string): BitbucketSignInError {
  const error = new BitbucketSignInError('state_invalid', details)
  services.report(error, req)
  return error
}

/** The parameters as Bitbucket sent them, directly or through the central callback, with `state` as verified. */
function received<User>(visit: Visit<User>): { parameters: CallbackParameters; state: ParsedState | null } {
  const { query, services, connection, origin } = visit
  const parameters = readCallback(query)
  if (parameters.handover === undefined) return { parameters, state: visit.state }
  const handedOver = openHandOver(services.state.keys.handOver, parameters.handover, origin)
  if (!handedOver) throw stateInvalid()
  if (handedOver.server !== connection.server) throw reported(visit, OTHER_SERVER)
  const { state, code, error } = handedOver
  return {
    parameters: { state, code: code ?? undefined, error: error ?? undefined, iss: undefined, handover: undefined },
    state: services.state.transactions.parseState(state) ?? null,
  }
}

/** A SameSite=Strict session cookie stayed behind when Bitbucket's site sent the browser here. */
function needsResume<User>({ req, query }: Visit<User>): boolean {
  return isStrictSession(req) && req.headers['sec-fetch-site'] !== 'same-origin' && query[RESUMED] === undefined
}

/** An inert page that loads the same callback again, so that the request comes from this site. */
async function resume<User>(visit: Visit<User>): Promise<void> {
  const { req, connection } = visit
  withholdSession(req)
  const { callbackURL, basePath } = connection
  const query = req.originalUrl.slice(req.originalUrl.indexOf('?') + 1)
  // The path that is registered at Bitbucket may be another one, which exists at the central host only.
  const path = visit.query.handover === undefined ? new URL(callbackURL).pathname : `${basePath}/callback`
  const href = `${path}?${query}&${RESUMED}=1`
  const { sendPage } = require('./send-page') as typeof import('./send-page')
  await sendPage(visit, { name: 'resume', href })
}

/** Exchanges the code for the user's identity, and admits members only if the connection names workspaces. */
export async function exchangeFor<User>(
  visit: Visit<User>,
  transaction: Transaction,
  code: string,
): Promise<SignInResult> {
  const { res, services, connection } = visit
  openConnections(services.upstream.transport, connection)
  const exchange = {
    ...openExchange(services.upstream.transport, services.upstream.timeoutMs, res),
    timings: visit.timings,
  }
  try {
    const taken = { client: connection, code, codeVerifier: transaction.codeVerifier }
    const result = await redeem(exchange, taken, { skipEmails: services.policy.localAddresses === 'none' })
    visit.identityId = result.person.identity.id
    // At every sign-in; without an answer there is no membership.
    if (!isAdmitted(connection.workspaces, result.person.workspaces)) {
      await endMembersSession(visit, transaction, result.person.identity)
      throw workspaceRequired()
    }
    void reportMissingScope(visit, result.person.emails.read)
    return result
  } catch (error) {
    exchange.deadline.end()
    throw error
  }
}

/** Signs out a user whose own identity is no longer a member. Another identity proves nothing about this user. */
async function endMembersSession<User>(
  visit: Visit<User>,
  { intent, returnTo }: Transaction,
  identity: Identity,
): Promise<void> {
  const current = signedInUser(visit)
  if (!current) return
  const owner = ownerOf(await hooksOf(visit, intent).findByIdentity(identity), current)
  if (owner !== 'self') return
  visit.userId = current.id
  visit.retry = startAt(visit, returnTo)
  await signOut(visit.req)
}

/** The addresses may arrive after the response to the browser; a missing scope is still reported. */
async function reportMissingScope<User>(visit: Visit<User>, emails: IdentifiedPerson['emails']['read']): Promise<void> {
  const failed = await emails.then(
    (read) => read.failed,
    () => null,
  )
  if (failed?.code !== 'scope_missing') return
  tell(visit, 'scope_missing', { code: 'scope_missing' })
  visit.services.report(failed, visit.req)
}
