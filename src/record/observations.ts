import type { SeenAnswer, SeenCallback } from './observe'
import type { VisitId } from './visits'

/** How a visit ended: by a callback, at an error page, or skipped. */
export type Arrival = SeenCallback | { readonly page: 'error' | 'skipped' }

/** What an answer answered. */
export type ReplyId =
  | 'exchange'
  | 'user'
  | 'emails'
  | 'lowerCaseBearer'
  | 'badToken'
  | 'formerApiHost'
  | 'refresh'
  | 'refreshAgain'
  | 'unknownRefreshToken'
  | 'refreshAfterUnknown'
  | 'wrongVerifier'
  | 'rightVerifier'
  | 'usedCode'
  | 'userAfterReuse'
  | 'accountAlone'
  | 'emailsWithAccountAlone'
  | 'bodyCredentials'
  | 'noRedirectUri'
  | 'heldCode'
  | 'oldRefreshToken'
  | 'siblingRefreshToken'
  | 'otherRefreshToken'
  | 'wrongClient'
  | 'revoke'
  | 'userAfterRevoke'

/** Everything observed, without secrets: it is written to the record unchanged. */
export interface Observations {
  readonly visits: Partial<Record<VisitId, readonly Arrival[]>>
  readonly replies: Partial<Record<ReplyId, SeenAnswer>>
  /** Characters of the tokens of the first exchange. */
  readonly tokenLengths?: { readonly access: number; readonly refresh: number }
  readonly expiresIn?: number
  readonly scopeFields?: readonly string[]
  readonly addresses?: Addresses
  /** Seconds between the issue of the held code and its exchange. */
  readonly codeHeldSeconds?: number
  /** Seconds between the first use of a refresh token and its last. */
  readonly refreshHeldSeconds?: number
}

/** How many addresses there were, and of which kind. */
export interface Addresses {
  readonly count: number
  readonly primary: number
  readonly confirmed: number
  readonly unconfirmedPrimary: number
}
