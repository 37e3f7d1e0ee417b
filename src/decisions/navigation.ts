import type { IncomingHttpHeaders } from 'node:http'

/** Headers by which browsers, past and present, mark a prefetch. */
const PURPOSES = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz', 'x-sec-purpose'] as const
const SPECULATIVE = /^\s*(?:prefetch|prerender|preview)/i

/**
 * Whether a user may be behind this request: a click, an address typed, a redirect, or a page's own `fetch`. Prefetches,
 * subresources and frames are not: any page can cause them. A browser that sends none of these headers
 * is believed.
 *
 * `Sec-Fetch-Dest` of a navigation is `document`, or `empty` when a service worker passes it on; every other value names
 * a subresource or a frame, including future ones. `Sec-Fetch-User` is not consulted: a script's navigation
 * and a redirect after a form lack it.
 *
 * @see https://www.w3.org/TR/fetch-metadata/
 */
export function isNavigation(headers: IncomingHttpHeaders): boolean {
  if (PURPOSES.some((name) => SPECULATIVE.test(String(headers[name])))) return false
  const destination = headers['sec-fetch-dest']
  if (destination === undefined || destination === 'document') return true
  if (destination !== 'empty') return false
  const site = headers['sec-fetch-site']
  const isForeign = site === 'cross-site' || site === 'same-site'
  return !(isForeign && headers['sec-fetch-mode'] === 'no-cors')
}
