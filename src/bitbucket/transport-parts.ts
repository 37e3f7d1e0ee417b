import type { IncomingHttpHeaders } from 'node:http'
import { BitbucketSignInError } from '../contract/errors'
import type { ExchangeDeadline } from '../time/deadline'
import { isJsonObject, type JsonObject } from './read-answer'

const { version } = require('../../package.json') as { version: string }

/** One request to Bitbucket. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Ends the request: the deadline of the whole exchange, or the browser that went away. */
  readonly deadline: Pick<ExchangeDeadline, 'reason' | 'add' | 'remove'>
  /** Set if the response may not be needed: such a request has lower priority. */
  readonly need?: Need
}

/** Whether a request that was made in advance is needed by now. */
export class Need {
  #exists = false
  #onNeed: (() => void) | null = null

  get exists(): boolean {
    return this.#exists
  }

  /** The response is awaited from now on: its request has the priority of any other. */
  begin(): void {
    this.#exists = true
    this.#onNeed?.()
  }

  /** `listener` replaces the one of the request before: the pages of a list are requested one after the other. */
  whenItBegins(listener: () => void): void {
    this.#onNeed = listener
  }
}

/** The answer. `body` is `undefined` unless it was one JSON object. */
export interface UpstreamAnswer {
  readonly status: number
  readonly body: JsonObject | undefined
  readonly headers: IncomingHttpHeaders
}

/** The only way out to the network. */
export interface Transport {
  /** Rejects with `upstream_timeout` or `upstream_failed`; every complete answer resolves, whatever its status. */
  request(request: UpstreamRequest): Promise<UpstreamAnswer>
  /** Opens up to `count` connections to this origin in advance. Sends nothing. */
  preconnect(url: URL, count: number): void
  /** Closes all connections; requests under way fail. */
  close(): void
}

/** More than any of Bitbucket's answers has. */
export const MAX_BODY_BYTES: number = 1024 * 1024

/** The number of concurrent requests to one host; the others wait, within their deadline. */
export const MAX_SOCKETS_PER_HOST = 50

/**
 * The number of running requests up to which a request in advance may still begin. Under load the addresses of known
 * users are never requested, which leaves the places to requests that users wait for.
 */
export const MAX_AHEAD_OF_NEED = 25

/**
 * How long one address of a host may take to accept a connection before the next one is tried, in milliseconds. After
 * Node's own 250 ms, an IPv4 address that needs a second would be abandoned for an IPv6 address that is dead.
 */
export const ATTEMPT_MS = 2000

const USER_AGENT = `passport-bitbucket-signin/${version}`

/** Asks for JSON without compression: an answer that is not compressed cannot grow when it is unpacked. */
export function headersOf({ headers }: UpstreamRequest): Record<string, string> {
  return { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': USER_AGENT, ...headers }
}

/** Reads a complete answer. Throws if it is unreadable. */
export function readAnswer(status: number, headers: IncomingHttpHeaders, chunks: readonly Buffer[]): UpstreamAnswer {
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw fault('compressed an answer although that was not accepted')
  }
  return { status, headers, body: parseObject(chunks) }
}

/** Every `Set-Cookie` line; a single one may be a string. */
export function setCookiesOf({ headers }: UpstreamAnswer): readonly string[] {
  return [headers['set-cookie'] ?? []].flat()
}

/** Decodes the whole body in one step, so that a character split across two packets stays whole. Only a JSON object counts. */
function parseObject(chunks: readonly Buffer[]): JsonObject | undefined {
  const [only, ...more] = chunks
  const body = only && more.length === 0 ? only : Buffer.concat(chunks)
  try {
    const value: unknown = JSON.parse(utf8.decode(body))
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Codes of a connection that the other side closed, whichever layer noticed. */
const ENDED: ReadonlySet<string | undefined> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

/**
 * The outcome of a failed request. `retry`: the connection was closed before any answer, which can happen to a kept one
 * just as it is used.
 */
export function failureOf(error: NodeJS.ErrnoException, hasBegun: boolean): BitbucketSignInError | 'retry' {
  if (ENDED.has(error.code)) return hasBegun ? fault('broke off in the middle of an answer') : 'retry'
  if (error.code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return tooLarge()
  return new BitbucketSignInError(
    'upstream_failed',
    `Bitbucket could not be reached (${error.code ?? 'network error'}). Check DNS, firewall and proxy of this server; set \`http.agent\` if requests must leave through a proxy.`,
  )
}

/** For requests that must not be retried. */
export function endedEarly(): BitbucketSignInError {
  return fault('closed the connection before it answered')
}

export function tooLarge(): BitbucketSignInError {
  return fault('answered with more than 1 MiB')
}

/** The fix for a fault that is usually gone on retry. */
export const PASSING =
  'Usually a retry works; if not, check https://bitbucket.status.atlassian.com and every proxy in between.'

function fault(what: string): BitbucketSignInError {
  return new BitbucketSignInError('upstream_failed', `Bitbucket ${what}. ${PASSING}`)
}
