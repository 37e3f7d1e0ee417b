import type { BitbucketEmail, Profile } from '../contract/identity'
import { type JsonObject, readAccountId, readLink, readText, readUuid } from './read-answer'

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
