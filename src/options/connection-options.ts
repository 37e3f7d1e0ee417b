import { BITBUCKET_ENDPOINTS, type Connection, configurationError, scopesOf } from '../contract/options'
import { isLoopback } from '../contract/urls'
import { type ConnectionOverride, definedFields, hasWholeCredentials } from '../decisions/connection-levels'
import type { ConnectionProblem } from './option-problems'
import { check, parse } from './parse'
import {
  brokenRule,
  IS_WEB,
  isPrivateHost,
  isSecure,
  NO_CREDENTIALS,
  NO_FRAGMENT,
  NO_QUERY,
  type UrlRule,
  urlSchema,
} from './url-rules'
import { either, lazily, nonEmpty, type Zod } from './zod'

const credential = (z: Zod) =>
  z
    // The most common mistake: a missing environment variable.
    .string({ message: 'is not a string; is the environment variable set?' })
    .min(1, { message: 'is empty; is the environment variable set?' })
    .refine((value) => value === value.trim(), { message: 'begins or ends with a space or line break. Remove it' })

const callbackURL = (z: Zod) =>
  urlSchema(z, 'must be an absolute URL, such as https://app.example.com/auth/bitbucket/callback', [
    IS_WEB,
    isSecure('Register an https URL at Bitbucket, or map the port to localhost for development'),
    NO_CREDENTIALS,
    NO_QUERY,
    NO_FRAGMENT,
    // Our redirects begin with this path, and two slashes begin another host.
    [({ pathname }) => !pathname.startsWith('//'), 'must not have a path that begins with `//`'],
  ])

const scope = (z: Zod) =>
  either(z, 'must be scopes in one string, an array of scopes, or false', [
    z.literal(false),
    z.string(),
    z.array(z.string()),
  ]).refine((value) => value === false || scopesOf(value).every((each) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(each)), {
    message: 'must hold plain scope names such as `repository`',
  })

const origin = (z: Zod) =>
  urlSchema(z, 'must be an origin such as https://app2.example.com', [
    IS_WEB,
    isSecure('Use the https origin'),
    NO_CREDENTIALS,
    [
      ({ pathname, search, hash }) => pathname === '/' && search === '' && hash === '',
      'must be an origin such as https://app2.example.com, without a path, query or fragment',
    ],
  ])

/** A workspace as the API names it. */
export const workspace = (z: Zod) =>
  z.string().regex(/^(?:[\w.-]{1,128}|\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\})$/i, {
    message: 'must be a workspace slug (`acme` of https://bitbucket.org/acme) or a uuid in braces',
  })

const CONTAINER = 'For a container of your own network, set `endpoints.allowPrivateHosts: true`'

const [onHttps, ONLY_HTTPS] = isSecure(CONTAINER)

/** `http://bitbucket:3001` is how one container calls another; the app must allow its own network explicitly. */
const endpointRules = (name: string, mayBePrivate: boolean): readonly UrlRule[] => [
  IS_WEB,
  [(url) => onHttps(url) || (mayBePrivate && isPrivateHost(url.hostname)), ONLY_HTTPS],
  NO_CREDENTIALS,
  // Paths are appended to it.
  ...(name === 'apiURL' ? [NO_QUERY] : []),
  NO_FRAGMENT,
  [
    ({ hostname }) => mayBePrivate || !isPrivateHost(hostname),
    'must not point into a private network unless `endpoints.allowPrivateHosts: true` says so on purpose',
  ],
]

function endpoints(z: Zod) {
  const url = z.string({ message: NOT_ABSOLUTE })
  return z
    .strictObject({
      authorizationURL: url,
      tokenURL: url,
      apiURL: url,
      allowPrivateHosts: z.boolean().optional(),
    })
    .superRefine(({ allowPrivateHosts = false, ...urls }, context) => {
      for (const [name, value] of Object.entries(urls)) {
        const message = brokenRule(value, NOT_ABSOLUTE, endpointRules(name, allowPrivateHosts))
        if (message !== undefined) context.addIssue({ code: 'custom', path: [name], message })
      }
    })
}

const NOT_ABSOLUTE = 'must be an absolute URL such as https://gateway.example.com/2.0'

/** One connection. Levels of `connections()` are only checked with it, since defaults must not hide what is inherited. */
export const connectionSchema = lazily((z) =>
  z.strictObject({
    id: nonEmpty(z).default('default'),
    clientID: credential(z),
    clientSecret: credential(z),
    callbackURL: callbackURL(z),
    scope: scope(z).default([]),
    trustedProvider: z
      .boolean({
        message: 'must be a boolean; the string "false" and other truthy values would switch trust on by accident',
      })
      .default(false),
    enabled: z.boolean().default(true),
    signUp: z.boolean().default(true),
    visible: z.boolean().default(true),
    applications: z.array(nonEmpty(z)).optional(),
    origins: z.array(origin(z)).default([]),
    workspaces: z.array(workspace(z)).default([]),
    endpoints: endpoints(z).default(BITBUCKET_ENDPOINTS),
    tenant: z.string().nullable().default(null),
    application: z.string().nullable().default(null),
  } satisfies Record<keyof Connection, unknown>),
)

