/**
 * HTTP status of every refusal and fault, by its code. The list is closed: what a browser, a log or an event sees
 * is one of these codes and our own message, never Bitbucket's.
 */
export const ERROR_STATUS = {
  configuration_invalid: 500,
  session_missing: 500,
  request_invalid: 400,
  request_too_large: 413,
  method_not_allowed: 405,
  state_invalid: 403,
  state_expired: 403,
  access_denied: 403,
  scope_missing: 500,
  client_rejected: 500,
  upstream_failed: 502,
  upstream_timeout: 504,
  rate_limited: 503,
  profile_invalid: 502,
  connection_unavailable: 404,
  origin_not_allowed: 403,
  workspace_required: 403,
  sign_up_disabled: 403,
  email_required: 403,
  email_unverified: 403,
  email_invalid: 400,
  email_ambiguous: 409,
  account_exists: 409,
  account_exists_unverified: 409,
  account_disabled: 403,
  identity_linked_elsewhere: 409,
  identity_not_found: 404,
  another_identity_linked: 409,
  not_signed_in: 401,
  session_changed: 409,
  pending_missing: 404,
  pending_replaced: 409,
  recent_sign_in_required: 403,
  membership_unconfirmed: 403,
  identity_required: 403,
  reauthentication_mismatch: 403,
  last_sign_in_method: 409,
  code_wrong: 400,
  code_expired: 400,
  code_exhausted: 429,
  too_many_codes: 429,
  code_not_sent: 503,
  cross_site_request: 403,
  hook_failed: 500,
  store_unavailable: 503,
  reauthorization_required: 401,
  refresh_refused: 503,
} as const satisfies Record<string, number>

/** One of the closed list of outcomes that are not a success. docs/reference/errors.md explains cause and fix of each. */
export type ErrorCode = keyof typeof ERROR_STATUS

/**
 * The only error this package throws or hands to `next`. Branch on {@link BitbucketSignInError.code}; the message is
 * written for the developer and carries no secret, token or upstream text.
 */
export class BitbucketSignInError extends Error {
  override readonly name = 'BitbucketSignInError'
  /** What happened, from the closed list. */
  readonly code: ErrorCode
  /** The HTTP status that goes with the code. */
  readonly status: number
  /** Where the code is explained: a file of the installed package, with an anchor. Logged with the error, on no page. */
  readonly docs: string

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
    this.status = ERROR_STATUS[code]
    this.docs = docsOf(code)
  }
}

/** Where a code is explained, in the installed package. */
export function docsOf(code: ErrorCode): string {
  return `passport-bitbucket-signin/docs/reference/errors.md#${code}`
}

/** The value for `next`, which reads `undefined` and `'route'` as "continue". Apps can throw those as well. */
export function thrownError(thrown: unknown): object {
  if (typeof thrown === 'object' && thrown !== null) return thrown
  return new Error('A value that is not an error was thrown; see `cause`.', { cause: thrown })
}

/**
 * Throw it from `createUser`, `linkIdentity` or `claimAddress` when the unique key on (issuer, id) refuses the row:
 * another request stored that identity first. The package then reads once more and signs in by identity, or refuses.
 */
export class IdentityTakenError extends Error {
  override readonly name = 'IdentityTakenError'
  constructor(message = 'This Bitbucket identity is already stored.', options?: { cause?: unknown }) {
    super(message, options)
  }
}

/**
 * Throw it from `createUser` or `claimAddress` when the unique key on the email address refuses the row. A lost race
 * is never a reason to enter the account that holds the address.
 */
export class EmailTakenError extends Error {
  override readonly name = 'EmailTakenError'
  constructor(message = 'This email address is already taken.', options?: { cause?: unknown }) {
    super(message, options)
  }
}
