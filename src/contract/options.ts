import type { Agent } from 'node:http'
import type { Request } from 'express'
import type { Brand } from './brand'
import { BitbucketSignInError } from './errors'
import type { ErrorListener, EventListener } from './events'
import type { AccountHooks, HookContext } from './hooks'
import type { LimiterFactory } from './limiter'
import type { RenderPage } from './pages'
import type { LinkPolicy, SignInPolicy } from './policy'
import type { PartialTexts } from './texts'

/**
 * URLs of Bitbucket. Needed only for the fake Bitbucket or a gateway; set all three. Identities of custom endpoints have
 * their own issuer, because the operator of that server decides who a user is.
 */
export interface Endpoints {
  /** Page to which browsers are redirected for consent. Default `https://bitbucket.org/site/oauth2/authorize`. */
  readonly authorizationURL: string
  /** Where codes and refresh tokens are exchanged. Default `https://bitbucket.org/site/oauth2/access_token`. */
  readonly tokenURL: string
  /** Base of the API. Default `https://api.bitbucket.org/2.0`. */
  readonly apiURL: string
  /**
   * Allows private and link-local addresses, also over plain http (`http://bitbucket:3001`, a container). Default `false`.
   * With `true`, anyone who can set `endpoints` can make this server call machines in your network, and with an http URL
   * the client secret crosses that network unencrypted.
   */
  readonly allowPrivateHosts?: boolean
}

/** One OAuth client at Bitbucket and what it may do here. */
export interface Connection {
  /** Identifies the connection in events and hooks. Default `'default'`; required from a function. */
  readonly id?: string
  /** Bitbucket's *Key*; sent as `client_id`. */
  readonly clientID: string
  /** Bitbucket's *Secret*; sent as the password of HTTP Basic to the token endpoint, and nowhere else. */
  readonly clientSecret: string
  /**
   * Absolute URL of the callback route, exactly as registered at Bitbucket; https, or http on loopback.
   * Sent as `redirect_uri` in both steps. Bitbucket allows one per client and compares it exactly.
   */
  readonly callbackURL: string
  /**
   * Scopes in addition to `account` and `email`, which are always requested, as an array or one string. `false` sends no
   * `scope`, so that tokens get every scope of the client. Default: none.
   */
  readonly scope?: string | readonly string[] | false
  /**
   * Whether an address that is confirmed at Bitbucket counts as proven here. Default `false`: a code is emailed first.
   * With `true` a confirmed Bitbucket address opens a matching verified account without asking, so
   * anyone who takes over an address at Bitbucket takes over the account here.
   */
  readonly trustedProvider?: boolean
  /** `false` switches the connection off: it is not offered, and sign-ins in flight are refused. Default `true`. */
  readonly enabled?: boolean
  /** Whether users without an account get one. Default `true`; with `false` they get `sign_up_disabled`. */
  readonly signUp?: boolean
  /** `false`: sign-ins work, but `offered()` and `button()` hide it. Default `true`. */
  readonly visible?: boolean
  /** The applications that may use the connection, for `connections({ application })`. Default: all. */
  readonly applications?: readonly string[]
  /**
   * Further origins (`https://app2.example.com`) at which a sign-in may start and end; the central callback hands over to
   * them. Default: none, and `Host` is never consulted. List only hosts whose DNS you control: the server behind one of
   * them receives Bitbucket's answer about any user, and can finish the sign-in in another browser.
   */
  readonly origins?: readonly string[]
  /**
   * Only members of one of these workspaces may sign in; others get `workspace_required`. Slugs, or uuids in braces, which
   * survive a rename. Default: everyone. An empty array admits everyone, even if the application level lists workspaces.
   */
  readonly workspaces?: readonly string[]
  /** Other URLs than Bitbucket's: the fake Bitbucket or a gateway. Default: bitbucket.org. */
  readonly endpoints?: Endpoints
  /** Tenant for which it was resolved; `connections()` sets it. */
  readonly tenant?: string | null
  /** Application for which it was resolved; `connections()` sets it. */
  readonly application?: string | null
}

/**
 * Finds the connection for a request; `null` = not offered here. It must return the same at start and callback. With
 * custom domains it is also called at the host of the central callback, and must name all `origins` there;
 * `connections()` finds the tenant's connection automatically.
 */
export type ConnectionResolver = (req: Request) => Connection | null | Promise<Connection | null>

/** Who controls an OAuth client: the app's own operators, or others. */
export type ClientOwner = 'ours' | 'theirs'

/** One value for all tenants, or a function called for each client; `tenant` is `null` when the connection names none. */
export type TenantClients = ClientOwner | ((clientID: string, tenant: string | null) => ClientOwner)

/** The message that `sendEmailCode` sends. */
export interface EmailCodeMessage {
  /** The recipient; validated, so it is safe in a header line. */
  readonly to: string
  /** The code as shown to the user: `XXXX-XXXX`. Do not add a link: mail scanners follow links. */
  readonly code: string
  /** When the code expires: 10 minutes after it was requested. */
  readonly expiresAt: Date
  /** The use of the code. */
  readonly purpose: 'verify-address'
  /** The Bitbucket identity, masked, so that recipients can tell whether it was them. */
  readonly maskedIdentity: string
  /** Connection, tenant, application and origin of the sign-in, without the app's `data`. */
  readonly context: Omit<HookContext, 'data'>
}

