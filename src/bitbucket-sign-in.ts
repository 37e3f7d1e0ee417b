import type { RequestListener } from 'node:http'
import type { Request, RequestHandler, Response, Router } from 'express'
import type { Strategy } from 'passport'
import { defaultUserId } from './accounts/guarded-hooks'
import { refreshTokens as refresh } from './bitbucket/exchange'
import { createTransport } from './bitbucket/transport'
import { type ActiveConnection, activateConnection, basePathOf, requestOrigin } from './connections/active-connection'
import { connectionSource } from './connections/connection-source'
import { brandProblem } from './contract/brand'
import { BitbucketSignInError } from './contract/errors'
import { undisturbed } from './contract/events'
import type { LimiterFactory } from './contract/limiter'
import { type BitbucketSignInOptions, type Connection, configurationError } from './contract/options'
import type { RenderPage } from './contract/pages'
import { Secret } from './contract/secret'
import { english, mergeTexts, type Texts } from './contract/texts'
import type { Tokens } from './contract/tokens'
import { parseReturnTo } from './decisions/return-to'
import type { DoctorOptions } from './doctor/examine'
import type { DoctorReport } from './doctor/finding'
import { parseOptions, type ResolvedOptions } from './options/sign-in-options'
import { renderButton } from './pages/button'
import { PluginStrategy } from './passport/plugin-strategy'
import { forgetBrowser } from './routes/forget'
import { type GuardOptions, guard } from './routes/guard'
import { navigationOnly } from './routes/navigation-only'
import { pendingOf } from './routes/pending-form'
import { type RecentSignInOptions, requireRecentSignIn } from './routes/recent-sign-in'
import { type MembershipOptions, requireMembership } from './routes/require-membership'
import { createRouter, startHandler } from './routes/router'
import type { Services } from './routes/services'
import { type SignedInOptions, signedIn } from './routes/signed-in'
import { originNotAllowed } from './routes/start-place'
import { userReader } from './session/user-reader'
import { createAskedFor } from './state/asked-for'
import { deriveKeys, type KeyPurpose } from './state/keys'
import { createLimits, memoryLimiter } from './state/limits'
import { createPendingSignIns } from './state/pending-sign-in'
import { cookieJar } from './state/sealed-cookie'
import { createSecondPasses } from './state/second-pass'
import { createTransactions } from './state/transaction'
import { ExchangeDeadline, withDeadline } from './time/deadline'

/** What to register at Bitbucket: one callback URL for one OAuth client. */
export interface CallbackRegistration {
  readonly callbackURL: string
  readonly clientID: string
  /** Id of the connection. */
  readonly connection: string
  readonly tenant: string | null
  /** The origins whose sign-ins end through this callback. */
  readonly origins: readonly string[]
}

