import type { Request } from 'express'
import { BitbucketSignInError } from '../contract/errors'
import { type Connection, type ConnectionResolver, configurationError, type TenantClients } from '../contract/options'
import { decideIssuer, tenantOfIssuer, unavailability } from '../decisions/connection-levels'
import { isLoopbackURL, REACHES_INSIDE, reachesInside } from '../options/connection-options'
import { withDeadline } from '../time/deadline'
import { type ActiveConnection, activateConnection } from './active-connection'
import type { ConnectionSource, KeyedResolver, SourceOptions } from './connection-source'

export const RESOLVER_DEADLINE_MS = 15_000

const MAX_KNOWN = 10_000

/** Whose client it is, as `connections()` knows it. A mark, not a field: no row of a tenant can carry it. */
type Client = 'application' | 'own'
const clients = new WeakMap<Connection, Client>()
/** Connections whose servers need no check: inherited, or on a developer's machine, where the application's callback is. */
const trustedServers = new WeakSet<Connection>()

/** Remembers which parts of this connection are the application's, even behind a function that wraps `connections()`. */
export function markSource(connection: Connection, client: Client, trustsServers: boolean): void {
  clients.set(connection, client)
  if (trustsServers) trustedServers.add(connection)
}

/** The source for `connections()`. */
export function keyedSource(resolver: KeyedResolver, options: SourceOptions): ConnectionSource {
  const activate = activations(options, (each) => clients.get(each) ?? 'own')
  for (const each of resolver.fixed) activate(each)
  const offer = offers(activate, options)
  const registered = async (tenant: string | null) => {
    const found = await askResolver(() => resolver.registered(tenant))
    return found === null ? null : activate(found)
  }
  return {
    resolve: (req) => offer(req, () => resolver(req)),
    resolveFor: (req, key) => offer(req, () => resolver.lookUp(key)),
    activate,
    registered,
    async serves(issuer) {
      const tenants = new Set([null, tenantOfIssuer(issuer)])
      const found = await Promise.all([...tenants].map((tenant) => registered(tenant).catch(() => null)))
      return found.some((each) => each?.enabled && each.issuer === issuer)
    },
    async list() {
      const connections: ActiveConnection[] = []
      const failures: { tenant: string | null; error: unknown }[] = []
      for (const level of await resolver.list()) {
        try {
          if ('error' in level) throw level.error
          if (level.connection) connections.push(activate(level.connection))
        } catch (error) {
          failures.push({ tenant: level.tenant, error })
        }
      }
      const [first] = failures
      // Not a single row: the store failed, or the level that all inherit from is invalid.
      if (first && (first.tenant === null || connections.length === 0)) throw first.error
      return { connections, failures }
    },
  }
}

/**
 * The source for the app's own function. Nothing marks the application's client: one that names no tenant and
 * comes first counts as that, unless the app's answer says that it is theirs. A tenant's own never does by coming first,
 * or an attacker would only have to be early.
 */
export function functionSource(resolver: ConnectionResolver, options: SourceOptions): ConnectionSource {
  const { tenantClients } = options
  let application: Connection | undefined
  const clientOf = (each: Connection): Client => {
    const marked = clients.get(each)
    if (marked) return marked
    if (each.tenant == null) {
      if (typeof tenantClients === 'function' && ownerOf(each, tenantClients) === 'theirs') return 'own'
      return application === undefined || each.clientID === application.clientID ? 'application' : 'own'
    }
    // A tenant's issuer must not depend on which client was seen first.
    if (tenantClients !== undefined) return 'own'
    const { clientID, clientSecret } = application ?? {}
    return each.clientID === clientID && each.clientSecret === clientSecret ? 'application' : 'own'
  }
  const activate = activations(options, clientOf)
  const offer = offers((each) => {
    if (!clients.has(each) && each.tenant == null && clientOf(each) === 'application') {
      application ??= adopted(each, tenantClients)
    }
    return activate(each)
  }, options)
  const resolve = (req: Request) => offer(req, () => resolver(req))
  return {
    resolve,
    resolveFor: resolve,
    activate,
    registered: async () => undefined,
    serves: async () => false,
    list: async () => ({ connections: [], failures: [] }),
  }
}

/** Takes the first client for the application's. Unless the app has said so, that is a guess, and an attacker may be early. */
function adopted(each: Connection, tenantClients: TenantClients | undefined): Connection {
  if (tenantClients === undefined || tenantClients === 'theirs') {
    process.emitWarning(
      `bitbucketSignIn: \`connection\` is a function, and \`tenantClients\` ${tenantClients ? "is 'theirs' for all clients" : 'is not set'}, so the first client that it returned without a tenant (${each.clientID}) counts as the application's until the process ends, and any other is refused. Set \`tenantClients\` to 'ours' if only your operators can set these clients, otherwise to a function that answers for each.`,
      'BitbucketSignInWarning',
    )
  }
  return { ...each }
}

