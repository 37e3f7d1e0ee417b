import type { RequestListener } from 'node:http'
import type { Request, RequestHandler, Response, Router } from 'express'
import type { Strategy } from 'passport'
import { createTransport } from './bitbucket/transport'
import type { CallbackRegistration } from './connections/callback-registrations'
import { connectionSource } from './connections/connection-source'
import { undisturbed } from './contract/events'
import { once } from './contract/once'
import type { BitbucketSignInOptions, Connection } from './contract/options'
import type { Tokens } from './contract/tokens'
import type { DoctorOptions } from './doctor/examine'
import type { DoctorReport } from './doctor/finding'
import { appPages, atOnce, defaultUserId, synchronous } from './options/app-functions'
import { warnOfSetup } from './options/setup-warnings'
import { parseOptions, type ResolvedOptions } from './options/sign-in-options'
import type { GuardOptions } from './routes/guard'
import { navigationOnly } from './routes/navigation-only'
import { button, offeredConnection } from './routes/offered'
import type { RecentSignInOptions } from './routes/recent-sign-in'
import type { MembershipOptions } from './routes/require-membership'
import { createRouter, startHandler } from './routes/router'
import type { Services } from './routes/services'
import type { SignedInOptions } from './routes/signed-in'
import { userReader } from './session/user-reader'
import { createFlowState } from './state/flow-state'
import { chooseLimiter } from './state/memory-limiter'

