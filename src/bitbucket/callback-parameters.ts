import { parse } from 'node:querystring'
import type { Request } from 'express'
import { BitbucketSignInError } from '../contract/errors'
import { scopeMissing } from './upstream-refusals'

/** The parameters of a callback, each a single string of bounded length. */
export interface CallbackParameters {
  readonly state: string | undefined
  readonly code: string | undefined
  readonly error: string | undefined
  readonly iss: string | undefined
  readonly handover: string | undefined
}

const LIMITS = { state: 1024, code: 2048, error: 256, iss: 512, handover: 4096 } as const

/**
 * The query as it was sent. `req.query` depends on the app's `query parser`, which can be off or drop what it does not
 * know; every callback would then be refused as one of another browser.
 */
export function queryOf({ url }: Pick<Request, 'url'>): Request['query'] {
  const start = url.indexOf('?')
  return start === -1 ? NO_QUERY : parse(url.slice(start + 1))
}

const NO_QUERY: Request['query'] = Object.freeze({})

/**
 * Reads the callback's query; no other source counts. A parameter that is repeated, empty or too long invalidates the
 * whole callback: every reader of such a query picks another value.
 */
export function readCallback(query: Request['query']): CallbackParameters {
  const read = (name: keyof typeof LIMITS): string | undefined => {
    const value: unknown = Object.hasOwn(query, name) ? query[name] : undefined
    if (value === undefined) return undefined
    if (typeof value !== 'string' || value === '' || value.length > LIMITS[name]) throw stateInvalid()
    return value
  }
  return {
    state: read('state'),
    code: read('code'),
    error: read('error'),
    iss: read('iss'),
    handover: read('handover'),
  }
}

/** The same response for every invalid callback, so that strangers learn nothing. */
export function stateInvalid(): BitbucketSignInError {
  return new BitbucketSignInError('state_invalid', 'This callback does not belong to an open sign-in of this browser.')
}

/** The user declined at Bitbucket. */
export function accessDenied(): BitbucketSignInError {
  return new BitbucketSignInError('access_denied', 'The user did not allow the sign-in at Bitbucket.')
}

/** The callback of a sign-in that this browser did not start, or has finished: Back, reload, a second click. */
export class NotOpenError extends BitbucketSignInError {
  constructor() {
    super('state_invalid', stateInvalid().message)
  }
}

/** `iss` must be the server that was asked, if present. @see https://www.rfc-editor.org/rfc/rfc9207 */
export function checkIssuer(iss: string | undefined, authorizationURL: URL): void {
  if (!isIssuer(iss, authorizationURL)) throw stateInvalid()
}

/** Whether `iss`, if present, names this server. */
export function isIssuer(iss: string | undefined, authorizationURL: URL): boolean {
  return iss === undefined || iss === authorizationURL.origin
}

/** Exactly one of `code` and `error`; the error codes of RFC 6749 become ours, the description is ignored. */
export function authorizationCode({ code, error }: Pick<CallbackParameters, 'code' | 'error'>): string {
  if ((code === undefined) === (error === undefined)) throw stateInvalid()
  if (code !== undefined) return code
  switch (error) {
    case 'access_denied':
      throw accessDenied()
    case 'invalid_scope':
      throw scopeMissing('Account: Read and Email, and the box of every extra scope')
    case 'unauthorized_client':
    case 'unsupported_response_type':
    case 'invalid_request':
      throw new BitbucketSignInError(
        'client_rejected',
        'Bitbucket refused this OAuth client. Check the client ID (Key) and that exactly this callback URL is registered.',
      )
    default:
      throw new BitbucketSignInError('upstream_failed', 'Bitbucket ended the sign-in with an error.')
  }
}
