import type { AppSighting } from './app-probe'
import { type DoctorFinding, ok, problem, unknown, warning } from './finding'
import type { SessionTrial } from './session-trial'
import type { RequestSighting } from './sighting'

/** The inputs of the findings apart from the observations. */
export interface AppExpectation {
  readonly callbackURL: string
  /** Path at which the router is mounted. */
  readonly mount: string
  readonly hasCustomDomains: boolean
  /** Whether the site of the callback hands sign-ins over to other origins, and may serve no users itself. */
  readonly passesOn: boolean
  readonly production: boolean
}

/** Turns what was seen of an app into verdicts. */
export function appFindings(seen: AppSighting, expected: AppExpectation): readonly DoctorFinding[] {
  const { first } = seen
  if (!first) return [mountMissing(seen, expected)]
  return [
    ok('mount', `The router answers at ${expected.mount || '/'}.`),
    ...callbackFindings(seen.callback, expected),
    ...connectionFindings(first, expected),
    queryFinding(first),
    proxyFinding(first, expected),
    sessionFinding(first),
    passportFinding(first, seen.passportReads),
    ...(first.cookie ? cookieFindings(first, expected) : []),
    ...(seen.trial ? storeFindings(first, seen.trial, seen.cameBack, expected) : []),
    ...(seen.storesUnasked ? [storesUnasked(first)] : []),
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

function queryFinding({ readsQuery }: RequestSighting): DoctorFinding {
  return readsQuery
    ? ok('query', 'Express reads query parameters.')
    : problem(
        'query',
        'req.query is empty although the URL has a query, so the callback would never receive its code.',
        "Remove app.set('query parser', false), or set it to 'simple'.",
      )
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

function sessionFinding({ session }: RequestSighting): DoctorFinding {
  switch (session) {
    case 'usable':
      return ok('session', 'express-session comes before the router.')
    case 'missing':
      return problem(
        'session',
        'There is no req.session at the router.',
        'Mount app.use(session({ … })) of express-session before app.use(…, bitbucket.router), with a cookie.path that covers the router.',
      )
    case 'mounted-later':
      return problem(
        'session',
        'express-session is mounted after the router.',
        'Move app.use(session({ … })) before app.use(…, bitbucket.router).',
      )
    case 'cannot-rotate':
      return problem(
        'session',
        'req.session is not kept in a store under an id, or cannot regenerate, reload and save, so a sign-in could not rotate it (session fixation).',
        'Use express-session with a store; cookie-session is not supported.',
      )
  }
}

function passportFinding({ passport, session }: RequestSighting, reads: boolean | null): DoctorFinding {
  const mount = 'Mount passport.session() after express-session and before the router.'
  if (passport === 'too-old') {
    return problem(
      'passport-session',
      'This Passport does not rotate the session at sign-in; it is 0.5 or older.',
      'Install passport 0.7, and check for a second copy with `npm ls passport`.',
    )
  }
  if (passport === 'another-instance') {
    return problem(
      'passport-session',
      'The passport.session() that ran for this request belongs to another Passport instance than the `passport` option.',
      'Pass the instance whose session() is mounted to bitbucketSignIn; check for a second copy with `npm ls passport`.',
    )
  }
  if (passport === 'missing') {
    return problem('passport-session', 'passport.session() does not come before the router.', mount)
  }
  if (reads === false) {
    return problem(
      'passport-session',
      'passport.initialize() is mounted, and passport.session() is not before the router: no user stays signed in.',
      mount,
    )
  }
  return reads === null && session === 'usable'
    ? unknown('passport-session', 'Passport is mounted; whether it reads the session could not be tried.')
    : ok('passport-session', 'passport.session() comes before the router and reads the session.')
}

function cookieFindings(first: RequestSighting, expected: AppExpectation): DoctorFinding[] {
  const { cookie } = first
  if (!cookie) return []
  const isSecure = new URL(expected.callbackURL).protocol === 'https:'
  const found: DoctorFinding[] = []
  if (cookie.secure === true && !isSecure) {
    found.push(
      problem(
        'session-cookie',
        'The session cookie is `secure`, but the callback URL is http: the browser does not get the cookie.',
        "Set cookie.secure to 'auto', or to true in production only.",
      ),
    )
  }
  if (cookie.secure !== true && cookie.secure !== 'auto' && isSecure) {
    found.push(
      problem(
        'session-cookie',
        'The session cookie is not `secure` although the site is https: browsers also send it over http, where it can be read.',
        'Set cookie: { secure: true } (behind a proxy together with `trust proxy`).',
      ),
    )
  }
  if (cookie.httpOnly === false) {
    found.push(
      warning(
        'session-cookie',
        'Scripts can read the session cookie (httpOnly is false).',
        'Remove httpOnly: false; true is the default of express-session.',
      ),
    )
  }
  const { hostname } = new URL(expected.callbackURL)
  if (typeof cookie.domain === 'string' && !isWithin(hostname, cookie.domain)) {
    found.push(
      problem(
        'session-cookie',
        `The session cookie's domain ${cookie.domain} does not cover ${hostname}, the host of the callback URL.`,
        'Remove cookie.domain, or set it to a domain that covers the callback.',
      ),
    )
  }
  if (found.length === 0) found.push(ok('session-cookie', 'Its flags work with the callback URL.'))
  return [...found, sameSiteFinding(cookie.sameSite)]
}

function isWithin(hostname: string, domain: string): boolean {
  const parent = domain.replace(/^\./, '').toLowerCase()
  return hostname === parent || hostname.endsWith(`.${parent}`)
}

function sameSiteFinding(value: unknown): DoctorFinding {
  const sameSite = value === true ? 'strict' : String(value).toLowerCase()
  if (sameSite === 'strict') {
    return warning(
      'same-site',
      'The session cookie is SameSite=Strict, so the browser does not send it when Bitbucket redirects back; each sign-in shows one more page for a moment.',
      "Set cookie: { sameSite: 'lax' }, unless you want strict.",
    )
  }
  if (sameSite === 'none') {
    return warning(
      'same-site',
      'The session cookie is SameSite=None: browsers send it with requests from other sites.',
      "Set cookie: { sameSite: 'lax' }, unless the app is shown in a frame of another site.",
    )
  }
  // Without the attribute browsers use Lax, some with an exception of two minutes.
  return ok('same-site', 'The browser sends the session cookie when Bitbucket redirects back.')
}

function storeFindings(
  { storeName }: RequestSighting,
  trial: SessionTrial,
  cameBack: boolean | null,
  { production }: AppExpectation,
): DoctorFinding[] {
  if (trial.fault !== null) {
    return [
      problem(
        'session-store',
        `The session store failed while a session was saved and rotated: ${trial.fault.slice(0, 200)}`,
        'Fix the store first: check that it is running, and its address, credentials and table.',
      ),
    ]
  }
  const found: DoctorFinding[] = []
  if (!trial.rotates) {
    found.push(
      problem(
        'session-store',
        'req.session.regenerate() did not change the session id: something replaced the function, so sessions cannot be rotated.',
        'Remove the middleware that sets req.session.regenerate to an empty function; use express-session with a store.',
      ),
    )
  } else if (!trial.oldIsGone) {
    found.push(
      problem(
        'session-store',
        'After a rotation the old session is still in the store, so a fixed session id stays valid.',
        "The store's destroy() does nothing. Use or write a store that deletes.",
      ),
    )
  }
  if (cameBack === false) {
    found.push(
      problem(
        'session-store',
        'A saved session was missing at the next request.',
        "The store's get() does not find what set() wrote: check its table, key prefix and lifetime.",
      ),
    )
  }
  if (trial.rotates && !trial.passportRotates) {
    found.push(
      warning(
        'passport-rotation',
        'Passport does not rotate the session in req.logIn: it is patched, req.logIn is wrapped, or a second, older copy is in use.',
        'Run `npm ls passport` and remove the older copy or the patch. Our routes rotate the session themselves; the app’s own req.logIn does not.',
      ),
    )
  }
  if (storeName === 'MemoryStore' && production) {
    found.push(
      warning(
        'session-store',
        'Sessions are in MemoryStore: they are lost when the process ends, are not shared, and leak memory.',
        'Give express-session a store, for example connect-pg-simple or connect-redis.',
      ),
    )
  }
  return found.length > 0 ? found : [ok('session-store', `${storeName ?? 'The store'} saves and rotates sessions.`)]
}

function storesUnasked({ isWritten }: RequestSighting): DoctorFinding {
  const message = 'Every visitor, including bots, gets a stored session and a cookie'
  return isWritten
    ? warning(
        'session-unasked',
        `${message}: middleware before the router writes into each session.`,
        'Write into req.session only when there is something to keep, for example a CSRF token when a form is rendered.',
      )
    : warning('session-unasked', `${message}.`, 'Set saveUninitialized: false in express-session.')
}
