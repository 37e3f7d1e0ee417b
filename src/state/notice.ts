import type { Request, Response } from 'express'
import type { ErrorCode } from '../contract/errors'
import type { KeyRing } from './keys'
import { type CookieJar, openOnly, seal } from './sealed-cookie'

/**
 * What a page says after a redirect: why a form was refused, and what its page shows besides. Sealed in a cookie, so that
 * no link can make a page of this site say something or link somewhere. The newest replaces the one before.
 */
export interface Notice {
  /** The path, relative to the mount, of the only page that shows it. */
  readonly page: string
  readonly code: ErrorCode
  /** The address to be corrected. */
  readonly typedAddress?: string
  readonly retryHref?: string | null
  readonly backHref?: string
}

const NOTICE_LIFETIME_MS = 10 * 60 * 1000
const SUFFIX = 'e'
/** All our cookies share 4 kB; a notice must not push a pending sign-in out. */
const MAX_NOTICE = 1024

/** Stores it for the next page; `false`, and stores nothing, if it does not fit. */
export function storeNotice(keys: KeyRing, req: Request, res: Response, jar: CookieJar, notice: Notice): boolean {
  const sealed = seal(keys, jar.nameOf(SUFFIX), notice)
  if (sealed.length > MAX_NOTICE) return false
  jar.set(req, res, SUFFIX, sealed, NOTICE_LIFETIME_MS)
  return true
}

/** The notice for this page. */
export function readNotice(keys: KeyRing, req: Request, jar: CookieJar, page: string): Notice | undefined {
  const notice = openOnly(keys, req, jar, SUFFIX, NOTICE_LIFETIME_MS)?.payload as Notice | undefined
  return notice?.page === page ? notice : undefined
}

/** Clears the cookie in this browser, if it has one. */
export function clearNotice(req: Request, res: Response, jar: CookieJar): void {
  jar.clearSent(req, res, SUFFIX)
}
