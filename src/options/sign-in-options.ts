import type { Agent } from 'node:http'
import type { AccountHooks } from '../contract/hooks'
import { type BitbucketSignInOptions, configurationError, type PassportLike } from '../contract/options'
import { checkAddressPolicy } from './address-policy'
import { connectionSchema } from './connection-options'
import { registerGroup } from './option-advice'
import { parse } from './option-problems'
import { callable, lazily, type Zod } from './zod'

const hooks = (z: Zod) => {
  const required = callable(z)
  const optional = callable(z).optional()
  return z.strictObject({
    getUserByIdentity: required,
    getUserById: optional,
    getAccountsByEmail: required,
    createUser: required,
    linkIdentity: required,
    claimAddress: optional,
    unlinkIdentity: optional,
    listIdentities: optional,
    describeUser: optional,
    storeTokens: optional,
    updateProfile: optional,
    beforeSignIn: optional,
    canSignIn: optional,
    endOtherSessions: optional,
  } satisfies Record<keyof AccountHooks<unknown>, unknown>)
}

/** Class instances are accepted, so methods on a prototype count. */
function accounts(z: Zod) {
  const schema = hooks(z)
  const names = Object.keys(schema.shape)
  return z.preprocess((value) => withInheritedMethods(value, names), schema)
}

function withInheritedMethods(value: unknown, names: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null) return value
  const prototype = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return value
  const methods = value as Record<string, unknown>
  return Object.fromEntries(names.filter((name) => methods[name] !== undefined).map((name) => [name, methods[name]]))
}

const policy = (z: Zod) =>
  z
    .strictObject({
      untrustedEmail: z.enum(['verify', 'unverified', 'omit', 'reject']).default('verify'),
      missingEmail: z.enum(['ask', 'allow', 'reject']).default('ask'),
      matchingAccount: z.enum(['link', 'prove', 'reject']).default('link'),
      codeOpensAccount: z.boolean().default(false),
      localAddresses: z.enum(['verified', 'unverified', 'none']).default('verified'),
      identitiesPerUser: z.enum(['one', 'many']).default('one'),
    })
    .prefault({})

const path = (z: Zod) =>
  z.string().regex(/^\/(?![/\\])[^\\\s?#]*$/, { error: 'must be a path on this site, like /login' })

const paths = (z: Zod) =>
  z
    .strictObject({
      signedIn: path(z).default('/'),
      signedUp: path(z).optional(),
      signIn: path(z).default('/login'),
      confirm: path(z).optional(),
      failed: path(z).optional(),
    })
    .prefault({})

const NEVER_KEPT = ['passport', 'cookie', '__proto__', 'constructor', 'prototype']

const session = (z: Zod) => {
  const key = z
    .string()
    .min(1)
    .refine((name) => !NEVER_KEPT.includes(name), {
      error: 'must not name `passport`, `cookie` or a prototype key: carrying those over would undo the rotation',
    })
  return z.strictObject({ keep: z.array(key).default([]) }).prefault({})
}

const http = (z: Zod) =>
  z
    .strictObject({
      timeoutMs: z.int().min(100).max(60_000).default(10_000),
      preconnect: z.boolean().default(true),
      agent: z
        .custom<Agent>((value) => typeof value === 'object' && value !== null, {
          error: 'must be an http.Agent',
        })
        .optional(),
    })
    .prefault({})

const secrets = (z: Zod) => {
  const secret = z.string({ error: 'is not a string; is the environment variable set?' }).min(32, {
    error: 'must have at least 32 characters; make one with `node -p "crypto.randomBytes(32).toString(\'base64url\')"`',
  })
  return z
    .array(secret, { error: 'must be an array, for example [process.env.SESSION_SECRET]' })
    .min(1, { error: 'must hold at least one secret of 32 characters or more' })
}

const optionsSchema = lazily((z) => {
  const either = (error: string) => z.union([callable(z), z.looseObject({})], { error })
  const optional = callable(z).optional()
  return z.strictObject({
    passport: z.custom<PassportLike>((value) => typeof (value as PassportLike | null)?.authenticate === 'function', {
      error: "must be the app's Passport instance: `import passport from 'passport'` or `new Passport()`",
    }),
    secrets: secrets(z),
    // A fixed connection is parsed where it is activated, as what a resolver returns.
    connection: either('must be a connection, `connections({ … })` or a function of the request'),
    tenantClients: z
      .union([z.enum(['ours', 'theirs']), callable(z)], { error: "must be 'ours', 'theirs' or a function" })
      .optional(),
    accounts: accounts(z),
    sendEmailCode: optional,
    policy: policy(z),
    userId: optional,
    signedInAt: optional,
    session: session(z),
    paths: paths(z),
    data: optional,
    outcomeParameter: z
      .string()
      .regex(/^[a-z][\w-]{0,31}$/i, { error: 'must be the name of a query parameter, such as `bitbucket`' })
      .optional(),
    basePath: path(z).optional(),
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,31}$/, { error: 'must be lower-case letters, digits and hyphens, at most 32' })
      .default('bitbucket'),
    limiter: z.union([z.literal('memory'), callable(z)], { error: "must be a limiter factory or 'memory'" }).optional(),
    brand: z.unknown().optional(),
    renderPage: optional,
    texts: either('must be texts or a function of the request').optional(),
    hiddenFields: optional,
    onEvent: optional,
    onError: optional,
    http: http(z),
  } satisfies Record<keyof BitbucketSignInOptions<unknown>, unknown>)
})

