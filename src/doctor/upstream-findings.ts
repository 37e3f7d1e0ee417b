import { randomBytes } from 'node:crypto'
import { type ApiClient, type Exchange, requestToken } from '../bitbucket/exchange'
import { readOAuthError, readTokenAnswer } from '../bitbucket/read-answer'
import type { Transport, UpstreamAnswer } from '../bitbucket/transport-parts'
import { BitbucketSignInError } from '../contract/errors'
import { ExchangeDeadline } from '../time/deadline'
import { type DoctorFinding, ok, problem, unknown, warning } from './finding'

/** The OAuth client to check. Without a secret, only what needs none is checked. */
export interface UpstreamClient extends ApiClient {
  readonly authorizationURL: URL
  readonly scope: string | undefined
}

/** For all requests together. */
const DEADLINE_MS = 10_000
const CONSOLE = 'workspace settings, OAuth clients'

/**
 * Asks Bitbucket about an OAuth client, without a user. Only unambiguous answers are interpreted. No user is signed in,
 * and a token that is issued is dropped immediately.
 */
export async function upstreamFindings(
  transport: Transport,
  client: UpstreamClient,
  { hasSecret = true }: { readonly hasSecret?: boolean } = {},
): Promise<readonly DoctorFinding[]> {
  const dates: string[] = []
  const exchange: Exchange = { transport, deadline: new ExchangeDeadline(DEADLINE_MS, undefined), timings: [] }
  const noting = (answer: UpstreamAnswer) => {
    if (answer.headers.date) dates.push(answer.headers.date)
    return answer
  }
  try {
    const consent = readConsent(noting(await askConsent(exchange, client)), client)
    const credentials = hasSecret ? await askCredentials(exchange, client, noting) : []
    const rejected = credentials.some(({ verdict }) => verdict === 'problem')
    const scopes = hasSecret && !rejected ? await askScopes(exchange, client, noting) : null
    return [...consent.findings, ...credentials, scopeFinding(consent.scopes, scopes, client), ...clockFindings(dates)]
  } catch (error) {
    if (!(error instanceof BitbucketSignInError)) throw error
    return [
      problem(
        'bitbucket',
        `${client.tokenURL.origin} did not answer this machine (${error.code}).`,
        'Check name resolution, firewall and proxy; set `http.agent` if requests must go through a proxy.',
      ),
    ]
  } finally {
    exchange.deadline.end()
  }
}

/** The first step as a browser that is not signed in at Bitbucket. */
function askConsent({ transport, deadline }: Exchange, client: UpstreamClient): Promise<UpstreamAnswer> {
  const url = new URL(client.authorizationURL)
  url.searchParams.set('response_type', 'code')
  url.searchParams.set('client_id', client.clientID)
  url.searchParams.set('redirect_uri', client.callbackURL)
  url.searchParams.set('state', randomBytes(8).toString('hex'))
  if (client.scope !== undefined) url.searchParams.set('scope', client.scope)
  return transport.request({
    method: 'GET',
    url,
    headers: { accept: 'text/html' },
    deadline,
  })
}

/** The result of the first step. */
interface ConsentReading {
  readonly findings: readonly DoctorFinding[]
  readonly scopes: 'accepted' | 'refused' | 'unknown'
}

/** An error page, a redirect back with an error, a consent page, or a sign-in page that shows nothing yet. */
function readConsent(
  { status, headers }: UpstreamAnswer,
  { callbackURL, clientID, scope }: UpstreamClient,
): ConsentReading {
  const { location = '' } = headers
  const back = URL.canParse(location) && location.startsWith(callbackURL) ? new URL(location).searchParams : null
  const error = back?.get('error')
  if (error === 'invalid_scope') return { findings: [callbackKnown(callbackURL)], scopes: 'refused' }
  if (error) {
    const finding = problem(
      'callback',
      'Bitbucket redirects users straight back with an error instead of asking for consent.',
      `Open the OAuth client in Bitbucket (${CONSOLE}) and make sure that "Authorization code" is ticked.`,
    )
    return { findings: [finding], scopes: 'unknown' }
  }
  if (status >= 400 && status < 500) {
    const finding = problem(
      'callback',
      `Bitbucket shows an error page for client ID ${clientID} and callback URL ${callbackURL}.`,
      `Register exactly ${callbackURL} as the callback URL of this OAuth client (${CONSOLE}), with the same scheme, host, port, path and slash, and check the client ID (Key).`,
    )
    return { findings: [finding], scopes: 'unknown' }
  }
  if (status === 200) {
    return { findings: [callbackKnown(callbackURL)], scopes: scope === undefined ? 'unknown' : 'accepted' }
  }
  const finding = unknown(
    'callback',
    `Bitbucket asks for its own sign-in first, so it does not show whether ${callbackURL} is the registered callback URL. Compare them by eye.`,
  )
  return { findings: [finding], scopes: 'unknown' }
}

