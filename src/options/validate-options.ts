import type { ZodObject } from 'zod'
import { closest } from '../contract/closest'
import type { AccountHooks } from '../contract/hooks'
import { isLoopback } from '../contract/loopback'
import {
  type BitbucketSignInOptions,
  type Connection,
  configurationError,
  type PassportLike,
  scopesOf,
} from '../contract/options'
import { definedFields, hasWholeCredentials } from '../decisions/connection-levels'

/** Checks the options of `bitbucketSignIn`; throws `configuration_invalid` naming the first thing that is wrong. */
export function validateOptions<User>(options: BitbucketSignInOptions<User>): void {
  check(schemas().options, options, 'bitbucketSignIn')
  const { policy, sendEmailCode } = options
  if (
    !sendEmailCode &&
    ((policy?.untrustedEmail ?? 'verify') === 'verify' || (policy?.missingEmail ?? 'ask') === 'ask')
  ) {
    throw configurationError(
      'bitbucketSignIn: `sendEmailCode` is missing. Give it, or set `policy.untrustedEmail` and `policy.missingEmail` so that no code is ever needed.',
    )
  }
  if (typeof options.connection !== 'function') validateConnection(options.connection, options.basePath !== undefined)
}

/**
 * Checks one connection; `hasBasePath` says that the router's path need not follow from the callback URL, `givenTo` to
 * whom the fields were given, where that was no `connection`.
 */
export function validateConnection(connection: Connection, hasBasePath: boolean, givenTo?: string): void {
  const { tenant } = connection
  const where = givenTo ?? (typeof tenant === 'string' ? `connection of tenant "${tenant}"` : 'connection')
  check(schemas().connection, connection, where)
  if (!hasBasePath && !new URL(connection.callbackURL).pathname.endsWith('/callback')) {
    throw configurationError(
      `${where}: \`callbackURL\` must end in /callback, the route of the router, without a slash after it (for example https://app.example.com/auth/bitbucket/callback), or give \`basePath\`.`,
    )
  }
}

/** Checks the options of `connections()` and what they give as values. */
export function validateConnections(options: { readonly default?: unknown; readonly tenants?: unknown }): void {
  check(schemas().connections, options, 'connections')
  const { default: base, tenants } = options as {
    default?: Connection | (() => unknown) | null
    tenants?: Record<string, Partial<Connection>> | (() => unknown)
  }
  if (base === undefined && tenants === undefined) {
    throw configurationError('connections: give `default`, `tenants` or both.')
  }
  if (base && typeof base === 'object') check(schemas().connection, definedFields(base), 'connections: default')
  if (!tenants || typeof tenants === 'function') return
  for (const [id, override] of Object.entries(tenants)) {
    const where = `connections: tenants.${id}`
    const given = definedFields(override)
    check(schemas().override, given, where)
    if (!hasWholeCredentials(given)) throw configurationError(`${where}: give both \`clientID\` and \`clientSecret\`.`)
    if (given.endpoints && !given.clientID) {
      throw configurationError(
        `${where}: \`endpoints\` of its own need a \`clientID\` and \`clientSecret\` of their own, or another server would get the application's.`,
      )
    }
  }
}

type Schemas = ReturnType<typeof makeSchemas>
let made: Schemas | undefined

/** Made at the first construction, not at import: loading zod costs more than all the rest of the package. */
function schemas(): Schemas {
  made ??= makeSchemas()
  return made
}

