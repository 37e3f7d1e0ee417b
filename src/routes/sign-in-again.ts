import type { GuardedHooks, KnownUser } from '../accounts/account-access'
import { ownerOf } from '../accounts/resolve-sign-in'
import { signOut } from '../session/rotate-session'
import { storeNotice } from '../state/notice'
import type { Pending } from '../state/pending-sign-in'
import type { Visit } from './context'
import { destinationOf, returnToOf, signInFor, takeAskedFor, withReturnTo } from './destination'
import { readAllowed } from './finish'
import { forgetBrowser } from './forget'
import { saysLater, takeNotice } from './notices'
import { sendOn, wantsJson } from './reply'
import { accountPage, askedReturnTo, requireSignedIn } from './require-signed-in'
import { formOf, sendPage } from './send-page'

const PAGE = '/sign-in-again'
const OTHER_ACCOUNT = { page: PAGE, code: 'account_exists' } as const

/** `GET /sign-in-again`: offers to sign out, for users who can only prove who they are on the app's sign-in page. */
export async function showSignInAgainPage<User>(visit: Visit<User>): Promise<void> {
  const current = requireSignedIn(visit, PAGE)
  const error = takeNotice(visit, PAGE) ? OTHER_ACCOUNT.code : null
  await sendSignInAgainPage(visit, current, askedReturnTo(visit), error)
}

async function sendSignInAgainPage<User>(
  visit: Visit<User>,
  current: KnownUser<User>,
  returnTo: string | null,
  error: 'account_exists' | null,
): Promise<void> {
  const page = await accountPage(visit, current)
  // A user with another account continues with it; a step that needs a recent sign-in would only lead here again.
  const backHref = (error !== null && returnTo) || page.backHref
  await sendPage(visit, {
    name: 'sign-in-again',
    ...page,
    backHref,
    error,
    signOut: formOf(visit, PAGE, { returnTo }),
  })
}

/** Whether the user is to hear that a proof was dropped: not if the identity is theirs by now. */
export async function isOtherAccount<User>(
  hooks: GuardedHooks<User>,
  { identity }: Pending,
  current: KnownUser<User>,
): Promise<boolean> {
  if (ownerOf(await hooks.findByIdentity(identity), current) === 'self') return false
  await readAllowed(hooks, current)
  return true
}

/**
 * The page that says to a fresh sign-in that the proof was for another account. It names nothing of what was dropped,
 * and starts nothing: that may be another user's.
 */
export function tellOtherAccount<User>(
  { req, res, services, connection }: Visit<User>,
  returnTo: string | null,
): string {
  storeNotice(services.state.keys.notice, req, res, connection.jar, OTHER_ACCOUNT)
  return withReturnTo(`${connection.basePath}${PAGE}`, returnTo)
}

/** Drops a proof that the signed-in user cannot give, on the page where they would have confirmed. */
export async function refuseProof<User>(
  visit: Visit<User>,
  pending: Pending,
  current: KnownUser<User>,
  hooks: GuardedHooks<User>,
): Promise<void> {
  const { res, services, connection } = visit
  await services.state.pendings.drop(res, connection.jar, pending)
  const asked = takeAskedFor(visit, connection.jar)
  const returnTo = returnToOf(visit, asked) ?? returnToOf(visit, pending.returnTo)
  const isOther = await isOtherAccount(hooks, pending, current)
  if (!isOther && !wantsJson(visit.req)) {
    return sendOn(visit, 'redirect', destinationOf(visit, returnTo, 'signed_in'))
  }
  if (await saysLater(visit, OTHER_ACCOUNT, withReturnTo(PAGE, returnTo))) return
  await sendSignInAgainPage(visit, current, returnTo, OTHER_ACCOUNT.code)
}

/** `POST /sign-in-again`: signs out and shows the app's sign-in page, which some apps hide from signed-in users. */
export async function signOutToSignInAgain<User>(visit: Visit<User>): Promise<void> {
  const { req, services, connection } = visit
  requireSignedIn(visit, PAGE)
  // The page remembered by a refused step is more exact than the form: it may be one of our own pages.
  const asked = services.state.askedFor.read(req, connection.jar) ?? askedReturnTo(visit)
  await forgetBrowser(visit)
  await signOut(req)
  await sendOn(visit, 'redirect', signInFor(visit, asked))
}
