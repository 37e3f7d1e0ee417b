import http = require('node:http')
import https = require('node:https')

import { isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ExchangeDeadline } from '../deadline'
import { BitbucketSignInError } from '../errors'
import { isJsonObject, type JsonObject } from './wire'

/** One request to Bitbucket. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Ends the request: the deadline of the whole exchange, or the browser that went away. */
  readonly deadline: Pick<ExchangeDeadline, 'reason' | 'add' | 'remove'>
}

/** What came back. `body` is `undefined` unless it was one JSON object. */
export interface UpstreamAnswer {
  readonly status: number
  readonly body: JsonObject | undefined
  readonly headers: http.IncomingHttpHeaders
}

/** The only way out to the network. */
export interface Transport {
  /** Rejects with `upstream_timeout` or `upstream_failed`; every complete answer resolves, whatever its status. */
  request(request: UpstreamRequest): Promise<UpstreamAnswer>
  /** Opens up to `count` connections to this origin ahead of need. Sends nothing. */
  preconnect(url: URL, count: number): void
  /** Closes idle connections. */
  close(): void
}

/** Options of {@link createTransport}. */
export interface TransportOptions {
  /** Open connections while the person is still at Bitbucket. Default `true`. */
  readonly preconnect?: boolean
  /** Your own agent, for example one that goes through a proxy. It replaces ours, preconnect included. */
  readonly agent?: http.Agent
}

const MAX_BODY_BYTES = 1024 * 1024
const MAX_SOCKETS_PER_HOST = 50
/** A socket idle longer than this may be closed at the other end at the very moment it is used again. */
const IDLE_SOCKET_MS = 15_000
const SPARE_MS = 30_000

/** Keep-alive connections to Bitbucket, shared by all sign-ins of one plugin. */
export function createTransport(options: TransportOptions = {}): Transport {
  const secure = new HttpsAgent(AGENT_OPTIONS)
  const plain = new HttpAgent(AGENT_OPTIONS)
  const agentFor = ({ client }: Target) => (client === https ? secure : plain)

  return {
    request(upstream) {
      const target = targetOf(upstream.url)
      if (options.agent) return send(upstream, target, options.agent)
      const agent = agentFor(target)
      agent.pool.dropStale(agent, target)
      return send(upstream, target, agent)
    },
    preconnect(url, count) {
      if (options.preconnect === false || options.agent) return
      const target = targetOf(url)
      const agent = agentFor(target)
      agent.pool.warm(agent, target, count)
    },
    close() {
      for (const agent of [secure, plain]) {
        agent.pool.close()
        agent.destroy()
      }
    },
  }
}

/** Where a request goes, in the words of `node:http`. */
interface Target {
  readonly client: typeof http | typeof https
  readonly place: { readonly host: string; readonly port: number; readonly servername?: string }
  readonly path: string
  /** The `Host` header. */
  readonly host: string
}

const targets = new WeakMap<URL, Target>()

/** Taken apart once for each URL object; those of a connection live as long as it does. */
function targetOf(url: URL): Target {
  let found = targets.get(url)
  if (!found) {
    const secure = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = Number(url.port) || (secure ? 443 : 80)
    found = {
      client: secure ? https : http,
      place: { host, port, ...(secure && { servername: isIP(host) ? '' : host }) },
      path: `${url.pathname}${url.search}`,
      host: url.host,
    }
    targets.set(url, found)
  }
  return found
}

