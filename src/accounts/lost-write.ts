import { type BitbucketSignInError, EmailTakenError, IdentityTakenError } from '../contract/errors'

/** A write that failed, perhaps because another request was first. A class, so that no user object can be mistaken for one. */
export class LostWrite {
  /** `taken`: the hook says that a unique key refused. */
  readonly how: 'taken' | 'failed'
  readonly error: BitbucketSignInError

  constructor(error: BitbucketSignInError) {
    this.how = isTaken(error.cause) ? 'taken' : 'failed'
    this.error = error
  }
}

/** By name as well: an app may have two copies of this package, and a lost race must not look like a fault. */
function isTaken(error: unknown): boolean {
  return (
    error instanceof IdentityTakenError ||
    error instanceof EmailTakenError ||
    (error instanceof Error && (error.name === 'IdentityTakenError' || error.name === 'EmailTakenError'))
  )
}