/** Activates connections once per distinct content, so that rereading a row costs only a comparison. */
function activations({ name, basePath, tenantClients }: SourceOptions, clientOf: (each: Connection) => Client) {
  const known = new Map<string, ActiveConnection>()
  // By a connection that is the app's own and no tenant's, whose administrator could write any callback into its row.
  let isDeveloperMachine = false
  return (each: Connection): ActiveConnection => {
    const client = clientOf(each)
    const owner = client === 'own' ? ownerOf(each, tenantClients) : undefined
    if (client === 'application' && each.tenant == null && isLoopbackURL(each.callbackURL)) isDeveloperMachine = true
    if (owner === 'theirs' && !isDeveloperMachine && !trustedServers.has(each)) checkReach(each)
    const content = JSON.stringify([client, owner, each])
    let active = known.get(content)
    if (!active) {
      const issuerAt = (server: string) => issuerOf(each, server, client, owner)
      active = activateConnection(each, { name, basePath, issuerAt })
      if (known.size >= MAX_KNOWN) known.clear()
      known.set(content, active)
    }
    return active
  }
}

function ownerOf({ clientID, tenant = null }: Connection, answer: TenantClients | undefined) {
  const owner: unknown = typeof answer === 'function' ? answer(clientID, tenant) : answer
  if (owner === undefined || owner === 'ours' || owner === 'theirs') return owner
  throw configurationError("tenantClients: it must return 'ours' or 'theirs', synchronously.")
}

function checkReach(connection: Connection): void {
  if (!reachesInside(connection)) return
  throw configurationError(
    `connection of tenant "${connection.tenant ?? null}": \`endpoints\` ${REACHES_INSIDE} Give public https addresses, or answer 'ours' for this client if your own operators set it.`,
  )
}

function issuerOf(
  { tenant = null, id }: Connection,
  server: string,
  client: Client,
  owner: 'ours' | 'theirs' | undefined,
): string {
  const decision = decideIssuer(server, client, tenant, owner)
  if ('issuer' in decision) return decision.issuer
  const whose = tenant === null ? `connection "${id}"` : `tenant "${tenant}"`
  throw new ClientNotDecided(
    decision.refused === 'not-answered'
      ? `\`tenantClients\` is missing: ${whose} brings its own OAuth client, and anyone who controls a client can obtain the codes of everyone who grants it access. Set \`tenantClients: 'ours'\` if only your own operators can set a tenant's client, or 'theirs' if its administrators can.`
      : `tenantClients: 'theirs' needs to know the tenant, and ${whose} names none. Return \`tenant\` with each connection.`,
  )
}

/** Reports a connection that awaits the operator's decision; at construction it is an ordinary mistake in the options. */
class ClientNotDecided extends BitbucketSignInError {
  constructor(message: string) {
    super('configuration_invalid', message)
  }
}

/** Resolves a request; a connection that must not be used yet counts as none, and the operator is called. */
function offers(activate: (each: Connection) => ActiveConnection, { report }: SourceOptions) {
  return async (req: Request, ask: () => ReturnType<ConnectionResolver>): Promise<ActiveConnection | null> => {
    const found = await askResolver(ask)
    if (found === null || unavailability(found) !== null) return null
    try {
      return activate(found)
    } catch (error) {
      if (!(error instanceof ClientNotDecided)) throw error
      report(new BitbucketSignInError('connection_unavailable', error.message, { cause: error }), req)
      return null
    }
  }
}

/** Resolvers are hooks: they have a deadline, and anything but a connection or `null` is a fault. */
async function askResolver(ask: () => ReturnType<ConnectionResolver>): Promise<Connection | null> {
  let found: Connection | null
  try {
    found = await withDeadline((async () => ask())(), RESOLVER_DEADLINE_MS, 'The connection resolver')
  } catch (cause) {
    if (cause instanceof BitbucketSignInError && cause.code === 'store_unavailable') throw cause
    throw new BitbucketSignInError('hook_failed', 'The connection resolver failed; see `cause`.', { cause })
  }
  if (found === null) return null
  if (typeof found !== 'object' || Array.isArray(found)) {
    throw new BitbucketSignInError('hook_failed', 'The connection resolver must return a connection or null.')
  }
  if (!found.id) throw configurationError('connection.id: a resolver must name each connection.')
  return found
}