function callbackKnown(callbackURL: string): DoctorFinding {
  return ok('callback', `Bitbucket did not refuse ${callbackURL}.`)
}

/** A code that cannot exist: with valid credentials the code is refused, with wrong ones the client. */
async function askCredentials(
  exchange: Exchange,
  client: UpstreamClient,
  noting: (answer: UpstreamAnswer) => UpstreamAnswer,
): Promise<DoctorFinding[]> {
  const form = { grant_type: 'authorization_code', code: 'doctor', redirect_uri: client.callbackURL }
  const answer = noting(await requestToken(exchange, client, form))
  const error = readOAuthError(answer.body)
  if (error === 'invalid_grant') return [ok('credentials', 'Bitbucket accepts client ID and secret.')]
  if (error === 'unauthorized_client' || error === 'invalid_client') {
    return [
      problem(
        'credentials',
        `Bitbucket refuses client ID ${client.clientID} with this secret.`,
        `Copy Key and Secret again from the OAuth client (${CONSOLE}); check for a missing character, a line break or quotes.`,
      ),
    ]
  }
  if (error === 'invalid_request') {
    return [
      problem(
        'callback',
        'No callback URL is registered for this OAuth client.',
        `Tick "Authorization code" and enter ${client.callbackURL} (${CONSOLE}).`,
      ),
    ]
  }
  return [unknown('credentials', `Bitbucket's token endpoint returned status ${answer.status}; try again later.`)]
}

/** Only a private client can read its own permissions. The token is read for its scopes and dropped. */
async function askScopes(
  exchange: Exchange,
  client: UpstreamClient,
  noting: (answer: UpstreamAnswer) => UpstreamAnswer,
): Promise<readonly string[] | null> {
  const answer = noting(await requestToken(exchange, client, { grant_type: 'client_credentials' }))
  return (answer.status === 200 && answer.body && readTokenAnswer(answer.body)?.scopes) || null
}

function scopeFinding(
  consent: 'accepted' | 'refused' | 'unknown',
  granted: readonly string[] | null,
  { scope }: UpstreamClient,
): DoctorFinding {
  const needed = (scope ?? 'account email').split(' ')
  // Writing includes reading: `repository:write` is enough for `repository`.
  const missing = needed.filter((each) => !granted?.some((has) => has === each || has.startsWith(`${each}:`)))
  const named = granted ? missing : needed
  if (consent === 'refused' || (granted && missing.length > 0)) {
    return problem(
      'scopes',
      `The OAuth client lacks permissions: ${named.join(', ')} ${granted ? (missing.length > 1 ? 'are' : 'is') : 'are all needed, and Bitbucket refused one of them; some'} not ticked.`,
      `Tick them on the OAuth client (${CONSOLE}); "account" is Account: Read, "email" is Account: Email.`,
    )
  }
  if (granted || consent === 'accepted') return ok('scopes', `The OAuth client has ${needed.join(', ')}.`)
  return unknown('scopes', `Only the first sign-in shows whether ${needed.join(', ')} are ticked (scope_missing).`)
}

/** Codes and cookies are valid for minutes, so clocks may differ by one. */
function clockFindings(dates: readonly string[]): DoctorFinding[] {
  const [date] = dates
  if (date === undefined || Number.isNaN(Date.parse(date))) return []
  const seconds = Math.round((Date.now() - Date.parse(date)) / 1000)
  if (Math.abs(seconds) <= 60) return [ok('clock', "This machine's clock agrees with Bitbucket's.")]
  return [
    warning(
      'clock',
      `This machine's clock is ${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} Bitbucket's.`,
      'Set it by NTP. Cookies and codes of another process may be refused or stay valid too long.',
    ),
  ]
}