/** Options of {@link bitbucketSignIn}. Five are required; the others have safe defaults. */
export interface BitbucketSignInOptions<User, Data = unknown> {
  /** Your Passport instance, `passport` or `new Passport()`, with serializers. Nothing is registered on it. Required. */
  readonly passport: PassportLike
  /**
   * Keys that seal cookies and `state`: at least 32 characters each, newest first. Required. To rotate, append the new one
   * in every process, then move it to the front. Never use a client secret: a tenant's administrator knows it.
   *
   * @example secrets: [process.env.BITBUCKET_COOKIE_SECRET] // openssl rand -base64 32
   */
  readonly secrets: readonly (string | undefined)[]
  /** The OAuth client at Bitbucket; `connections()` or your own function chooses one by request. Required. */
  readonly connection: Connection | ConnectionResolver
  /**
   * Who controls the OAuth clients that tenants bring. There is no default: a tenant whose `clientID` and `clientSecret`
   * are not the application level's is refused until this is set (at construction, or `connection_unavailable`).
   *
   * The attack: anyone who controls a client can get the codes of everyone who allows it. A sign-in finished with such a code
   * in the attacker's own browser, at the tenant's host, would open the victim's account in the whole application.
   *
   * - `'ours'`: only your own operators can set a tenant's client, and control the DNS of its callback. Its identities are
   *   Bitbucket's, for all tenants alike.
   * - `'theirs'`: tenants' administrators can. Identities carry the tenant in `issuer`, so accounts are separate for each
   *   tenant, and your hooks must look inside `context.tenant` only. Its own `endpoints` must be public addresses.
   *
   * It concerns connections other than the application's. If `connection` is your own function, nothing marks the
   * application's: `'ours'` and `'theirs'` concern every one that names a tenant and every client after the first, and a
   * function is asked about each.
   */
  readonly tenantClients?: TenantClients
  /** How the package finds and stores your users. Required; six hooks are enough, see docs/reference/hooks.md. */
  readonly accounts: AccountHooks<User, Data>
  /**
   * Emails a one-time code; awaited for at most 5 seconds (`code_not_sent`). Required unless the policy never asks for a
   * code (`untrustedEmail` other than `verify`, and `missingEmail` other than `ask`). `req` serves to choose the language or
   * the sender; only the message can be queued.
   *
   * @example sendEmailCode: ({ to, code }) => mailer.send(to, `Your code is ${code}`)
   */
  readonly sendEmailCode?: (message: EmailCodeMessage, req: Request) => unknown
  /** Which sign-ins are allowed, and how addresses are proven. Default: by an emailed code. See docs/concepts.md. */
  readonly policy?: Partial<
    Pick<SignInPolicy, 'untrustedEmail' | 'missingEmail' | 'matchingAccount' | 'codeOpensAccount'> & LinkPolicy
  >
  /**
   * Returns the id of a user as a non-empty string, or `null` for a guest (no user is signed in). Synchronous. Default:
   * `user.id` if it is a string, number, bigint or an object with its own `toString`.
   *
   * @example userId: (user) => (user.isGuest ? null : String(user._id))
   */
  readonly userId?: (user: User) => string | null
  /**
   * Returns when the signed-in user last signed in in the app's own way, for steps that need a recent sign-in. Synchronous.
   * The package marks sign-ins with Bitbucket itself; the later of the two counts. Not needed if you call
   * {@link BitbucketSignIn.signedIn}. Default: none.
   */
  readonly signedInAt?: (req: Request) => Date | null
  /** What survives the rotation of the session. */
  readonly session?: {
    /**
     * Session keys to keep when the session is rotated at sign-in, for example `['cart']`. Default: none, so that nothing of
     * an anonymous visitor's session remains. A `req.session.cookie.maxAge` that a hook sets is kept automatically.
     */
    readonly keep?: readonly string[]
  }
  /** Paths of your own pages, as browsers see them. */
  readonly paths?: {
    /** Where a sign-in without `returnTo` ends. Default `/`. */
    readonly signedIn?: string
    /** Where a sign-in that created an account ends, without `returnTo`. Default: `signedIn`. */
    readonly signedUp?: string | undefined
    /** Your sign-in page, or the page with the button if there is none. Default `/login`. */
    readonly signIn?: string
    /**
     * Your page on which a signed-in user confirms who they are, called with `?returnTo=<path>`. It checks the password and
     * calls `req.logIn`, then `signedIn`. Users without a password need the Bitbucket button there. Default: our page
     * "Sign out and sign in again".
     */
    readonly confirm?: string | undefined
    /**
     * Your error page, called with `?error=<code>&next=<path>`. `next` repeats the step; it is absent if that cannot help.
     * Use it for a link (a redirect would loop), and only if it is a path of your site. Default: our error page.
     */
    readonly failed?: string | undefined
  }
  /**
   * Returns JSON of the app that travels with a sign-in and reaches the hooks as `context.data`: an invitation, a plan. It
   * is untrusted, because a link from anyone can have started the sign-in. Called at each start, without a session if
   * `start` is mounted before it. At most 512 bytes, sealed in a cookie: it is in no URL, page, log or event. If it throws,
   * returns a promise or does not fit, the start fails with `hook_failed`. Default: none.
   *
   * @example data: (req) => ({ invitation: req.query.invitation })
   */
  readonly data?: (req: Request) => Data | undefined
  /**
   * Name of a query parameter that is added to the path where a step ends: `signed-up`, `linked` or `unlinked`. Default:
   * none is added.
   *
   * @example outcomeParameter: 'bitbucket' // /account?bitbucket=linked
   */
  readonly outcomeParameter?: string
  /** Public path of the router, if a proxy renames it. Default: the path of `callbackURL` without `/callback`. */
  readonly basePath?: string
  /**
   * Separates cookies, keys and counters of several instances. Two apps on one host need different names, because cookies
   * ignore ports. Default `'bitbucket'`.
   */
  readonly name?: string
  /**
   * Creates the atomic counters, for example of `rate-limiter-flexible`. Default: in memory, at most 100,000 keys each;
   * a full counter refuses. Use PostgreSQL or Redis if several processes serve one site. `'memory'` confirms that only one
   * does, if that cannot be detected. A failing store is `store_unavailable`.
   *
   * @example limiter: (options) => new RateLimiterPostgres({ storeClient: pool, tableName: 'limits', ...options })
   */
  readonly limiter?: LimiterFactory | 'memory'
  /**
   * Name, logo and accent colour of the app on our pages; a function chooses by request, for tenants. If the function throws
   * or returns an invalid brand, `onError` is called and the page has none. Default: none.
   *
   * @example brand: { name: 'Corkboard', logo: '/logo.svg', accent: '#0b5cad' }
   */
  readonly brand?: Brand | ((req: Request) => Brand | null)
  /**
   * Replaces pages: returns HTML, or `undefined` for our page. Escape names before you print them: they come from
   * Bitbucket. Default: our pages.
   */
  readonly renderPage?: RenderPage
  /** Replaces texts; a function chooses by request. `german` is exported. Default: English. */
  readonly texts?: PartialTexts | ((req: Request) => PartialTexts)
  /** Returns hidden fields for our forms, for example the token of your own CSRF guard. Synchronous. Default: none. */
  readonly hiddenFields?: (req: Request) => Readonly<Record<string, string>>
  /** Called with each event, without secrets and addresses; for audit logs. Default: none. */
  readonly onEvent?: EventListener
  /**
   * Called with every error of status 500 or above and its `cause`: setup mistakes, failures of hooks, stores, the mailer
   * or Bitbucket. The user's page shows no details. Guards and strategies pass theirs to Express. Default: `console.error`.
   */
  readonly onError?: ErrorListener
  /** Requests to Bitbucket. */
  readonly http?: {
    /** Deadline for all requests of one callback together, in milliseconds. Default 10000. Later: `upstream_timeout`. */
    readonly timeoutMs?: number
    /** Whether to open connections to Bitbucket when a sign-in starts. Default `true`. */
    readonly preconnect?: boolean
    /** An agent of `node:https`, for example for a proxy. `HTTPS_PROXY` is not read. Default: our own connections. */
    readonly agent?: Agent | undefined
  }
}

