import type { Request, Response } from 'express'
import type { Accounts } from '../accounts/account-writer'
import { frozen, type GuardedHooks, guardHooks } from '../accounts/guarded-hooks'
import { withoutVerifiedAddresses } from '../accounts/unverified-addresses'
import { type ActiveConnection, requestOrigin } from '../connections/active-connection'
import { BitbucketSignInError, type ErrorCode } from '../contract/errors'
import type { SignInEventType, UpstreamTiming } from '../contract/events'
import type { HookContext, Intent, SignInHow } from '../contract/hooks'
import type { SignInPolicy } from '../contract/policy'
import type { WorkspaceMembership } from '../contract/tokens'
import { parseReturnTo } from '../decisions/return-to'

import type { Services } from './services'
import { originNotAllowed } from './start-place'

/** One request to one of our routes, with the connection that serves it. */
export interface Visit<User> {
  readonly req: Request
  readonly res: Response
  readonly services: Services<User>
  /** Parsed once: Express 5 parses it again on every access. */
  readonly query: Request['query']
  readonly connection: ActiveConnection
  /** The origin of this request, one of the connection's. */
  readonly origin: string
  readonly startedAt: number
  /** The requests to Bitbucket so far. */
  readonly timings: UpstreamTiming[]
  /** The user of this request, as far as known by now; for events. */
  readonly about: {
    userId: string | null
    identityId: string | null
    /** Where a refusal of this request continues, with the requested page; `null` = the start. */
    retry: string | null
  }
}

/** Resolves connection and origin; refuses if there is none. */
export async function openVisit<User>(
  services: Services<User>,
  req: Request,
  res: Response,
  query: Request['query'] = req.url.includes('?') ? req.query : NO_QUERY,
): Promise<Visit<User>> {
  const startedAt = performance.now()
  const found = services.source.resolve(req)
  const connection = found instanceof Promise ? await found : found
  if (!connection) throw noConnection()
  const origin = requestOrigin(req, connection)
  if (origin === null) throw originNotAllowed(services, req, connection)
  return visitOf({ services, req, res, query, connection, origin, startedAt })
}

/** Express 5 parses again on every access, even if there is nothing to parse. */
const NO_QUERY: Request['query'] = Object.freeze({})

/** A visit whose user is not known yet. */
export function visitOf<User>(known: Omit<Visit<User>, 'timings' | 'about'>): Visit<User> {
  const { services, req, res, query, connection, origin, startedAt } = known
  const about = { userId: null, identityId: null, retry: null }
  // Not `...known`, which is measurably slower at each start.
  return { services, req, res, query, connection, origin, startedAt, timings: [], about }
}

/** Switched off, not for this application, or an unknown tenant: the same response for all. */
export function noConnection(): BitbucketSignInError {
  return new BitbucketSignInError('connection_unavailable', 'No connection is offered for this request.')
}

/** The `workspaces` gate refuses this user. */
export function workspaceRequired(): BitbucketSignInError {
  return new BitbucketSignInError(
    'workspace_required',
    'The user is in none of the workspaces that this connection admits.',
  )
}

/** What a sign-in passes to the hooks besides the identity. */
export interface Carried {
  readonly workspaces: readonly WorkspaceMembership[]
  readonly data?: unknown
}

const NOTHING: Carried = { workspaces: [] }

/** The app's hooks, guarded for this request. */
export function hooksOf<User>(visit: Visit<User>, intent: Intent, carried: Carried = NOTHING): GuardedHooks<User> {
  const { req, services } = visit
  const access = { idOf: services.userId, reread: services.reread }
  const hooks = guardHooks(services.accounts, access, { req, context: contextOf(visit, intent, carried) })
  return services.policy.localAddresses === 'unverified' ? withoutVerifiedAddresses(hooks) : hooks
}

/** The account writer's inputs for this request. */
export function accountsOf<User>(visit: Visit<User>, intent: Intent, carried: Carried = NOTHING): Accounts<User> {
  return {
    hooks: hooksOf(visit, intent, carried),
    changed: (change, who) => tell(visit, change, who),
    report: (error) => visit.services.report(error, visit.req),
  }
}

/** The context of a hook call. */
export function contextOf<User>(
  { connection, origin }: Visit<User>,
  intent: Intent,
  { workspaces, data }: Carried,
): HookContext {
  return Object.freeze({
    connection: connection.id,
    tenant: connection.tenant,
    application: connection.application,
    origin,
    intent,
    workspaces: Object.freeze(workspaces.map((each) => Object.freeze({ ...each }))),
    data: data === undefined ? undefined : frozen({ data }).data,
  })
}

/** The effective policy of this connection. */
export function policyOf<User>({ services: { policy }, connection: { signUp } }: Visit<User>): SignInPolicy {
  return policy.signUp === signUp ? policy : { ...policy, signUp }
}

/** A return URL that is safe to store and to redirect to. */
export function returnToOf<User>({ services, connection }: Visit<User>, value: unknown): string | null {
  return parseReturnTo(value, { basePath: connection.basePath, signInPath: services.paths.signIn }) ?? null
}

/** The outcome of a flow, for the page that it ends on. */
export type FlowEnd = SignInHow | 'unlinked' | 'reauthenticated'

const SHOWN: Partial<Record<FlowEnd, string>> = { signed_up: 'signed-up', linked: 'linked', unlinked: 'unlinked' }

/** Where a flow ends: its return URL, checked again, otherwise the app's page. */
export function destinationOf<User>(visit: Visit<User>, returnTo: string | null, end: FlowEnd): string {
  const { paths, outcomeParameter } = visit.services
  const path = returnToOf(visit, returnTo) ?? (end === 'signed_up' ? paths.signedUp : paths.signedIn)
  const shown = SHOWN[end]
  return outcomeParameter === undefined || shown === undefined ? path : withParameter(path, outcomeParameter, shown)
}

/** The path, byte for byte, with one more parameter before its fragment. */
function withParameter(path: string, name: string, value: string): string {
  const [, before = '', fragment = ''] = /^([^#]*)(#.*)?$/s.exec(path) ?? []
  return `${before}${before.includes('?') ? '&' : '?'}${name}=${value}${fragment}`
}

/** Fields of an event that the visit does not know. */
export interface EventDetails {
  readonly userId?: string | null
  readonly identityId?: string | null
  readonly code?: ErrorCode | null
}

/** Calls the audit hook. */
export function tell<User>(visit: Visit<User>, type: SignInEventType, details: EventDetails = {}): void {
  const { connection, services } = visit
  if (!services.emit) return
  services.emit({
    type,
    time: new Date(),
    connection: connection.id,
    tenant: connection.tenant,
    application: connection.application,
    userId: details.userId ?? visit.about.userId,
    identityId: details.identityId ?? visit.about.identityId,
    code: details.code ?? null,
    durationMs: Math.round(performance.now() - visit.startedAt),
    upstream: [...visit.timings],
  })
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
  if (isOurs || returnToOf(visit, asked) !== null) services.askedFor.remember(req, res, connection.jar, asked)
  return withReturnTo(page, asked)
}
