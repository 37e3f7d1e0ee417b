import { createHash, randomBytes } from 'node:crypto'
import type { FakeBehaviour } from './behaviour'

/** Whom a token stands for: a person by key, or the client itself (client_credentials). */
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
}

interface RefreshToken extends Grant {
  /** Time in ms after which it is dead: three months unused, or the grace after its first use. */
  diesAt: number
}

/** Bitbucket forgets a refresh token that nobody used for three months. */
const UNUSED_REFRESH_MS = 90 * 24 * 3600 * 1000

/**
 * Length without content: long tokens share this tail, so that a benchmark that signs in a hundred thousand times does
 * not keep half a gigabyte of random text.
 */
const TAIL = createHash('shake256', { outputLength: 1980 }).update('fake-bitbucket').digest('base64url')

/** Codes and tokens of one fake. */
export class Grants {
  readonly #codes = new Map<string, PendingCode & { readonly expiresAt: number }>()
  readonly #accessTokens = new Map<string, Grant & { readonly expiresAt: number }>()
  readonly #refreshTokens = new Map<string, RefreshToken>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  issueCode(code: PendingCode, lifetimeSeconds: number): string {
    const value = randomBytes(12).toString('base64url')
    this.#codes.set(value, { ...code, expiresAt: this.#now() + lifetimeSeconds * 1000 })
    return value
  }

  /** The code, if it is alive. It stays until {@link spendCode}: what refuses it does not burn it. */
  findCode(value: string): PendingCode | undefined {
    const code = this.#codes.get(value)
    return code && code.expiresAt > this.#now() ? code : undefined
  }

  spendCode(value: string): void {
    this.#codes.delete(value)
  }

  issueAccessToken(grant: Grant, behaviour: Required<FakeBehaviour>): string {
    const id = randomBytes(32).toString('base64url')
    this.#accessTokens.set(id, { ...grant, expiresAt: this.#now() + behaviour.accessTokenSeconds * 1000 })
    return spell(id, behaviour)
  }

  issueRefreshToken(grant: Grant, behaviour: Required<FakeBehaviour>): string {
    const id = randomBytes(32).toString('base64url')
    this.#refreshTokens.set(id, { ...grant, diesAt: this.#now() + UNUSED_REFRESH_MS })
    return spell(id, behaviour)
  }

  /** The grant behind an access token, and whether its time is over. */
  findAccessToken(token: string): { readonly grant: Grant; readonly expired: boolean } | undefined {
    const found = this.#accessTokens.get(idOf(token))
    return found && { grant: found, expired: found.expiresAt <= this.#now() }
  }

  /** The grant behind a living refresh token. Its first use starts its grace; later uses do not lengthen it. */
  useRefreshToken(token: string, clientID: string, graceSeconds: number): Grant | undefined {
    const found = this.#refreshTokens.get(idOf(token))
    if (!found || found.clientID !== clientID || found.diesAt <= this.#now()) return undefined
    found.diesAt = Math.min(found.diesAt, this.#now() + graceSeconds * 1000)
    return found
  }
}

function spell(id: string, behaviour: Required<FakeBehaviour>): string {
  return behaviour.tokenLength === 'long' ? `${id}.${TAIL}` : id
}

function idOf(token: string): string {
  const suffix = `.${TAIL}`
  return token.endsWith(suffix) ? token.slice(0, -suffix.length) : token
}
