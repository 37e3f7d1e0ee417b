import { Arrivals, type FakeEndpoint, type RecordedRequest } from './arrivals'
import { type SignInOptions, signIn } from './authorize-endpoint'
import { type Behaviour, type FakeBehaviour, type FakeProfile, profileNamed, withBehaviour } from './behaviour'
import { refuseUnknownKeys } from './check'
import { listen } from './fake-server'
import { type FakeScript, Scripts } from './faults'
import { FAKE_PEOPLE, type FakePerson, type FakePersonOptions, People } from './people'
import { recordedBehaviour } from './recorded-behaviour'
import { Clients, Decisions, FAKE_CLIENT, type FakeClient, type FakeClientOptions, Grants, type World } from './world'

/** How a fake Bitbucket starts. */
export interface FakeBitbucketOptions {
  /** The people who can sign in. Default {@link FAKE_PEOPLE}. */
  readonly people?: readonly FakePersonOptions[]
  /** The registered OAuth clients. Default: {@link FAKE_CLIENT} alone. */
  readonly clients?: readonly FakeClientOptions[]
  /** Default 0: any free port. */
  readonly port?: number
  /** Address to listen on. Default `127.0.0.1`; anyone who reaches the fake can sign in as any user, so keep it on loopback. */
  readonly host?: string
  /** Key and certificate in PEM: the fake then speaks https. */
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer }
  /** Time added to each answer in milliseconds, as a far server takes. Default 0. */
  readonly latencyMs?: number
  /**
   * A coherent set of switches. `bitbucket` (default): what Bitbucket most likely does today. `platform`: what follows if
   * new OAuth clients behave like clients of Atlassian's platform. `legacy`: what consumers got before May 2026.
   */
  readonly profile?: FakeProfile
  /** File written by `passport-bitbucket-signin record`: the fake behaves as the recorded server did. */
  readonly record?: string
  /** Switches on top of profile and record; see each. */
  readonly behaviour?: FakeBehaviour
  /** The clock for the lifetime of codes and tokens, in milliseconds since the epoch. Default `Date.now`. */
  readonly now?: () => number
}

/** Addresses of the fake; pass them as a connection's `endpoints`. */
export interface FakeEndpoints {
  /** The consent page. */
  readonly authorizationURL: string
  /** The token endpoint. */
  readonly tokenURL: string
  /** Base of the API. */
  readonly apiURL: string
}

/** A code without a consent, for tests that play an attacker. */
export interface IssueCodeOptions {
  /** Key of the person that the code is for. */
  readonly person: string
  /** Client ID. Default: the first registered client. */
  readonly client?: string
  /** `redirect_uri` that the authorize request would have carried. Default: none. */
  readonly redirectUri?: string
  /** Space-separated scopes. Default: all of the client's. */
  readonly scope?: string
  /** PKCE challenge (S256). Default: none. */
  readonly codeChallenge?: string
}

/** A running fake Bitbucket. */
export interface FakeBitbucket {
  /** Origin of site and API, for example `http://127.0.0.1:40123`. Its front page lists people and clients. */
  readonly url: string
  /** Pass them as a connection's `endpoints`. */
  readonly endpoints: FakeEndpoints

  /** The people who can sign in. */
  readonly people: readonly FakePerson[]
  /** One person, by key. */
  person(key: string): FakePerson
  /** Adds a person. Only `key` is required. */
  addPerson(person: FakePersonOptions): FakePerson
  /** Changes a person, as a rename at Bitbucket does: issued tokens stay valid. */
  updatePerson(key: string, changes: Partial<Omit<FakePersonOptions, 'key'>>): FakePerson
  /** The person closes the account: its tokens and codes are revoked. */
  removePerson(key: string): void

  /** The registered OAuth clients. */
  readonly clients: readonly FakeClient[]
  /** Registers a client, replacing one with the same ID. */
  addClient(client: FakeClientOptions): FakeClient

  /**
   * Does what the user does at the consent page, without a browser, and returns the callback URL with its `code` (or
   * `error`) and `state`. Scripts of `authorize` do not apply.
   *
   * @example
   * const start = await agent.get('/auth/bitbucket')
   * const callback = new URL(await fake.signIn(start.headers.location, { person: 'alice' }))
   * await agent.get(callback.pathname + callback.search)
   */
  signIn(authorizeURL: string | URL, options: SignInOptions): Promise<string>
  /** Returns a valid code without a consent. */
  issueCode(options: IssueCodeOptions): string

  /** The requests received, oldest first; the latest 10,000 are kept. */
  readonly requests: readonly RecordedRequest[]
  /** The number of requests received, in total or at one endpoint. */
  count(endpoint?: FakeEndpoint): number
  /** Forgets the requests so far. */
  clearRequests(): void
  /** The number of connections ever opened to the fake. */
  readonly connectionsOpened: number

  /**
   * Makes an endpoint fail; replaces its previous script.
   *
   * @example
   * fake.script('token', { status: 502, html: '<h1>Bad gateway</h1>' })
   * fake.script('user', [{ delivery: 'reset' }, null]) // reset once, then answer
   * fake.script('emails', (request) => (request.query.page === '2' ? { problem: 'rate-limited' } : null))
   */
  script(endpoint: FakeEndpoint, script: FakeScript): void
  /** Removes the script of one endpoint, or all of them. */
  clearScripts(endpoint?: FakeEndpoint): void
  /** Changes switches while the fake runs. */
  setBehaviour(changes: FakeBehaviour): void