function send(upstream: UpstreamRequest, target: Target, agent: http.Agent, isSecond = false): Promise<UpstreamAnswer> {
  const { deadline, body, method } = upstream
  return new Promise((resolve, reject) => {
    if (deadline.reason) return reject(deadline.reason)
    const { client, place, path } = target
    const request = client.request({ ...place, path, method, agent, headers: headersOf(upstream, target) })
    let response: http.IncomingMessage | undefined
    let settled = false
    /** Who is first settles; a request that has not ended by itself is torn down, so no byte of it is read any more. */
    const settle = (): boolean => {
      if (settled) return false
      settled = true
      deadline.remove(giveUp)
      return true
    }
    const giveUp = (error: BitbucketSignInError): void => {
      if (!settle()) return
      request.destroy()
      reject(error)
    }
    /** A kept connection can be reset in the moment of its use. A GET may be sent again, once; a code never. */
    const breakOff = (): void => {
      if (response) return giveUp(fault('broke off in the middle of an answer'))
      if (method !== 'GET' || isSecond) return giveUp(fault('closed the connection before it answered'))
      if (settle()) resolve(send(upstream, target, agent, true))
    }
    deadline.add(giveUp)

    request.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') breakOff()
      else giveUp(networkFault(error))
    })
    // Comes last, and always: also when an answer broke off or turned into another protocol.
    request.on('close', () => {
      if (!response?.complete) breakOff()
    })
    request.on('response', (incoming) => {
      response = incoming
      const chunks: Buffer[] = []
      let bytes = 0
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        chunks.push(chunk)
        if (bytes > MAX_BODY_BYTES) giveUp(fault('answered with more than 1 MiB'))
      })
      incoming.on('end', () => {
        if (!settle()) return
        const { statusCode: status = 0, headers } = incoming
        if (request.socket) keepFor(request.socket, headers['keep-alive'])
        if ((headers['content-encoding'] ?? 'identity') === 'identity') {
          resolve({ status, headers, body: parseObject(chunks, bytes) })
        } else {
          reject(fault('compressed an answer that was asked for as it is'))
        }
      })
    })
    request.end(body)
  })
}

function headersOf({ headers, body }: UpstreamRequest, { host }: Target): Record<string, string> {
  return {
    host,
    accept: 'application/json',
    'accept-encoding': 'identity',
    ...(body !== undefined && { 'content-length': Buffer.byteLength(body).toString() }),
    ...headers,
  }
}

