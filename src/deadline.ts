import type { Response } from 'express'
import { BitbucketSignInError } from './errors'

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

/** Ends the requests to Bitbucket of one sign-in: at its deadline, or as soon as the browser has gone away. */
export interface ExchangeDeadline {
  readonly signal: AbortSignal
  /** Call it when the exchange is over, whatever came of it. */
  end(): void
}

/** Starts the clock of one exchange. */
export function exchangeDeadline(timeoutMs: number, res: Response | undefined): ExchangeDeadline {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    const seconds = timeoutMs / 1000
    controller.abort(new BitbucketSignInError('upstream_timeout', `Bitbucket did not answer within ${seconds} s.`))
  }, timeoutMs)
  const onClose = () => controller.abort(new BitbucketSignInError('upstream_failed', 'The browser went away.'))
  res?.once('close', onClose)
  return {
    signal: controller.signal,
    end() {
      clearTimeout(timer)
      res?.off('close', onClose)
    },
  }
}
