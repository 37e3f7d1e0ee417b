import type { FakeRefusal } from './behaviour'

/** An answer of the fake: built by the endpoints, sent by the server, so that a fault can change it in between. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

/** One request, body read. */
export interface FakeRequest {
  readonly method: string
  /** Path without query, still percent-encoded. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The form in the body; empty if the body is anything else, as Bitbucket reads nothing else. */
  readonly form: URLSearchParams
}

export function jsonAnswer(status: number, body: unknown, headers: Answer['headers'] = {}): Answer {
  return bodyAnswer(status, 'application/json', JSON.stringify(body), headers)
}

export function htmlAnswer(status: number, body: string, headers: Answer['headers'] = {}): Answer {
  return bodyAnswer(status, 'text/html', body, headers)
}

export function textAnswer(status: number, body: string): Answer {
  return bodyAnswer(status, 'text/plain', body, {})
}

export function redirectAnswer(status: number, location: string, headers: Answer['headers'] = {}): Answer {
  return { status, headers: { location, 'cache-control': 'no-store', ...headers }, body: '' }
}

function bodyAnswer(status: number, type: string, body: string, headers: Answer['headers']): Answer {
  return { status, headers: { 'content-type': `${type}; charset=utf-8`, ...headers }, body }
}

/** A refusal of the token endpoint. */
export function oauthError({ status, error, description }: FakeRefusal): Answer {
  const body = { ...(description !== null && { error_description: description }), error }
  return jsonAnswer(status, body, { 'cache-control': 'no-store' })
}

/** Refusals of the API, word for word as on the wire: clients are known to match on them. */
export function apiError(status: number, error: Readonly<Record<string, unknown>>): Answer {
  return jsonAnswer(status, { type: 'error', error })
}

export function invalidToken(): Answer {
  return unauthorized('Token is invalid, expired, or not supported for this endpoint.')
}

export function expiredToken(): Answer {
  return unauthorized('Access token expired. Use your refresh token to obtain a new access token.')
}

function unauthorized(message: string): Answer {
  const { status, headers, body } = apiError(401, { message })
  return { status, headers: { ...headers, 'www-authenticate': 'OAuth realm="Bitbucket.org HTTP"' }, body }
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

/** The announcement is there twice, inside the error and next to it. */
export function removedEndpoint(): Answer {
  const data = { announcement_url: 'https://developer.atlassian.com/cloud/bitbucket/changelog#CHANGE-2770' }
  const error = {
    message: 'CHANGE-2770 - Functionality has been deprecated',
    detail: 'Please read the changelog entry for more details.',
    data,
  }
  return jsonAnswer(410, { type: 'error', error, data })
}

/** The only sign of a rate limit besides the status. It was seen as plain text, as JSON, and left out. */
export function rateLimited(form: 'text' | 'json' | 'empty'): Answer {
  const message = 'Rate limit for this resource has been exceeded'
  if (form === 'text') return textAnswer(429, message)
  return form === 'json' ? apiError(429, { message }) : { status: 429, headers: {}, body: '' }
}
