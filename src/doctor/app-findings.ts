import type { AppSighting } from './app-probe'
import { type AppExpectation, type DoctorFinding, ok, problem, unknown, warning } from './finding'
import { sessionFindings } from './session-findings'
import type { RequestSighting } from './sighting'

/** Turns what was seen of an app into verdicts. */
export function appFindings(seen: AppSighting, expected: AppExpectation): readonly DoctorFinding[] {
  const { first } = seen
  if (!first) return [mountMissing(seen, expected)]
  return [
    ok('mount', `The router answers at ${expected.mount || '/'}.`),
    ...callbackFindings(seen.callback, expected),
    ...connectionFindings(first, expected),
    proxyFinding(first, expected),
    ...sessionFindings(first, seen, expected),
  ]
}

function mountMissing({ answer, elsewhere }: AppSighting, { mount, callbackURL }: AppExpectation): DoctorFinding {
  const path = mount || '/'
  if ('fault' in answer) {
    return problem('mount', `A request to ${path} got no response: ${answer.fault}.`, "See the app's log.")
  }
  const { status, location } = answer
  if (status >= 300 && status < 400) {
    return problem(
      'mount',
      `A request to ${path} is redirected${location === null ? '' : ` to ${location.split(/[?#]/, 1)[0]}`} before it reaches the router.`,
      'Exempt the path of the router from the guard that redirects: users are not signed in yet at that point.',
    )
  }
  if (status !== 404) {
    return problem(
      'mount',
      `A request to ${path} is answered with status ${status} before it reaches the router.`,
      status >= 500
        ? "See the error in the app's log. Most often passport.session() found no req.session: express-session is missing, is mounted later, or its cookie.path does not cover the router."
        : 'Check the middleware before the router; it responds first.',
    )
  }
  if (elsewhere !== null) {
    const found = elsewhere || '/'
    return problem(
      'mount',
      `The router is mounted at ${found}, not at ${path}, the path of the callback URL ${callbackURL}.`,
      `Mount it there: app.use('${path}', bitbucket.router). If a proxy strips ${mount.slice(0, mount.length - elsewhere.length)}, the mount is correct: call doctor(app, { mountedAt: '${found}' }).`,
    )
  }
  return problem(
    'mount',
    `The router is not mounted at ${path}, the path of the callback URL ${callbackURL}.`,
    `Mount it there: app.use('${path}', bitbucket.router), or set \`callbackURL\` (or \`basePath\`) to its mount path.`,
  )
}

function callbackFindings(seen: AppSighting['callback'], { mount, callbackURL }: AppExpectation): DoctorFinding[] {
  if (seen === null) return []
  if (seen === 'reached') return [ok('callback-route', `A request to ${callbackURL} reaches the router.`)]
  const right = `${mount}/callback`
  return [
    problem(
      'callback-route',
      `A request to ${seen.path}, the path of \`callbackURL\`, does not reach the router (${seen.answer}), so every sign-in ends there.`,
      `Set \`callbackURL\` to a URL with the path ${right}, here and at Bitbucket, or let the app rewrite ${seen.path} to ${right}.`,
    ),
  ]
}

function connectionFindings(
  { connection, trustsOthers }: RequestSighting,
  { callbackURL, passesOn }: AppExpectation,
): DoctorFinding[] {
  if (connection === 'offered') return []
  const { origin } = new URL(callbackURL)
  if (connection === 'none' && passesOn) {
    return [
      unknown(
        'connection',
        `No connection is offered at ${origin} itself, which hands sign-ins over to other origins. Whether one is offered there cannot be seen from here.`,
      ),
    ]
  }
  if (connection === 'none') {
    return [
      problem(
        'connection',
        `No connection is offered for a request to ${origin}.`,
        'Return a connection for this host and path; check `enabled`, `applications` and that the tenant is known.',
      ),
    ]
  }
  if (connection === 'origin-not-allowed' && trustsOthers) {
    return [unknown('connection', 'Whether one is offered depends on whether Express trusts your proxy.')]
  }
  if (connection === 'origin-not-allowed') {
    return [
      problem(
        'connection',
        `Express sees a request to ${origin} as another origin, so it is refused (origin_not_allowed).`,
        'Set app.set("trust proxy", 1) behind a proxy, so that Express trusts its X-Forwarded-Host and X-Forwarded-Proto.',
      ),
    ]
  }
  return [
    problem(
      'connection',
      `The connection function failed: ${connection.fault}`,
      'Fix it; it runs on every request to the router.',
    ),
  ]
}

function proxyFinding(first: RequestSighting, { callbackURL, hasCustomDomains }: AppExpectation): DoctorFinding {
  const isSecure = new URL(callbackURL).protocol === 'https:'
  if (first.trustProxy === true) {
    const message = 'trust proxy is `true`: any client can forge its address, scheme and host.'
    const fix =
      'Set it to the number of proxies before the app, as in app.set("trust proxy", 1), or to their addresses.'
    return hasCustomDomains ? problem('trust-proxy', message, fix) : warning('trust-proxy', message, fix)
  }
  if (isSecure && !first.secure && first.trustsOthers) {
    return unknown(
      'trust-proxy',
      'trust proxy lists addresses, none of them of this machine, so whether it covers your proxy cannot be seen from here. `npx passport-bitbucket-signin doctor --url` goes through the proxy.',
    )
  }
  if (isSecure && !first.secure) {
    return problem(
      'trust-proxy',
      'Express believes that a request is plain http although it came over https through a proxy.',
      first.trustProxy
        ? 'trust proxy is set, so the app itself changes X-Forwarded-Proto, or trust proxy is a function that returns false. Every proxy must forward `X-Forwarded-Proto: https`, and none may overwrite it.'
        : 'Set app.set("trust proxy", 1) when a proxy ends TLS. When this process ends TLS itself, call doctor(app, { tlsAt: "app" }).',
    )
  }
  return ok('trust-proxy', isSecure ? 'Express knows that requests came over https.' : 'Not needed on loopback.')
}
