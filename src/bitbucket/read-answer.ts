import type { BitbucketEmail, Profile } from '../contract/identity'
import type { WorkspaceMembership } from '../contract/tokens'
import { isLoopback } from '../contract/urls'
import { isAddress } from '../decisions/email-trust'

/**
 * Readers for what Bitbucket answers. They take `unknown` and return checked, capped values or `undefined`:
 * unknown fields are dropped, and a missing or invalid optional field never fails a sign-in.
 */

/** An object as `JSON.parse` made it: any own key, `__proto__` included, so read single fields and never merge it. */
export type JsonObject = Readonly<Record<string, unknown>>

const MAX_TEXT = 256
const MAX_URL = 512
/** Bitbucket's tokens exceed 2500 characters; most servers limit header lines to 16 kB. */
export const MAX_TOKEN = 12_000
const MAX_EMAILS_PER_PAGE = 100
/** Ten years; Bitbucket says two hours. */
const MAX_LIFETIME_SECONDS = 10 * 365 * 24 * 60 * 60

const UUID = /^\{[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}$/
/** Wider than what Bitbucket takes today (lower-case letters, digits, `_`, `-`, `.`), because older ones remain. */
const SLUG = /^[\w.-]{1,128}$/
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/
/** The URL parser accepts quotes and similar characters in a host. */
const PLAIN_HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])$/
const VISIBLE_ASCII = /^[\x21-\x7e]+$/
/** Controls, bidi overrides, zero-width, unassigned and half characters, line separators: they hide or reorder text. */
export const INVISIBLE: RegExp = /[\p{C}\p{Zl}\p{Zp}]+/gu

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Text for display: invisible characters dropped, at most 256 characters, `undefined` when nothing is left. */
export function readText(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  // Fast path: most names contain nothing to drop.
  if (value.length <= MAX_TEXT && PRINTABLE_ASCII.test(value)) return value.trim() || undefined
  const text = value
    .slice(0, MAX_TEXT * 4)
    .replace(INVISIBLE, '')
    .trim()
  return text === '' ? undefined : Array.from(text).slice(0, MAX_TEXT).join('')
}

/**
 * An https URL (http on loopback, for the fake), at most 512 characters, as the parser writes it: `https:x` would be a
 * path of the app in its pages, and a quote would end an attribute.
 */
export function readUrl(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > MAX_URL || !VISIBLE_ASCII.test(value)) return undefined
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url?.username !== '' || url.password !== '' || !PLAIN_HOST.test(url.hostname)) return undefined
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) return undefined
  return url.href.length > MAX_URL ? undefined : url.href
}

/** A `uuid` in Bitbucket's one canonical form: braces, lower-case hexadecimal. Other spellings are refused, not repaired. */
export function readUuid(value: unknown): string | undefined {
  return typeof value === 'string' && UUID.test(value) ? value : undefined
}

/** Atlassian's account id, kept along with the uuid for other Atlassian products; never a key here. */
export function readAccountId(value: unknown): string | undefined {
  return typeof value === 'string' && /^[0-9A-Za-z:_-]{1,128}$/.test(value) ? value : undefined
}

/** `links.<rel>.href`, where a rel may be one object or an array of them. */
export function readLink(links: unknown, rel: string): string | undefined {
  if (!isJsonObject(links) || !Object.hasOwn(links, rel)) return undefined
  const found = Array.isArray(links[rel]) ? links[rel][0] : links[rel]
  return isJsonObject(found) ? readUrl(found.href) : undefined
}

/** The token endpoint's answer, checked: `undefined` when it is not a usable bearer token. */
export function readTokenAnswer(body: JsonObject) {
  const { access_token, refresh_token, token_type, expires_in } = body
  if (!isToken(access_token)) return undefined
  if (typeof token_type !== 'string' || token_type.toLowerCase() !== 'bearer') return undefined
  return {
    accessToken: access_token,
    refreshToken: isToken(refresh_token) ? refresh_token : null,
    expiresInSeconds: isLifetime(expires_in) ? expires_in : null,
    scopes: readScopes(body.scope ?? body.scopes),
  }
}

