import type { LimiterFactory } from '../contract/limiter'
import { Secret } from '../contract/secret'
import { type AskedFor, createAskedFor } from './asked-for'
import { deriveKeys, type KeyPurpose, type KeyRing } from './keys'
import { createLimits, type Limits } from './limits'
import { createPendingSignIns, type PendingSignIns } from './pending-sign-in'
import { type CookieJar, cookieJar } from './sealed-cookie'
import { createSecondPasses, type SecondPasses } from './second-pass'
import { createTransactions, type Transactions } from './transaction'

/** What one plugin remembers between two requests: in sealed cookies, and in counters that a cookie cannot roll back. */
export interface FlowState {
  readonly limits: Limits
  readonly transactions: Transactions
  readonly pendings: PendingSignIns
  readonly askedFor: AskedFor
  readonly secondPasses: SecondPasses
  readonly keys: { readonly handOver: KeyRing; readonly code: KeyRing; readonly notice: KeyRing }
  /** Our cookies under both names that they can have, for requests without a connection. */
  readonly jars: readonly CookieJar[]
}

/** The counters and started sign-ins alone, for a strategy. */
export function startedState(secrets: readonly string[], name: string, limiter: LimiterFactory) {
  const rings = secrets.map((secret) => new Secret(secret))
  const keys = (purpose: KeyPurpose) => deriveKeys(rings, name, purpose)
  const limits = createLimits(name, limiter)
  const transactionKeys = { seal: keys('transaction'), verifier: keys('verifier'), state: keys('state') }
  return { keys, limits, transactions: createTransactions(transactionKeys, limits) }
}

/** Creates the state of one plugin. */
export function createFlowState(secrets: readonly string[], name: string, limiter: LimiterFactory): FlowState {
  const { keys, limits, transactions } = startedState(secrets, name, limiter)
  return {
    limits,
    transactions,
    pendings: createPendingSignIns(keys('pending'), limits),
    askedFor: createAskedFor(keys('asked-for')),
    secondPasses: createSecondPasses(keys('second-pass')),
    keys: { handOver: keys('hand-over'), code: keys('code'), notice: keys('notice') },
    jars: [cookieJar(name, true), cookieJar(name, false)],
  }
}
