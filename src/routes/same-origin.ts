import { BitbucketSignInError } from '../contract/errors'
import type { Visit } from './context'

/**
 * Only pages of this very origin may POST. `Sec-Fetch-Site` decides if the browser sends it, because under
 * `no-referrer` genuine form posts carry `Origin: null`; otherwise `Origin` must be one of our origins and the one of this request.
 */
export function checkSameOrigin<User>({ req, connection, origin }: Visit<User>): void {
  const site = req.headers['sec-fetch-site']
  if (site !== undefined) {
    if (site === 'same-origin') return
    throw crossSite()
  }
  const given = req.headers.origin
  if (given === undefined || !connection.origins.includes(given)) throw crossSite()
  if (connection.hasCustomDomains && given !== origin) throw crossSite()
}

function crossSite(): BitbucketSignInError {
  return new BitbucketSignInError(
    'cross_site_request',
    'This request does not come from a page of this site. Clients other than browsers must send `Origin` with the origin of the callback URL.',
  )
}
