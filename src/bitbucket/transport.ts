import http = require('node:http')
import https = require('node:https')

import { isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { BitbucketSignInError } from '../errors'
import { isJsonObject, type JsonObject } from './wire'

/** One request to Bitbucket. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Ends the request: the deadline of the whole exchange, or the browser that went away. */
  readonly signal: AbortSignal
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
  const agentFor = (url: URL) => (url.protocol === 'https:' ? secure : plain)

  async function request(upstream: UpstreamRequest): Promise<UpstreamAnswer> {
    const agent = options.agent ?? agentFor(upstream.url)
    try {
      return await send(upstream, agent)
    } catch (error) {
      // A kept connection can be reset in the moment of its use. A GET may be sent again, once; a code never.
      if (upstream.method === 'GET' && error instanceof StaleConnection) return send(upstream, agent).catch(fail)
      return fail(error)
    }
  }

  return {
    request,
    preconnect(url, count) {
      if (options.preconnect === false || options.agent) return
      const agent = agentFor(url)
      agent.spares.warm(agent, url, count)
    },
    close() {
      for (const agent of [secure, plain]) {
        agent.spares.close()
        agent.destroy()
      }
    },
  }
}

function fail(error: unknown): never {
  if (error instanceof StaleConnection) {
    throw new BitbucketSignInError('upstream_failed', 'Bitbucket closed the connection before it answered.')
  }
  throw error
}

class StaleConnection extends Error {}

/** Where a request goes, in the words of `node:http`. */
interface Target {
  readonly client: typeof http | typeof https
  readonly target: { readonly host: string; readonly port: number; readonly path: string }
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
    const target = { host, port, path: `${url.pathname}${url.search}` }
    found = { client: secure ? https : http, target, host: url.host }
    targets.set(url, found)
  }
  return found
}

function send(upstream: UpstreamRequest, agent: http.Agent): Promise<UpstreamAnswer> {
  const { url, signal, body } = upstream
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(reasonOf(signal))
    const { client, target, host } = targetOf(url)
    const request = client.request({
      ...target,
      method: upstream.method,
      agent,
      headers: {
        host,
        accept: 'application/json',
        'accept-encoding': 'identity',
        ...(body !== undefined && { 'content-length': Buffer.byteLength(body).toString() }),
        ...upstream.headers,
      },
    })
    const onAbort = () => settle(() => reject(reasonOf(signal)))
    let settled = false
    /** Settles once; a request that has not ended by itself is torn down, so no byte of it is read any more. */
    function settle(outcome: () => void, keep = false) {
      if (settled) return
      settled = true
      signal.removeEventListener('abort', onAbort)
      if (!keep) request.destroy()
      outcome()
    }
    signal.addEventListener('abort', onAbort)

    let answered = false
    request.on('error', (error: NodeJS.ErrnoException) => {
      const reset = error.code === 'ECONNRESET' || error.code === 'EPIPE'
      if (reset && answered) return settle(() => reject(brokenOff()))
      settle(() => reject(reset ? new StaleConnection() : networkFault(error)))
    })
    request.on('response', (response) => {
      answered = true
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        chunks.push(chunk)
        if (bytes > MAX_BODY_BYTES) settle(() => reject(fault('answered with more than 1 MiB')))
      })
      response.on('end', () =>
        settle(() => {
          const encoded = (response.headers['content-encoding'] ?? 'identity') !== 'identity'
          if (encoded) reject(fault('compressed an answer that was asked for as it is'))
          else {
            const { statusCode = 0, headers } = response
            resolve({ status: statusCode, headers, body: parseObject(Buffer.concat(chunks, bytes)) })
          }
        }, true),
      )
      response.on('error', () => settle(() => reject(brokenOff())))
      response.on('close', () => settle(() => reject(brokenOff())))
    })
    // 1xx answers and upgrades are not answers to anything we asked.
    request.on('upgrade', () => settle(() => reject(fault('tried to switch protocols'))))
    request.end(body)
  })
}

