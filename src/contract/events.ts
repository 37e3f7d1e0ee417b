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

/** Timing of one request to Bitbucket. Contains neither its URL nor its response. */
export interface UpstreamTiming {
  /** The endpoint that was called. */
  readonly endpoint: 'token' | 'user' | 'emails' | 'workspace'
  /** Milliseconds until the whole answer was read. */
  readonly durationMs: number
  /** HTTP status, `null` when there was no answer. */
  readonly status: number | null
}

/**
 * One entry for the audit log. It contains identifiers only: no address, token, code, state or secret, so you can log it
 * unchanged.
 */
export interface SignInEvent {
  /** The type of the event. */
  readonly type: SignInEventType
  /** When it happened. */
  readonly time: Date
  /** Id of the connection, `null` when none was resolved. */
  readonly connection: string | null
  /** Tenant of the connection, `null` if there is none. */
  readonly tenant: string | null
  /** Application of the connection, `null` if there is none. */
  readonly application: string | null
  /** The app's user id, `null` while no user is known. */
  readonly userId: string | null
  /** Bitbucket's `uuid` of the account owner, `null` before the profile was read. */
  readonly identityId: string | null
  /** The refusal or fault, `null` on success. */
  readonly code: ErrorCode | null
  /** Milliseconds since the request arrived. */
  readonly durationMs: number
  /** The requests to Bitbucket that this request caused. */
  readonly upstream: readonly UpstreamTiming[]
}

/** The option `onEvent`. If it throws or rejects, the request continues: a broken log must not decide who signs in. */
export type EventListener = (event: SignInEvent) => unknown

/** The option `onError`: called with each error of status 500 or above, its `cause` and the request. */
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
