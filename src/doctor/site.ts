import { readOAuthError } from '../bitbucket/read-answer'
import { setCookiesOf, type Transport, type UpstreamAnswer } from '../bitbucket/transport-parts'
import { BitbucketSignInError } from '../contract/errors'
import { ExchangeDeadline } from '../time/deadline'
import { type DoctorFinding, ok, problem, warning } from './finding'

/** A running site, looked at from outside. */
export interface Site {
  readonly origin: string
  /** Public path of the router. */
  readonly path: string
  /** The URL of Bitbucket, to detect a site that redirects users elsewhere. */
  readonly bitbucketOrigin: string
}

/** What the site sends to Bitbucket. */
export interface SentToBitbucket {
  readonly clientID: string
  readonly callbackURL: string
  readonly scope: string | undefined
}

/** The findings, and what the site sends; `null` if no sign-in starts. */
export interface SiteReading {
  readonly findings: readonly DoctorFinding[]
  readonly sent: SentToBitbucket | null
}

const DEADLINE_MS = 10_000

/**
 * Starts a sign-in at a running site and returns with a denial, as a user who cancels at Bitbucket does. This exercises
 * proxy, cookies, session layer and counters, and signs no user in.
 */
export async function readSite(transport: Transport, site: Site): Promise<SiteReading> {
  try {
    const start = await ask(transport, new URL(site.origin + site.path))
    const asked = authorizationRequest(start)
    if (!asked) return { findings: [startFailed(start, site)], sent: null }
    const sent = sentOf(asked)
    const cookie = flowCookie(start)
    return {
      sent,
      findings: [
        ok('mount', `Sign-in starts at ${site.origin}${site.path}.`),
        bitbucketFinding(asked, site),
        callbackFinding(sent, site),
        ...cookieFindings(cookie, site),
        ...(cookie ? [await comeBack(transport, site, sent, asked, cookie.pair)] : []),
      ],
    }
  } catch (error) {
    if (!(error instanceof BitbucketSignInError)) throw error
    const finding = problem(
      'mount',
      `${site.origin} did not answer.`,
      'Check the address, and that the app is running.',
    )
    return { findings: [finding], sent: null }
  }
}

async function ask(transport: Transport, url: URL, cookie?: string): Promise<UpstreamAnswer> {
  const deadline = new ExchangeDeadline(DEADLINE_MS, undefined)
  const headers = {
    accept: 'application/json',
    'sec-fetch-site': 'same-origin',
    connection: 'close',
    ...(cookie !== undefined && { cookie }),
  }
  try {
    return await transport.request({ method: 'GET', url, headers, deadline })
  } finally {
    deadline.end()
  }
}

/** Where the start sends the browser. Other JSON may have a `next` too, for example of the next page of a list. */
function authorizationRequest({ status, body }: UpstreamAnswer): URL | null {
  const next = status === 200 && typeof body?.next === 'string' && URL.canParse(body.next) ? new URL(body.next) : null
  return next?.searchParams.get('client_id') && URL.canParse(next.searchParams.get('redirect_uri') ?? '') ? next : null
}

function sentOf({ searchParams }: URL): SentToBitbucket {
  return {
    clientID: searchParams.get('client_id') ?? '',
    callbackURL: searchParams.get('redirect_uri') ?? '',
    scope: searchParams.get('scope') ?? undefined,
  }
}

