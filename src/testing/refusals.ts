import { type Answer, jsonAnswer } from './answer'

/** Bitbucket's own refusals of the API, word for word on the wire: clients are known to match on them. */
export function invalidToken(): Answer {
  return unauthorized('Token is invalid, expired, or not supported for this endpoint.')
}

export function expiredToken(): Answer {
  return unauthorized('Access token expired. Use your refresh token to obtain a new access token.')
}

export function missingScope(required: readonly string[], granted: readonly string[]): Answer {
  return apiError(403, {
    message: 'Your credentials lack one or more required privilege scopes.',
    detail: { required, granted },
  })
}

export function notFound(): Answer {
  return apiError(404, {
    message: 'Resource not found',
    detail:
      "There is no API hosted at this URL.\n\nFor information about our API's, please refer to the documentation at: https://developer.atlassian.com/bitbucket/api/2/reference/",
  })
}

export function methodNotAllowed(): Answer {
  return jsonAnswer(405, { type: 'error', error: { message: 'Method not allowed' } }, { allow: 'GET, HEAD' })
}

/** The announcement is there twice, inside the error and beside it. */
export function removedEndpoint(): Answer {
  const data = { announcement_url: 'https://developer.atlassian.com/cloud/bitbucket/changelog#CHANGE-2770' }
  const error = {
    message: 'CHANGE-2770 - Functionality has been deprecated',
    detail: 'Please read the changelog entry for more details.',
    data,
  }
  return jsonAnswer(410, { type: 'error', error, data })
}

/** The one sentence that tells of a rate limit. It was seen bare, in an envelope, and left out. */
export const RATE_LIMITED = 'Rate limit for this resource has been exceeded'

export function apiError(status: number, error: Readonly<Record<string, unknown>>): Answer {
  return jsonAnswer(status, { type: 'error', error })
}

/** A refusal of the token endpoint. */
export function oauthError(status: number, error: string, description: string): Answer {
  return jsonAnswer(status, { error_description: description, error }, { 'cache-control': 'no-store' })
}

function unauthorized(message: string): Answer {
  const { status, headers, body } = apiError(401, { message })
  return { status, headers: { ...headers, 'www-authenticate': 'OAuth realm="Bitbucket.org HTTP"' }, body }
}
