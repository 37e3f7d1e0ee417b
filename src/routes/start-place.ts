import type { Request } from 'express'
import { type ActiveConnection, forwardedHost } from '../connections/active-connection'
import { BitbucketSignInError } from '../contract/errors'
import { isLoopback } from '../contract/urls'
import { isPrivateHost } from '../options/url-rules'
import { httpsAdvice } from '../session/proxy-advice'
import type { Asking, Visit } from './context'

const warned = new WeakSet<object>()

/**
 * Warns once per plugin that a sign-in started here cannot complete: common mistakes that otherwise show only at the
 * callback, as another error. Refuses nothing. `hasBasePath`: the app has declared that paths differ.
 */
export function warnOfPlace<User>(visit: Visit<User>, hasBasePath: boolean): void {
  if (warned.has(visit.services)) return
  const mistake = (hasBasePath ? null : otherMount(visit)) ?? otherHost(visit)
  if (!mistake) return
  warned.add(visit.services)
  process.emitWarning(`bitbucketSignIn: ${mistake}`, 'BitbucketSignInWarning')
  visit.services.report(new BitbucketSignInError('configuration_invalid', mistake), visit.req)
}

/** Anyone may send any `Host`: at most this many are reported, each once. */
const MAX_REPORTED_HOSTS = 20
const reportedHosts = new WeakMap<object, Set<string>>()

/**
 * Reports a request to an origin that its connection does not list, and returns the refusal. The browser receives no more
 * than the code, so the operator must learn here which host is missing: one warning, one report per host.
 */
export function originNotAllowed<User>(
  { services, req }: Asking<User>,
  { id, origin }: ActiveConnection,
): BitbucketSignInError {
  const seen = seenOrigin(req)
  const isPlain = seen.startsWith('http:') && origin.startsWith('https:')
  const message = `this request came to ${seen}, which is not among the origins of connection "${id}". Add it to \`origins\` of the connection if it is yours, or redirect it to ${origin}.${isPlain ? ` ${httpsAdvice(req)}` : ''}`
  const error = new BitbucketSignInError('origin_not_allowed', message)
  const hosts = reportedHosts.get(services) ?? new Set()
  reportedHosts.set(services, hosts)
  if (hosts.size < MAX_REPORTED_HOSTS && !hosts.has(seen)) {
    if (hosts.size === 0) process.emitWarning(`bitbucketSignIn: ${message}`, 'BitbucketSignInWarning')
    hosts.add(seen)
    services.report(error, req)
  }
  return error
}

/** The origin as Express sees it, or that it is invalid. */
function seenOrigin(req: Request): string {
  const host = forwardedHost(req) ?? req.headers.host ?? ''
  return /^[\w.:[\]-]{1,255}$/.test(host)
    ? `${req.protocol === 'https' ? 'https' : 'http'}://${host}`
    : 'an invalid host'
}

/** Bitbucket will redirect to a path that this router does not serve, unless a proxy strips its prefix. */
function otherMount<User>({ req, connection: { basePath, callbackURL } }: Visit<User>): string | null {
  if (basePath.toLowerCase().endsWith(req.baseUrl.toLowerCase())) return null
  return `the router is mounted at ${req.baseUrl}, and Bitbucket redirects users to ${callbackURL}. Mount it at ${basePath || '/'}, or change \`callbackURL\` here and at Bitbucket; if a proxy changes paths, set \`basePath\`.`
}

/** This machine has several names, and a browser does not share cookies between them. */
function otherHost<User>({ req, connection: { origin, hasCustomDomains } }: Visit<User>): string | null {
  if (hasCustomDomains) return null
  if (origin.startsWith('https:')) return otherPublicHost(req.hostname, origin)
  const opened = `http://${req.headers.host}`
  if (opened === origin || !URL.canParse(opened)) return null
  const { hostname } = new URL(opened)
  if (!isLoopback(hostname) || hostname === new URL(origin).hostname) return null
  return `this sign-in started at ${hostname} and returns to ${origin}, where the browser has no cookie for it. Open ${origin} instead, or change \`callbackURL\` here and at Bitbucket.`
}

/** `www.` next to the bare domain, or a preview host. A private name is a proxy's name for this app and proves nothing. */
function otherPublicHost(hostname: string | undefined, origin: string): string | null {
  const { hostname: registered } = new URL(origin)
  if (!hostname || hostname.toLowerCase() === registered || isLoopback(hostname) || isPrivateHost(hostname)) return null
  return `this sign-in started at ${hostname} and returns to ${origin}, where the browser has no cookie for it, so it ends with 403. Redirect ${hostname} to ${origin}, or add its origin to \`origins\` of the connection.`
}