/** A complete "Sign in with Bitbucket": what {@link bitbucketSignIn} returns. */
export interface BitbucketSignIn {
  /**
   * All routes. Mount it after express-session and `passport.session()`, at the path of `callbackURL` without `/callback`:
   * `app.use('/auth/bitbucket', bitbucket.router)`.
   */
  readonly router: Router
  /**
   * The start route alone. It reads no session, so you may mount it before express-session to save the session's cost:
   * `app.get('/auth/bitbucket', bitbucket.start)`.
   */
  readonly start: RequestHandler
  /**
   * A Passport strategy for apps that call `passport.authenticate('bitbucket')` themselves. It signs in users with a known
   * identity only: it neither creates nor links accounts, and does not hand over between custom domains.
   */
  readonly strategy: Strategy
  /**
   * Resolves to the sign-in button as HTML, or to an empty string if Bitbucket is not offered for this request. Print it
   * unescaped. `returnTo` is the path to return to (default: the `returnTo` in the query of this page, which guards set),
   * `label` replaces the text, and `looks: 'class'` omits the inline styles (default `'inline'`); their style sheet is
   * `buttonStyle`.
   *
   * @example res.render('login', { button: await bitbucket.button(req) })
   */
  button(
    req: Request,
    options?: { readonly returnTo?: string; readonly label?: string; readonly looks?: 'inline' | 'class' },
  ): Promise<string>
  /**
   * Resolves to whether to show a button of your own, which is a link to the router's path. Start and callback agree with
   * it. Where they would fail it resolves to `false` and calls `onError`, so that your page still works.
   */
  offered(req: Request): Promise<boolean>
  /**
   * Resolves to the callback URLs to register at Bitbucket, one entry for each client and callback. With
   * `connections()` and `tenants` as a function, set `tenantIds` as well. Empty if `connection` is your own function.
   */
  callbackURLs(): Promise<readonly CallbackRegistration[]>
  /**
   * The pending sign-in of this browser, for your sign-in page: the name of the Bitbucket account, and the path at which it
   * continues. `null` if there is none, or if another user has signed in since it began.
   *
   * @example const pending = bitbucket.pending(req) // { label: 'alice', next: '/auth/bitbucket/continue' }
   */
  pending(req: Request): { readonly label: string; readonly next: string } | null
  /**
   * Call it at the end of your own sign-in, after `req.logIn`: marks the sign-in as recent, drops another user's pending
   * sign-in, and resolves to the checked path to redirect to, or to `null`. With `recent: false`, for a remembered session,
   * it is not marked. Rejects if no user is signed in.
   *
   * @example
   * req.logIn(user, async (error) => {
   *   if (error) return next(error)
   *   res.redirect((await bitbucket.signedIn(req)) ?? '/')
   * })
   */
  signedIn(req: Request, options?: SignedInOptions): Promise<string | null>
  /**
   * Clears all our cookies in this browser, and with them any pending sign-in. Call it on sign-out, before `req.logout`.
   * Never rejects; failures of the limiter are reported to `onError`.
   */
  forget(req: Request, res: Response): Promise<void>
  /**
   * Middleware for pages that need a signed-in user. Browsers are redirected to `paths.signIn` and return afterwards; JSON
   * clients get 401 `{ error: 'not_signed_in', message, next }`. Mount it after the router and your sign-in page.
   *
   * @example app.use('/board', bitbucket.requireSignedIn())
   */
  requireSignedIn(options?: GuardOptions): RequestHandler
  /**
   * Middleware for the pages of a company: keeps checking, while a session lasts, that the user is a member of one of the
   * connection's `workspaces`. If the membership was confirmed more than `maxAgeMs` ago, a page request is redirected to a
   * page with one button and returns afterwards; everything else is refused with `membership_unconfirmed` (403) and `next`.
   * A user who is no longer a member is signed out. Throws `configuration_invalid` for invalid options.
   *
   * @example
   * const hour = 60 * 60 * 1000
   * app.use('/internal', bitbucket.requireMembership({ maxAgeMs: 8 * hour, graceMs: 4 * hour }))
   */
  requireMembership(options: MembershipOptions): RequestHandler
  /**
   * Middleware for your own sensitive pages: admits users who signed in within the last 10 minutes (or `maxAgeMs`), and
   * asks others to confirm with Bitbucket or to sign in again. JSON clients get 403 `recent_sign_in_required` with `next`.
   *
   * @example app.use('/account/delete', bitbucket.requireRecentSignIn({ maxAgeMs: 5 * 60 * 1000 }))
   */
  requireRecentSignIn(options?: RecentSignInOptions): RequestHandler
  /**
   * Exchanges a refresh token for new tokens. Store the new refresh token, because Bitbucket revokes the old one. Within one
   * process, concurrent calls for the same token are one request; between processes use a lock, as
   * docs/refreshing-tokens.md shows. With `connections()`, pass the `tenant` whose sign-in returned the tokens (default:
   * none); if `connection` is your own function, pass the `connection`.
   *
   * Rejects with `reauthorization_required` if the user has to consent again, `refresh_refused` if it is too early to tell
   * (keep the token), and `connection_unavailable` if the tenant no longer exists.
   */
  refreshTokens(input: {
    readonly refreshToken: string
    readonly tenant?: string | null
    readonly connection?: Connection
  }): Promise<Tokens>
  /**
   * Finds mistakes in the setup and says how to fix each: sends a few requests through `app` on a loopback port, and asks
   * Bitbucket about the OAuth client. For a script or a test, not for a page.
   *
   * @example
   * const report = await bitbucket.doctor(app)
   * console.log(String(report))
   * process.exitCode = report.ok ? 0 : 1
   */
  doctor(app?: RequestListener, options?: DoctorOptions): Promise<DoctorReport>
  /** Closes the connections to Bitbucket, when the app shuts down. A sign-in in progress ends with `upstream_failed`. */
  close(): void
}

/**
 * Creates a complete "Sign in with Bitbucket" for an Express app that has its own users, sessions and pages: a router with
 * all routes (sign-in, emailed codes, linking, confirmation), a button, and guards for your pages.
 *
 * Five options are required: your `passport` instance, `secrets` that seal cookies, the `connection` with the OAuth client
 * of Bitbucket, `accounts` (hooks that find and store your users), and `sendEmailCode`. All others have safe defaults.
 *
 * An email address never opens an existing account unless it is proven: by a code that we email, or by Bitbucket if you set
 * `trustedProvider`. If your app does not verify its users' addresses itself, set `policy.localAddresses`.
 *
 * Nothing is global, so one process can have several. Throws `configuration_invalid` with the name of the first invalid
 * option and the fix.
 *
 * @example
 * const bitbucket = bitbucketSignIn({
 *   passport,
 *   secrets: [process.env.BITBUCKET_COOKIE_SECRET], // 32 characters or more
 *   connection: { clientID, clientSecret, callbackURL: 'https://app.example.com/auth/bitbucket/callback' },
 *   accounts, // see AccountHooks, or run `npx passport-bitbucket-signin init`
 *   sendEmailCode: ({ to, code }) => mailer.send(to, `Your code is ${code}`),
 * })
 * app.use(session({ … }), passport.session())
 * app.use('/auth/bitbucket', bitbucket.router)
 * app.get('/login', async (req, res) => res.send(await bitbucket.button(req)))
 */
