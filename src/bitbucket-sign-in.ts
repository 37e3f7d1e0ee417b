import type { RequestListener } from 'node:http'
import type { Request, RequestHandler, Response, Router } from 'express'
import type { Strategy } from 'passport'
import { createTransport } from './bitbucket/transport'
import { type CallbackRegistration, callbackRegistrations } from './connections/callback-registrations'
import { connectionSource } from './connections/connection-source'
import { tokenRefresh } from './connections/token-refresh'
import { undisturbed } from './contract/events'
import type { BitbucketSignInOptions, Connection } from './contract/options'
import type { Tokens } from './contract/tokens'
import type { DoctorOptions } from './doctor/examine'
import type { DoctorReport } from './doctor/finding'
import { appPages, atOnce, defaultUserId } from './options/app-functions'
import { warnOfSetup } from './options/setup-warnings'
import { parseOptions, type ResolvedOptions } from './options/sign-in-options'
import { PluginStrategy } from './passport/plugin-strategy'
import { forgetBrowser } from './routes/forget'
import { type GuardOptions, guard } from './routes/guard'
import { navigationOnly } from './routes/navigation-only'
import { button, offeredConnection } from './routes/offered'
import { pendingOf } from './routes/pending-form'
import { type RecentSignInOptions, requireRecentSignIn } from './routes/recent-sign-in'
import { type MembershipOptions, requireMembership } from './routes/require-membership'
import { createRouter, startHandler } from './routes/router'
import type { Services } from './routes/services'
import { type SignedInOptions, signedIn } from './routes/signed-in'
import { userReader } from './session/user-reader'
import { createFlowState } from './state/flow-state'
import { chooseLimiter } from './state/memory-limiter'

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
  warnOfSetup(options)
  const router = createRouter(services, options.basePath !== undefined)
  const strategy = new PluginStrategy(services)
  const { name, source, upstream } = services
  const refreshTokens = tokenRefresh({ name, basePath: options.basePath, source, ...upstream })
  return {
    router,
    strategy,
    start: navigationOnly(startHandler(services, true)),
    offered: async (req) => (await offeredConnection({ services, req })) !== null,
    button: (req, buttonOptions = {}) => button({ services, req }, buttonOptions),
    callbackURLs: () => callbackRegistrations(source),
    pending: (req) => pendingOf({ services, req }),
    forget: (req, res) => forgetBrowser({ services, req, res }),
    signedIn: (req, signedInOptions = {}) => signedIn({ services, req }, signedInOptions),
    requireSignedIn: (guardOptions = {}) => guard(services, guardOptions, () => null),
    requireMembership: (membership) => requireMembership(services, membership),
    requireRecentSignIn: (recent = {}) => requireRecentSignIn(services, recent),
    refreshTokens,
    async doctor(app, doctorOptions) {
      // Loaded on use: a production start never runs it.
      const { examine } = require('./doctor/examine') as typeof import('./doctor/examine')
      return examine({ options, services, router, strategy }, app, doctorOptions)
    },
    close: () => upstream.transport.close(),
  }
}

/** The one place where everything is made. */
function createServices<User>(options: ResolvedOptions<User>): Services<User> {
  const { name, basePath, tenantClients, accounts, paths, policy, http, secrets } = options
  const report = undisturbed(options.onError ?? ((error) => console.error(error)))
  return {
    name,
    source: connectionSource(options.connection, { name, basePath, tenantClients, report }),
    users: {
      hooks: accounts,
      idOf: options.userId ? atOnce('userId', options.userId) : defaultUserId,
      reread: userReader(options.passport),
      signedInAt: options.signedInAt && atOnce('signedInAt', options.signedInAt),
    },
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
    state: createFlowState(secrets, name, chooseLimiter(options.limiter)),
    pages: appPages(options, report),
    upstream: { transport: createTransport(http), timeoutMs: http.timeoutMs },
    emit: options.onEvent && undisturbed(options.onEvent),
    report,
  }
}