function startFailed({ status, body, headers }: UpstreamAnswer, { path }: Site): DoctorFinding {
  const code = readOAuthError(body)
  const known = CAUSES.get(code)
  if (known) return problem('start', `A sign-in does not start: ${code}.`, known)
  if (status >= 300 && status < 400) {
    return problem(
      'mount',
      `${path} redirects${headers.location ? ` to ${headers.location.split(/[?#]/, 1)[0]}` : ''}, not to Bitbucket.`,
      'Pass the public https address with --url and the path with --path; exempt the path of the router from sign-in guards.',
    )
  }
  if (status >= 500) {
    return problem(
      'mount',
      `${path} returns status ${status}, not the start of a sign-in.`,
      "See the error in the app's log. Most often passport.session() found no req.session: express-session is missing or mounted later.",
    )
  }
  return problem(
    'mount',
    `${path} returns status ${status}, not the start of a sign-in.`,
    'Pass the path of the router with --path, and make sure that it is mounted there.',
  )
}

function bitbucketFinding(asked: URL, { bitbucketOrigin }: Site): DoctorFinding {
  if (asked.origin === bitbucketOrigin) return ok('bitbucket', `Users are redirected to ${asked.origin}.`)
  return problem(
    'bitbucket',
    `Users are redirected to ${asked.origin}, not to ${bitbucketOrigin}.`,
    `Remove \`endpoints\` from the connection. If this is a fake on purpose, pass --bitbucket ${asked.origin}.`,
  )
}

function callbackFinding({ callbackURL }: SentToBitbucket, { origin, path }: Site): DoctorFinding {
  const given = URL.canParse(callbackURL) ? new URL(callbackURL) : null
  if (given?.origin === origin && given.pathname === `${path}/callback`) {
    return ok('callback-url', `The site computes ${callbackURL}.`)
  }
  return warning(
    'callback-url',
    `The site is at ${origin}${path}, but its callback URL is ${callbackURL}.`,
    'Set `callbackURL` to this site, unless it is the central callback of several domains (`origins`).',
  )
}

interface FlowCookie {
  readonly name: string
  readonly pair: string
  readonly attributes: string
}

function flowCookie(answer: UpstreamAnswer): FlowCookie | undefined {
  for (const line of setCookiesOf(answer)) {
    const [pair = '', ...attributes] = line.split(';')
    const name = pair.slice(0, pair.indexOf('='))
    if (/\.t[\da-f]$/.test(name)) return { name, pair, attributes: attributes.join(';').toLowerCase() }
  }
  return undefined
}

function cookieFindings(cookie: FlowCookie | undefined, { origin }: Site): DoctorFinding[] {
  if (!cookie) {
    return [
      problem(
        'flow-cookie',
        'The start sets no cookie of the package, so no callback can be accepted.',
        'Check for a proxy or a CDN that removes Set-Cookie, or that serves the start from its cache.',
      ),
    ]
  }
  const isSecure = new URL(origin).protocol === 'https:'
  if (isSecure && !(cookie.name.startsWith('__Host-') && cookie.attributes.includes('secure'))) {
    return [
      problem(
        'flow-cookie',
        'The site is https, but the cookie of a started sign-in is not `Secure`.',
        'Set `callbackURL` with https, as registered.',
      ),
    ]
  }
  if (!cookie.attributes.includes('httponly') || !cookie.attributes.includes('samesite=lax')) {
    return [
      problem(
        'flow-cookie',
        'Something between the app and here rewrites our cookie: HttpOnly or SameSite=Lax is gone.',
        'Remove the cookie rewriting from the proxy, for example nginx proxy_cookie_flags.',
      ),
    ]
  }
  return [ok('flow-cookie', 'The cookie of a started sign-in arrives with its flags.')]
}

async function comeBack(
  transport: Transport,
  { origin }: Site,
  { callbackURL }: SentToBitbucket,
  asked: URL,
  cookie: string,
): Promise<DoctorFinding> {
  const back = new URL(new URL(callbackURL).pathname, origin)
  back.searchParams.set('error', 'access_denied')
  back.searchParams.set('state', asked.searchParams.get('state') ?? '')
  const { status, body } = await ask(transport, back, cookie)
  const code = readOAuthError(body)
  if (code === 'access_denied') {
    return ok('callback-route', 'A callback arrives, finds its session layer, and is accepted once.')
  }
  return problem(
    'callback-route',
    `A callback returned ${code ?? `status ${status}`} instead of a denial.`,
    CAUSES.get(code) ?? `Forward ${back.pathname} to the app, with its query and cookies.`,
  )
}

/** The fix for a refusal that the setup causes. */
const CAUSES: ReadonlyMap<string | undefined, string> = new Map(
  Object.entries({
    configuration_invalid:
      "The app's log names the option. Most often: cookie.secure behind a proxy, without app.set('trust proxy', 1) or with a proxy that does not forward `X-Forwarded-Proto: https`.",
    session_missing: 'Mount express-session, then passport.session(), before the router.',
    connection_unavailable:
      'No connection is offered at this address: check `enabled`, the tenant and the application.',
    origin_not_allowed:
      'Add this origin to `origins`. Behind a proxy set app.set("trust proxy", 1), and let each proxy forward `X-Forwarded-Proto: https` and the host. The log of the app names the origin of the request.',
    state_invalid:
      'The cookie or the query did not arrive: check the proxies, and that all processes have the same `secrets`, `name` and connection.',
    store_unavailable: 'The store of `limiter` or of the sessions does not respond.',
    hook_failed: 'One of your hooks failed or took too long; see the log of the app.',
  }),
)