registerGroup('`connection`', () => Object.keys(connectionSchema().shape).filter((name) => name !== 'id'))
registerGroup('the options of `bitbucketSignIn`', () => Object.keys(optionsSchema().shape))
for (const group of ['policy', 'paths', 'session', 'http'] as const) {
  registerGroup(`\`${group}\``, () => Object.keys(optionsSchema().shape[group].unwrap().shape))
}

type Groups = Pick<
  ReturnType<ReturnType<typeof optionsSchema>['parse']>,
  'name' | 'secrets' | 'policy' | 'paths' | 'session' | 'http'
>

/** The options with every default filled in. */
export type ResolvedOptions<User> = Omit<BitbucketSignInOptions<User>, keyof Groups> & Groups

function requireEndOtherSessions<User>(accounts: AccountHooks<User>): void {
  if (accounts.endOtherSessions) return
  const change = (['claimAddress', 'unlinkIdentity'] as const).find((name) => accounts[name])
  if (!change) return
  throw configurationError(
    `bitbucketSignIn: \`accounts.endOtherSessions\` is missing. \`${change}\` needs it: sessions opened with the removed credential would otherwise stay signed in. Add the hook.`,
  )
}

/** Parses the options of `bitbucketSignIn`; throws `configuration_invalid` for the first problem. */
export function parseOptions<User>(options: BitbucketSignInOptions<User>): ResolvedOptions<User> {
  const { name, secrets, policy, paths, session, http } = parse(optionsSchema(), options, 'bitbucketSignIn')
  checkAddressPolicy(options)
  requireEndOtherSessions(options.accounts)
  // If users have no addresses, an account without one is complete.
  if (policy.localAddresses === 'none') Object.assign(policy, { untrustedEmail: 'omit', missingEmail: 'allow' })
  if (!options.sendEmailCode && (policy.untrustedEmail === 'verify' || policy.missingEmail === 'ask')) {
    throw configurationError(
      'bitbucketSignIn: `sendEmailCode` is missing. Set it, or set `policy.untrustedEmail` and `policy.missingEmail` so that no code is ever needed.',
    )
  }
  // Hooks and functions stay the app's own: a copy would lose `this`.
  return { ...options, name, secrets, policy, paths, session, http }
}
