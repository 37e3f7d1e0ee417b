import type { Request, Response } from 'express'
import { safePath } from '../contract/urls'
import type { KeyRing } from './keys'
import { type CookieJar, openOnly, seal } from './sealed-cookie'

const ASKED_FOR_LIFETIME_MS = 10 * 60 * 1000
const SUFFIX = 'n'

/**
 * Remembers for ten minutes which page a browser requested before it was redirected to the app's own sign-in: Passport's
 * rotation empties the session, and a login form loses its query. Sealed, so that no other site can choose the page.
 */
export interface AskedFor {
  remember(req: Request, res: Response, jar: CookieJar, path: string): void
  /** A path of this site, `null` if no page was requested. */
  read(req: Request, jar: CookieJar): string | null
  clear(req: Request, res: Response, jar: CookieJar): void
}

/** Creates the store of requested pages. */
export function createAskedFor(keys: KeyRing): AskedFor {
  return {
    remember(req, res, jar, path) {
      jar.set(req, res, SUFFIX, seal(keys, jar.nameOf(SUFFIX), path), ASKED_FOR_LIFETIME_MS)
    },
    read(req, jar) {
      const path = openOnly(keys, req, jar, SUFFIX, ASKED_FOR_LIFETIME_MS)?.payload
      return typeof path === 'string' && safePath(path) === path ? path : null
    },
    clear: (req, res, jar) => jar.clearSent(req, res, SUFFIX),
  }
}