function makeSchemas() {
  const { z } = require('zod') as typeof import('zod')

  const text = z.string().min(1)
  // The mistake that everybody makes once: the value comes from an environment that lacks it.
  const fromEnvironment = z
    .string({ error: 'is not a string; is the environment variable set?' })
    .min(1, { error: 'is empty; is the environment variable set?' })
  const callable = (what: string) => z.custom((value) => typeof value === 'function', { error: `must be ${what}` })
  const url = (rule: (url: URL) => boolean, error: string) =>
    z.string({ error }).refine((value) => URL.canParse(value) && hasPlainHost(new URL(value)) && rule(new URL(value)), {
      error,
    })
  const endpoint = url(
    (value) => isSecure(value) && value.username === '' && value.password === '' && value.hash === '',
    'must be an absolute https URL without user name or fragment (http on loopback only)',
  )
  const path = z.string().regex(/^\/(?![/\\])[^\\\s?#]*$/, { error: 'must be a path on this site, like /login' })
  const keptKey = z
    .string()
    .min(1)
    .refine((key) => !['passport', 'cookie', '__proto__', 'constructor', 'prototype'].includes(key), {
      error: 'must not name `passport`, `cookie` or a prototype key: carrying those over would undo the rotation',
    })

  const connection = z.strictObject({
    id: text.optional(),
    clientID: fromEnvironment,
    clientSecret: fromEnvironment,
    callbackURL: url(
      (value) =>
        isSecure(value) &&
        value.username === '' &&
        value.password === '' &&
        value.hash === '' &&
        value.search === '' &&
        // Our redirects begin with this path, and two slashes are the beginning of another host.
        !value.pathname.startsWith('//'),
      'must be the absolute URL registered at Bitbucket, https (http on loopback only), without query or fragment',
    ),
    scope: z
      .union([z.literal(false), z.string(), z.array(z.string())], {
        error: 'must be scopes in one string, a list of scopes, or false',
      })
      .refine(
        (value) => value === false || scopesOf(value).every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)),
        {
          error: 'must hold plain scope names such as `repository`',
        },
      )
      .optional(),
    trustedProvider: z
      .boolean({
        error:
          'must be true or false itself; the string "false" and other truthy values would switch trust on by accident',
      })
      .optional(),
    enabled: z.boolean().optional(),
    signUp: z.boolean().optional(),
    visible: z.boolean().optional(),
    applications: z.array(text).optional(),
    origins: z
      .array(
        url(
          (value) =>
            isSecure(value) &&
            value.pathname === '/' &&
            value.search === '' &&
            value.hash === '' &&
            value.username === '',
          'must be origins such as https://app2.example.com (http on loopback only), without a path',
        ),
      )
      .optional(),
    workspaces: z
      .array(
        z.string().regex(/^(?:[\w.-]{1,128}|\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\})$/i, {
          error: 'must be workspace slugs (`acme` of https://bitbucket.org/acme) or uuids in braces',
        }),
      )
      .optional(),
    endpoints: z
      .strictObject({
        authorizationURL: endpoint,
        tokenURL: endpoint,
        apiURL: endpoint,
        allowPrivateHosts: z.boolean().optional(),
      })
      .refine(
        (value) =>
          value.allowPrivateHosts === true ||
          [value.authorizationURL, value.tokenURL, value.apiURL].every(
            (each) => !URL.canParse(each) || !isPrivateHost(new URL(each).hostname),
          ),
        { error: 'must not point into a private network unless `allowPrivateHosts: true` says so on purpose' },
      )
      .optional(),
    tenant: z.string().nullish(),
    application: z.string().nullish(),
  })

  const accounts = z.strictObject({
    getUserByIdentity: callable('a function'),
    getAccountsByEmail: callable('a function'),
    createUser: callable('a function'),
    linkIdentity: callable('a function'),
    claimAddress: callable('a function').optional(),
    unlinkIdentity: callable('a function').optional(),
    listIdentities: callable('a function').optional(),
    describeUser: callable('a function').optional(),
    storeTokens: callable('a function').optional(),
    updateProfile: callable('a function').optional(),
    canSignIn: callable('a function').optional(),
    endOtherSessions: callable('a function').optional(),
  })

  const options = z.strictObject({
    passport: z.custom((value) => typeof (value as PassportLike | null)?.authenticate === 'function', {
      error: "must be the app's Passport instance: `import passport from 'passport'` or `new Passport()`",
    }),
    secrets: z
      .array(
        z.string({ error: 'is not a string; is the environment variable set?' }).min(32, {
          error:
            'must have at least 32 characters; make one with `node -p "crypto.randomBytes(32).toString(\'base64url\')"`',
        }),
        { error: 'must be a list, for example [process.env.SESSION_SECRET]' },
      )
      .min(1, { error: 'must hold at least one secret of 32 characters or more' }),
    // A resolver's answers are checked one by one as they come; a fixed connection by validateConnection.
    connection: z.union([z.custom((value) => typeof value === 'function'), z.looseObject({})], {
      error: 'must be a connection, `connections({ … })` or a function of the request',
    }),
    // Instances of classes are welcome, so methods on a prototype count too.
    accounts: z.preprocess(withInheritedMethods, accounts),
    sendEmailCode: callable('a function').optional(),
    policy: z
      .strictObject({
        untrustedEmail: z.enum(['verify', 'unverified', 'omit', 'reject']).optional(),
        missingEmail: z.enum(['ask', 'allow', 'reject']).optional(),
        matchingAccount: z.enum(['link', 'prove', 'reject']).optional(),
        codeOpensAccount: z.boolean().optional(),
        linkUnverified: z.boolean().optional(),
        identitiesPerUser: z.enum(['one', 'many']).optional(),
      })
      .optional(),
    userId: callable('a function').optional(),
    signedInAt: callable('a function').optional(),
    session: z.strictObject({ keep: z.array(keptKey).optional() }).optional(),
    paths: z.strictObject({ signedIn: path.optional(), signIn: path.optional(), failed: path.optional() }).optional(),
    basePath: path.optional(),
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,31}$/, { error: 'must be lower-case letters, digits and hyphens, at most 32' })
      .optional(),
    limiter: z
      .union([z.literal('memory'), z.custom((value) => typeof value === 'function')], {
        error: "must be a limiter factory or 'memory'",
      })
      .optional(),
    brand: z.unknown().optional(),
    renderPage: callable('a function').optional(),
    texts: z
      .union([z.custom((value) => typeof value === 'function'), z.looseObject({})], {
        error: 'must be texts or a function of the request',
      })
      .optional(),
    hiddenFields: callable('a function').optional(),
    onEvent: callable('a function').optional(),
    onError: callable('a function').optional(),
    http: z
      .strictObject({
        timeoutMs: z.int().min(100).max(60_000).optional(),
        preconnect: z.boolean().optional(),
        agent: z.custom((value) => typeof value === 'object' && value !== null).optional(),
      })
      .optional(),
  })

  const level = z.union([z.custom((value) => typeof value === 'function'), z.looseObject({}), z.null()], {
    error: 'must be an object, a function that gives one, or null',
  })
  const connections = z.strictObject({
    default: level.optional(),
    tenants: z
      .union([z.custom((value) => typeof value === 'function'), z.record(z.string(), z.looseObject({}))], {
        error: 'must hold an object for each tenant id, or be a function that gives one',
      })
      .optional(),
    tenantIds: callable('a function').optional(),
    tenant: callable('a function of the request').optional(),
    application: callable('a function of the request').optional(),
    cacheMs: z
      .number({ error: 'must be milliseconds, 0 or more' })
      .min(0, 'must be milliseconds, 0 or more')
      .optional(),
  })
  const override = connection.omit({ id: true, tenant: true, application: true }).partial()

  return { connection, connections, override, options }
}

