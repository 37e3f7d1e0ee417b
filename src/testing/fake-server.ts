import http = require('node:http')
import https = require('node:https')

import { setMaxListeners } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { type Answer, type FakeRequest, htmlAnswer } from './answers'
import { answerApi } from './api-endpoints'
import { type Arrivals, firstValues } from './arrivals'
import { showConsent, signedInPerson, signOut, takeDecision } from './authorize-endpoint'
import { deliver } from './delivery'
import { avatarImage, frontPage, PAGE_HEADERS, refusalPage } from './fake-pages'
import { editedAnswer, type Scripts, scriptedAnswer } from './faults'
import { answerToken } from './token-endpoint'
import type { World } from './world'

/** What the server needs. */
export interface ServerParts {
  readonly world: World
  readonly arrivals: Arrivals
  readonly scripts: Scripts
  readonly latencyMs: number
  readonly tls: { readonly key: string | Buffer; readonly cert: string | Buffer } | undefined
}

/** A server that listens. */
export interface RunningServer {
  readonly url: string
  readonly connections: Connections
  /** Ends immediately, with open requests and idle connections. */
  close(): Promise<void>
}

/** Opens the one server that is both Bitbucket's site and its API. */
export async function listen(parts: ServerParts, port: number, host: string): Promise<RunningServer> {
  const server = parts.tls ? https.createServer(parts.tls) : http.createServer()
  const connections = new Connections(server)
  const closing = new AbortController()
  // Each delayed answer listens; more than ten at a time are not a leak and must not warn in a test run.
  setMaxListeners(0, closing.signal)
  server.on('request', (message, response) => {
    serve(message, response, parts, connections, closing.signal).catch((error: unknown) => {
      if (!closing.signal.aborted) failLoudly(response, error)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explained(error, port, host)))
    server.listen(port, host, () => resolve())
  })
  return {
    url: originOf(host, (server.address() as AddressInfo).port, parts.tls !== undefined),
    connections,
    close: () => {
      closing.abort()
      return new Promise((resolve) => {
        server.close(() => resolve())
        connections.destroyAll()
      })
    },
  }
}

async function serve(
  message: http.IncomingMessage,
  response: http.ServerResponse,
  { world, arrivals, scripts, latencyMs }: ServerParts,
  connections: Connections,
  closing: AbortSignal,
): Promise<void> {
  const url = new URL(message.url ?? '/', world.url)
  const entry = arrivals.begin(message, url, connections.numberOf(message.socket))
  const socket = connections.below(message.socket)
  const body = await readBody(message)
  if (body === undefined) {
    entry.status = 413
    return void response.writeHead(413).end()
  }
  const request = readRequest(message, url, body)
  entry.body = body
  entry.form = firstValues(request.form)
  const fault = await scripts.next(entry)
  const plain = (fault && scriptedAnswer(fault, entry.endpoint, world.behaviour)) ?? answer(request, world)
  const said = fault ? editedAnswer(plain, fault) : plain
  const delayMs = latencyMs + (fault?.delayMs ?? 0)
  if (delayMs > 0) await wait(delayMs, undefined, { signal: closing })
  if (fault?.delivery !== 'stall' && fault?.delivery !== 'reset') entry.status = said.status
  await deliver(response, socket, said, fault)
}

function readRequest(message: http.IncomingMessage, url: URL, body: string): FakeRequest {
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(message.headers['content-type'] ?? '')
  return {
    method: message.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    headers: message.headers,
    form: new URLSearchParams(isForm ? body : ''),
  }
}

const MAX_BODY = 256 * 1024

/**
 * The body as text, `undefined` if it is longer than anything a sign-in sends. It is read to its end anyway:
 * a server that hangs up in the middle never gets its refusal across.
 */
async function readBody(message: http.IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= MAX_BODY) chunks.push(chunk)
  }
  return size <= MAX_BODY ? Buffer.concat(chunks).toString('utf8') : undefined
}

