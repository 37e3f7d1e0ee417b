import type { Request, Response } from 'express'
import {
  authorizationCode,
  type CallbackParameters,
  checkIssuer,
  isIssuer,
  NotOpenError,
} from '../bitbucket/callback-parameters'
import { BitbucketSignInError } from '../contract/errors'
import type {
  BegunTransaction,
  FoundTransaction,
  ParsedState,
  Start,
  Transaction,
  Transactions,
} from '../state/transaction'
import type { ActiveConnection } from './active-connection'

/** A request that begins or finishes an authorization. */
export interface Authorizing {
  readonly req: Request
  readonly res: Response
  readonly connection: ActiveConnection
  /** Where the user is, one of the connection's origins. */
  readonly origin: string
}

/** Seals a transaction into this browser and returns the parameters for Bitbucket. */
export function beginAuthorization(
  transactions: Transactions,
  { req, res, connection, origin }: Authorizing,
  start: Start,
): BegunTransaction {
  const { jar, digest, tenant, application, hasCustomDomains } = connection
  const bound = { context: digest, origin: origin === connection.origin ? null : origin }
  return transactions.begin(req, res, jar, start, bound, hasCustomDomains ? { origin, tenant, application } : null)
}

/** The transaction that a callback names, as far as it is known. */
export type Lookup =
  | { readonly type: 'open'; readonly found: FoundTransaction }
  /** Not in this browser: never started here, cleared, or overwritten. */
  | { readonly type: 'unknown' }
  /** Started under another connection or at another origin. */
  | { readonly type: 'other-connection' }
  /** `iss` names another server than the one that this sign-in was started with. */
  | { readonly type: 'other-issuer' }

/** The transaction of this callback, in this browser, at this origin, for this very connection. Consumes nothing. */
export function findAuthorization(
  transactions: Transactions,
  { req, connection, origin }: Authorizing,
  state: ParsedState | null,
  iss: string | undefined,
): Lookup {
  const found = state && transactions.find(req, connection.jar, state)
  if (!found) return { type: 'unknown' }
  if (!belongsHere({ connection, origin }, found.transaction)) return { type: 'other-connection' }
  if (!isIssuer(iss, connection.authorizationURL)) return { type: 'other-issuer' }
  return { type: 'open', found }
}

function belongsHere(
  { connection, origin }: Pick<Authorizing, 'connection' | 'origin'>,
  { context, origin: startedAt }: Transaction,
): boolean {
  return context === connection.digest && (startedAt ?? connection.origin) === origin
}

/**
 * The transactions that a denial without `state` can mean: those open here. Any link can make such a callback, so
 * nothing may be consumed or dropped for it. Empty for every other callback.
 */
export function deniedWithoutState(
  transactions: Transactions,
  { req, connection, origin }: Authorizing,
  { state, code, error, iss }: CallbackParameters,
): readonly Transaction[] {
  if (error !== 'access_denied' || state !== undefined || code !== undefined) return []
  checkIssuer(iss, connection.authorizationURL)
  return transactions.open(req, connection.jar).filter((each) => belongsHere({ connection, origin }, each))
}

/**
 * Consumes the transaction and returns the code to redeem. Only one callback ever gets it, and never a late one.
 * A callback without a code consumes nothing: only its cookie is cleared, and it fills no counter.
 */
export async function takeAuthorization(
  transactions: Transactions,
  { res, connection }: Authorizing,
  { transaction: { handle }, expired }: FoundTransaction,
  parameters: CallbackParameters,
): Promise<string> {
  if (parameters.code === undefined) transactions.drop(res, connection.jar, handle)
  else if (!(await transactions.take(res, connection.jar, handle))) throw new NotOpenError()
  if (expired) {
    throw new BitbucketSignInError('state_expired', 'The sign-in took longer than 10 minutes; start again.')
  }
  return authorizationCode(parameters)
}
