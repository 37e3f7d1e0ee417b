import type { GuardedHooks, KnownUser } from '../accounts/account-access'
import { BitbucketSignInError } from '../contract/errors'
import { requireSession } from '../session/session-layer'
import { bodyField } from './body'
import { requireUser, type Visit } from './context'
import { returnToOf, signInFor, withReturnTo } from './destination'
import { hooksOf } from './request-hooks'

/** The return URL in the form or the query of this request. */
export function askedReturnTo<User>(visit: Visit<User>): string | null {
  return returnToOf(visit, bodyField(visit.req, 'returnTo') ?? visit.query.returnTo)
}

/** The user of a request to one of our pages. Without one, the app's own sign-in leads on, because it has one already. */
export function requireSignedIn<User>(visit: Visit<User>, page: AccountPath): KnownUser<User> {
  requireSession(visit.req)
  visit.retry = pageAt(visit, page)
  // A fresh sign-in is all that the other pages ask for.
  return requireUser(visit, () => notSignedIn(visit, page === '/link' ? visit.retry : askedReturnTo(visit)))
}

/** Our pages about the account of the signed-in user. */
type AccountPath = '/link' | '/reauthenticate' | '/membership' | '/sign-in-again'

/** One of these pages, with its return URL. */
export function pageAt<User>(visit: Visit<User>, page: AccountPath): string {
  return withReturnTo(`${visit.connection.basePath}${page}`, askedReturnTo(visit))
}

/** Refuses a visitor, who is led to the app's own sign-in page and from there to `asked`. */
export function notSignedIn<User>(visit: Visit<User>, asked: string | null): BitbucketSignInError {
  visit.retry = signInFor(visit, asked)
  return new BitbucketSignInError('not_signed_in', 'This step needs a signed-in user.')
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
