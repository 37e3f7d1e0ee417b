import { createHash, randomBytes } from 'node:crypto'
import type { Request, Response } from 'express'
import type { Db } from '../database/database.js'
import type { User } from './users.js'

/** What travels with a sign-in, see the option `data`. */
export interface Invited {
  /** The token of the link. Untrusted: any site can send a browser to any link. */
  readonly invitation: string
}

const DAYS = 7
const LIFETIME_MS = DAYS * 24 * 60 * 60 * 1000
const COOKIE = 'invitation'

const idOf = (token: string) => createHash('sha256').update(token).digest('base64url')

/** Invites the owner of this address to tidy the board. Returns the token for the link. */
export async function invite(db: Db, address: string): Promise<string> {
  const token = randomBytes(24).toString('base64url')
  const expires_at = new Date(Date.now() + LIFETIME_MS).toISOString()
  await db
    .insertInto('invitations')
    .values({ id: idOf(token), email_lower: address.toLowerCase(), expires_at })
    .execute()
  return token
}

/**
 * Grants what the invitation is for, once, and only to an account that has *proven* the invited address: a link that was
 * forwarded, or that another site sent this browser to, grants nothing.
 */
export async function redeemInvitation(db: Db, user: User, token: string): Promise<void> {
  if (user.email === null || !user.emailVerified) return
  await db.transaction().execute(async (trx) => {
    const { numDeletedRows } = await trx
      .deleteFrom('invitations')
      .where('id', '=', idOf(token))
      .where('email_lower', '=', user.email?.toLowerCase() ?? '')
      .where('expires_at', '>', new Date().toISOString())
      .executeTakeFirstOrThrow()
    if (numDeletedRows > 0n) await trx.updateTable('users').set({ tidies: 1 }).where('id', '=', user.id).execute()
  })
}

/** Keeps the token in this browser until the sign-in starts. */
export function rememberInvitation(res: Response, token: string): void {
  res.cookie(COOKIE, token, { httpOnly: true, sameSite: 'lax', maxAge: 60 * 60 * 1000 })
}

/** What `data` takes along: the start of a sign-in has no session, so it reads a cookie. */
export function invitationOf(req: Request): Invited | undefined {
  const token = new RegExp(`(?:^|; )${COOKIE}=([\\w-]{32})(?:;|$)`).exec(req.headers.cookie ?? '')?.[1]
  return token === undefined ? undefined : { invitation: token }
}
