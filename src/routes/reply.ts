import type { Request, Response } from 'express'
import type { ActiveConnection } from '../connections/active-connection'
import type { Brand } from '../contract/brand'
import { type BitbucketSignInError, ERROR_STATUS, type ErrorCode } from '../contract/errors'
import type { Page, PageForm } from '../contract/pages'
import { accentStyle } from '../pages/accent'
import { PAGE_STYLE_HASH, renderDefaultPage } from '../pages/render'
import { type RequestContext, signedInUser, type Visit } from './context'

/** Whether this client wants JSON rather than pages. */
export function wantsJson(req: Request): boolean {
  const { accept } = req.headers
  // Fast path for what browsers and command lines send.
  if (accept === undefined || accept === 'text/html' || accept.startsWith('text/html,')) return false
  // A script's `fetch` without a type can use neither a page nor a redirect to another site.
  if (accept === '*/*') return req.headers['sec-fetch-dest'] === 'empty'
  return req.accepts(['html', 'json']) === 'json'
}

/** Pages without one of our forms, shown at URLs that may hold a code. */
const WITHOUT_FORMS: ReadonlySet<string> = new Set(['error', 'resume'])

/** On all our responses: no caching, no `Referer` to the next site, no content sniffing. */
function setCommonHeaders(res: Response): void {
  res.setHeader('Cache-Control', 'no-store')
  res.setHeader('Referrer-Policy', 'no-referrer')
  res.setHeader('X-Content-Type-Options', 'nosniff')
}

const VISIBLE_ASCII = /^[\x21-\x7e]*$/

/** What a JSON client receives besides the redirect URL. */
export type OutcomeName =
  | 'redirect'
  | 'signed_in'
  | 'pending'
  | 'linked'
  | 'unlinked'
  | 'reauthenticated'
  | 'continued'
  | 'cancelled'

/** Redirects the browser; a JSON client receives the URL. After a POST the next request is a GET. */
export function sendOn<User>({ req, res }: RequestContext<User>, outcome: OutcomeName, next: string): void {
  setCommonHeaders(res)
  if (wantsJson(req)) {
    res.status(200).json({ outcome, next })
    return
  }
  res.statusCode = req.method === 'GET' || req.method === 'HEAD' ? 302 : 303
  // Byte for byte, except what a header line cannot hold. Without a body, headers are sent at the end.
  res.setHeader('Location', VISIBLE_ASCII.test(next) ? next : next.replace(/[^\x21-\x7e]+/gu, encodeURIComponent))
  res.setHeader('Content-Length', '0')
  res.end()
}

type Without<P, Key extends PropertyKey> = P extends unknown ? Omit<P, Key> : never
/** A page before texts and brand are chosen. */
export type PageData = Without<Page, 'texts' | 'brand'>

/** One of our forms, with the app's own hidden fields; a field that is `null` is left out. */
export function formOf<User>(
  { req, services, connection }: Visit<User>,
  path: string,
  fields: Record<string, string | null>,
): PageForm {
  const given = Object.entries(fields).filter((field): field is [string, string] => field[1] !== null)
  return {
    action: `${connection.basePath}${path}`,
    fields: { ...services.pages.hiddenFields(req), ...Object.fromEntries(given) },
  }
}

/** Shows a page, with the status of its error; a JSON client gets its data. */
export async function sendPage<User>(context: RequestContext<User>, data: PageData): Promise<void> {
  const { services, req, res, connection } = context
  const error = 'code' in data ? data.code : 'error' in data ? data.error : null
  setCommonHeaders(res)
  res.status(error === null ? 200 : ERROR_STATUS[error])
  if (wantsJson(req)) {
    if (error) res.json({ error, message: services.pages.texts(req).errors[error] })
    else res.json({ outcome: data.name, ...data })
    return
  }
  // Under `no-referrer` a form carries `Origin: null`, which no check can tell from another site's.
  if (!WITHOUT_FORMS.has(data.name)) res.setHeader('Referrer-Policy', 'same-origin')
  const brand = services.pages.brand(req)
  const page = { ...data, texts: services.pages.texts(req), brand } as Page
  const builtIn = () => renderDefaultPage(page)
  const html = (await services.pages.renderPage?.(page.name, page, { req, builtIn })) ?? builtIn()
  res.setHeader('Content-Security-Policy', contentSecurityPolicy(styleSources(brand), connection))
  res.setHeader('X-Frame-Options', 'DENY')
  res.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
  res.setHeader('Content-Type', 'text/html; charset=utf-8')
  res.end(html)
}

/** The built-in pages' style sheets, each by its hash. */
function styleSources(brand: Brand | null): string {
  return brand?.accent === undefined ? PAGE_STYLE_HASH : `${PAGE_STYLE_HASH} ${accentStyle(brand.accent).hash}`
}

/**
 * No script at all. Forms may redirect to Bitbucket and, over https, from there to wherever its own sign-in sends the
 * user: browsers apply `form-action` to every redirect that follows a form.
 */
function contentSecurityPolicy(styleHashes: string, connection: ActiveConnection | null): string {
  const leaveFor = connection
    ? ` ${connection.authorizationURL.origin}${connection.origins.map((each) => ` ${each}`).join('')} https:`
    : ''
  return `default-src 'none'; style-src 'self' ${styleHashes}; img-src 'self'; font-src 'self'; form-action 'self'${leaveFor}; base-uri 'none'; frame-ancestors 'none'`
}

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
  // A sign-in page may reject signed-in users, or redirect them in a loop.
  return { retryHref: NO_RETRY.has(code) ? null : again, backHref: isSignedIn(context) ? signedIn : signIn }
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
  await sendPage(context, { name: 'error', code, status, ...ways })
}
