import http = require('node:http')
import https = require('node:https')

import { setMaxListeners } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { FakeRequest } from './answer'
import { deliver } from './delivery'
import { editedAnswer, type Scripts, scriptedAnswer } from './faults'
import { firstValues, type Recorder } from './recorder'
import { answer } from './routes'
import { Connections } from './server-sockets'
import type { World } from './world'

/** What the server works with. */
export interface ServerParts {
  readonly world: World
  readonly recorder: Recorder
  readonly scripts: Scripts
  readonly latencyMs: number
  readonly tls: { readonly key: string | Buffer; readonly cert: string | Buffer } | undefined
}

/** A server that listens. */
export interface RunningServer {
  readonly url: string
  readonly connections: Connections
  /** Ends at once, open requests and idle connections included. */
  close(): Promise<void>
}

/** Opens the one server that is both Bitbucket's site and its API. */
export async function listen(parts: ServerParts, port: number, host: string): Promise<RunningServer> {
  const server = parts.tls ? https.createServer(parts.tls) : http.createServer()
  const connections = new Connections(server)
  const closing = new AbortController()
  // Each delayed answer listens; more than ten at once are no leak, and no reason for a warning in somebody's test run.
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
  { world, recorder, scripts, latencyMs }: ServerParts,
  connections: Connections,
  closing: AbortSignal,
): Promise<void> {
  const url = new URL(message.url ?? '/', world.url)
  const entry = recorder.begin(message, url, connections.numberOf(message.socket))
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
  const plain = (fault && scriptedAnswer(fault, entry.endpoint)) ?? answer(request, world)
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
 * The body as text, `undefined` when it is longer than anything a sign-in sends. It is read to its end all the same:
 * who hangs up in the middle never gets the refusal across.
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

/** A script that throws, or a flaw of the fake, must not look like an odd answer of Bitbucket's. */
function failLoudly(response: http.ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy()
  response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' })
  response.end(`The fake Bitbucket failed: ${error instanceof Error ? error.message : String(error)}`)
}

function explained(error: NodeJS.ErrnoException, port: number, host: string): Error {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: `Port ${port} on ${host} is taken. Choose another, or 0 for any free one.`,
    EACCES: `Port ${port} is reserved for the system. Choose one above 1023, or 0 for any free one.`,
    EADDRNOTAVAIL: `${host} is no address of this machine. Leave "host" out for 127.0.0.1.`,
    ENOTFOUND: `${host} is no address of this machine. Leave "host" out for 127.0.0.1.`,
  }
  const reason = reasons[error.code ?? '']
  return reason === undefined ? error : new Error(reason, { cause: error })
}

function originOf(host: string, port: number, isTls: boolean): string {
  // An address that means "every interface" is none to connect to.
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `${isTls ? 'https' : 'http'}://${name.includes(':') ? `[${name}]` : name}:${port}`
}
