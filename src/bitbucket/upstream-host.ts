import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher, Pool } from 'undici'
import type { BitbucketSignInError } from '../contract/errors'
import { Line, type Taker } from './spare-connection'
import {
  endedEarly,
  failureOf,
  headersOf,
  MAX_AHEAD_OF_NEED,
  MAX_BODY_BYTES,
  MAX_SOCKETS_PER_HOST,
  readAnswer,
  type UpstreamAnswer,
  type UpstreamRequest,
} from './transport-parts'

/** A connection idle for longer may be closed by the server just as it is reused. */
const IDLE_MS = 15_000

const POOL_OPTIONS = {
  connections: MAX_SOCKETS_PER_HOST,
  pipelining: 1,
  keepAliveTimeout: IDLE_MS,
  // A shorter hint from the server takes precedence, minus one second for latency.
  keepAliveMaxTimeout: IDLE_MS,
  keepAliveTimeoutThreshold: 1000,
  maxResponseSize: MAX_BODY_BYTES,
  // One deadline for the whole exchange is over all of these.
  headersTimeout: 0,
  bodyTimeout: 0,
} as const

/**
 * Only the pool: the entry of undici takes twice as long to load, and registers a global dispatcher that the app's `fetch`
 * would use.
 */
function loadPool(): typeof Pool {
  try {
    return require('undici/lib/dispatcher/pool') as typeof Pool
  } catch {
    // Should a later version keep it elsewhere.
    return (require('undici') as typeof import('undici')).Pool
  }
}

const UndiciPool = loadPool()

/** One request and its answer, as undici reports them. */
class Call implements Dispatcher.DispatchHandler {
  readonly #host: Host
  readonly #path: string
  readonly #upstream: UpstreamRequest
  readonly #resolve: (answer: UpstreamAnswer) => void
  readonly #reject: (error: unknown) => void
  /** A kept connection can be reset just as it is used. A GET may be retried once; a code never. */
  #mayRetry: boolean
  #controller: Dispatcher.DispatchController | undefined
  #listed: List | null = null
  /** Status of the answer that has begun, `0` = none has. */
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #chunks: Buffer[] = []
  #settled = false