/** The part of a Passport instance that is used; structural, because `new Passport()` has another declared type. */
export interface PassportLike {
  // biome-ignore lint/suspicious/noExplicitAny: declared by Passport, never called here
  authenticate(...args: any[]): any
  // biome-ignore lint/suspicious/noExplicitAny: Passport declares only the half of them that registers
  serializeUser?(...args: any[]): any
  // biome-ignore lint/suspicious/noExplicitAny: Passport declares only the half of them that registers
  deserializeUser?(...args: any[]): any
}

/** The default scopes of every sign-in. */
export const BASE_SCOPES = ['account', 'email'] as const

/** The endpoints of Bitbucket Cloud. @see https://developer.atlassian.com/cloud/bitbucket/oauth-2/ */
export const BITBUCKET_ENDPOINTS: Endpoints = Object.freeze({
  authorizationURL: 'https://bitbucket.org/site/oauth2/authorize',
  tokenURL: 'https://bitbucket.org/site/oauth2/access_token',
  apiURL: 'https://api.bitbucket.org/2.0',
})

/** The issuer of Bitbucket Cloud's identities. */
export const BITBUCKET_ISSUER = 'https://bitbucket.org'

/** Creates a `configuration_invalid` error: the problem, then the fix. */
export function configurationError(message: string, cause?: unknown): BitbucketSignInError {
  return new BitbucketSignInError('configuration_invalid', message, cause === undefined ? undefined : { cause })
}

/** The scopes in an option, one by one. */
export function scopesOf(scope: string | readonly string[]): readonly string[] {
  return (typeof scope === 'string' ? [scope] : scope)
    .flatMap((part) => part.split(/[\s,]+/))
    .filter((part) => part !== '')
}
