import { isJsonObject, type JsonObject } from '../bitbucket/read-answer'
import type { Profile } from '../contract/identity'

/** Passport's portable profile, as strategies pass it to `verify`. */
export interface PassportProfile {
  readonly provider: string
  /** Bitbucket's `uuid`, with its braces. */
  readonly id: string
  readonly username?: string
  readonly displayName: string
  readonly profileUrl?: string
  readonly emails: readonly { readonly value: string; readonly primary: boolean; readonly verified: boolean }[]
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