/** What a tenant overrides. */
export const overrideSchema = lazily(() =>
  connectionSchema().omit({ id: true, tenant: true, application: true }).partial(),
)

/** A connection with every default filled in. */
export type ResolvedConnection = ReturnType<ReturnType<typeof connectionSchema>['parse']>

/** The option `basePath`; `null` when there is no router, so that any path may be the callback. */
export type BasePath = string | null | undefined

/** Public path of the router, without trailing slash; `''` is the root. */
export function basePathOf({ callbackURL }: Pick<Connection, 'callbackURL'>, basePath: BasePath): string {
  return (basePath ?? new URL(callbackURL).pathname.replace(/\/callback$/, '')).replace(/\/+$/, '')
}

/**
 * Checks a connection and fills in its defaults. `givenTo` names what has to be fixed, when that is not `connection`.
 */
export function parseConnection(connection: Connection, basePath: BasePath, givenTo?: string): ResolvedConnection {
  const { tenant } = connection
  const where = givenTo ?? (typeof tenant === 'string' ? `connection of tenant "${tenant}"` : 'connection')
  const resolved = parse(connectionSchema(), connection, where)
  const outside = outsideRouter(resolved.callbackURL, basePath)
  if (outside !== undefined) throw configurationError(`${where}: \`callbackURL\` ${outside}.`)
  return resolved
}

/** Checks the application level of `connections()`. */
export function checkDefaultLevel(base: Partial<Connection>): void {
  check(connectionSchema(), definedFields(base), 'connections: default')
}

/** Checks what one tenant overrides. */
export function checkTenantLevel(override: ConnectionOverride, where: string): void {
  const given = definedFields(override)
  check(overrideSchema(), given, where)
  const halves = halvesOf(given)
  if (halves) throw configurationError(`${where}: ${halves.message}`)
}

/** Names the half of a tenant's credentials that is missing. */
export function halvesOf(given: ConnectionOverride): ConnectionProblem | undefined {
  if (!hasWholeCredentials(given)) {
    const field = 'clientID' in given ? 'clientSecret' : 'clientID'
    return { field, message: 'Set both `clientID` and `clientSecret`, or neither.' }
  }
  if (!given.endpoints || given.clientID) return undefined
  return {
    field: 'endpoints',
    message:
      'A level with its own `endpoints` needs its own `clientID` and `clientSecret`; otherwise another server would receive those of the application.',
  }
}

/**
 * Why the router would never see this callback, `undefined` if it does. A path that does not end in /callback is assumed
 * to be rewritten by the app; the doctor checks that it arrives.
 */
export function outsideRouter(callbackURL: string, basePath: BasePath): string | undefined {
  if (basePath === null) return undefined
  const { pathname } = new URL(callbackURL)
  if (!pathname.endsWith('/callback')) {
    return basePath === undefined
      ? 'must end in /callback, the route of the router, without a slash after it (for example https://app.example.com/auth/bitbucket/callback), unless `basePath` is set'
      : undefined
  }
  const expected = `${(basePath ?? '').replace(/\/+$/, '')}/callback`
  if (basePath === undefined || pathname.toLowerCase() === expected.toLowerCase()) return undefined
  return `must have the path ${expected}, because \`basePath\` is ${basePath}; any other path never reaches the router. Leave \`basePath\` out, or correct one of the two`
}

/** What `'theirs'` refuses, after the name of the field. */
export const REACHES_INSIDE =
  "point to this machine or into a private network, which `tenantClients: 'theirs'` does not allow, with `allowPrivateHosts` neither."

/**
 * Whether endpoints lead into the server's own network: administrators of a tenant must not make it send requests there, or
 * a token endpoint on loopback would be any service of this machine.
 */
export function reachesInside({ endpoints }: ConnectionOverride): boolean {
  if (!endpoints) return false
  const { authorizationURL, tokenURL, apiURL } = endpoints
  return [authorizationURL, tokenURL, apiURL].some(isInside)
}

/** Whether a URL is on this machine or in a private network. An invalid one is left to the check that names the field. */
function isInside(url: unknown): boolean {
  if (typeof url !== 'string' || !URL.canParse(url)) return false
  const { hostname } = new URL(url)
  return isLoopback(hostname) || isPrivateHost(hostname)
}

/** Whether a callback is on this machine, as on a developer's; an intranet's is not. */
export function isLoopbackURL(url: unknown): boolean {
  return typeof url === 'string' && URL.canParse(url) && isLoopback(new URL(url).hostname)
}
