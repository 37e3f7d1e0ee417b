import type { GuardedHooks, KnownUser } from '../accounts/account-access'
import { BitbucketSignInError } from '../contract/errors'
import { requireSession } from '../session/session-layer'
import { bodyField } from './body'
import { requireUser, type Visit } from './context'
import { returnToOf, startAt } from './destination'
import { hooksOf } from './request-hooks'

/** The return URL in the form or the query of this request. */
export function askedReturnTo<User>(visit: Visit<User>): string | null {
  return returnToOf(visit, bodyField(visit.req, 'returnTo') ?? visit.query.returnTo)
}

/** The user of this request; without one, the refusal offers a sign-in that returns to `asked`. */
export function requireSignedIn<User>(
  visit: Visit<User>,
  asked: string | null = askedReturnTo(visit),
): KnownUser<User> {
  requireSession(visit.req)
  visit.retry = startAt(visit, asked)
  return requireUser(visit, () => new BitbucketSignInError('not_signed_in', 'This step needs a signed-in user.'))
}

/** How pages name the account of the signed-in user. */
export async function accountLabel<User>(hooks: GuardedHooks<User>, current: KnownUser<User>): Promise<string> {
  return (await hooks.describe(current))?.label ?? current.id
}

/** What each page that asks the signed-in user to confirm shows: whose account it is, and the way out. */
export async function accountPage<User>(visit: Visit<User>, current: KnownUser<User>) {
  const label = await accountLabel(hooksOf(visit, 'reauthenticate'), current)
  return { accountLabel: label, backHref: visit.services.paths.signedIn }
}
