import type { Request } from 'express'

/** When the user last proved who they are here, by password or with Bitbucket. */
export function signedInAt({ session }: Request): Date | null {
  const at = Math.max(session.passwordAt ?? 0, session.bitbucketSignIn?.at ?? 0)
  return at === 0 ? null : new Date(at)
}
