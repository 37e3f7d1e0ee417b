import { createHash, randomBytes } from 'node:crypto'
import type { Behaviour } from './behaviour'
import { refuseUnknownKeys, requireText, suggestion } from './check'
import type { People } from './people'

/** Everything one fake knows; the endpoints read and change it. */
export interface World {
  people: People
  clients: Clients
  grants: Grants
  behaviour: Behaviour
  /** What a person decided about a client before. */
  decisions: Decisions
  /** Origin of site and API; known once the server listens. */
  url: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

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

/** Remembered answers of the consent page, by person and client. */
export class Decisions {
  readonly #allowed = new Map<string, readonly string[]>()
  readonly #denied = new Set<string>()

  allow(person: string, clientID: string, scopes: readonly string[]): void {
    this.#denied.delete(keyOf(person, clientID))
    this.#allowed.set(keyOf(person, clientID), scopes)
  }

  deny(person: string, clientID: string): void {
    this.#denied.add(keyOf(person, clientID))
  }

  hasAllowed(person: string, clientID: string, scopes: readonly string[]): boolean {
    const before = this.#allowed.get(keyOf(person, clientID))
    return before !== undefined && scopes.every((scope) => before.includes(scope))
  }

  hasDenied(person: string, clientID: string): boolean {
    return this.#denied.has(keyOf(person, clientID))
  }

  /** Forgets the denials of one person. */
  forgetDenials(person: string): void {
    for (const key of this.#denied) if (key.startsWith(`${person} `)) this.#denied.delete(key)
  }
}

function keyOf(person: string, clientID: string): string {
  return `${person} ${clientID}`
}

/** The subject of a token: a person by key, or the client itself (client_credentials). */
export type Subject = { readonly person: string } | { readonly appUser: string }

/** A code that waits for its exchange. */
export interface PendingCode {
  readonly person: string
  readonly clientID: string
  /** As the authorize request sent it; `null` = it sent none. */
  readonly redirectUri: string | null
  readonly scopes: readonly string[]
  readonly codeChallenge: string | null
  readonly codeChallengeMethod: 'S256' | 'plain'
}

/** What was granted to a client. */
export interface Grant {
  readonly subject: Subject
  readonly clientID: string
  readonly scopes: readonly string[]
  /** Shared by everything that descends from one consent. */
  readonly family: { readonly since: number; revoked: boolean }
}

interface IssuedToken extends Grant {
  readonly length: number
  expiresAt: number
}

const DAY_MS = 24 * 3600 * 1000
/** Bitbucket forgets a refresh token that was not used for three months. */
const UNUSED_REFRESH_MS = 90 * DAY_MS
const LENGTHS = { short: 43, long: 2684 }

/**
 * Length without content: long tokens share this tail, so that a benchmark that signs in a hundred thousand times does
 * not keep half a gigabyte of random text.
 */
const TAIL = createHash('shake256', { outputLength: 9000 }).update('fake-bitbucket').digest('base64url')

/** Codes and tokens of one fake. */
export class Grants {
  readonly #codes = new Map<string, PendingCode & { readonly expiresAt: number }>()
  readonly #accessTokens = new Map<string, IssuedToken>()
  readonly #refreshTokens = new Map<string, IssuedToken>()
  /** Until when a client's refresh tokens are refused, because it sent a dead one. */
  readonly #lockedUntil = new Map<string, number>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  newFamily(): Grant['family'] {
    return { since: this.#now(), revoked: false }
  }

  issueCode(code: PendingCode, lifetimeSeconds: number): string {
    const value = randomBytes(12).toString('base64url')
    this.#codes.set(value, { ...code, expiresAt: this.#now() + lifetimeSeconds * 1000 })
    return value
  }

  /** The code, if it is valid. It stays until {@link spendCode}: a refusal does not consume it. */
  findCode(value: string): PendingCode | undefined {
    const code = this.#codes.get(value)
    return code && code.expiresAt > this.#now() ? code : undefined
  }

  spendCode(value: string): void {
    this.#codes.delete(value)
  }

  issueAccessToken(grant: Grant, behaviour: Behaviour): string {
    return issue(this.#accessTokens, grant, this.#now() + behaviour.accessTokenSeconds * 1000, behaviour)
  }

  issueRefreshToken(grant: Grant, behaviour: Behaviour): string {
    const end = grant.family.since + behaviour.refreshLifetimeDays * DAY_MS
    return issue(this.#refreshTokens, grant, Math.min(this.#now() + UNUSED_REFRESH_MS, end), behaviour)
  }

  /** The grant behind an access token, and whether it has expired. */
  findAccessToken(token: string): { readonly grant: Grant; readonly expired: boolean } | undefined {
    const found = read(this.#accessTokens, token)
    return found && !found.family.revoked ? { grant: found, expired: found.expiresAt <= this.#now() } : undefined
  }

  /**
   * The grant behind a valid refresh token. Its first use starts its grace; later uses do not lengthen it. A dead token
   * may take its family with it, and lock its client out for a while.
   */
  useRefreshToken(token: string, clientID: string, behaviour: Behaviour): Grant | undefined {
    const now = this.#now()
    const found = read(this.#refreshTokens, token)
    const isAlive = found && found.clientID === clientID && !found.family.revoked && found.expiresAt > now
    if (!isAlive) {
      if (found && behaviour.refreshReuse === 'revokes-family') found.family.revoked = true
      this.#lockedUntil.set(clientID, now + behaviour.refreshLockoutSeconds * 1000)
      return undefined
    }
    if ((this.#lockedUntil.get(clientID) ?? 0) > now) return undefined
    found.expiresAt = Math.min(found.expiresAt, now + behaviour.refreshGraceSeconds * 1000)
    return found
  }
}

function issue(tokens: Map<string, IssuedToken>, grant: Grant, expiresAt: number, behaviour: Behaviour): string {
  const { tokenLength } = behaviour
  const length = typeof tokenLength === 'number' ? tokenLength : LENGTHS[tokenLength]
  const id = randomBytes(32).toString('base64url')
  const { subject, clientID, scopes, family } = grant
  tokens.set(id, { subject, clientID, scopes, family, length, expiresAt })
  return spell(id, length)
}

function read(tokens: ReadonlyMap<string, IssuedToken>, token: string): IssuedToken | undefined {
  const id = token.slice(0, LENGTHS.short)
  const found = tokens.get(id)
  return found && spell(id, found.length) === token ? found : undefined
}

function spell(id: string, length: number): string {
  return length > id.length ? `${id}.${TAIL}`.slice(0, length) : id
}
