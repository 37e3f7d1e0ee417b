import { isJsonObject, type JsonObject, readAccountId, readLink, readText, readUuid } from './wire'

/** The key of a Bitbucket person: who says it, and Bitbucket's immutable id. Store exactly these two, unique together. */
export interface Identity {
  /** `https://bitbucket.org`, or where a connection's own `endpoints` are. */
  readonly issuer: string
  /** Bitbucket's `uuid`, with its braces. Never a name or an address: those change hands. */
  readonly id: string
}

/** One address as `/user/emails` lists it. `confirmed` is Bitbucket's word; what it is worth is decided by policy. */
export interface BitbucketEmail {
  readonly address: string
  readonly primary: boolean
  readonly confirmed: boolean
}

/** A Bitbucket person. Everything but the id may change between two sign-ins. */
export interface Profile {
  /** Bitbucket's `uuid`, with its braces. */
  readonly id: string
  /** Atlassian's account id across products; informative. */
  readonly accountId: string | null
  /** Mutable and re-registrable: for display only. */
  readonly username: string | null
  /** Display handle, not unique. */
  readonly nickname: string | null
  /** Full name in one string, never empty. */
  readonly displayName: string
  readonly avatarUrl: string | null
  readonly profileUrl: string | null
  /** The addresses Bitbucket lists. After a pending sign-in only the one in question is still known. */
  readonly emails: readonly BitbucketEmail[]
}

/**
 * Reads the account object of `/user`. `undefined` when it is not a person with a well-formed uuid: a team, an
 * `app_user` behind client credentials, or an error object that came with status 200.
 */
export function readProfile(body: JsonObject, emails: readonly BitbucketEmail[]): Profile | undefined {
  const id = readUuid(body.uuid)
  if (body.type !== 'user' || !id) return undefined
  const username = readText(body.username) ?? null
  const nickname = readText(body.nickname) ?? null
  return {
    id,
    accountId: readAccountId(body.account_id) ?? null,
    username,
    nickname,
    displayName: readText(body.display_name) ?? nickname ?? username ?? 'Bitbucket user',
    avatarUrl: readLink(body.links, 'avatar') ?? null,
    profileUrl: readLink(body.links, 'html') ?? null,
    emails,
  }
}

/** Passport's portable profile, as strategies hand it to `verify`. */
export interface PassportProfile {
  readonly provider: string
  /** Bitbucket's `uuid`, with its braces. */
  readonly id: string
  readonly username?: string
  readonly displayName: string
  readonly profileUrl?: string
  readonly emails: readonly { readonly value: string; readonly primary: boolean; readonly verified: boolean }[]
  readonly photos: readonly { readonly value: string }[]
  /** Bitbucket's account object as text. */
  readonly _raw: string
  /** Bitbucket's account object. */
  readonly _json: JsonObject
}

/** The same person in the shape that Passport documents, for apps that use the strategy alone. */
export function toPassportProfile(profile: Profile, json: unknown): PassportProfile {
  return {
    provider: 'bitbucket',
    id: profile.id,
    ...(profile.username !== null && { username: profile.username }),
    displayName: profile.displayName,
    ...(profile.profileUrl !== null && { profileUrl: profile.profileUrl }),
    emails: profile.emails.map(({ address, primary, confirmed }) => ({ value: address, primary, verified: confirmed })),
    photos: profile.avatarUrl === null ? [] : [{ value: profile.avatarUrl }],
    _raw: JSON.stringify(json),
    _json: isJsonObject(json) ? json : {},
  }
}