export function bitbucketSignIn<User, Data = unknown>(given: BitbucketSignInOptions<User, Data>): BitbucketSignIn {
  // Internally the app's `data` is opaque.
  const options = parseOptions(given as BitbucketSignInOptions<User>)
  const services = createServices(options)
  warnOfSetup(options)
  const { source, upstream } = services
  const strategy = once(() => new (onUse.strategy().PluginStrategy)(services))
  const refresh = once(() => onUse.refresh().tokenRefresh({ source, ...upstream }))
  const router = createRouter(services, options.basePath !== undefined)
  return {
    router,
    get strategy() {
      return strategy()
    },
    start: navigationOnly(startHandler(services, true)),
    offered: async (req) => (await offeredConnection({ services, req })) !== null,
    button: (req, buttonOptions = {}) => button({ services, req }, buttonOptions),
    callbackURLs: () => onUse.registrations().callbackRegistrations(source),
    pending: (req) => onUse.pending().pendingOf({ services, req }),
    forget: (req, res) => onUse.forget().forgetBrowser({ services, req, res }),
    signedIn: (req, signedIn = {}) => onUse.signedIn().signedIn({ services, req }, signedIn),
    requireSignedIn: (guardOptions = {}) => onUse.guard().signedInOnly(services, guardOptions),
    requireMembership: (membership) => onUse.membership().requireMembership(services, membership),
    requireRecentSignIn: (recent = {}) => onUse.recent().requireRecentSignIn(services, recent),
    refreshTokens: (input) => refresh()(input),
    doctor: async (app, doctorOptions) =>
      onUse.doctor().examine({ options, services, router, strategy: strategy() }, app, doctorOptions),
    close: () => upstream.transport.close(),
  }
}

/** Loaded by the first call: a start and the callback of a known user need none of these. */
const onUse = {
  doctor: () => require('./doctor/examine') as typeof import('./doctor/examine'),
  forget: () => require('./routes/forget') as typeof import('./routes/forget'),
  guard: () => require('./routes/guard') as typeof import('./routes/guard'),
  membership: () => require('./routes/require-membership') as typeof import('./routes/require-membership'),
  pending: () => require('./routes/pending-form') as typeof import('./routes/pending-form'),
  recent: () => require('./routes/recent-sign-in') as typeof import('./routes/recent-sign-in'),
  refresh: () => require('./connections/token-refresh') as typeof import('./connections/token-refresh'),
  registrations: () =>
    require('./connections/callback-registrations') as typeof import('./connections/callback-registrations'),
  signedIn: () => require('./routes/signed-in') as typeof import('./routes/signed-in'),
  strategy: () => require('./passport/plugin-strategy') as typeof import('./passport/plugin-strategy'),
}

/** The one place where everything is created. */
function createServices<User>(options: ResolvedOptions<User>): Services<User> {
  const { name, basePath, accounts, paths, policy, http, secrets } = options
  const tenantClients = synchronous('tenantClients', options.tenantClients, 'Decide from data that is already loaded.')
  const limiter = synchronous('limiter', options.limiter, 'Connect first, and return the limiter itself.')
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
    paths: { ...paths, signedUp: paths.signedUp ?? paths.signedIn },
    data: options.data && atOnce('data', options.data),
    outcomeParameter: options.outcomeParameter,
    keep: options.session.keep,
    state: createFlowState(secrets, name, chooseLimiter(limiter)),
    pages: appPages(options, report),
    upstream: { transport: createTransport(http), timeoutMs: http.timeoutMs },
    emit: options.onEvent && undisturbed(options.onEvent),
    report,
  }
}