/** Whole body at once, so a character split across two packets stays whole; anything but one JSON object is nothing. */
function parseObject(chunks: readonly Buffer[], bytes: number): JsonObject | undefined {
  const [only, ...more] = chunks
  const body = only && more.length === 0 ? only : Buffer.concat(chunks, bytes)
  try {
    const value: unknown = JSON.parse(utf8.decode(body))
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function fault(what: string): BitbucketSignInError {
  return new BitbucketSignInError('upstream_failed', `Bitbucket ${what}.`)
}

function networkFault(error: NodeJS.ErrnoException): BitbucketSignInError {
  return new BitbucketSignInError(
    'upstream_failed',
    `Bitbucket could not be reached (${error.code ?? 'network error'}).`,
  )
}

type Open = (options: AgentOptions) => Duplex | null | undefined
type AgentOptions = http.ClientRequestArgs & { readonly servername?: string }

/** Connections to one host: how the agent calls them, and those that were opened ahead of need. */
interface HostPool {
  readonly name: string
  readonly spares: Set<Socket>
}

/**
 * What the agents of `node:http` leave open: connections ahead of need, and an end to those that idled for too long.
 *
 * A sign-in starts seconds before its callback: opened at the start, the TLS handshakes are over when the code comes
 * back, at the price of no request at all.
 */
class Pool {
  readonly #open: Open
  readonly #byHost = new Map<string, HostPool>()

  constructor(open: Open) {
    this.#open = open
  }

  /** Opens `count` connections, unless one is already free, being opened or waiting. */
  warm(agent: http.Agent, target: Target, count: number): void {
    this.dropStale(agent, target)
    const { spares, name } = this.#hostOf(agent, target)
    if (spares.size > 0 || hasFree(agent, name)) return
    for (let opened = 0; opened < count; opened++) {
      const socket = this.#open({ ...AGENT_OPTIONS, ...target.place }) as Socket | null | undefined
      if (socket) keepSpare(socket, spares)
    }
  }

  /** A waiting connection to this host, ready for its first request. */
  take({ host, port }: http.ClientRequestArgs): Socket | undefined {
    const spares = this.#byHost.get(`${host}:${port}`)?.spares
    for (const socket of spares ?? []) {
      releaseSpare(socket)
      // What came before anything was asked, such as the 408 of a balancer, would pass for the answer.
      if (!socket.destroyed && socket.readableLength === 0) return socket
      socket.destroy()
    }
    return undefined
  }

  /**
   * The agent takes the connection that was used last: when even that one has idled for too long, all have. A timer
   * for each, as `timeout` of the agent sets it, costs more than anything else that can be left out of a request.
   */
  dropStale(agent: http.Agent, target: Target): void {
    const free = agent.freeSockets[this.#hostOf(agent, target).name]
    if (free?.length && !isFresh(free.at(-1))) for (const socket of free) socket.destroy()
  }

  close(): void {
    for (const { spares } of this.#byHost.values()) for (const socket of spares) socket.destroy()
    this.#byHost.clear()
  }

  #hostOf(agent: http.Agent, { place }: Target): HostPool {
    const key = `${place.host}:${place.port}`
    let pool = this.#byHost.get(key)
    if (!pool) {
      pool = { name: agent.getName({ ...AGENT_OPTIONS, ...place }), spares: new Set() }
      this.#byHost.set(key, pool)
    }
    return pool
  }
}

function hasFree(agent: http.Agent, name: string): boolean {
  return agent.freeSockets[name]?.some((socket) => !socket.destroyed) ?? false
}

const SPARE = Symbol('spare')
const LOST = ['error', 'end', 'close', 'timeout'] as const

/** Holds an opened connection without keeping the process alive, and forgets it as soon as it is of no use. */
function keepSpare(socket: Socket & { [SPARE]?: () => void }, sockets: Set<Socket>): void {
  const drop = () => {
    sockets.delete(socket)
    socket.destroy()
  }
  sockets.add(socket)
  socket.unref()
  socket.setTimeout(SPARE_MS)
  for (const event of LOST) socket.on(event, drop)
  socket[SPARE] = () => {
    sockets.delete(socket)
    for (const event of LOST) socket.off(event, drop)
    socket.setTimeout(0)
    socket.ref()
  }
}

function releaseSpare(socket: Socket & { [SPARE]?: () => void }): void {
  socket[SPARE]?.()
}

const FRESH_UNTIL = Symbol('fresh until')
type KeptSocket = Socket & { [FRESH_UNTIL]?: number }

/** How long this connection may idle: 15 seconds, or as long as the server says, less a second for the way. */
function keepFor(socket: KeptSocket, hint: string | string[] | undefined): void {
  const seconds = Number(/^timeout=(\d+)/.exec(String(hint))?.[1] ?? Number.POSITIVE_INFINITY)
  socket[FRESH_UNTIL] = performance.now() + Math.min(IDLE_SOCKET_MS, seconds * 1000 - 1000)
}

function isFresh(socket: KeptSocket | undefined): boolean {
  return (socket?.[FRESH_UNTIL] ?? 0) > performance.now()
}

const AGENT_OPTIONS = { keepAlive: true, noDelay: true, maxSockets: MAX_SOCKETS_PER_HOST } as const

class HttpAgent extends http.Agent {
  readonly pool: Pool = new Pool((options) => super.createConnection(options))

  override createConnection(options: http.ClientRequestArgs, callback?: Connected): Duplex | null | undefined {
    return this.pool.take(options) ?? super.createConnection(options, callback)
  }
}

class HttpsAgent extends https.Agent {
  readonly pool: Pool = new Pool((options) => super.createConnection(options))

  override createConnection(options: https.RequestOptions, callback?: Connected): Duplex | null | undefined {
    return this.pool.take(options) ?? super.createConnection(options, callback)
  }
}

type Connected = (error: Error | null, stream: Duplex) => void