/** A complete "Sign in with Bitbucket", made by {@link bitbucketSignIn}. */
export interface BitbucketSignIn {
  /** Mount it after express-session and `passport.session()`, at the path of the callback URL without `/callback`. */
  readonly router: Router
  /**
   * The start route alone. It reads no session, so it may be mounted ahead of express-session:
   * `app.get('/auth/bitbucket', bitbucket.start)`.
   */
  readonly start: RequestHandler
  /**
   * For `passport.use`, where an app wants `passport.authenticate('bitbucket')`: it signs in known identities only, and
   * does not hand over between custom domains.
   */
  readonly strategy: Strategy
  /** The sign-in button as HTML, or an empty string where the connection is not offered. */
  button(
    req: Request,
    options?: { readonly returnTo?: string; readonly label?: string; readonly looks?: 'inline' | 'class' },
  ): Promise<string>
  /**
   * Whether the button is to be shown for this request; agrees with what start and callback do. Where they would end in
   * a fault it says no and tells `onError`: the page that asks has other ways to sign in.
   */
  offered(req: Request): Promise<boolean>
  /**
   * What to register at Bitbucket: one entry for each client and callback. A resolver function of the app's own cannot
   * be listed and gives none; of `connections()` with `tenants` as a function, give `tenantIds` as well.
   */
  callbackURLs(): Promise<readonly CallbackRegistration[]>
  /**
   * The pending sign-in of this browser: a label to show, and where it continues. For the app's sign-in page. `null` also
   * when another user has signed in since it began.
   */
  pending(req: Request): { readonly label: string; readonly next: string } | null
  /**
   * Call it at the end of the app's own sign-in, after `req.logIn`: stamps the sign-in as recent, drops what somebody else
   * left pending in this browser, and returns the checked path that was asked for before, or `null`. Rejects when no user
   * is signed in.
   *
   * @example
   * req.logIn(user, async (error) => {
   *   if (error) return next(error)
   *   res.redirect((await bitbucket.signedIn(req)) ?? '/')
   * })
   */
  signedIn(req: Request, options?: SignedInOptions): Promise<string | null>
  /**
   * Clears all our cookies in this browser. Call it on sign-out, before the session is ended. Never rejects; what
   * a limiter could not count is reported to `onError`.
   */
  forget(req: Request, res: Response): Promise<void>
  /**
   * Middleware for pages that need a signed-in user. A browser goes to `paths.signIn` and comes back; a client that asks
   * for JSON gets 401 `{ error: 'not_signed_in', message, next }`. Mount it after the router and the sign-in page.
   */
  requireSignedIn(options?: GuardOptions): RequestHandler
  /**
   * Middleware for pages of a company: keeps checking, while a session lasts, that the user is a member of one of the
   * connection's `workspaces`. A page request of a user whose membership was confirmed too long ago goes to a page with
   * one button, and comes back; everything else is refused with `membership_unconfirmed` (403) and `next`. A user who
   * turns out to be no longer a member is signed out. Throws `configuration_invalid` for wrong options.
   *
   * @example
   * const hour = 60 * 60 * 1000
   * app.use('/internal', bitbucket.requireMembership({ maxAgeMs: 8 * hour, graceMs: 4 * hour }))
   */
  requireMembership(options: MembershipOptions): RequestHandler
  /** Middleware for the app's own sensitive pages: lets a sign-in of the last 10 minutes pass, asks for a new one else. */
  requireRecentSignIn(options?: RecentSignInOptions): RequestHandler
  /**
   * Trades a refresh token for new tokens; store the new refresh token, the old one ends. Calls for the same token are
   * one request within a process; between several processes take a lock, as `docs/refreshing-tokens.md` shows. Of
   * `connections()` name the `tenant` whose sign-in brought the tokens (default: the application level); with a resolver
   * function of your own give the `connection`. Rejects with `reauthorization_required` when the person has to consent
   * again, with `connection_unavailable` when the tenant no longer exists.
   */
  refreshTokens(input: {
    readonly refreshToken: string
    readonly tenant?: string | null
    readonly connection?: Connection
  }): Promise<Tokens>
  /**
   * Looks for mistakes in the setup of this app and says how to fix each: sends a few requests through `app` on a port
   * of loopback, and asks Bitbucket about the OAuth client. For a script or a test, not for a page.
   *
   * @example
   * const report = await bitbucket.doctor(app)
   * console.log(String(report))
   * process.exitCode = report.ok ? 0 : 1
   */
  doctor(app?: RequestListener, options?: DoctorOptions): Promise<DoctorReport>
  /** Closes the connections to Bitbucket. A sign-in that is under way ends with `upstream_failed`. */
  close(): void
}

/**
 * Makes a complete "Sign in with Bitbucket": a router to mount after express-session and `passport.session()`, and a button.
 * Nothing is global, so one process can have several. Throws `configuration_invalid` naming the first option that is wrong.
 *
 * @example
 * const bitbucket = bitbucketSignIn({
 *   passport,
 *   secrets: [process.env.SIGN_IN_SECRET],
 *   connection: { clientID, clientSecret, callbackURL: 'https://app.example.com/auth/bitbucket/callback' },
 *   accounts, // how your users are found and stored: AccountHooks
 *   sendEmailCode: ({ to, code }) => mailer.send(to, `Your code is ${code}`),
 * })
 * app.use(session({ … }), passport.session())
 * app.use('/auth/bitbucket', bitbucket.router)
 */
