import { refuseUnknownKeys, requireText, suggestion } from './check'

/** An OAuth client as a workspace registers it at Bitbucket. */
export interface FakeClientOptions {
  /** Bitbucket's "Key". */
  readonly clientID: string
  /** Bitbucket's "Secret". */
  readonly clientSecret: string
  /**
   * The one registered callback URL: Bitbucket has room for exactly one. `'*'` takes every callback on loopback, which
   * Bitbucket does not offer, so that tests need not know their port and path. `null` = none registered.
   */
  readonly callbackURL: string | null
  /** Shown on the consent page. Default: the client ID. */
  readonly name?: string
  /** The permissions that are ticked on the client. Default `['account', 'email']`. */
  readonly scopes?: readonly string[]
  /** The "private consumer" box: opens client_credentials. Default `false`. */
  readonly private?: boolean
}

/** A client as the fake keeps it: every default filled in. */
export interface FakeClient extends Required<FakeClientOptions> {}

/**
 * The client that is there unless `clients` says otherwise. Its secret is public: it opens nothing but the fake. Any
 * callback on loopback is welcome; register your own client to try Bitbucket's exact matching.
 */
export const FAKE_CLIENT: FakeClient = Object.freeze({
  clientID: 'fake-client-id',
  clientSecret: 'fake-client-secret',
  callbackURL: '*',
  name: 'An app in development',
  scopes: Object.freeze(['account', 'email']),
  private: false,
})

/** The registered clients of one fake, by client ID. */
export class Clients {
  readonly #byID = new Map<string, FakeClient>()

  constructor(clients: readonly FakeClientOptions[]) {
    for (const client of clients) this.add(client)
  }

  get all(): readonly FakeClient[] {
    return [...this.#byID.values()]
  }

  find(clientID: string): FakeClient | undefined {
    return this.#byID.get(clientID)
  }

  get(clientID: string): FakeClient {
    const client = this.find(clientID)
    if (client) return client
    throw new TypeError(`There is no client "${clientID}". ${suggestion(clientID, [...this.#byID.keys()])}`)
  }

  /** Replaces a client of the same ID, as editing it at Bitbucket does. */
  add(options: FakeClientOptions): FakeClient {
    const client = completeClient(options)
    this.#byID.set(client.clientID, client)
    return client
  }
}

const CLIENT_KEYS = ['clientID', 'clientSecret', 'callbackURL', 'name', 'scopes', 'private']

function completeClient(options: FakeClientOptions): FakeClient {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError('A client must be an object such as { clientID, clientSecret, callbackURL }.')
  }
  const clientID = requireText('"clientID" of a client', options.clientID)
  refuseUnknownKeys(`Client "${clientID}"`, options, CLIENT_KEYS)
  return Object.freeze({
    clientID,
    clientSecret: requireText(`"clientSecret" of client "${clientID}"`, options.clientSecret),
    callbackURL: requireCallback(clientID, options.callbackURL),
    name: options.name ?? clientID,
    scopes: Object.freeze([...(options.scopes ?? FAKE_CLIENT.scopes)]),
    private: options.private ?? false,
  })
}

function requireCallback(clientID: string, callbackURL: string | null): string | null {
  if (callbackURL === null || callbackURL === '*') return callbackURL
  if (typeof callbackURL === 'string' && URL.canParse(callbackURL)) return callbackURL
  throw new TypeError(
    `"callbackURL" of client "${clientID}" must be an absolute URL, '*' for any callback on loopback, or null for none.`,
  )
}
