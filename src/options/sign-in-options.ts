import type { Agent } from 'node:http'
import type { AccountHooks } from '../contract/hooks'
import { type BitbucketSignInOptions, configurationError, type PassportLike } from '../contract/options'
import { connectionSchema } from './connection-options'
import { parse } from './parse'
import { anyObject, callable, either, lazily, nonEmpty, oneOf, optionGroups, type Zod } from './zod'

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
      untrustedEmail: oneOf(z, 'verify', 'unverified', 'omit', 'reject').default('verify'),
      missingEmail: oneOf(z, 'ask', 'allow', 'reject').default('ask'),
      matchingAccount: oneOf(z, 'link', 'prove', 'reject').default('link'),
      codeOpensAccount: z.boolean().default(false),
      localAddresses: oneOf(z, 'verified', 'unverified', 'none').default('verified'),
      identitiesPerUser: oneOf(z, 'one', 'many').default('one'),
    })
    .default({})

const path = (z: Zod) =>
  z.string().regex(/^\/(?![/\\])[^\\\s?#]*$/, { message: 'must be a path on this site, like /login' })

const paths = (z: Zod) =>
  z
    .strictObject({
      signedIn: path(z).default('/'),
      signedUp: path(z).optional(),
      signIn: path(z).default('/login'),
      confirm: path(z).optional(),
      failed: path(z).optional(),
    })
    .default({})

const NEVER_KEPT = ['passport', 'cookie', '__proto__', 'constructor', 'prototype']

const session = (z: Zod) => {
  const key = nonEmpty(z).refine((name) => !NEVER_KEPT.includes(name), {
    message: 'must not name `passport`, `cookie` or a prototype key: carrying those over would undo the rotation',
  })
  return z.strictObject({ keep: z.array(key).default([]) }).default({})
}

const TIMEOUT_RANGE = 'must be between 100 and 60000 (milliseconds)'

const http = (z: Zod) =>
  z
    .strictObject({
      timeoutMs: z.number().int().min(100, TIMEOUT_RANGE).max(60_000, TIMEOUT_RANGE).default(10_000),
      preconnect: z.boolean().default(true),
      agent: z
        .custom<Agent>((value) => typeof value === 'object' && value !== null, {
          message: 'must be an http.Agent',
        })
        .optional(),
    })
    .default({})

const secrets = (z: Zod) => {
  const secret = z.string({ message: 'is not a string; is the environment variable set?' }).min(32, {
    message:
      'must have at least 32 characters; make one with `node -p "crypto.randomBytes(32).toString(\'base64url\')"`',
  })
  return z
    .array(secret, { message: 'must be an array, for example [process.env.SESSION_SECRET]' })
    .min(1, { message: 'must hold at least one secret of 32 characters or more' })
}

const optionsSchema = lazily((z) => {
  const functionOr = (message: string) => either(z, message, [callable(z), anyObject(z)])
  const optional = callable(z).optional()
  return z.strictObject({
    passport: z.custom<PassportLike>((value) => typeof (value as PassportLike | null)?.authenticate === 'function', {
      message: "must be the app's Passport instance: `import passport from 'passport'` or `new Passport()`",
    }),
    secrets: secrets(z),
    // A fixed connection is parsed where it is activated, as what a resolver returns.
    connection: functionOr('must be a connection, `connections({ … })` or a function of the request'),
    tenantClients: either(z, "must be 'ours', 'theirs' or a function", [
      oneOf(z, 'ours', 'theirs'),
      callable(z),
    ]).optional(),
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
      .regex(/^[a-z][\w-]{0,31}$/i, { message: 'must be the name of a query parameter, such as `bitbucket`' })
      .optional(),
    basePath: path(z).optional(),
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,31}$/, { message: 'must be lower-case letters, digits and hyphens, at most 32' })
      .default('bitbucket'),
    limiter: either(z, "must be a limiter factory or 'memory'", [z.literal('memory'), callable(z)]).optional(),
    brand: z.unknown().optional(),
    renderPage: optional,
    texts: functionOr('must be texts or a function of the request').optional(),
    hiddenFields: optional,
    onEvent: optional,
    onError: optional,
    http: http(z),
  } satisfies Record<keyof BitbucketSignInOptions<unknown>, unknown>)
})

optionGroups.set('`connection`', () => Object.keys(connectionSchema().shape).filter((name) => name !== 'id'))
optionGroups.set('the options of `bitbucketSignIn`', () => Object.keys(optionsSchema().shape))
for (const group of ['policy', 'paths', 'session', 'http'] as const) {
  optionGroups.set(`\`${group}\``, () => Object.keys(optionsSchema().shape[group].removeDefault().shape))
}

type Groups = Pick<
  ReturnType<ReturnType<typeof optionsSchema>['parse']>,
  'name' | 'secrets' | 'policy' | 'paths' | 'session' | 'http'
>

/** The options with every default filled in. */
export type ResolvedOptions<User> = Omit<BitbucketSignInOptions<User>, keyof Groups> & Groups

const ABOUT_ADDRESSES = ['untrustedEmail', 'missingEmail', 'matchingAccount', 'codeOpensAccount'] as const

/** Refuses options that contradict `policy.localAddresses`. Checks what the app set, before defaults. */
function checkAddressPolicy<User>({ policy, accounts, connection }: BitbucketSignInOptions<User>): void {
  if (policy?.localAddresses === 'unverified' && accounts.claimAddress) {
    throw configurationError(
      "bitbucketSignIn: `accounts.claimAddress` would take accounts from their owners, because with `policy.localAddresses: 'unverified'` no owner has verified an address. Remove it, or verify addresses and set 'verified'.",
    )
  }
  if (policy?.localAddresses !== 'none') return
  const given = ABOUT_ADDRESSES.find((name) => policy[name] !== undefined)
  if (given !== undefined) throw pointless(`bitbucketSignIn: \`policy.${given}\``)
  if (typeof connection !== 'function' && connection.trustedProvider) throw pointless('connection: `trustedProvider`')
}

const pointless = (option: string) =>
  configurationError(`${option} is about addresses, but \`policy.localAddresses\` is 'none'. Remove one of them.`)

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
