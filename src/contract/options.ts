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

/** Bitbucket's endpoints. Needed only for the fake Bitbucket or a gateway; set all three. */
export interface Endpoints {
  /** The browser is redirected here. */
  readonly authorizationURL: string
  readonly tokenURL: string
  /** API base, for example `https://api.bitbucket.org/2.0`. */
  readonly apiURL: string
  /**
   * Lets the server call private and link-local addresses, over plain http as well (`http://bitbucket:3001`, a container).
   * Default `false`. With `true`, anyone who may set `endpoints` can make this server call machines of your network, and
   * the client secret crosses that network unencrypted when the URL is http.
   */
  readonly allowPrivateHosts?: boolean
}

/** One OAuth client at Bitbucket and what it may do here. */
export interface Connection {
  /** Names the connection in events and hooks. Default `'default'`; a resolver function must set it. */
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
  /** Scopes beyond `account email`, which are always asked for. `false` = send no `scope` at all. */
  readonly scope?: string | readonly string[] | false
  /**
   * Whether an address that is confirmed at Bitbucket counts as proven here. Default `false`: a code is emailed first.
   * With `true` a confirmed Bitbucket address opens a matching verified account without a further question, so
   * anyone who takes over an address at Bitbucket takes over the account here.
   */
  readonly trustedProvider?: boolean
  /** `false` = not offered, and sign-ins in flight are refused. Default `true`. */
  readonly enabled?: boolean
  /** Whether users without an account get one. Default `true`; otherwise they get `sign_up_disabled`. */
  readonly signUp?: boolean
  /** `false` = works, but `offered()` and `button()` do not show it. Default `true`. */
  readonly visible?: boolean
  /** The applications that may use it. Absent = all. */
  readonly applications?: readonly string[]
  /**
   * Further origins of the same owner (`https://app2.example.com`) at which a sign-in may start and end. The callback
   * stays the central one and hands over. Absent = `Host` is not consulted at all. Only hosts whose DNS you control: the
   * server behind one of them receives Bitbucket's answer about any user, and can finish the sign-in in another browser.
   */
  readonly origins?: readonly string[]
  /**
   * Only members of one of these workspaces may sign in: slugs or `{uuid}`s, in any case. The uuid survives a rename.
   * An empty array admits everyone, even if the application level names workspaces.
   */
  readonly workspaces?: readonly string[]
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

/** What `sendEmailCode` receives. */
export interface EmailCodeMessage {
  /** The recipient; validated, so it is safe in a header line. */
  readonly to: string
  /** The code as shown to the user: `XXXX-XXXX`. Do not add a link: mail scanners follow links. */
  readonly code: string
  readonly expiresAt: Date
  /** What the code is for. */
  readonly purpose: 'verify-address'
  /** The Bitbucket identity, masked, so that the reader can tell whether it was them. */
  readonly maskedIdentity: string
  readonly context: Omit<HookContext, 'data'>
}

/** Options of `bitbucketSignIn`. */
export interface BitbucketSignInOptions<User, Data = unknown> {
  /** The app's own Passport instance, `passport` or `new Passport()`. Nothing is registered on it. */
  readonly passport: PassportLike
  /**
   * Keys that seal the flow's cookies and its `state`: at least 32 characters each, newest first. To rotate, append the
   * new one everywhere, then move it to the front. Never a client secret: a tenant's admin knows that one.
   */
  readonly secrets: readonly (string | undefined)[]
  /** The OAuth client at Bitbucket; `connections()` or your own function chooses one by request. Required. */
  readonly connection: Connection | ConnectionResolver
  /**
   * Who controls the OAuth clients that tenants bring. There is no default: a tenant whose `clientID` and `clientSecret`
   * are not the application level's is refused until this is set (at construction, or `connection_unavailable`).
   *
   * The attack: anyone who controls a client can be handed the codes of everyone who allows it. Such a code, finished in the
   * attacker's own browser at the tenant's host, would sign in to the victim's account of the whole application.
   *
   * - `'ours'`: only your own operators can set a tenant's client, and control the DNS of its callback. Its identities are
   *   Bitbucket's, for all tenants alike.
   * - `'theirs'`: tenants' administrators can. Identities carry the tenant in `issuer`, so accounts are separate for each
   *   tenant, and your hooks must look inside `context.tenant` only. Its own `endpoints` must be public addresses.
   *
   * It is asked for other connections than the application's alone; with a resolver function, for every one that names a
   * tenant, and for every client after the first.
   */
  readonly tenantClients?: TenantClients
  /** How the package finds and stores your users. Required; six hooks are enough, see docs/reference/hooks.md. */
  readonly accounts: AccountHooks<User, Data>
  /**
   * Emails a one-time code; awaited for at most 5 seconds. Required unless the policy never asks for a code
   * (`untrustedEmail` not `verify` and `missingEmail` not `ask`). `req` is for the language or the tenant's sender; the
   * message alone may go into a queue.
   */
  readonly sendEmailCode?: (message: EmailCodeMessage, req: Request) => unknown
  /** Who gets in, and how addresses are proven. Default: an address is proven by an emailed code. See docs/concepts.md. */
  readonly policy?: Partial<
    Pick<SignInPolicy, 'untrustedEmail' | 'missingEmail' | 'matchingAccount' | 'codeOpensAccount'> & LinkPolicy
  >
  /**
   * The id of a user as a non-empty string, `null` for a guest (nobody signed in). Default: `user.id`, when it is a
   * string, number, bigint or an object with its own `toString`.
   */
  readonly userId?: (user: User) => string | null
  /**
   * When the signed-in user last signed in by the app's own means, for steps that need a recent sign-in. Sign-ins with
   * Bitbucket are stamped by the package; the later of the two counts. Default: those alone.
   */
  readonly signedInAt?: (req: Request) => Date | null
  readonly session?: {
    /**
     * Session keys carried across rotation at sign-in, for example `cart`. Default none: what an anonymous visitor wrote
     * stays behind. A lifetime that a hook gives the session (`req.session.cookie.maxAge`) is kept automatically.
     */
    readonly keep?: readonly string[]
  }
  readonly paths?: {
    /** Return URL of a sign-in without `returnTo`. Default `/`. */
    readonly signedIn?: string
    /** The same for a sign-in that created an account. Default: `signedIn`. */
    readonly signedUp?: string | undefined
    /** The app's own sign-in page; without one, the page that has the button. Default `/login`. */
    readonly signIn?: string
    /**
     * The app's own page on which a signed-in user confirms who they are, called with `?returnTo=<path>`: it checks the
     * password, calls `req.logIn` and then `signedIn`. Default: our page "Sign out and sign in again".
     */
    readonly confirm?: string | undefined
    /**
     * The app's page for failures, called with `?error=<code>&next=<path>`. `next` does the same step again and is absent
     * where that cannot help. It is for a link: a redirect to it would loop. Default: the built-in page.
     */
    readonly failed?: string | undefined
  }
  /**
   * JSON of the app that travels with a sign-in and reaches the hooks as `context.data`: an invitation, a plan. Called at
   * each start, without a session where `start` is mounted ahead of it. At most 512 bytes; sealed in a cookie, so it is
   * in no URL, page, log or event. A throw, a promise, or what does not fit is `hook_failed`. Default: none.
   */
  readonly data?: (req: Request) => Data | undefined
  /**
   * Name of a query parameter that tells the page a step ends on what happened: `signed-up`, `linked` or `unlinked`.
   * Default: none is added.
   *
   * @example outcomeParameter: 'bitbucket' // /account?bitbucket=linked
   */
  readonly outcomeParameter?: string
  /** Public path of the router. Default: the path of `callbackURL` without `/callback`. */
  readonly basePath?: string
  /** Separates cookies, keys and counters of several plugins in one process. Default `'bitbucket'`. */
  readonly name?: string
  /**
   * Makes the atomic counters. Default: in memory, at most 100,000 keys each, refusing when full. Use PostgreSQL or
   * Redis when several processes serve one site; `'memory'` confirms that one process does, if that cannot be detected.
   */
  readonly limiter?: LimiterFactory | 'memory'
  /**
   * Name, logo and colour of the app on our pages; a function chooses by request, for tenants. A brand that a function
   * throws on or gets wrong is reported to `onError` and left out. Default: none.
   */
  readonly brand?: Brand | ((req: Request) => Brand | null)
  /** Replaces pages. */
  readonly renderPage?: RenderPage
  /** Replaces or translates texts; a function may choose by request. Default English. */
  readonly texts?: PartialTexts | ((req: Request) => PartialTexts)
  /** Hidden fields for our forms, for example the token of the app's own CSRF guard. */
  readonly hiddenFields?: (req: Request) => Readonly<Record<string, string>>
  /** Audit hook. */
  readonly onEvent?: EventListener
  /**
   * Called with every error of status 500 or above and its `cause`: setup mistakes, failures of hooks, stores, the mailer
   * or Bitbucket. The page that the user gets discloses nothing of it. Default: `console.error`.
   */
  readonly onError?: ErrorListener
  readonly http?: {
    /** Deadline of all requests to Bitbucket in one callback together, in milliseconds. Default 10000. */
    readonly timeoutMs?: number
    /** Open connections to Bitbucket when a sign-in starts. Default `true`. */
    readonly preconnect?: boolean
    /** Your own agent, for example one that goes through a proxy. */
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

/** Makes a `configuration_invalid` error: the problem, then the fix. */
export function configurationError(message: string, cause?: unknown): BitbucketSignInError {
  return new BitbucketSignInError('configuration_invalid', message, cause === undefined ? undefined : { cause })
}

/** The scopes in an option, one by one. */
export function scopesOf(scope: string | readonly string[]): readonly string[] {
  return (typeof scope === 'string' ? [scope] : scope)
    .flatMap((part) => part.split(/[\s,]+/))
    .filter((part) => part !== '')
}
