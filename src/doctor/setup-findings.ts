import type { ActiveConnection } from '../connections/active-connection'
import type { BitbucketSignInOptions } from '../contract/options'
import type { Limits } from '../state/limits'
import { randomHandle } from '../state/random'
import { type DoctorFinding, ok, problem, unknown, warning } from './finding'

type Options = Pick<BitbucketSignInOptions<never>, 'passport' | 'secrets' | 'limiter' | 'name'> & {
  readonly accounts: object
}

/** The part of Passport that shows its setup; other versions may lack it. */
interface PassportInside {
  readonly _serializers?: unknown
  readonly _deserializers?: unknown
  readonly _strategies?: Readonly<Record<string, unknown>>
}

/** Checks the options and the Passport instance, without a request. */
export async function setUpFindings(
  options: Options,
  limits: Limits,
  strategy: object,
  connections: readonly ActiveConnection[],
): Promise<readonly DoctorFinding[]> {
  const { passport, name = 'bitbucket' } = options
  return [
    serializerFinding(passport as PassportInside),
    strategyFinding(passport as PassportInside, name, strategy),
    ...secretFindings(options.secrets, connections),
    hooksFinding(options.accounts),
    ...gateFindings(connections),
    ...(await limiterFindings(options.limiter, limits)),
  ]
}

function serializerFinding({ _serializers, _deserializers }: PassportInside): DoctorFinding {
  if (!Array.isArray(_serializers) || !Array.isArray(_deserializers)) {
    return unknown('serializers', 'This version of Passport does not expose its serializers.')
  }
  const missing = [
    ...(_serializers.length === 0 ? ['serializeUser'] : []),
    ...(_deserializers.length === 0 ? ['deserializeUser'] : []),
  ]
  if (missing.length === 0) return ok('serializers', 'Passport can keep a user in the session.')
  return problem(
    'serializers',
    `passport.${missing.join(' and passport.')} ${missing.length > 1 ? 'are' : 'is'} not set, so no user can be kept in a session.`,
    'Call passport.serializeUser((user, done) => done(null, user.id)) and passport.deserializeUser((id, done) => …) on the instance that is passed to bitbucketSignIn.',
  )
}

function strategyFinding({ _strategies }: PassportInside, name: string, own: object): DoctorFinding {
  const registered = _strategies?.[name]
  if (registered === undefined || registered === own) {
    return ok('strategy-name', `No other Passport strategy is called "${name}".`)
  }
  return warning(
    'strategy-name',
    `Another Passport strategy is registered as "${name}", and passport.authenticate('${name}') runs that one.`,
    `Remove its passport.use(…) if it is left over from an older package, or set another \`name\` for one of the two.`,
  )
}

function secretFindings(
  secrets: readonly (string | undefined)[],
  connections: readonly ActiveConnection[],
): DoctorFinding[] {
  const found: DoctorFinding[] = []
  if (connections.some(({ clientSecret }) => secrets.includes(clientSecret.reveal()))) {
    found.push(
      problem(
        'secrets',
        'One of `secrets` is the client secret of a connection; anyone who administers that connection could forge our cookies.',
        'Use a separate secret: node -p "crypto.randomBytes(32).toString(\'base64url\')".',
      ),
    )
  }
  if (secrets.some((secret) => new Set(secret).size < 10)) {
    found.push(
      warning(
        'secrets',
        'One of `secrets` has fewer than ten different characters, so it does not look random.',
        'Make one with node -p "crypto.randomBytes(32).toString(\'base64url\')".',
      ),
    )
  }
  return found.length > 0 ? found : [ok('secrets', 'They look random and are used for nothing else.')]
}

/** A tenant inherits `workspaces` unless it sets them, so an empty list is its own, and opens the application's gate. */
function gateFindings(connections: readonly ActiveConnection[]): DoctorFinding[] {
  const application = connections.find(({ tenant }) => tenant === null)
  if (!application?.workspaces.length) return []
  return connections
    .filter(({ tenant, workspaces }) => tenant !== null && workspaces.length === 0)
    .map(({ tenant }) =>
      warning(
        'workspaces',
        `Tenant "${tenant}" has \`workspaces: []\`, which admits everyone; the application admits only members of ${application.workspaces.join(', ')}.`,
        'Leave `workspaces` out of its row (null in a database) so that it inherits them, or ignore this if the tenant is meant to be open.',
      ),
    )
}

function hooksFinding(accounts: object): DoctorFinding {
  const hooks = accounts as Readonly<Record<string, unknown>>
  const missing = ['listIdentities', 'describeUser'].filter((name) => typeof hooks[name] !== 'function')
  if (missing.length === 0) return ok('hooks', 'All hooks for linking are provided.')
  return warning(
    'hooks',
    `accounts.${missing.join(' and accounts.')} ${missing.length > 1 ? 'are' : 'is'} missing: users whose address belongs to an account here are refused (account_exists).`,
    'Add both; see docs/reference/hooks.md.',
  )
}

async function limiterFindings(limiter: Options['limiter'], limits: Limits): Promise<DoctorFinding[]> {
  if (typeof limiter !== 'function') {
    const several = severalProcesses()
    if (several === null) return [ok('limiter', 'In memory, and this looks like the only process.')]
    return [
      problem(
        'limiter',
        `The limiter counts in memory, and ${several}: each process would count alone, so codes and callbacks could be used once in each.`,
        'Set `limiter` on PostgreSQL or Redis; see docs/production.md.',
      ),
    ]
  }
  const key = `doctor ${randomHandle()}`
  try {
    const first = await limits.consume('taken', key)
    const second = await limits.consume('taken', key)
    if (first && !second) return [ok('limiter', 'The store of the limiter counts.')]
  } catch (error) {
    const { cause } = error as Error
    return [
      problem(
        'limiter',
        `The store of the limiter failed: ${cause instanceof Error ? cause.message.slice(0, 200) : 'no reason given'}`,
        'Check that its database is running and that its table exists; while it fails, no user can sign in (store_unavailable).',
      ),
    ]
  }
  return [
    problem(
      'limiter',
      'The limiter does not enforce its points: what may work only once would work again.',
      'Pass the options to the limiter: (options) => new RateLimiterPostgres({ storeClient, ...options }).',
    ),
  ]
}

/** Why this looks like one of several processes; `null` if it does not. Some hosts hide it. */
function severalProcesses(): string | null {
  const { isWorker } = require('node:cluster') as typeof import('node:cluster').default
  const { pm_id, WEB_CONCURRENCY, KUBERNETES_SERVICE_HOST, NODE_APP_INSTANCE } = process.env
  if (isWorker) return 'this is a cluster worker'
  if (pm_id !== undefined || NODE_APP_INSTANCE !== undefined) return 'PM2 started this process'
  if (Number(WEB_CONCURRENCY) > 1) return `WEB_CONCURRENCY is ${Number(WEB_CONCURRENCY)}`
  if (KUBERNETES_SERVICE_HOST !== undefined) return 'this runs in Kubernetes, where every rollout runs two'
  return null
}