/** A script that throws, or a bug of the fake, must not look like an answer of Bitbucket. */
function failLoudly(response: http.ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy()
  response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' })
  response.end(`The fake Bitbucket failed: ${error instanceof Error ? error.message : String(error)}`)
}

function explained(error: NodeJS.ErrnoException, port: number, host: string): Error {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: `Port ${port} on ${host} is taken. Choose another, or 0 for any free one.`,
    EACCES: `Port ${port} is reserved for the system. Choose one above 1023, or 0 for any free one.`,
    EADDRNOTAVAIL: `${host} is not an address of this machine. Leave "host" out for 127.0.0.1.`,
    ENOTFOUND: `${host} is not an address of this machine. Leave "host" out for 127.0.0.1.`,
  }
  const reason = reasons[error.code ?? '']
  return reason === undefined ? error : new Error(reason, { cause: error })
}

function originOf(host: string, port: number, isTls: boolean): string {
  // An address that means "every interface" cannot be connected to.
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `${isTls ? 'https' : 'http'}://${name.includes(':') ? `[${name}]` : name}:${port}`
}

/** Routes a request: to Bitbucket's site, its API, or the fake's own pages. */
function answer(request: FakeRequest, world: World): Answer {
  const { path } = request
  if (path === '/2.0' || path.startsWith('/2.0/')) return answerApi(request, world)
  const methods = SITE.get(path)
  if (!methods)
    return answerAvatar(request, world) ?? htmlAnswer(404, refusalPage('Not found', NOT_FOUND), PAGE_HEADERS)
  const handler = methods[request.method === 'HEAD' ? 'GET' : request.method]
  return handler ? handler(request, world) : methodNotAllowed(Object.keys(methods))
}

const NOT_FOUND = 'The fake has what a sign-in needs, and nothing at this address.'

type Handler = (request: FakeRequest, world: World) => Answer

const SITE = new Map<string, Readonly<Record<string, Handler>>>([
  ['/site/oauth2/authorize', { GET: showConsent, POST: takeDecision }],
  ['/site/oauth2/access_token', { POST: answerToken }],
  ['/', { GET: (request, world) => htmlAnswer(200, frontPage(world, signedInPerson(request, world)), PAGE_HEADERS) }],
  ['/sign-out', { POST: signOut }],
])

function methodNotAllowed(methods: readonly string[]): Answer {
  return htmlAnswer(405, refusalPage('Method not allowed', `Use ${methods.join(' or ')}.`), {
    ...PAGE_HEADERS,
    allow: methods.join(', '),
  })
}

function answerAvatar({ path }: FakeRequest, world: World): Answer | undefined {
  const person = world.people.all.find(({ key }) => path === `/account/${encodeURIComponent(key)}/avatar`)
  if (!person) return undefined
  return {
    status: 200,
    headers: {
      'content-type': 'image/svg+xml',
      'content-security-policy': "default-src 'none'",
      // An app whose pages ask for isolation shows pictures of other origins only with this.
      'cross-origin-resource-policy': 'cross-origin',
    },
    body: avatarImage(person),
  }
}

/**
 * The TCP connections of one server. Over TLS a request knows only the encrypted layer, while counting and resetting
 * need the layer below; the peer's address is what the two have in common.
 */
class Connections {
  #opened = 0
  readonly #open = new Map<string, { readonly socket: Socket; readonly number: number }>()

  constructor(server: http.Server) {
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      const entry = { socket, number: ++this.#opened }
      this.#open.set(peer, entry)
      socket.once('close', () => {
        if (this.#open.get(peer) === entry) this.#open.delete(peer)
      })
    })
  }

  /** How many were ever opened. */
  get opened(): number {
    return this.#opened
  }

  numberOf(socket: Socket): number {
    return this.#open.get(peerOf(socket))?.number ?? 0
  }

  /** The TCP socket below a request's socket. */
  below(socket: Socket): Socket {
    return this.#open.get(peerOf(socket))?.socket ?? socket
  }

  destroyAll(): void {
    for (const { socket } of this.#open.values()) socket.destroy()
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
