import type { Request } from 'express'
import { isJsonObject, type JsonObject } from '../bitbucket/read-answer'
import { thrownError } from '../contract/errors'
import type { Profile } from '../contract/identity'
import type { PassportActions } from './strategy-request'

/** Passport's portable profile, as strategies pass it to `verify`. */
export interface PassportProfile {
  /** Always `bitbucket`. */
  readonly provider: string
  /** Bitbucket's `uuid`, with its braces. */
  readonly id: string
  /** Can change and be registered by another user: for display only. */
  readonly username?: string
  /** Full name, never empty. */
  readonly displayName: string
  /** URL of the profile page at Bitbucket. */
  readonly profileUrl?: string
  /** The addresses in Bitbucket's order; `verified` is what Bitbucket says. Empty with `skipEmails`. */
  readonly emails: readonly { readonly value: string; readonly primary: boolean; readonly verified: boolean }[]
  /** URL of the picture, if there is one. */
  readonly photos: readonly { readonly value: string }[]
  /** Bitbucket's account object as a string. */
  readonly _raw: string
  /** Bitbucket's account object. */
  readonly _json: JsonObject
}

/** The profile in Passport's documented shape, for apps that use the strategy alone. */
export function toPassportProfile(profile: Profile, json: unknown): PassportProfile {
  return {
    provider: 'bitbucket',
    id: profile.id,
    ...(profile.username !== null && { username: profile.username }),
    displayName: profile.displayName,
    ...(profile.profileUrl !== null && { profileUrl: profile.profileUrl }),
    emails: (profile.emails ?? []).map(({ address, primary, confirmed }) => ({
      value: address,
      primary,
      verified: confirmed,
    })),
    photos: profile.avatarUrl === null ? [] : [{ value: profile.avatarUrl }],
    _raw: JSON.stringify(json),
    _json: isJsonObject(json) ? json : {},
  }
}

/** The app's callback, which decides whom to sign in. */
// biome-ignore lint/suspicious/noExplicitAny: Passport's own signatures; `verify` is told apart by its arity
export type VerifyFunction = (...args: any[]) => void

/** A strategy as far as it verifies. */
interface Verifying extends PassportActions {
  readonly _verify: VerifyFunction
  readonly _passReqToCallback: boolean
}

/** The tokens of a callback, and what else the token endpoint said. */
export interface Granted {
  readonly accessToken: string
  readonly refreshToken: string | undefined
  readonly params: Record<string, unknown> | undefined
}

/** Calls `verify` as passport-oauth2 does: its arity says whether it takes the answer of the token endpoint. */
export function callVerify(run: Verifying, req: Request, granted: Granted, profile: unknown, state: unknown): void {
  const request = run._passReqToCallback ? [req] : []
  const params = run._verify.length === request.length + 5 ? [granted.params] : []
  const verified = (error: unknown, user?: unknown, info?: unknown) => {
    if (error) return run.error(error)
    if (!user) return run.fail(info)
    run.success(user, withState(info || {}, state))
  }
  try {
    run._verify(...request, granted.accessToken, granted.refreshToken, ...params, profile, verified)
  } catch (thrown) {
    run.error(thrown)
  }
}

/** `info` with the data of the start: the app's own object where it can be changed, as in the parent. */
function withState(info: unknown, state: unknown): unknown {
  if (state === undefined || typeof info !== 'object' || info === null) return info
  return Reflect.set(info, 'state', state) ? info : { ...info, state }
}

/**
 * An app's function may be async: what it rejects with goes where `done(error)` goes, instead of ending the process.
 * The arity stays, because the arguments are chosen by it. Only promises of the language are looked at: to follow a
 * query of some database library would run it a second time.
 */
export function settledByDone(verify: VerifyFunction): VerifyFunction {
  const settled = function (this: unknown, ...args: Parameters<VerifyFunction>) {
    const result: unknown = verify.apply(this, args)
    // Without an error `done` would mean success, or no user.
    if (result instanceof Promise) result.catch((thrown: unknown) => args.at(-1)(thrownError(thrown)))
  }
  return Object.defineProperty(settled, 'length', { value: verify.length })
}