function withInheritedMethods(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const prototype = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return value
  const hooks = value as Record<string, unknown>
  return Object.fromEntries(HOOK_NAMES.filter((name) => hooks[name] !== undefined).map((name) => [name, hooks[name]]))
}

const HOOK_NAMES = [
  'getUserByIdentity',
  'getAccountsByEmail',
  'createUser',
  'linkIdentity',
  'claimAddress',
  'unlinkIdentity',
  'listIdentities',
  'describeUser',
  'storeTokens',
  'updateProfile',
  'canSignIn',
  'endOtherSessions',
] as const satisfies readonly (keyof AccountHooks<unknown>)[]

/**
 * Browsers take `;`, `'` and `*` in a host. Our Content-Security-Policy lists hosts, where a semicolon begins another
 * directive; and a pattern would be compared as it is, and match nothing.
 */
function hasPlainHost(url: URL): boolean {
  return /^[\w.:[\]-]+$/.test(url.host)
}

function isSecure(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

/** Whether a literal host is inside a private network. A name that resolves there is not seen here: DNS is not asked. */
function isPrivateHost(hostname: string): boolean {
  if (isLoopback(hostname)) return false
  const host = hostname.replace(/^\[|\]$/g, '')
  if (/\.(?:local|internal|lan|home|intranet)\.?$/.test(host) || (!host.includes('.') && !host.includes(':')))
    return true
  const { BlockList, isIP } = require('node:net') as typeof import('node:net')
  const family = isIP(host)
  if (family === 0) return false
  const list = new BlockList()
  // These are found in their IPv6 spelling as well (::ffff:10.0.0.1).
  for (const [net, bits] of [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.168.0.0', 16],
  ] as const) {
    list.addSubnet(net, bits, 'ipv4')
  }
  for (const [net, bits] of [
    ['::', 127],
    ['fc00::', 7],
    ['fe80::', 10],
  ] as const)
    list.addSubnet(net, bits, 'ipv6')
  return list.check(host, family === 4 ? 'ipv4' : 'ipv6')
}

function check(schema: ZodObject, value: unknown, where: string): void {
  const issues = schema.safeParse(value).error?.issues ?? []
  // A misspelt option is also a missing one; what was written is what has to be mended.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]
  if (!issue) return
  const path = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys') {
    const at = path === '' ? where : `${where}: ${path}`
    const key = issue.keys[0] ?? ''
    throw configurationError(`${at}: unknown option \`${key}\`. ${adviceOn(key, schema, issue.path)}`)
  }
  const given = issue.path.reduce<unknown>((inner, step) => (inner as Record<PropertyKey, unknown>)?.[step], value)
  const fact = factOf(issue, given)
  throw configurationError(
    `${path === '' ? `${where}: the argument` : `${where}: \`${path}\``} ${fact}${fact.endsWith('?') ? '' : '.'}`,
  )
}

/** What to do about an option that does not exist. */
function adviceOn(key: string, schema: ZodObject, path: readonly PropertyKey[]): string {
  const { connection, options } = schemas()
  if (schema === options && path.length === 0 && Object.hasOwn(connection.shape, key)) {
    return 'It belongs into `connection`.'
  }
  const guess = closest(key, knownKeys(schema, path))
  return guess ? `Did you mean \`${guess}\`?` : 'Remove it.'
}