/** Seconds of a lifetime that a `Date` can hold the end of. */
function isLifetime(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value <= MAX_LIFETIME_SECONDS
}

function isToken(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TOKEN && VISIBLE_ASCII.test(value)
}

/** Granted scopes, `null` if the answer does not name them. The field is `scope` since May 2026, before that it was `scopes`. */
function readScopes(value: unknown): readonly string[] | null {
  if (typeof value !== 'string' || value.length > 4096) return null
  return value.split(/[\s,]+/).filter((scope) => /^[\x21-\x7e]{1,128}$/.test(scope))
}

/** The `error` code of a refusal at the token endpoint; its description must not be shown. */
export function readOAuthError(body: JsonObject | undefined): string | undefined {
  return typeof body?.error === 'string' && /^[a-z_]{1,64}$/.test(body.error) ? body.error : undefined
}

/**
 * Whether a refused refresh can mean nothing but a dead token. `invalid_grant` is also the answer to a form that was lost
 * in transit ("Unsupported grant type: None"), and to a token of another client.
 */
export function isDeadRefreshToken({ status, body }: { status: number; body: JsonObject | undefined }): boolean {
  if (status < 400 || status >= 500 || status === 429) return false
  const about = typeof body?.error_description === 'string' ? body.error_description.slice(0, MAX_TEXT) : ''
  const error = readOAuthError(body)
  if (error === 'invalid_grant') return !/grant.?type|client/i.test(about)
  return error === 'invalid_request' && /\binvalid refresh[_ ]token\b/i.test(about)
}

/** Whether an error of the API names a scope that the token lacks: `detail: { required, granted }`. */
export function namesMissingScope(body: JsonObject | undefined): boolean {
  const detail = isJsonObject(body?.error) && isJsonObject(body.error.detail) ? body.error.detail : {}
  const { required, granted } = detail
  if (!Array.isArray(required)) return false
  return required.some((scope) => !(Array.isArray(granted) && granted.includes(scope)))
}

/**
 * One page of `/user/emails`, `undefined` unless it can be read whole: an entry that is skipped could be the primary
 * address, and another one would count instead. Only a string that is not an address is dropped.
 */
export function readEmailPage({ values, next }: JsonObject) {
  if (!Array.isArray(values) || values.length > MAX_EMAILS_PER_PAGE) return undefined
  const emails: BitbucketEmail[] = []
  for (const item of values) {
    const { type = 'email', email, is_primary, is_confirmed } = isJsonObject(item) ? item : {}
    if (typeof email !== 'string' || !isFlag(is_primary) || !isFlag(is_confirmed)) return undefined
    if (type !== 'email' || !isAddress(email)) continue
    emails.push({ address: email, primary: is_primary === true, confirmed: is_confirmed === true })
  }
  return { emails, next: next ?? undefined }
}

function isFlag(value: unknown): value is boolean | null | undefined {
  return typeof value === 'boolean' || value === null || value === undefined
}

/** A workspace's slug as it is compared: lower case, the only case in which Bitbucket makes them. */
function readSlug(value: unknown): string | undefined {
  return typeof value === 'string' && SLUG.test(value) ? value.toLowerCase() : undefined
}

/** A membership as answered, with its user if named. */
export interface Membership extends WorkspaceMembership {
  readonly user: string | undefined
}

/** A membership in the requested workspace, `undefined` for any other answer. */
export function readMembership(body: JsonObject, asked: string): Membership | undefined {
  const { workspace } = body
  if (body.type !== 'workspace_membership' || !isJsonObject(workspace)) return undefined
  const permission = readText(body.permission)
  const slug = readSlug(workspace.slug)
  const uuid = readUuid(workspace.uuid)
  if (!permission || !slug || !uuid || (asked !== uuid && asked !== slug)) return undefined
  const user = isJsonObject(body.user) ? readUuid(body.user.uuid) : undefined
  return { slug, uuid, permission, user }
}

/**
 * Reads the account object of `/user`. `undefined` when it is not a user with a well-formed uuid: a team, an
 * `app_user` behind client credentials, or an error object that came with status 200.
 */
export function readProfile(body: JsonObject, emails: readonly BitbucketEmail[] | null): Profile | undefined {
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
