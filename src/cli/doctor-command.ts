import { parseArgs } from 'node:util'
import { createTransport } from '../bitbucket/transport'
import { type ActiveConnection, activateConnection } from '../connections/active-connection'
import { BitbucketSignInError } from '../contract/errors'
import { BITBUCKET_ENDPOINTS, type Endpoints } from '../contract/options'
import { type DoctorFinding, problem, reportOf } from '../doctor/finding'
import { installationFindings } from '../doctor/installation'
import { readSite, type SentToBitbucket } from '../doctor/site'
import { upstreamFindings } from '../doctor/upstream-findings'
import { type Command, UsageError } from './command'

const USAGE = `Usage: passport-bitbucket-signin doctor [options]

Finds mistakes in a setup and says how to fix each. Without options it checks Node and
the packages in this folder. Exit code: 0 = no problem, 1 = problems,
2 = wrong arguments.

Options:
  --url <address>          A running site, for example https://app.example.com. A sign-in
                           is started there and cancelled; no user is signed in.
  --path <path>            Path of the router. Default: the path in --url, otherwise
                           /auth/bitbucket.
  --client-id <key>        OAuth client to ask Bitbucket about. Default: what the site
                           sends. Its secret is read from BITBUCKET_CLIENT_SECRET.
  --callback-url <url>     The callback URL registered at Bitbucket. Default: what the
                           site sends.
  --bitbucket <address>    Address of the fake Bitbucket, or of another server that stands
                           in for bitbucket.org. The secret is sent there.
  --json                   Print the findings as JSON.

Inside the app the doctor sees more: await bitbucket.doctor(app).
`

/** `doctor`: checks an installation, a running site and an OAuth client. */
export const doctor: Command = {
  name: 'doctor',
  usage: USAGE,
  async run(args, terminal) {
    const options = readOptions(args)
    const report = reportOf(await findings(options))
    terminal.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : String(report))
    return report.ok ? 0 : 1
  },
}

interface Options {
  readonly site: { readonly origin: string; readonly path: string } | null
  readonly clientID: string | undefined
  readonly callbackURL: string | undefined
  readonly endpoints: Endpoints
  readonly json: boolean
}

function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      url: { type: 'string' },
      path: { type: 'string' },
      'client-id': { type: 'string' },
      'callback-url': { type: 'string' },
      bitbucket: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const { url, path, bitbucket } = values
  if (path !== undefined && !/^\/[^?#]*$/.test(path))
    throw new UsageError('--path must be a path such as /auth/bitbucket.')
  return {
    site: url === undefined ? null : { origin: originOf('--url', url), path: pathOf(url, path) },
    clientID: values['client-id'],
    callbackURL: values['callback-url'],
    endpoints: bitbucket === undefined ? BITBUCKET_ENDPOINTS : endpointsAt(originOf('--bitbucket', bitbucket)),
    json: values.json,
  }
}

/** Path of the router: `--path`, otherwise the path in `--url`, otherwise the usual one. */
function pathOf(url: string, path: string | undefined): string {
  const inUrl = new URL(url).pathname.replace(/\/+$/, '')
  if (path === undefined) return inUrl || '/auth/bitbucket'
  if (inUrl !== '')
    throw new UsageError(`--url has the path ${inUrl} and --path is set too. Set the router's path once.`)
  return path.replace(/\/+$/, '')
}

/** The origin in an option's value. */
export function originOf(option: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url && /^https?:$/.test(url.protocol)) return url.origin
  throw new UsageError(`${option} must be an address such as https://app.example.com, not "${text}".`)
}

/** The three endpoints of a server that stands in for Bitbucket. */
export function endpointsAt(origin: string): Endpoints {
  return {
    authorizationURL: `${origin}/site/oauth2/authorize`,
    tokenURL: `${origin}/site/oauth2/access_token`,
    apiURL: `${origin}/2.0`,
  }
}

async function findings(options: Options): Promise<readonly DoctorFinding[]> {
  const transport = createTransport({ preconnect: false })
  try {
    const bitbucketOrigin = new URL(options.endpoints.authorizationURL).origin
    const site = options.site && (await readSite(transport, { ...options.site, bitbucketOrigin }))
    const sent = site?.sent ?? null
    const hasSecret = Boolean(process.env.BITBUCKET_CLIENT_SECRET)
    const client = clientOf(options, sent)
    return [
      ...installationFindings(process.cwd()),
      ...(site?.findings ?? []),
      ...differences(options, sent),
      ...(client ? await upstreamFindings(transport, client, { hasSecret }) : []),
    ]
  } finally {
    transport.close()
  }
}

/** The client to check: from the arguments, otherwise what the site sends. */
function clientOf({ clientID, callbackURL, endpoints, site }: Options, sent: SentToBitbucket | null) {
  const id = clientID ?? sent?.clientID
  if (id === undefined) return null
  const registered = callbackURL ?? sent?.callbackURL ?? (site ? `${site.origin}${site.path}/callback` : undefined)
  if (registered === undefined) throw new UsageError('--client-id needs --callback-url or --url.')
  return checked({ clientID: id, callbackURL: registered, endpoints, ...(sent?.scope && { scope: sent.scope }) })
}

function checked(given: {
  clientID: string
  callbackURL: string
  endpoints: Endpoints
  scope?: string
}): ActiveConnection {
  try {
    const clientSecret = process.env.BITBUCKET_CLIENT_SECRET || 'not given'
    return activateConnection({ ...given, clientSecret }, { name: 'doctor', basePath: null })
  } catch (error) {
    if (error instanceof BitbucketSignInError) throw new UsageError(error.message)
    throw error
  }
}

/** Compares the arguments with what the site does. */
function differences({ clientID, callbackURL }: Options, sent: SentToBitbucket | null): DoctorFinding[] {
  const found: DoctorFinding[] = []
  if (sent && clientID !== undefined && clientID !== sent.clientID) {
    found.push(
      problem(
        'client-id',
        `The site sends the client ID ${sent.clientID}, not ${clientID}.`,
        'Set the client ID (Key) of the site to that of the OAuth client.',
      ),
    )
  }
  if (sent && callbackURL !== undefined && callbackURL !== sent.callbackURL) {
    found.push(
      problem(
        'callback-url',
        `The site sends the callback URL ${sent.callbackURL}; ${callbackURL} is registered. Bitbucket compares them exactly.`,
        `Set \`callbackURL\` of the connection to ${callbackURL}, or register ${sent.callbackURL}.`,
      ),
    )
  }
  return found
}