export function bitbucketSignIn<User, Data = unknown>(given: BitbucketSignInOptions<User, Data>): BitbucketSignIn {
  // Inside, what the app put into `data` is opaque.
  const options = parseOptions(given as BitbucketSignInOptions<User>)
  const services = createServices(options)
  warnOfMissingHooks(options)
  warnOfLoop(options)
  const router = createRouter(services, options.basePath !== undefined)
  const start = navigationOnly(startHandler(services, true))
  const strategy = new PluginStrategy(services)
  const inFlight = new Map<string, Promise<Tokens>>()

  /** The connection whose button is to be shown, `null` = none. */
  async function shown(req: Request): Promise<ActiveConnection | null> {
    try {
      const connection = await services.source.resolve(req)
      if (!connection?.visible) return null
      if (requestOrigin(req, connection) !== null) return connection
      // The page has other ways to sign in; that the button is missing there must not stay unnoticed.
      originNotAllowed({ services, req }, connection)
      return null
    } catch (error) {
      if (!(error instanceof BitbucketSignInError)) throw error
      services.report(error, req)
      return null
    }
  }

  return {
    router,
    start,
    strategy,

    async offered(req) {
      return (await shown(req)) !== null
    },

    async button(req, { returnTo, ...looks } = {}) {
      const connection = await shown(req)
      if (!connection) return ''
      const rules = { basePath: connection.basePath, signInPath: services.paths.signIn }
      const path = parseReturnTo(returnTo, rules)
      const href = `${connection.basePath || '/'}${path === undefined ? '' : `?returnTo=${encodeURIComponent(path)}`}`
      return renderButton({ href, texts: services.texts(req), ...looks })
    },

    async callbackURLs() {
      // A tenant that inherits client and callback needs no registration of its own, but may bring origins.
      const registrations = new Map<string, CallbackRegistration>()
      const { connections, failures } = await services.source.list()
      for (const { tenant, error } of failures) warnOfTenant(tenant, error)
      for (const { callbackURL, clientID, id: connection, tenant, origins } of connections) {
        const key = `${clientID} ${callbackURL}`
        const first = registrations.get(key) ?? { callbackURL, clientID, connection, tenant, origins: [] }
        registrations.set(key, { ...first, origins: [...new Set([...first.origins, ...origins])] })
      }
      return [...registrations.values()]
    },

    pending: (req) => pendingOf({ services, req }),

    forget: (req, res) => forgetBrowser({ services, req, res }),

    async signedIn(req, signedInOptions = {}) {
      return signedIn({ services, req }, signedInOptions)
    },

    requireSignedIn: (guardOptions = {}) => guard(services, guardOptions, () => null),

    requireMembership: (membership) => requireMembership(services, membership),

    requireRecentSignIn(recent = {}) {
      return requireRecentSignIn(services, recent)
    },

    async refreshTokens({ refreshToken, tenant = null, connection }) {
      const client = connection
        ? activateConnection(connection, { name: services.name, basePath: options.basePath })
        : await registeredClient(services, tenant)
      const key = `${client.tokenURL} ${client.clientID} ${refreshToken}`
      let running = inFlight.get(key)
      if (!running) {
        const deadline = new ExchangeDeadline(services.timeoutMs, undefined)
        const exchange = { transport: services.transport, deadline, timings: [] }
        running = refresh(exchange, client, refreshToken).finally(() => {
          deadline.end()
          inFlight.delete(key)
        })
        inFlight.set(key, running)
      }
      return running
    },

    async doctor(app, doctorOptions) {
      // Loaded on use: a production start never runs it.
      const { examine } = require('./doctor/examine') as typeof import('./doctor/examine')
      return examine({ options, services, router, strategy }, app, doctorOptions)
    },

    close: () => services.transport.close(),
  }
}

