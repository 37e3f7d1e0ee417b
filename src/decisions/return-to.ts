const MAX_BYTES = 512
/** Controls, spaces, line separators, the byte order mark, and the backslash that browsers read as a slash. */
const FORBIDDEN = /[\p{Cc} \u00a0\u2028\u2029\ufeff\\]/u
const UNPAIRED_SURROGATE = /\p{Surrogate}/u
const ENCODED_SEPARATOR = /%(?:2f|5c|[01][0-9a-f]|7f)/i
const DOT_SEGMENT = /^(?:\.|%2e){1,2}$/i
const SIGN_OUT = new Set(['logout', 'log-out', 'signout', 'sign-out'])
const BASE = 'https://return-to.invalid'
/** What a router at `/` answers itself; everything else is the app's. Without a trailing slash, so `''` is the start. */
const ROUTES_AT_ROOT = new Set([
  '',
  '/callback',
  '/email',
  '/email/address',
  '/email/code',
  '/email/verify',
  '/continue',
  '/link',
  '/unlink',
  '/reauthenticate',
  '/membership',
  '/sign-in-again',
  '/cancel',
  '/notice',
])

/** Return URLs that are not accepted. */
export interface ReturnToRules {
  /** Public path of our router: returning there would loop. */
  readonly basePath: string
  /** The app's sign-in page. */
  readonly signInPath: string
}

/**
 * A return URL on this site, exactly as it was passed, or `undefined`. It is checked by character and by parsing,
 * and must be emitted byte for byte: what was parsed and written again is a different string with a different meaning
 * (`/.//evil.example` becomes `//evil.example`).
 */
export function parseReturnTo(value: unknown, rules: ReturnToRules): string | undefined {
  if (typeof value !== 'string' || Buffer.byteLength(value) > MAX_BYTES || UNPAIRED_SURROGATE.test(value))
    return undefined
  if (!value.startsWith('/') || value.startsWith('//') || FORBIDDEN.test(value)) return undefined
  const path = value.replace(/[?#].*/s, '')
  if (path.includes('//') || ENCODED_SEPARATOR.test(path)) return undefined
  const segments = path.split('/')
  if (segments.some((segment) => DOT_SEGMENT.test(segment))) return undefined
  // No string is known that gets here and fails: this stays for parsers that change.
  if (!URL.canParse(value, BASE)) return undefined
  const url = new URL(value, BASE)
  if (url.origin !== BASE || url.pathname.startsWith('//')) return undefined
  return isForbiddenRoute(path, rules) ? undefined : value
}

/** Our own routes, the sign-in page and sign-out routes: returning there loops or undoes the sign-in. */
function isForbiddenRoute(path: string, rules: ReturnToRules): boolean {
  // The link page is an ordinary page. Only in our spelling: what a proxy reads as it may be elsewhere.
  if (path === `${rules.basePath.replace(/\/+$/, '')}/link`) return false
  const route = comparablePath(path)
  if (isOwnRoute(route, comparablePath(rules.basePath)) || route === comparablePath(rules.signInPath)) return true
  return SIGN_OUT.has(route.slice(route.lastIndexOf('/') + 1))
}

function isOwnRoute(route: string, base: string): boolean {
  return base === '' ? ROUTES_AT_ROOT.has(route) : route === base || route.startsWith(`${base}/`)
}

/**
 * Express matches paths in any case and with or without a trailing slash; proxies in front of it decode letters and
 * drop everything after a `;`. A path that is ours for any of them is treated as ours.
 */
function comparablePath(path: string): string {
  return path.split('/').map(comparableSegment).join('/').replace(/\/+$/, '')
}

function comparableSegment(segment: string): string {
  let decoded = segment
  try {
    decoded = decodeURIComponent(segment)
  } catch {
    // A segment that does not decode is compared as it is; the others are decoded.
  }
  return decoded.toLowerCase().replace(/;.*/s, '')
}