  constructor(
    host: Host,
    path: string,
    upstream: UpstreamRequest,
    resolve: (answer: UpstreamAnswer) => void,
    reject: (error: unknown) => void,
  ) {
    this.#host = host
    this.#path = path
    this.#upstream = upstream
    this.#resolve = resolve
    this.#reject = reject
    this.#mayRetry = upstream.method === 'GET'
    upstream.deadline.add(this.#giveUp, this.#onReleased)
    upstream.need?.whenItBegins(() => {
      if (this.#listed === 'aheadOfNeed') this.#list('needed')
      host.serve()
    })
  }

  /** Takes its turn, again after a retry. */
  send(): void {
    this.#list(this.#upstream.need?.exists === false ? 'aheadOfNeed' : 'needed')
    this.#host.serve()
  }

  /** Its turn has come. The end of another request of the same exchange can be what made room for it. */
  dispatch(): void {
    if (this.yield()) return
    const { method, body = null } = this.#upstream
    this.#list('connecting')
    this.#host.pool.dispatch({ method, path: this.#path, headers: headersOf(this.#upstream), body }, this)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // It waited for a connection until after its deadline: it is not sent, and the connection is for the next one.
    if (this.#settled) throw endedEarly()
    this.#list('running')
    this.#controller = controller
  }

  onResponseStart(_controller: unknown, status: number, headers: IncomingHttpHeaders): void {
    // 1xx answers are informational.
    if (status < 200) return
    this.#status = status
    this.#headers = headers
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    if (!this.#settle()) return
    try {
      this.#resolve(readAnswer(this.#status, this.#headers, this.#chunks))
    } catch (error) {
      this.#reject(error)
    }
  }

  onResponseError(_controller: unknown, error: NodeJS.ErrnoException): void {
    if (this.#settled) return
    const failure = failureOf(error, this.#status !== 0)
    if (failure !== 'retry') return this.#giveUp(failure)
    if (!this.#mayRetry) return this.#giveUp(endedEarly())
    this.#mayRetry = false
    this.send()
  }

  /** Ends it if the response to its browser is complete, and says whether it did: nothing waits for its answer. */
  yield(): boolean {
    const { reason } = this.#upstream.deadline
    if (reason) this.#giveUp(reason)
    return reason !== null
  }

  /** The response to its browser is complete. */
  readonly #onReleased = (): void => {
    if (this.#listed === 'aheadOfNeed' || this.#listed === 'needed') this.yield()
    this.#host.serve()
  }

  /** Rejects and destroys the request, so that no further byte is read. */
  readonly #giveUp = (error: BitbucketSignInError): void => {
    if (!this.#settle()) return
    this.#controller?.abort(error)
    this.#reject(error)
  }

  #settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    this.#list(null)
    this.#upstream.deadline.remove(this.#giveUp)
    this.#host.serve()
    return true
  }

  #list(as: List | null): void {
    if (this.#listed) this.#host[this.#listed].delete(this)
    if (as) this.#host[as].add(this)
    this.#listed = as
  }
}

/** Where a host lists a request. */
type List = 'needed' | 'aheadOfNeed' | 'connecting' | 'running'

/** One host: its pool, the requests to it, and connections opened in advance. */
export class Host {
  readonly pool: Pool
  /** Requests that wait for their turn. */
  readonly needed = new Set<Call>()
  readonly aheadOfNeed = new Set<Call>()
  /** Requests that wait for a connection, and those that have one. */
  readonly connecting = new Set<Call>()
  readonly running = new Set<Call>()
  #isServing = false
  /** Connections of the pool. Counting here avoids asking each one at every start. */
  #connected = 0
  readonly #url: URL
  readonly #timeoutMs: number
  readonly #spares = new Set<Line>()

  constructor(url: URL, timeoutMs: number) {
    this.#url = url
    this.#timeoutMs = timeoutMs
    this.pool = new UndiciPool(url.origin, {
      ...POOL_OPTIONS,
      connect: (_options, done) => this.#connect(done),
    })
    this.pool.on('connect', () => this.#connected++)
    this.pool.on('disconnect', () => this.#connected--)
  }

  /** Sends a request when its turn comes. */
  send(path: string, upstream: UpstreamRequest): Promise<UpstreamAnswer> {
    return new Promise((resolve, reject) => {
      new Call(this, path, upstream, resolve, reject).send()
    })
  }

  /**
   * Opens `count` connections, unless one is already free, being opened or waiting. A sign-in starts seconds before its
   * callback: opened at the start, the TLS handshakes are over when the code comes back, at the price of no request.
   */
  warm(count: number): void {
    if (this.#spares.size > 0 || this.#connected > this.running.size) return
    for (let opened = 0; opened < count; opened++) this.#spares.add(this.#open())
  }

  /** Begins the requests whose turn has come. A request that ends by this calls it again, which the loops notice. */
  serve(): void {
    if (this.#isServing) return
    this.#isServing = true
    try {
      for (const call of this.needed) {
        if (this.#underWay >= MAX_SOCKETS_PER_HOST && !this.#endAbandoned()) break
        call.dispatch()
      }
      for (const call of this.aheadOfNeed) {
        if (this.#underWay >= MAX_AHEAD_OF_NEED) break
        call.dispatch()
      }
    } finally {
      this.#isServing = false
    }
  }

  get #underWay(): number {
    return this.connecting.size + this.running.size
  }

  /** At the limit, a request whose browser has its response makes room for one that is needed. */
  #endAbandoned(): boolean {
    for (const call of this.running) if (call.yield()) return true
    return false
  }

  close(): void {
    for (const line of this.#spares) line.drop()
    void this.pool.destroy()
  }

  /** undici opens a new connection after a destroyed request, needed or not. */
  #connect(done: Taker): void {
    if (this.connecting.size === 0) queueMicrotask(() => done(endedEarly(), null))
    else (this.#spare() ?? this.#open()).take(done, this.#timeoutMs)
  }

  #open(): Line {
    return new Line(this.#url, (line) => this.#spares.delete(line))
  }

  #spare(): Line | undefined {
    for (const line of this.#spares) {
      this.#spares.delete(line)
      if (line.isUsable()) return line
      line.drop()
    }
    return undefined
  }
}
