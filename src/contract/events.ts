import type { Request } from 'express'
import type { BitbucketSignInError, ErrorCode } from './errors'

/** The types of events that the audit hook receives. */
export type SignInEventType =
  | 'started'
  | 'signed_in'
  | 'signed_up'
  | 'linked'
  | 'unlinked'
  | 'claimed'
  | 'reauthenticated'
  | 'code_sent'
  | 'code_failed'
  | 'refused'
  | 'profile_changed'
  | 'scope_missing'
  | 'upstream_failed'

/** How long one request to Bitbucket took; names the endpoint, never its address or answer. */
export interface UpstreamTiming {
  readonly endpoint: 'token' | 'user' | 'emails' | 'workspace'
  /** Milliseconds until the whole answer was read. */
  readonly durationMs: number
  /** HTTP status, `null` when there was no answer. */
  readonly status: number | null
}

/**
 * One line for the audit log. It carries identifiers only: no address, token, code, state or secret, so it may be
 * logged as it is.
 */
export interface SignInEvent {
  readonly type: SignInEventType
  readonly time: Date
  /** Id of the connection, `null` when none was resolved. */
  readonly connection: string | null
  readonly tenant: string | null
  readonly application: string | null
  /** The app's user id, `null` while no user is known. */
  readonly userId: string | null
  /** Bitbucket's `uuid` of the account owner, `null` before the profile was read. */
  readonly identityId: string | null
  /** The refusal or fault, `null` on success. */
  readonly code: ErrorCode | null
  /** Milliseconds since the request came in. */
  readonly durationMs: number
  /** The requests to Bitbucket that this request caused. */
  readonly upstream: readonly UpstreamTiming[]
}

/** The audit hook. What it throws or rejects with is ignored: a broken log must not decide who signs in. */
export type EventListener = (event: SignInEvent) => unknown

/** Called with each error of status 500 or above, its `cause` and the request. */
export type ErrorListener = (error: BitbucketSignInError, req: Request) => unknown

/** Wraps an app's listener so that it can never disturb a sign-in. */
export function undisturbed<Told extends unknown[]>(listener: (...told: Told) => unknown): (...told: Told) => void {
  return (...told) => {
    try {
      // A promise of another library or realm is not an instance of our `Promise`; its rejection would end the process.
      Promise.resolve(listener(...told)).catch(() => {})
    } catch {
      // A broken log must not decide who signs in.
    }
  }
}
