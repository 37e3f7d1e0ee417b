import type { Request, Response } from 'express'
import type { Intent } from '../contract/hooks'
import { isAlive, now } from '../time/clock'
import type { KeyRing } from './keys'
import { sign, verify } from './keys'
import type { Limits } from './limits'
import { randomBytes, randomHandle } from './random'
import { type CookieJar, open, peekIssuedAt, seal } from './sealed-cookie'

/** A started sign-in, as this browser carries it. */
export interface Transaction {
  readonly handle: string
  readonly intent: Intent
  /** Digest of the connection, tenant, application, client, callback and endpoints it was started with. */
  readonly context: string
  /** Where it started and must end. */
  readonly origin: string
  readonly codeVerifier: string
  readonly returnTo: string | null
  /** Who was signed in at the start, for intents that depend on it; `null` for a plain sign-in. */
  readonly login: string | null
}

/** A transaction found in the browser that presented its `state`. */
export interface FoundTransaction {
  readonly transaction: Transaction
  readonly slot: number
  /** Whether its ten minutes are over. */
  readonly expired: boolean
}

/** Where a sign-in started, for a callback that is served by another origin: enough to find its connection again. */
export interface StartingPoint {
  readonly origin: string
  readonly tenant: string | null
  readonly application: string | null
}

/** What `state` says by itself. */
export interface ParsedState {
  readonly slot: number
  readonly handle: string
  /** `null` when it carries none; else it is authenticated. */
  readonly from: StartingPoint | null
}

const LIFETIME_MS = 10 * 60 * 1000
const SLOTS = 5
const MAX_TRANSACTION = 1228
/** The second half is there for custom domains: a host name and two keys of 128 bytes at most. */
const STATE = /^([0-4])([\w-]{22})(?:\.([\w-]{1,900})\.([\w-]{22}))?$/

/** Remembers started sign-ins in five sealed cookies, so that several tabs do not disturb each other. */
export interface Transactions {
  /**
   * Seals the transaction into a free slot (else the oldest) and gives the `state` for Bitbucket. It names `from` under
   * a signature, for a callback that is served by another origin; `null` = it will be this one.
   */
  begin(
    req: Request,
    res: Response,
    jar: CookieJar,
    start: Omit<Transaction, 'handle'>,
    from: StartingPoint | null,
  ): string
  /** Reads a `state`; `undefined` when it is none of ours. */
  parseState(state: string): ParsedState | undefined
  /** The transaction of this state in this browser; nothing is consumed. */
  find(req: Request, jar: CookieJar, state: ParsedState): FoundTransaction | undefined
  /** Uses the transaction up. Exactly one caller ever gets `true`. */
  take(
    res: Response,
    jar: CookieJar,
    found: Pick<FoundTransaction, 'slot'> & { transaction: { handle: string } },
  ): Promise<boolean>
  /** Uses up and clears every transaction of this browser. */
  forget(req: Request, res: Response, jar: CookieJar): Promise<void>
}

/** Makes the memory of started sign-ins. */
export function createTransactions(keys: KeyRing, stateKeys: KeyRing, limits: Limits): Transactions {
  function openSlot(jar: CookieJar, slot: number, value: string): FoundTransaction | undefined {
    const suffix = `t${slot}`
    const opened = open(keys, jar.nameOf(suffix), value)
    if (!opened) return undefined
    return {
      transaction: opened.payload as Transaction,
      slot,
      expired: !isAlive(opened.issuedAt, LIFETIME_MS),
    }
  }

  return {
    begin(req, res, jar, start, from) {
      const slot = chooseSlot(jar.all(req))
      const handle = randomHandle()
      const name = jar.nameOf(`t${slot}`)
      let sealed = seal(keys, name, { ...start, handle })
      // A long way back is the only thing that can make it too long; without it the person lands on the default page.
      if (sealed.length > MAX_TRANSACTION) sealed = seal(keys, name, { ...start, handle, returnTo: null })
      jar.set(req, res, `t${slot}`, sealed, LIFETIME_MS)
      const state = `${slot}${handle}`
      if (!from) return state
      const point = JSON.stringify([from.origin, from.tenant, from.application])
      const message = `${state}.${Buffer.from(point).toString('base64url')}`
      return `${message}.${sign(stateKeys, message)}`
    },

    parseState(state) {
      const match = STATE.exec(state)
      if (!match) return undefined
      const [, slot, handle = '', point, mac] = match
      if (point === undefined || mac === undefined) return { slot: Number(slot), handle, from: null }
      if (!verify(stateKeys, `${slot}${handle}.${point}`, mac)) return undefined
      const [origin, tenant, application] = JSON.parse(Buffer.from(point, 'base64url').toString())
      return { slot: Number(slot), handle, from: { origin, tenant, application } }
    },

    find(req, jar, state) {
      const [value, ...more] = jar.read(req, `t${state.slot}`)
      if (value === undefined || more.length > 0) return undefined
      const found = openSlot(jar, state.slot, value)
      return found?.transaction.handle === state.handle ? found : undefined
    },

    async take(res, jar, { slot, transaction }) {
      if (!(await limits.consume('taken', transaction.handle))) return false
      jar.clear(res, `t${slot}`)
      return true
    },

    async forget(req, res, jar) {
      for (let slot = 0; slot < SLOTS; slot++) {
        for (const value of jar.read(req, `t${slot}`)) {
          const found = openSlot(jar, slot, value)
          jar.clear(res, `t${slot}`)
          if (found && !found.expired) await limits.consume('taken', found.transaction.handle)
        }
      }
    },
  }
}

/** A random free slot, so that two tabs opened at the same moment rarely meet; else the oldest. */
function chooseSlot(present: ReadonlyMap<string, string>): number {
  if (present.size === 0) return randomBytes(1).readUInt8() % SLOTS
  const ages = Array.from({ length: SLOTS }, (_, slot) => {
    const value = present.get(`t${slot}`)
    return value === undefined ? 0 : peekIssuedAt(value)
  })
  const free = ages.flatMap((issuedAt, slot) => (now() - issuedAt > LIFETIME_MS ? [slot] : []))
  if (free.length > 0) return free[randomBytes(1).readUInt8() % free.length] ?? 0
  return ages.indexOf(Math.min(...ages))
}
