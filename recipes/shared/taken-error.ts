import { EmailTakenError, IdentityTakenError, uniqueViolation } from 'passport-bitbucket-signin'

/** Converts a violated unique key to the error that tells the package of a lost race. Returns other errors unchanged. */
export function takenError(error: unknown): unknown {
  const refused = uniqueViolation(error)
  if (!refused) return error
  const names = [refused.constraint ?? '', ...refused.columns]
  return names.some((name) => /email/i.test(name)) ? new EmailTakenError() : new IdentityTakenError()
}