/** Whole body at once, so a character split across two packets stays whole; anything but one JSON object is nothing. */
function parseObject(body: Buffer): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(utf8.decode(body))
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function reasonOf(signal: AbortSignal): BitbucketSignInError {
  return signal.reason instanceof BitbucketSignInError
    ? signal.reason
    : new BitbucketSignInError('upstream_timeout', 'The sign-in was given up before Bitbucket answered.')
}

function fault(what: string): BitbucketSignInError {
  return new BitbucketSignInError('upstream_failed', `Bitbucket ${what}.`)
}

function brokenOff(): BitbucketSignInError {
  return fault('broke off in the middle of an answer')
}

function networkFault(error: NodeJS.ErrnoException): BitbucketSignInError {
  return new BitbucketSignInError(
    'upstream_failed',
    `Bitbucket could not be reached (${error.code ?? 'network error'}).`,
  )
}

type Open = (options: AgentOptions) => Duplex | null | undefined
type AgentOptions = http.ClientRequestArgs & { readonly servername?: string }

/**
 * Connections opened ahead of need. A sign-in starts seconds before its callback: opened at the start, the TLS
 * handshakes are over when the code comes back, at the price of no request at all.
 */
class Spares {
  readonly #open: Open
  readonly #byHost = new Map<string, { name: string; target: AgentOptions; sockets: Set<Socket> }>()

  constructor(open: Open) {
    this.#open = open
  }

  /** Opens `count` connections, unless one is already free, being opened or waiting. */
  warm(agent: http.Agent, url: URL, count: number): void {
    const host = this.#hostOf(agent, url)
    if (host.sockets.size > 0 || (agent.freeSockets[host.name]?.length ?? 0) > 0) return
    for (let opened = 0; opened < count; opened++) {
      const socket = this.#open({ ...host.target }) as Socket | null | undefined
      if (socket) keepSpare(socket, host.sockets)
    }
  }

  /** A waiting connection to this host, ready for its first request. */
  take(options: http.ClientRequestArgs): Socket | undefined {
    const sockets = this.#byHost.get(`${options.host}:${options.port}`)?.sockets
    for (const socket of sockets ?? []) {
      releaseSpare(socket)
      // What came before anything was asked, such as the 408 of a balancer, would pass for the answer.
      if (!socket.destroyed && socket.readableLength === 0) return socket
      socket.destroy()
    }
    return undefined
  }

  close(): void {
    for (const { sockets } of this.#byHost.values()) for (const socket of sockets) socket.destroy()
    this.#byHost.clear()
  }

  #hostOf(agent: http.Agent, url: URL) {
    const { client, target: place } = targetOf(url)
    const { host, port } = place
    const key = `${host}:${port}`
    const known = this.#byHost.get(key)
    if (known) return known
    const target = { ...AGENT_OPTIONS, host, port, ...(client === https && { servername: isIP(host) ? '' : host }) }
    const added = { name: agent.getName(target), target, sockets: new Set<Socket>() }
    this.#byHost.set(key, added)
    return added
  }
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
    socket.setTimeout(IDLE_SOCKET_MS)
    socket.ref()
  }
}

function releaseSpare(socket: Socket & { [SPARE]?: () => void }): void {
  socket[SPARE]?.()
}

const AGENT_OPTIONS = { keepAlive: true, maxSockets: MAX_SOCKETS_PER_HOST, timeout: IDLE_SOCKET_MS } as const

class HttpAgent extends http.Agent {
  readonly spares: Spares = new Spares((options) => super.createConnection(options))

  override createConnection(options: http.ClientRequestArgs, callback?: Connected): Duplex | null | undefined {
    return this.spares.take(options) ?? super.createConnection(options, callback)
  }
}

class HttpsAgent extends https.Agent {
  readonly spares: Spares = new Spares((options) => super.createConnection(options))

  override createConnection(options: https.RequestOptions, callback?: Connected): Duplex | null | undefined {
    return this.spares.take(options) ?? super.createConnection(options, callback)
  }
}

type Connected = (error: Error | null, stream: Duplex) => void
