import { BitbucketSignInError } from '../contract/errors'
import { isLoopback } from '../contract/loopback'
import { isPrivateHost } from '../options/url-rules'
import type { Visit } from './visit'

const warned = new WeakSet<object>()

/**
 * Says once per plugin that a sign-in which starts here cannot end: newcomers' mistakes, which show only at the
 * callback, as something else. Warns and refuses nothing. `hasBasePath`: the app says that paths differ.
 */
export function warnOfPlace<User>(visit: Visit<User>, hasBasePath: boolean): void {
  if (warned.has(visit.services)) return
  const mistake = (hasBasePath ? null : otherMount(visit)) ?? otherHost(visit)
  if (!mistake) return
  warned.add(visit.services)
  process.emitWarning(`bitbucketSignIn: ${mistake}`, 'BitbucketSignInWarning')
  visit.services.report(new BitbucketSignInError('configuration_invalid', mistake), visit.req)
}

/** Bitbucket will send people to a path at which this router does not answer; unless a proxy took its beginning off. */
function otherMount<User>({ req, connection: { basePath, callbackURL } }: Visit<User>): string | null {
  if (basePath.toLowerCase().endsWith(req.baseUrl.toLowerCase())) return null
  return `the router is mounted at ${req.baseUrl}, and Bitbucket sends people back to ${callbackURL}. Mount it at ${basePath || '/'}, or change \`callbackURL\` here and at Bitbucket; where a proxy changes paths, give \`basePath\`.`
}

/** This machine has several names, and cookies of one are not sent to the other. */
function otherHost<User>({ req, connection: { origin, hasCustomDomains } }: Visit<User>): string | null {
  if (hasCustomDomains) return null
  if (origin.startsWith('https:')) return otherPublicHost(req.hostname, origin)
  const opened = `http://${req.headers.host}`
  if (opened === origin || !URL.canParse(opened)) return null
  const { hostname } = new URL(opened)
  if (!isLoopback(hostname) || hostname === new URL(origin).hostname) return null
  return `this sign-in started at ${hostname} and comes back to ${origin}, where the browser has no cookie of it. Open ${origin} instead, or change \`callbackURL\` here and at Bitbucket.`
}

/** `www.` next to the bare domain, or a preview host. A private name is what a proxy calls this app, and says nothing. */
function otherPublicHost(hostname: string | undefined, origin: string): string | null {
  const { hostname: registered } = new URL(origin)
  if (!hostname || hostname.toLowerCase() === registered || isLoopback(hostname) || isPrivateHost(hostname)) return null
  return `this sign-in started at ${hostname} and comes back to ${origin}, where the browser has no cookie of it, so it ends in 403. Redirect ${hostname} to ${origin}, or add its origin to \`origins\` of the connection.`
}