async function registeredClient<User>(services: Services<User>, tenant: string | null): Promise<ActiveConnection> {
  const client = await services.source.registered(tenant)
  if (client) return client
  if (client === undefined) throw configurationError('refreshTokens: give the `connection` the tokens belong to.')
  throw new BitbucketSignInError(
    'connection_unavailable',
    'refreshTokens: this tenant has no connection. Disconnect its tokens, or restore the connection.',
  )
}

/** The others can still be registered; the doctor reports the same as a problem. */
function warnOfTenant(tenant: string | null, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  process.emitWarning(`callbackURLs: tenant "${tenant}" is left out. ${message}`, 'BitbucketSignInWarning')
}

/** The one place where everything is made. */
function createServices<User>(options: ResolvedOptions<User>): Services<User> {
  const { name, accounts, paths, policy, http } = options
  const secrets = options.secrets.map((secret) => new Secret(secret))
  const keys = (purpose: KeyPurpose) => deriveKeys(secrets, name, purpose)
  const limits = createLimits(name, limiterOf(options.limiter))
  const transport = createTransport(http)
  const report = undisturbed(options.onError ?? ((error) => console.error(error)))
  return {
    name,
    source: connectionSource(options.connection, {
      name,
      basePath: options.basePath,
      tenantClients: options.tenantClients,
      report,
    }),
    accounts,
    userId: options.userId ? atOnce('userId', options.userId) : defaultUserId,
    reread: userReader(options.passport),
    signedInAt: options.signedInAt && atOnce('signedInAt', options.signedInAt),
    sendEmailCode: options.sendEmailCode,
    policy: {
      ...policy,
      signUp: true,
      canClaim: accounts.claimAddress !== undefined,
      canProve: accounts.listIdentities !== undefined && accounts.describeUser !== undefined,
    },
    paths: { ...paths, signedUp: paths.signedUp ?? paths.signedIn, confirm: paths.confirm, failed: paths.failed },
    data: options.data && atOnce('data', options.data),
    outcomeParameter: options.outcomeParameter,
    keep: options.session.keep,
    keys: { handOver: keys('hand-over'), code: keys('code') },
    transactions: createTransactions(
      { seal: keys('transaction'), verifier: keys('verifier'), state: keys('state') },
      limits,
    ),
    pendings: createPendingSignIns(keys('pending'), limits),
    askedFor: createAskedFor(keys('asked-for')),
    secondPasses: createSecondPasses(keys('second-pass')),
    limits,
    transport,
    timeoutMs: http.timeoutMs,
    jars: [cookieJar(name, true), cookieJar(name, false)],
    texts: textsOf(options.texts),
    brand: brandOf(options.brand, report),
    renderPage: options.renderPage && checkedPages(options.renderPage),
    hiddenFields: oncePerRequest(options.hiddenFields ? atOnce('hiddenFields', options.hiddenFields) : () => ({})),
    emit: options.onEvent && undisturbed(options.onEvent),
    report,
  }
}

/**
 * In one process memory counts well; in several, each would count by itself, and a handle could be used once in each.
 * Cluster workers and PM2 are recognised; other ways of starting several cannot be seen from here.
 */
function limiterOf(limiter: LimiterFactory | 'memory' | undefined): LimiterFactory {
  if (typeof limiter === 'function') return limiter
  if (limiter === undefined && (isClusterWorker() || process.env.pm_id !== undefined)) {
    throw configurationError(
      "bitbucketSignIn: this is one of several processes (cluster or PM2), and `limiter` is not given. Give one on PostgreSQL or Redis, or `limiter: 'memory'` if only one process serves this site.",
    )
  }
  return memoryLimiter
}

/** Every worker has a channel to its primary process; without one, loading the module would be 2 ms for nothing. */
const isClusterWorker = () =>
  process.send !== undefined && (require('node:cluster') as typeof import('node:cluster').default).isWorker