type Issue = NonNullable<ReturnType<ZodObject['safeParse']>['error']>['issues'][number]

/** What is wrong with a value, in our words: those of the library speak of its own inside. */
function factOf(issue: Issue, given: unknown): string {
  if (/^(?:must|is) /.test(issue.message)) return issue.message
  if (given === undefined) return 'is missing'
  if (issue.code === 'invalid_type') return `must be ${KINDS[issue.expected] ?? issue.expected}, not ${kindOf(given)}`
  if (issue.code === 'invalid_value')
    return `must be one of ${issue.values.map((each) => `'${String(each)}'`).join(', ')}`
  return `is not valid (${issue.message})`
}

const KINDS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'an object',
  string: 'a text',
}

function kindOf(given: unknown): string {
  if (given === null) return 'null'
  if (Array.isArray(given)) return 'a list'
  return KINDS[typeof given] ?? `a ${typeof given}`
}

/** The keys allowed where an unknown one was found: walks the schema along the path. */
function knownKeys(schema: ZodObject, path: readonly PropertyKey[]): readonly string[] {
  type Node = { shape?: Record<PropertyKey, Node>; def?: { innerType?: Node; out?: Node } }
  let node: Node | undefined = schema as unknown as Node
  const unwrap = (each: Node | undefined): Node | undefined =>
    each && !each.shape && (each.def?.innerType ?? each.def?.out) ? unwrap(each.def.innerType ?? each.def.out) : each
  for (const step of path) node = unwrap(node?.shape?.[step])
  return Object.keys(unwrap(node)?.shape ?? {})
}
