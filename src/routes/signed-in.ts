import type { KnownUser } from '../accounts/account-access'
import { BitbucketSignInError } from '../contract/errors'
import { configurationError } from '../contract/options'
import { NOBODY } from '../session/signed-in-user'
import { stampNewSession } from '../session/stamps'
import type { Pending } from '../state/pending-sign-in'
import { type Asking, openVisit, RequestContext, signedInUser, type Visit } from './context'
import { isMatching } from './continue'
import { returnToOf, takeAskedFor } from './destination'
import { readPending } from './pending-form'
import { hooksOf } from './request-hooks'
import { isOtherAccount, tellOtherAccount } from './sign-in-again'

/** Options of `signedIn`. */
export interface SignedInOptions {
  /**
   * Whether the user has just proven who they are. Default `true`. Pass `false` if a "remember me" cookie signed them in: no
   * password was typed, so it must not count as a recent sign-in.
   */
  readonly recent?: boolean
}

/**
 * Completes the app's own sign-in: stamps it, settles a pending sign-in of this browser, and returns the path that was requested
 * before it, or `null`.
 */
export async function signedIn<User>(asking: Asking<User>, { recent = true }: SignedInOptions): Promise<string | null> {
  const { services, req } = asking
  const current = signedInUser(asking)
  if (!current) {
    throw configurationError('signedIn: no user is signed in on this request. Call it in the callback of `req.logIn`.')
  }
  if (recent) await stampNewSession(req, current)
  const asked = services.state.jars.map((jar) => takeAskedFor(asking, jar)).find((path) => path !== null) ?? null
  const settled = await settlePending(asking, current)
  if (settled === null) return asked
  if (settled.type === 'continues') return settled.page
  const { visit, page, pending, isOther } = settled
  const next = asked === null || asked === page ? returnToOf(visit, pending.returnTo) : asked
  return isOther ? tellOtherAccount(visit, next) : next
}

type Settled<User> = { readonly page: string } & (
  | { readonly type: 'continues' }
  | { readonly type: 'dropped'; readonly visit: Visit<User>; readonly pending: Pending; readonly isOther: boolean }
)

/**
 * Only a pending proof survives a sign-in by other means, and only for the account it is about. Everything else belongs
 * to an earlier user of this browser: it must never meet a new sign-in.
 */
async function settlePending<User>(
  { services, req }: Asking<User>,
  current: KnownUser<User>,
): Promise<Settled<User> | null> {
  const { res } = req
  const waits = services.state.jars.some((jar) => services.state.pendings.read(req, jar))
  if (!waits || !res) return null
  try {
    const visit = await openVisit(new RequestContext(services, req, res))
    const { pending } = readPending(visit)
    const page = `${visit.connection.basePath}/continue`
    const hooks = hooksOf(visit, 'sign-in', pending)
    const isProof = pending.step === 'prove' && pending.login === NOBODY
    if (isProof && (await isMatching(visit, pending, current, hooks))) return { type: 'continues', page }
    await services.state.pendings.drop(res, visit.connection.jar, pending)
    return {
      type: 'dropped',
      page,
      visit,
      pending,
      isOther: isProof && (await isOtherAccount(hooks, pending, current)),
    }
  } catch (error) {
    if (!(error instanceof BitbucketSignInError)) throw error
    // The app's own sign-in has succeeded; one of our faults must not undo it.
    if (error.status >= 500) services.report(error, req)
    return null
  }
}
