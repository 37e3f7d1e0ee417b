import type { Response } from 'express'
import { BitbucketSignInError } from '../contract/errors'

/** Work that had not settled at its deadline. It may still be running, and may still succeed. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/** Settles like `work`, or rejects once `ms` milliseconds have passed. The work itself cannot be stopped. */
export function withDeadline<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new DeadlineError(`${what} has not settled in ${ms / 1000} s.`)), ms)
    const settle = <Value>(outcome: (value: Value) => void) => {
      return (value: Value) => {
        clearTimeout(timer)
        outcome(value)
      }
    }
    work.then(settle(resolve), settle(reject))
  })
}

/** Tears one request down. */
export type Cancel = (reason: BitbucketSignInError) => void

/**
 * Ends the requests to Bitbucket of one sign-in: at its deadline, when the exchange is over, or when the browser goes
 * away. Does what an `AbortSignal` does at a tenth of the work: each sign-in makes one, and three requests listen to it.
 */
export class ExchangeDeadline {
  /** For each running request, the function that ends it and the one to call when the response completes without it. */
  readonly #cancels = new Map<Cancel, (() => void) | undefined>()
  readonly #timer: NodeJS.Timeout
  readonly #res: Response | undefined
  #isOver = false
  #reason: BitbucketSignInError | null = null

  constructor(timeoutMs: number, res: Response | undefined) {
    this.#timer = setTimeout(() => this.cancel(timedOut(timeoutMs)), timeoutMs)
    this.#res = res
    res?.once('close', this.#onClose)
  }

  /** Why no further request may begin, `null` while they may. */
  get reason(): BitbucketSignInError | null {
    if (this.#isOver) this.#reason ??= new BitbucketSignInError('upstream_failed', 'This exchange is over.')
    return this.#reason
  }

  /** Calls this once, should the requests have to end; {@link remove} it when its request has ended. */
  add(cancel: Cancel, released?: () => void): void {
    this.#cancels.set(cancel, released)
  }

  remove(cancel: Cancel): void {
    this.#cancels.delete(cancel)
    if (this.#isOver && this.#cancels.size === 0) clearTimeout(this.#timer)
  }

  /** Ends all running requests; those that begin later end immediately. The only way to end a request early. */
  cancel(reason: BitbucketSignInError): void {
    this.#reason ??= reason
    this.#close()
    clearTimeout(this.#timer)
    for (const cancel of this.#cancels.keys()) cancel(reason)
    this.#cancels.clear()
  }

  /** The exchange is over: ends whatever still runs, and leaves neither timer nor listener. */
  end(): void {
    this.#close()
    if (this.#cancels.size > 0) this.cancel(this.reason as BitbucketSignInError)
    clearTimeout(this.#timer)
  }

  /** The response is complete: no request begins, and those that run have until the deadline. */
  release(): void {
    this.#close()
    for (const released of this.#cancels.values()) released?.()
    if (this.#cancels.size === 0) clearTimeout(this.#timer)
  }

  #close(): void {
    this.#isOver = true
    this.#res?.off('close', this.#onClose)
  }

  /** Node emits `close` after a complete response, too. */
  readonly #onClose = (): void => {
    if (this.#res?.writableEnded) this.release()
    else this.cancel(new BitbucketSignInError('upstream_failed', 'The browser went away.'))
  }
}

function timedOut(timeoutMs: number): BitbucketSignInError {
  return new BitbucketSignInError(
    'upstream_timeout',
    `Bitbucket did not answer within ${timeoutMs / 1000} s. Check the network to Bitbucket and https://bitbucket.status.atlassian.com, or raise \`timeoutMs\`.`,
  )
}
