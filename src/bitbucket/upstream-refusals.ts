import { BitbucketSignInError, type ErrorCode } from '../contract/errors'
import type { UpstreamTiming } from '../contract/events'
import { isDeadRefreshToken, namesMissingScope, readOAuthError } from './read-answer'
import { PASSING, type UpstreamAnswer } from './transport-parts'

/** Our requests by name, as errors show them. */
export type RequestName = UpstreamTiming['endpoint'] | 'refresh'

const PERMISSIONS = {
  user: 'Account: Read',
  emails: 'Account: Email',
  workspace: 'Account: Read',
} as const satisfies Partial<Record<RequestName, string>>

/** An error that names its request; the rest of the message is the fix. */
export function faultAt(name: RequestName, code: ErrorCode, message: string, cause?: unknown): BitbucketSignInError {
  return new BitbucketSignInError(code, `${name} request: ${message}`, cause === undefined ? {} : { cause })
}

/** The response is complete, but not what is documented for the request. */
export function unexpected(name: RequestName, what: string): BitbucketSignInError {
  return faultAt(
    name,
    'upstream_failed',
    `Bitbucket answered ${what}. Check \`endpoints\` and every proxy in between; if both are right, update this package.`,
  )
}

/** The token endpoint refused a code, or a refresh token for a reason that is not the token's. */
export function tokenRefusal(name: 'token' | 'refresh', answer: UpstreamAnswer): BitbucketSignInError {
  if (answer.status === 429) return rateLimited(name)
  switch (readOAuthError(answer.body)) {
    case 'invalid_scope':
      return scopeMissing('Account: Read and Email', name)
    case 'unauthorized_client':
    case 'invalid_client':
    case 'invalid_request':
      return faultAt(
        name,
        'client_rejected',
        'Bitbucket refused this OAuth client. Check the client ID (Key) and secret, and that exactly this callback URL is registered: see callbackURLs().',
      )
    case 'invalid_grant':
      // Not about a code, and not surely about the token: see `isDeadRefreshToken`.
      if (name === 'refresh') return statusRefusal(name, answer.status)
      return faultAt(
        name,
        'upstream_failed',
        'Bitbucket did not accept the authorization code. A code works once and for a short time; the user can sign in again.',
      )
    default:
      return statusRefusal(name, answer.status)
  }
}

/**
 * The token endpoint refused a refresh token. Bitbucket answers `unauthorized_client` for a dead one, for wrong
 * credentials, and for a while after a dead one for the valid tokens of the same client, too: that alone is no reason
 * to drop a token.
 */
export function refreshRefusal(answer: UpstreamAnswer): BitbucketSignInError {
  if (isDeadRefreshToken(answer)) {
    return faultAt(
      'refresh',
      'reauthorization_required',
      'Bitbucket no longer accepts this refresh token. Ask the user to sign in with Bitbucket again.',
    )
  }
  if (answer.status !== 429 && readOAuthError(answer.body) === 'unauthorized_client') {
    return faultAt(
      'refresh',
      'refresh_refused',
      'Bitbucket refused without saying whether the token or the client is the problem. Keep the token and wait 15 minutes. If it is refused again although another token of this client was accepted meanwhile, the token is dead; if every token is refused, check the client ID (Key) and secret.',
    )
  }
  return tokenRefusal('refresh', answer)
}

/** The API refused; `permission` names the box to tick. */
export function apiRefusal(
  name: keyof typeof PERMISSIONS,
  answer: UpstreamAnswer,
  permission: string = PERMISSIONS[name],
): BitbucketSignInError {
  if (answer.status === 403) return scopeMissing(permission, name)
  if (answer.status === 429) return rateLimited(name)
  return statusRefusal(name, answer.status)
}

/**
 * A workspace refused: `null` if that is Bitbucket's "not a member". A missing permission proves nothing about
 * the user, nor does any other status.
 */
export function workspaceRefusal(answer: UpstreamAnswer): BitbucketSignInError | null {
  if (answer.status === 404) return null
  if (answer.status === 403 && !namesMissingScope(answer.body)) return null
  return apiRefusal('workspace', answer)
}

function statusRefusal(name: RequestName, status: number): BitbucketSignInError {
  const answered = `Bitbucket answered with status ${status}.`
  if (status >= 500) return faultAt(name, 'upstream_failed', `${answered} ${PASSING}`)
  if (status === 401) {
    return faultAt(
      name,
      'upstream_failed',
      `${answered} It refused the token: check that all three \`endpoints\` belong to one server, and that no proxy removes \`Authorization\`.`,
    )
  }
  return unexpected(name, `with status ${status}`)
}

function rateLimited(name: RequestName): BitbucketSignInError {
  return faultAt(name, 'rate_limited', 'Bitbucket is limiting requests. Wait a few minutes.')
}

/** A setup error that names the boxes to tick, in Bitbucket's own words. */
export function scopeMissing(permission: string, name?: RequestName): BitbucketSignInError {
  const message = `The OAuth client lacks a permission. Open it in Bitbucket (workspace settings, OAuth clients) and tick ${permission}.`
  return name ? faultAt(name, 'scope_missing', message) : new BitbucketSignInError('scope_missing', message)
}
