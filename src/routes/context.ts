import type { Request, Response } from 'express'
import type { KnownUser } from '../accounts/account-access'
import { queryOf } from '../bitbucket/callback-parameters'
import { type ActiveConnection, requestOrigin } from '../connections/active-connection'
import { BitbucketSignInError, type ErrorCode } from '../contract/errors'
import type { SignInEventType, UpstreamTiming } from '../contract/events'
import { currentUser } from '../session/signed-in-user'
import type { ParsedState } from '../state/transaction'
import type { Services } from './services'
import { originNotAllowed } from './start-place'

/** One request to one of our routes or guards. Created once per request and passed to everything that handles it. */
export class RequestContext<User> {
  readonly services: Services<User>
  readonly req: Request
  readonly res: Response
  readonly startedAt: number = performance.now()
  /** The requests to Bitbucket so far. */
  readonly timings: UpstreamTiming[] = []
  /** What serves this request, `null` until {@link openVisit} has found it. */
  connection: ActiveConnection | null = null
  /** The origin of this request, one of the connection's. */
  origin: string | null = null
  /** The user of this request, as far as known by now; for events. */
  userId: string | null = null
  identityId: string | null = null
  /** Where a refusal of this request continues, with the requested page; `null` = the start. */
  retry: string | null = null
  private parsedQuery: Request['query'] | undefined
  private parsedState: ParsedState | null | undefined

  constructor(services: Services<User>, req: Request, res: Response) {
    this.services = services
    this.req = req
    this.res = res
  }

  /** Parsed once. */
  get query(): Request['query'] {
    this.parsedQuery ??= queryOf(this.req)
    return this.parsedQuery
  }

  /** The `state` of a callback that Bitbucket sent here, verified once; `null` if there is none of ours. */
  get state(): ParsedState | null {
    if (this.parsedState === undefined) {
      const { state, handover } = this.query
      this.parsedState =
        (handover === undefined && typeof state === 'string' && this.services.state.transactions.parseState(state)) ||
        null
    }
    return this.parsedState
  }
}

/** A request with the connection that serves it. */
export interface Visit<User> extends RequestContext<User> {
  readonly connection: ActiveConnection
  readonly origin: string
}

/** What is known of a request before it is answered, or when it is not ours to answer. */
export type Asking<User> = Pick<RequestContext<User>, 'services' | 'req'>

/** Resolves connection and origin; refuses if there is none. */
export async function openVisit<User>(context: RequestContext<User>): Promise<Visit<User>> {
  const found = context.services.source.resolve(context.req)
  const connection = found instanceof Promise ? await found : found
  if (!connection) throw noConnection()
  const origin = requestOrigin(context.req, connection)
  if (origin === null) throw originNotAllowed(context, connection)
  return visitAt(context, connection, origin)
}

/** The same without refusals: `null` when no connection is offered for this request. */
export async function offeredVisit<User>(context: RequestContext<User>): Promise<Visit<User> | null> {
  const connection = await context.services.source.resolve(context.req)
  const origin = connection && requestOrigin(context.req, connection)
  return connection && origin !== null ? visitAt(context, connection, origin) : null
}

/** The request, served by this connection. */
export function visitAt<User>(context: RequestContext<User>, connection: ActiveConnection, origin: string) {
  context.connection = connection
  context.origin = origin
  return context as Visit<User>
}

/** Switched off, not for this application, or an unknown tenant: the same response for all. */
export function noConnection(): BitbucketSignInError {
  return new BitbucketSignInError('connection_unavailable', 'No connection is offered for this request.')
}

/** The signed-in user, `null` for guests and without one. */
export function signedInUser<User>({ req, services }: Asking<User>): KnownUser<User> | null {
  return currentUser(req, services.users.idOf)
}

/** The signed-in user. Throws the step's error if there is none. */
export function requireUser<User>(visit: Visit<User>, missing: () => BitbucketSignInError): KnownUser<User> {
  const current = signedInUser(visit)
  if (!current) throw missing()
  visit.userId = current.id
  return current
}

/** Fields of an event that the request does not know. */
export interface EventDetails {
  readonly userId?: string | null
  readonly identityId?: string | null
  readonly code?: ErrorCode | null
}

/** Calls the audit hook. */
export function tell<User>(context: RequestContext<User>, type: SignInEventType, details: EventDetails = {}): void {
  const { connection, services } = context
  if (!services.emit) return
  services.emit({
    type,
    time: new Date(),
    connection: connection?.id ?? null,
    tenant: connection?.tenant ?? null,
    application: connection?.application ?? null,
    userId: details.userId ?? context.userId,
    identityId: details.identityId ?? context.identityId,
    code: details.code ?? null,
    durationMs: Math.round(performance.now() - context.startedAt),
    upstream: [...context.timings],
  })
}
