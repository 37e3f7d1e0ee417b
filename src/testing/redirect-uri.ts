import type { FakeBehaviour } from './behaviour'

/** Whether Bitbucket sends the browser to this `redirect_uri` of a client with that registered callback. */
export function matchesCallback(
  registered: string | null,
  requested: string,
  how: Required<FakeBehaviour>['redirectUri'],
): boolean {
  if (registered === null || !URL.canParse(requested)) return false
  if (registered === '*') return isLoopback(new URL(requested))
  if (requested === registered || isSameLoopback(new URL(registered), new URL(requested))) return true
  return how === 'prefix' && hasAppendedPath(registered, requested)
}

function isLoopback({ protocol, hostname }: URL): boolean {
  if (protocol !== 'http:' && protocol !== 'https:') return false
  return hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127\./.test(hostname)
}

/** Programs on a desktop listen on whichever port is free, so the port of http loopback is not compared. */
function isSameLoopback(registered: URL, requested: URL): boolean {
  return (
    registered.protocol === 'http:' &&
    isLoopback(registered) &&
    requested.protocol === 'http:' &&
    requested.hostname === registered.hostname &&
    requested.pathname + requested.search + requested.hash ===
      registered.pathname + registered.search + registered.hash &&
    requested.username + requested.password === ''
  )
}

function hasAppendedPath(registered: string, requested: string): boolean {
  return requested.startsWith(registered.endsWith('/') ? registered : `${registered}/`)
}
