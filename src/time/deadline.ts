import type { Response } from 'express'
import { BitbucketSignInError } from '../contract/errors'

/** Settles like `work`, or rejects once `ms` milliseconds have passed. The work itself cannot be stopped. */
export function withDeadline<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} has not settled in ${ms / 1000} s.`)), ms)
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
 * Ends the requests to Bitbucket of one sign-in: at its deadline, or as soon as the browser has gone away. What an
 * `AbortSignal` does, at a tenth of the work: each sign-in makes one, and three requests listen to it.
 */
export class ExchangeDeadline {
  readonly #cancels = new Set<Cancel>()
  readonly #timer: NodeJS.Timeout
  readonly #res: Response | undefined
  #reason: BitbucketSignInError | null = null

  constructor(timeoutMs: number, res: Response | undefined) {
    this.#timer = setTimeout(() => {
      const seconds = timeoutMs / 1000
      this.cancel(new BitbucketSignInError('upstream_timeout', `Bitbucket did not answer within ${seconds} s.`))
    }, timeoutMs)
    this.#res = res
    res?.once('close', this.#onClose)
  }

  /** Why its requests were ended, `null` while they may run. */
  get reason(): BitbucketSignInError | null {
    return this.#reason
  }

  /** Calls this once, should the requests have to end; {@link remove} it when its request has ended by itself. */
  add(cancel: Cancel): void {
    this.#cancels.add(cancel)
  }

  remove(cancel: Cancel): void {
    this.#cancels.delete(cancel)
  }

  /** Ends all requests; those that begin later end at once. */
  cancel(reason: BitbucketSignInError): void {
    if (this.#reason) return
    this.#reason = reason
    for (const cancel of this.#cancels) cancel(reason)
    this.#cancels.clear()
  }

  /** The exchange is over, whatever came of it: neither timer nor listener is left. */
  end(): void {
    clearTimeout(this.#timer)
    this.#res?.off('close', this.#onClose)
  }

  readonly #onClose = (): void => {
    this.cancel(new BitbucketSignInError('upstream_failed', 'The browser went away.'))
  }
}
