import type { SignInHow } from '../contract/hooks'
import { isNavigation } from '../decisions/navigation'
import { parseReturnTo } from '../decisions/return-to'
import type { CookieJar } from '../state/sealed-cookie'
import { type Asking, signedInUser, type Visit } from './context'

/** A return URL that is safe to store and to redirect to. */
export function returnToOf<User>({ services, connection }: Visit<User>, value: unknown): string | null {
  return parseReturnTo(value, { basePath: connection.basePath, signInPath: services.paths.signIn }) ?? null
}

/** The outcome of a flow, for the page that it ends on. */
export type FlowEnd = SignInHow | 'unlinked' | 'reauthenticated'

const SHOWN: Partial<Record<FlowEnd, string>> = {
  signed_up: 'signed-up',
  // A claim creates a new account as well.
  claimed: 'signed-up',
  linked: 'linked',
  unlinked: 'unlinked',
}

/** Where a flow ends: its return URL, checked again, otherwise the app's page. */
export function destinationOf<User>(visit: Visit<User>, returnTo: string | null, end: FlowEnd): string {
  const { paths, outcomeParameter } = visit.services
  const shown = SHOWN[end]
  const path = returnToOf(visit, returnTo) ?? (shown === 'signed-up' ? paths.signedUp : paths.signedIn)
  return outcomeParameter === undefined || shown === undefined ? path : withParameter(path, outcomeParameter, shown)
}

/** The path, byte for byte, with one more parameter before its fragment. */
function withParameter(path: string, name: string, value: string): string {
  const [, before = '', fragment = ''] = /^([^#]*)(#.*)?$/s.exec(path) ?? []
  return `${before}${before.includes('?') ? '&' : '?'}${name}=${value}${fragment}`
}

/** One of our pages or the app's, with the requested page as `returnTo`. */
export function withReturnTo(page: string, returnTo: string | null): string {
  return returnTo === null ? page : `${page}?returnTo=${encodeURIComponent(returnTo)}`
}

/** Where this sign-in starts again and ends at the same page. */
export function startAt<User>({ connection }: Visit<User>, returnTo: string | null): string {
  return withReturnTo(connection.basePath || '/', returnTo)
}

/** A page of the app on which the user signs in or confirms; the requested page is also kept in a cookie. */
export function askAt<User>(visit: Visit<User>, page: string, asked: string): string {
  const { req, res, services, connection } = visit
  const path = asked.split('?', 1)[0]
  // Our pages that no link from outside may name; only our own steps ask for them.
  const isOurs = path === startAt(visit, null) || path === `${connection.basePath}/continue`
  // An image or a prefetch must not replace the page that the user asked for.
  const isAsked = isNavigation(req.headers) && (isOurs || returnToOf(visit, asked) !== null)
  if (isAsked) services.state.askedFor.remember(req, res, connection.jar, asked)
  return withReturnTo(page, asked)
}

/**
 * Where to sign in by the app's own means. A sign-in page may send signed-in users away, so they sign out first. Without
 * a page to return to, one that was requested before stays remembered.
 */
export function signInFor<User>(visit: Visit<User>, asked: string | null): string {
  const { services, connection } = visit
  const page = signedInUser(visit) ? `${connection.basePath}/sign-in-again` : services.paths.signIn
  return asked === null ? page : askAt(visit, page, asked)
}

/** The page that was requested before the user was asked to sign in or confirm. It is used once. */
export function takeAskedFor<User>({ services, req }: Asking<User>, jar: CookieJar): string | null {
  const path = services.state.askedFor.read(req, jar)
  if (req.res) services.state.askedFor.clear(req, req.res, jar)
  return path
}