/** One answer for all forms of a page: a guard that makes a new token at each call takes only the last one. */
function oncePerRequest(hiddenFields: Services<never>['hiddenFields']): Services<never>['hiddenFields'] {
  const given = new WeakMap<Request, Readonly<Record<string, string>>>()
  return (req) => {
    const fields = given.get(req) ?? hiddenFields(req)
    given.set(req, fields)
    return fields
  }
}

function textsOf(texts: BitbucketSignInOptions<never>['texts']): (req: Request) => Texts {
  if (typeof texts === 'function') {
    const chosen = atOnce('texts', texts)
    return (req) => mergeTexts(english, chosen(req))
  }
  const merged = mergeTexts(english, texts)
  return () => merged
}

/** A page is worth more than its looks: what a function gets wrong is reported, and the page goes without a brand. */
function brandOf(
  brand: BitbucketSignInOptions<never>['brand'],
  report: Services<never>['report'],
): Services<never>['brand'] {
  if (typeof brand !== 'function') {
    const problem = brand === undefined ? null : brandProblem(brand)
    if (problem !== null) throw configurationError(problem)
    const fixed = brand ? Object.freeze({ ...brand }) : null
    return () => fixed
  }
  const chosen = atOnce('brand', brand)
  return (req) => {
    try {
      const given = chosen(req)
      const problem = given === null ? null : brandProblem(given)
      if (problem === null) return given
      report(configurationError(problem), req)
    } catch (cause) {
      report(configurationError('`brand` threw; see `cause`.', cause), req)
    }
    return null
  }
}

/** These are asked at once. A promise would pass for "never signed in", "no fields", "no texts"; one that rejects would end the process. */
function atOnce<Asked extends unknown[], Answer>(
  name: string,
  given: (...asked: Asked) => Answer,
): (...asked: Asked) => Answer {
  return (...asked) => {
    const answer = given(...asked)
    if (typeof (answer as PromiseLike<unknown> | null | undefined)?.then !== 'function') return answer
    Promise.resolve(answer).catch(() => {})
    throw configurationError(
      `${name}: it must answer at once and gave a promise. Have ready what it needs, for example on \`req.user\`.`,
    )
  }
}

const PAGE_DEADLINE_MS = 15_000

/** A page is text and comes in time: anything else would fail behind the answer, where nobody catches it. */
function checkedPages(renderPage: RenderPage): RenderPage {
  return async (name, page) => {
    const given = Promise.resolve(renderPage(name, page))
    const html: unknown = await withDeadline(given, PAGE_DEADLINE_MS, 'renderPage')
    if (typeof html === 'string') return html
    if (html === undefined || html === null) return undefined
    throw configurationError('renderPage: it must give HTML as text, or undefined to leave the page as it is.')
  }
}

function warnOfMissingHooks<User>({ accounts }: BitbucketSignInOptions<User>): void {
  const missing = (['listIdentities', 'describeUser'] as const).filter((name) => !accounts[name])
  if (missing.length > 0) {
    process.emitWarning(
      `accounts: without ${missing.join(' and ')}, a person whose address belongs to an existing account is refused (account_exists) instead of being linked or asked to prove it.`,
      'BitbucketSignInWarning',
    )
  }
  if (accounts.updateProfile && !accounts.listIdentities) {
    process.emitWarning(
      'accounts: updateProfile is never called without listIdentities, whose profiles it is compared with.',
      'BitbucketSignInWarning',
    )
  }
}

/** Warns about a redirect loop when the router is mounted at `/`. */
function warnOfLoop<User>({ connection, basePath, paths }: ResolvedOptions<User>): void {
  if (typeof connection === 'function' || basePathOf(connection, basePath) !== '') return
  if (paths.signedIn !== '/') return
  process.emitWarning(
    'paths: a router at `/` starts a sign-in there, and a sign-in ends at `/` too, which begins the next one. Set `paths.signedIn`, unless the app answers `/` before the router.',
    'BitbucketSignInWarning',
  )
}
