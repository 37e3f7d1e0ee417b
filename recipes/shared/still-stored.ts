import type { Identity } from 'passport-bitbucket-signin'

/** Whether one of the identities that can sign in is still stored: another unlink may be under way. */
export function stillStored(
  remaining: readonly Identity[],
  rows: readonly { readonly issuer: string; readonly subject: string }[],
): boolean {
  return remaining.some(({ issuer, id }) => rows.some((row) => row.issuer === issuer && row.subject === id))
}