  /**
   * Restores the initial state, on the same port: the people, clients and switches it was started with, and no scripts,
   * requests, codes, tokens or remembered consents. For an `afterEach`.
   */
  reset(): void
  /** Stops immediately and ends open requests. */
  close(): Promise<void>
}

const OPTION_KEYS = ['people', 'clients', 'port', 'host', 'tls', 'latencyMs', 'profile', 'record', 'behaviour', 'now']

/**
 * Starts a fake Bitbucket Cloud on loopback, for tests and for development without an account: the consent page, the token
 * endpoint and the API calls of a sign-in. Anyone who reaches it can sign in as any user.
 *
 * @example
 * const fake = await startFakeBitbucket()
 * const connection = { ...fake.clients[0], callbackURL, endpoints: fake.endpoints }
 * // … start a sign-in in the app, and act as the user:
 * const callback = await fake.signIn(response.headers.location, { person: 'alice' })
 */
export async function startFakeBitbucket(options: FakeBitbucketOptions = {}): Promise<FakeBitbucket> {
  refuseUnknownKeys('startFakeBitbucket()', options, OPTION_KEYS)
  checkPlace(options)
  const { port = 0, host = '127.0.0.1', latencyMs = 0, tls, now = Date.now } = options
  const base = baseOf(options)
  const world: World = { ...startingState(options, base, now), url: '', now }
  const arrivals = new Arrivals()
  const scripts = new Scripts()
  const server = await listen({ world, arrivals, scripts, latencyMs, tls }, port, host)
  world.url = server.url

  return {
    url: server.url,
    endpoints: {
      authorizationURL: `${server.url}/site/oauth2/authorize`,
      tokenURL: `${server.url}/site/oauth2/access_token`,
      apiURL: `${server.url}/2.0`,
    },
    get people() {
      return world.people.all
    },
    person: (key) => world.people.get(key),
    addPerson: (person) => world.people.add(person),
    updatePerson: (key, changes) => world.people.update(key, changes),
    removePerson: (key) => world.people.remove(key),
    get clients() {
      return world.clients.all
    },
    addClient: (client) => world.clients.add(client),
    signIn: async (authorizeURL, how) => signIn(authorizeURL, how, world, arrivals),
    issueCode: (code) => issueCode(code, world),
    get requests() {
      return arrivals.requests
    },
    count: (endpoint) => arrivals.count(endpoint),
    clearRequests: () => arrivals.clear(),
    get connectionsOpened() {
      return server.connections.opened
    },
    script: (endpoint, script) => scripts.set(endpoint, script),
    clearScripts: (endpoint) => scripts.clear(endpoint),
    setBehaviour: (changes) => {
      world.behaviour = withBehaviour(changes, world.behaviour)
    },
    reset: () => {
      Object.assign(world, startingState(options, base, now))
      scripts.clear()
      arrivals.clear()
    },
    close: () => server.close(),
  }
}

function checkPlace({ port = 0, latencyMs = 0, tls }: FakeBitbucketOptions): void {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new TypeError('"port" must be a whole number from 0 (any free port) to 65535.')
  }
  if (!(latencyMs >= 0)) throw new TypeError('"latencyMs" must be a number of milliseconds, 0 or more.')
  if (tls && (!tls.key || !tls.cert)) throw new TypeError('"tls" needs "key" and "cert", both in PEM.')
}

/** The switches before `behaviour` is laid over them. */
function baseOf({ profile, record }: FakeBitbucketOptions): Behaviour {
  const base = profileNamed(profile)
  return record === undefined ? base : withBehaviour(recordedBehaviour(record), base)
}

function startingState(options: FakeBitbucketOptions, base: Behaviour, now: () => number): Omit<World, 'url' | 'now'> {
  return {
    people: new People(options.people ?? FAKE_PEOPLE),
    clients: new Clients(options.clients ?? [FAKE_CLIENT]),
    grants: new Grants(now),
    behaviour: withBehaviour(options.behaviour ?? {}, base),
    decisions: new Decisions(),
  }
}

const CODE_KEYS = ['person', 'client', 'redirectUri', 'scope', 'codeChallenge']

function issueCode(options: IssueCodeOptions, world: World): string {
  refuseUnknownKeys('issueCode()', options, CODE_KEYS)
  const { person, client, redirectUri, scope, codeChallenge } = options
  const { clientID, scopes } = client === undefined ? firstClient(world) : world.clients.get(client)
  return world.grants.issueCode(
    {
      person: world.people.get(person).key,
      clientID,
      redirectUri: redirectUri ?? null,
      scopes: scope === undefined ? scopes : scope.split(' '),
      codeChallenge: codeChallenge ?? null,
      codeChallengeMethod: 'S256',
    },
    world.behaviour.codeSeconds,
  )
}

function firstClient(world: World): FakeClient {
  const client = world.clients.all[0]
  if (client) return client
  throw new TypeError('No OAuth client is registered. Add one with addClient().')
}
