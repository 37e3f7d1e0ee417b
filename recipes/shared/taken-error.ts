import { EmailTakenError, IdentityTakenError, uniqueViolation } from 'passport-bitbucket-signin'

/** The error by which the package knows that a race was lost; any other error as it is. */
export function takenError(error: unknown): unknown {
  const refused = uniqueViolation(error)
  if (!refused) return error
  const names = [refused.constraint ?? '', ...refused.columns]
  return names.some((name) => /email/i.test(name)) ? new EmailTakenError() : new IdentityTakenError()
}
