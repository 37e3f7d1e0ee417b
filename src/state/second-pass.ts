import type { Request, Response } from 'express'
import type { SignInHow } from '../contract/hooks'
import type { Identity } from '../contract/identity'
import type { KeyRing } from './keys'
import { type CookieJar, openOnly, seal } from './sealed-cookie'

/** A completed sign-in that passes through the start again to fetch the tokens it could not keep while it was pending. */
export interface SecondPass {
  readonly identity: Identity
  /** How the sign-in ended. */
  readonly how: SignInHow
  readonly returnTo: string | null
  /** The app's JSON for this sign-in. */
  readonly data?: unknown
}

/** Carries second passes from the end of a sign-in to the start that follows immediately. */
export interface SecondPasses {
  store(req: Request, res: Response, jar: CookieJar, pass: SecondPass): void
  /** The pass that this start belongs to, by its return URL. Consumed once. */
  take(req: Request, res: Response, jar: CookieJar, returnTo: string | null): SecondPass | undefined
  clear(req: Request, res: Response, jar: CookieJar): void
}

/** The redirect follows immediately; a later start is another sign-in. */
const SECOND_PASS_LIFETIME_MS = 60_000
const SUFFIX = 'a'

/** Creates the store of second passes. */
export function createSecondPasses(keys: KeyRing): SecondPasses {
  return {
    store(req, res, jar, pass) {
      jar.set(req, res, SUFFIX, seal(keys, jar.nameOf(SUFFIX), pass), SECOND_PASS_LIFETIME_MS)
    },

    take(req, res, jar, returnTo) {
      jar.clearSent(req, res, SUFFIX)
      const pass = openOnly(keys, req, jar, SUFFIX, SECOND_PASS_LIFETIME_MS)?.payload as SecondPass | undefined
      return pass?.returnTo === returnTo ? pass : undefined
    },

    clear: (req, res, jar) => jar.clearSent(req, res, SUFFIX),
  }
}
