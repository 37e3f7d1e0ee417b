import { type ActiveConnection, forwardedHost } from '../connections/active-connection'
import { BitbucketSignInError } from '../contract/errors'
import { isLoopback } from '../contract/urls'
import { isPrivateHost } from '../options/url-rules'
import { httpsAdvice } from '../session/proxy-advice'
import type { Asking, Visit } from './context'

/** Anyone may send any `Host`: at most this many mistakes are reported, each once, and the first as a warning. */
const MAX_REPORTED = 20

function reporter() {
  const reported = new WeakMap<object, Set<string>>()
  return <User>({ services, req }: Asking<User>, error: BitbucketSignInError): BitbucketSignInError => {
    const { message } = error
    const known = reported.get(services) ?? new Set()
    reported.set(services, known)
    if (known.size >= MAX_REPORTED || known.has(message)) return error
    if (known.size === 0) process.emitWarning(`bitbucketSignIn: ${message}`, 'BitbucketSignInWarning')
    known.add(message)
    services.report(error, req)
    return error
  }
}

const reportPlace = reporter()
const reportOrigin = reporter()

/**
 * Reports that a sign-in started here cannot complete: common mistakes that otherwise show only at the callback, as
 * another error. Refuses nothing. `hasBasePath`: the app has declared that paths differ.
 */
export function warnOfPlace<User>(visit: Visit<User>, hasBasePath: boolean): void {
  const mistake = (hasBasePath ? null : otherMount(visit)) ?? otherHost(visit)
  if (mistake) reportPlace(visit, new BitbucketSignInError('configuration_invalid', mistake))
}

/**
 * Reports a request to an origin that its connection does not list, and returns the refusal. The browser receives no more
 * than the code, so the operator must learn here which host is missing.
 */
export function originNotAllowed<User>(asking: Asking<User>, { id, origin }: ActiveConnection): BitbucketSignInError {
  const { req } = asking
  const host = plain(forwardedHost(req) ?? req.headers.host, HOST)
  const seen = host === null ? 'an invalid host' : `${req.protocol === 'https' ? 'https' : 'http'}://${host}`
  const isPlain = seen.startsWith('http:') && origin.startsWith('https:')
  const message = `this request came to ${seen}, which is not among the origins of connection "${id}". Add it to \`origins\` of the connection if it is yours, or redirect it to ${origin}.${isPlain ? ` ${httpsAdvice(req)}` : ''}`
  return reportOrigin(asking, new BitbucketSignInError('origin_not_allowed', message))
}

const HOST = /^[\w.:[\]-]{1,255}$/
const PATH = /^[\w./~%-]{1,255}$/

/** The text if it fits, otherwise `null`: a stranger's words must not reach the operator's log. */
function plain(text: string | undefined, pattern: RegExp): string | null {
  return text !== undefined && pattern.test(text) ? text : null
}

/** Bitbucket will redirect to a path that this router does not serve, unless a proxy strips its prefix. */
function otherMount<User>({ req, connection: { basePath, callbackURL } }: Visit<User>): string | null {
  if (basePath.toLowerCase().endsWith(req.baseUrl.toLowerCase())) return null
  return `the router is mounted at ${plain(req.baseUrl, PATH) ?? 'another path'}, and Bitbucket redirects users to ${callbackURL}. Mount it at ${basePath || '/'}, or change \`callbackURL\` here and at Bitbucket; if a proxy changes paths, set \`basePath\`.`
}

/** This machine has several names, and a browser does not share cookies between them. */
function otherHost<User>({ req, connection: { origin, hasCustomDomains } }: Visit<User>): string | null {
  if (hasCustomDomains) return null
  if (origin.startsWith('https:')) return otherPublicHost(plain(req.hostname, HOST), origin)
  const opened = `http://${plain(req.headers.host, HOST)}`
  if (opened === origin || !URL.canParse(opened)) return null
  const { hostname } = new URL(opened)
  if (!isLoopback(hostname) || hostname === new URL(origin).hostname) return null
  return `this sign-in started at ${hostname} and returns to ${origin}, where the browser has no cookie for it. Open ${origin} instead, or change \`callbackURL\` here and at Bitbucket.`
}

/** `www.` next to the bare domain, or a preview host. A private name is a proxy's name for this app and proves nothing. */
function otherPublicHost(hostname: string | null, origin: string): string | null {
  const { hostname: registered } = new URL(origin)
  if (!hostname || hostname.toLowerCase() === registered || isLoopback(hostname) || isPrivateHost(hostname)) return null
  return `this sign-in started at ${hostname} and returns to ${origin}, where the browser has no cookie for it, so it ends with 403. If that host is yours, redirect it to ${origin}, or add its origin to \`origins\` of the connection.`
}
