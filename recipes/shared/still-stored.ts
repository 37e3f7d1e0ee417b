import type { Identity } from 'passport-bitbucket-signin'

/** Whether an identity that can sign in is still stored; a concurrent unlink may have removed it. */
export function stillStored(
  remaining: readonly Identity[],
  rows: readonly { readonly issuer: string; readonly subject: string }[],
): boolean {
  return remaining.some(({ issuer, id }) => rows.some((row) => row.issuer === issuer && row.subject === id))
}
