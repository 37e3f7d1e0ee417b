import { connect as connectPlain, isIP, type Socket } from 'node:net'
import { connect as connectSecure } from 'node:tls'
import { ATTEMPT_MS } from './transport-parts'

/** How long a connection may wait for its first request, open or not: as long as a used one waits for its next. */
const SPARE_MS = 15_000
/** When an idle connection starts probing whether the other end is still there. */
const KEEP_ALIVE_MS = 15_000

/** Gets the connection, or why there is none. */
export type Taker = (...outcome: [error: Error, socket: null] | [error: null, socket: Socket]) => void

const LOST = ['error', 'end', 'close', 'timeout'] as const

/** A connection from the moment it is begun until it is handed to its first request. Keeps no process alive. */
export class Line {
  readonly #socket: Socket
  readonly #onLost: (line: Line) => void
  #isOpen = false
  #taker: Taker | null = null

  constructor(url: URL, onLost: (line: Line) => void) {
    const isSecure = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = Number(url.port) || (isSecure ? 443 : 80)
    const target = { host, port, autoSelectFamilyAttemptTimeout: ATTEMPT_MS }
    this.#onLost = onLost
    this.#socket = isSecure
      ? connectSecure({ ...target, servername: isIP(host) ? '' : host, ALPNProtocols: ['http/1.1'] })
      : connectPlain(target)
    this.#socket.setNoDelay(true)
    this.#socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.#socket.setTimeout(SPARE_MS)
    this.#socket.unref()
    this.#socket.once(isSecure ? 'secureConnect' : 'connect', this.#onOpen)
    for (const event of LOST) this.#socket.on(event, this.drop)
  }

  /** Data received before any request, such as a load balancer's 408, would pass for the answer. */
  isUsable(): boolean {
    return !this.#socket.destroyed && this.#socket.readableLength === 0
  }

  /**
   * Hands the connection over once it is open, or gives up after `timeoutMs`; never before this returns, because undici
   * would not notice. By then its request has ended too, so no connection outlives the outage in which it was begun.
   */
  take(taker: Taker, timeoutMs: number): void {
    this.#taker = taker
    this.#socket.ref()
    if (this.#isOpen) queueMicrotask(this.#handOver)
    else this.#socket.setTimeout(timeoutMs)
  }

  readonly drop = (error?: Error | boolean): void => {
    this.#onLost(this)
    this.#release()
    // Errors of a destroyed connection do not matter, but need a listener.
    this.#socket.on('error', () => {})
    this.#socket.destroy()
    const reason = error instanceof Error ? error : Object.assign(new Error('not opened'), { code: 'ETIMEDOUT' })
    this.#taker?.(reason, null)
    this.#taker = null
  }

  readonly #onOpen = (): void => {
    this.#isOpen = true
    this.#handOver()
  }

  readonly #handOver = (): void => {
    if (!this.#taker) return
    this.#release()
    this.#socket.setTimeout(0)
    this.#taker(null, this.#socket)
    this.#taker = null
  }

  #release(): void {
    for (const event of LOST) this.#socket.off(event, this.drop)
  }
}
