import type { BitbucketSignInError, ErrorCode } from '../contract/errors'
import { type RequestContext, signedInUser } from './context'
import { NOTICE_PAGE, saysLater } from './notices'
import { sendOn, setCommonHeaders, wantsJson } from './reply'
import { sendPage } from './send-page'

/** Codes for which retrying cannot help. */
const NO_RETRY: ReadonlySet<ErrorCode> = new Set([
  'configuration_invalid',
  'session_missing',
  'method_not_allowed',
  'connection_unavailable',
  'origin_not_allowed',
  'cross_site_request',
  'account_disabled',
  'sign_up_disabled',
])

/** Refusals that a user can end on another page; JSON names it in `next`. */
const WITH_NEXT: ReadonlySet<ErrorCode> = new Set([
  'not_signed_in',
  'recent_sign_in_required',
  'membership_unconfirmed',
  'identity_required',
])

/** Only signed-in users who link or unlink receive these. */
const ABOUT_LINKS: ReadonlySet<ErrorCode> = new Set([
  'identity_linked_elsewhere',
  'another_identity_linked',
  'identity_not_found',
  'last_sign_in_method',
])

/** The links of a refusal: `retryHref` retries the step, `null` if that cannot help; `backHref` leaves. */
function waysOn<User>(context: RequestContext<User>, code: ErrorCode): { retryHref: string | null; backHref: string } {
  const { signIn, signedIn } = context.services.paths
  const basePath = context.connection?.basePath ?? context.req.baseUrl
  if (ABOUT_LINKS.has(code)) return { retryHref: null, backHref: `${basePath}/link` }
  const again = context.retry ?? (basePath || '/')
  const retryHref = NO_RETRY.has(code) ? null : again
  // A sign-in page may reject signed-in users, or redirect them in a loop.
  const leavesHome = isSignedIn(context) || retryHref?.split('?', 1)[0] === signIn
  return { retryHref, backHref: leavesHome ? signedIn : signIn }
}

function isSignedIn<User>(context: RequestContext<User>): boolean {
  try {
    return signedInUser(context) !== null
  } catch {
    return false
  }
}

/** Answers a refusal or fault: JSON, the app's own page, or ours. Details for developers go to the log only. */
export async function sendError<User>(context: RequestContext<User>, error: BitbucketSignInError): Promise<void> {
  const { services, req, res, retry } = context
  const { code, status } = error
  if (wantsJson(req)) {
    setCommonHeaders(res)
    const next = retry !== null && WITH_NEXT.has(code) ? { next: retry } : {}
    res.status(status).json({ error: code, message: services.pages.texts(req).errors[code], ...next })
    return
  }
  const ways = waysOn(context, code)
  const { failed } = services.paths
  if (failed !== undefined && code !== 'method_not_allowed') {
    const next = ways.retryHref ?? (ABOUT_LINKS.has(code) ? ways.backHref : null)
    return sendOn(context, 'redirect', `${failed}?${new URLSearchParams({ error: code, ...(next && { next }) })}`)
  }
  if (await saysLater(context, { page: NOTICE_PAGE, code, ...ways })) return
  await sendPage(context, { name: 'error', code, status, ...ways })
}
