import type { AppSighting } from './app-probe'
import { type AppExpectation, type DoctorFinding, ok, problem, unknown, warning } from './finding'
import type { SessionTrial } from './session-trial'
import type { RequestSighting } from './sighting'

/** Verdicts about sessions: express-session, Passport on it, its cookie and its store. */
export function sessionFindings(
  first: RequestSighting,
  { passportReads, trial, cameBack, storesUnasked: isStored }: AppSighting,
  expected: AppExpectation,
): readonly DoctorFinding[] {
  return [
    sessionFinding(first),
    passportFinding(first, passportReads),
    ...(first.cookie ? cookieFindings(first, expected) : []),
    ...(trial ? storeFindings(first, trial, cameBack, expected) : []),
    ...(isStored ? [storesUnasked(first)] : []),
  ]
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
  if (trial.rotates && trial.passportRotates === false) {
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
