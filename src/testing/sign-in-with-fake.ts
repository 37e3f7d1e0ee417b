import { allow, checkAuthorize, deny } from './authorize'
import { refuseUnknownKeys, requireText } from './check'
import type { Recorder } from './recorder'
import type { World } from './world'

/** What the person does at the consent page. */
export interface SignInOptions {
  /** Key of the person, for example `alice`. */
  readonly person: string
  /** Default `allow`. */
  readonly decision?: 'allow' | 'deny'
}

/** The consent page without a browser: from the authorize URL to the callback URL. */
export function signIn(authorizeURL: string | URL, options: SignInOptions, world: World, recorder: Recorder): string {
  const url = readAuthorizeURL(authorizeURL, world)
  refuseUnknownKeys('signIn()', options, ['person', 'decision'])
  const { person, decision = 'allow' } = options
  const chosen = world.people.get(requireText('"person" of signIn()', person))
  if (decision !== 'allow' && decision !== 'deny') {
    throw new TypeError(`The decision "${decision}" is neither "allow" nor "deny".`)
  }
  const entry = recorder.noteSignIn(url)
  const check = checkAuthorize(url.searchParams, world)
  entry.status = check.outcome === 'refuse' ? 400 : 302
  switch (check.outcome) {
    case 'refuse':
      throw new Error(`The fake Bitbucket shows the error page "${check.title}": ${check.reason}`)
    case 'redirect':
      return check.location
    case 'ask':
      return decision === 'allow' ? allow(check.request, chosen, world) : deny(check.request)
  }
}

function readAuthorizeURL(authorizeURL: string | URL, world: World): URL {
  const expected = `${world.url}/site/oauth2/authorize`
  const given = String(authorizeURL)
  const url = URL.canParse(given) ? new URL(given) : undefined
  if (url && url.origin + url.pathname === expected) return url
  throw new TypeError(
    `signIn() takes the URL to which the app redirects, ${expected}?…, but got "${given}". ` +
      "Pass the Location header of the app's answer, and give the connection this fake's endpoints.",
  )
}
