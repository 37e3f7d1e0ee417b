import { createHmac, hash } from 'node:crypto'
import type { Request, Response } from 'express'
import type { Intent, SignInHow } from '../contract/hooks'
import type { Identity } from '../contract/identity'
import { isAlive } from '../time/clock'
import type { KeyRing } from './keys'
import { sign, verify } from './keys'
import type { Limits } from './limits'
import { randomBytes } from './random'
import { type CookieJar, open, peekIssuedAt, seal } from './sealed-cookie'

/** The data of a started sign-in. */
export interface Start {
  readonly intent: Intent
  readonly returnTo: string | null
  /** Who was signed in at the start, for intents that depend on it; `null` for a plain sign-in. */
  readonly login: string | null
  /** The app's JSON for this sign-in, `undefined` = none. Untrusted: anyone's link can have started it. */
  readonly data?: unknown
  /** The completed sign-in for which this one only fetches tokens. Absent on the first pass. */
  readonly after?: { readonly how: SignInHow; readonly identity: Identity }
}

/** What a sign-in must return to. */
export interface Bound {
  /** Digest of the connection, tenant, application, client, callback and endpoints it was started with. */
  readonly context: string
  /** The origin where it started and must end; `null` = the origin of the callback URL. */
  readonly origin: string | null
}

/** A started sign-in, as this browser carries it. */
export interface Transaction extends Start, Bound {
  readonly handle: string
  readonly codeVerifier: string
}

/** A transaction found in the browser that presented its `state`. */
export interface FoundTransaction {
  readonly transaction: Transaction
  /** Whether its ten minutes are over. */
  readonly expired: boolean
}

/** Where a sign-in started, for a callback that is served by another origin: enough to find its connection again. */
export interface StartingPoint {
  readonly origin: string
  readonly tenant: string | null
  readonly application: string | null
}

/** The parameters of a transaction for Bitbucket. */
export interface BegunTransaction {
  readonly state: string
  readonly codeChallenge: string
}

/** The content of `state` alone. */
export interface ParsedState {
  readonly handle: string
  /** `null` if it carries none; otherwise authenticated. */
  readonly from: StartingPoint | null
}

/** The keys of transactions, each ring in the order of the secrets. */
export interface TransactionKeys {
  readonly seal: KeyRing
  readonly verifier: KeyRing
  readonly state: KeyRing
}

/** A started sign-in may take 10 minutes. */
export const TRANSACTION_LIFETIME_MS: number = 10 * 60 * 1000
const SLOTS = 16
/** Beyond this many open sign-ins, the oldest are dropped. */
const MAX_OPEN = 5
/** Sixteen of them, as concurrent starts may leave, stay below Node's 16 kB limit for headers. */
const MAX_TRANSACTION = 860
/** The second half is for custom domains: a host name and two keys of at most 128 bytes. */
const STATE = /^([\w-]{22})(?:\.([\w-]{1,900})\.([\w-]{22}))?$/

/** Stores started sign-ins, each in its own sealed cookie, so that tabs do not interfere with each other. */
export interface Transactions {
  /**
   * Seals the transaction under a free name and makes `state` and challenge for Bitbucket. `state` names `from` under a
   * signature, for a callback that is served by another origin; `null` = this one.
   */
  begin(
    req: Request,
    res: Response,
    jar: CookieJar,
    start: Start,
    bound: Bound,
    from: StartingPoint | null,
  ): BegunTransaction
  /** Reads a `state`; `undefined` when it is not ours. */
  parseState(state: string): ParsedState | undefined
  /** The transaction of this state in this browser; nothing is consumed. */
  find(req: Request, jar: CookieJar, state: ParsedState): FoundTransaction | undefined
  /** The transactions of this browser whose ten minutes are not over; nothing is consumed. */
  open(req: Request, jar: CookieJar): readonly Transaction[]
  /** Consumes the transaction. Exactly one caller ever gets `true`. */
  take(res: Response, jar: CookieJar, handle: string): Promise<boolean>
  /** Clears its cookie without counting: for a callback that has nothing to consume. */
  drop(res: Response, jar: CookieJar, handle: string): void
  /** Consumes and clears every transaction of this browser. */
  forget(req: Request, res: Response, jar: CookieJar): Promise<void>
}

/** Creates the store of started sign-ins. */
export function createTransactions(keys: TransactionKeys, limits: Limits): Transactions {
  function openCookie(jar: CookieJar, suffix: string, value: string): FoundTransaction | undefined {
    const opened = open(keys.seal, jar.nameOf(suffix), value)
    if (!opened) return undefined
    const start = fromRecord(opened.payload as Sealed)
    const codeVerifier = verifierOf(keys.verifier, opened.secret, start.handle)
    return { transaction: { ...start, codeVerifier }, expired: !isAlive(opened.issuedAt, TRANSACTION_LIFETIME_MS) }
  }

  function openOnes(req: Request, jar: CookieJar): readonly Transaction[] {
    const found = suffixesIn(req, jar).flatMap((suffix) =>
      jar.read(req, suffix).map((value) => openCookie(jar, suffix, value)),
    )
    return found.flatMap((each) => (each === undefined || each.expired ? [] : [each.transaction]))
  }

  return {
    open: openOnes,

    begin(req, res, jar, start, bound, from) {
      const handle = newHandle(res, jar, jar.all(req))
      const suffix = suffixOf(handle)
      const name = jar.nameOf(suffix)
      let sealed = seal(keys.seal, name, toRecord(handle, start, bound))
      // Without a long return URL the user lands on the default page; everything else is bounded.
      if (sealed.length > MAX_TRANSACTION) {
        sealed = seal(keys.seal, name, toRecord(handle, { ...start, returnTo: null }, bound))
      }
      jar.set(req, res, suffix, sealed, TRANSACTION_LIFETIME_MS)
      const codeChallenge = hash('sha256', verifierOf(keys.verifier, 0, handle), 'base64url')
      if (!from) return { state: handle, codeChallenge }
      const point = JSON.stringify([from.origin, from.tenant, from.application])
      const message = `${handle}.${Buffer.from(point).toString('base64url')}`
      return { state: `${message}.${sign(keys.state, message)}`, codeChallenge }
    },

    parseState(state) {
      const match = STATE.exec(state)
      if (!match) return undefined
      const [, handle = '', point, mac] = match
      if (point === undefined || mac === undefined) return { handle, from: null }
      if (!verify(keys.state, `${handle}.${point}`, mac)) return undefined
      const [origin, tenant, application] = JSON.parse(Buffer.from(point, 'base64url').toString())
      return { handle, from: { origin, tenant, application } }
    },

    find(req, jar, { handle }) {
      const suffix = suffixOf(handle)
      const [value, ...more] = jar.read(req, suffix)
      if (value === undefined || more.length > 0) return undefined
      const found = openCookie(jar, suffix, value)
      return found?.transaction.handle === handle ? found : undefined
    },

    async take(res, jar, handle) {
      if (!(await limits.consume('taken', handle))) return false
      jar.clear(res, suffixOf(handle))
      return true
    },

    drop(res, jar, handle) {
      jar.clear(res, suffixOf(handle))
    },

    async forget(req, res, jar) {
      // All are cleared, whether or not they can be counted.
      for (const suffix of suffixesIn(req, jar)) jar.clear(res, suffix)
      await Promise.all(openOnes(req, jar).map(({ handle }) => limits.consume('taken', handle)))
    },
  }
}

/** The sealed form. Every request of the browser carries it, so defaults are omitted. */
interface Sealed {
  readonly h: string
  readonly c: string
  readonly i?: Intent
  readonly o?: string
  readonly r?: string
  readonly l?: string
  readonly d?: unknown
  readonly a?: Start['after']
}

function toRecord(handle: string, { intent, returnTo, login, data, after }: Start, { context, origin }: Bound): Sealed {
  return {
    h: handle,
    c: context,
    ...(intent !== 'sign-in' && { i: intent }),
    ...(origin !== null && { o: origin }),
    ...(returnTo !== null && { r: returnTo }),
    ...(login !== null && { l: login }),
    d: data,
    a: after,
  }
}

function fromRecord({ h, c, i, o, r, l, d, a }: Sealed): Omit<Transaction, 'codeVerifier'> {
  const start = { intent: i ?? 'sign-in', context: c, origin: o ?? null, returnTo: r ?? null, login: l ?? null }
  return { ...start, handle: h, ...(d !== undefined && { data: d }), ...(a !== undefined && { after: a }) }
}

/**
 * The verifier is derived again and never stored: it follows from the handle, under a key of the secret that sealed the
 * cookie, so that it stays the same when a newer secret comes in between. No one else can derive it: many see a `state`,
 * none the key.
 */
function verifierOf(keys: KeyRing, secret: number, handle: string): string {
  const { key } = keys[secret] ?? keys[0]
  return createHmac('sha256', key).update(handle).digest('base64url')
}

const SUFFIXES = Array.from({ length: SLOTS }, (_, slot) => `t${slot.toString(16)}`)
const NAMES: ReadonlySet<string> = new Set(SUFFIXES)

const suffixesIn = (req: Request, jar: CookieJar) => [...jar.all(req).keys()].filter((each) => NAMES.has(each))
const slotOf = (handle: string) => Buffer.from(handle, 'base64url').readUInt8() % SLOTS
const suffixOf = (handle: string) => SUFFIXES[slotOf(handle)] as string

/**
 * A random handle, which names its cookie: four bits of its first byte are the slot, and 124 bits stay random. A taken
 * slot is not chosen. If five sign-ins are open, the oldest are dropped.
 */
function newHandle(res: Response, jar: CookieJar, present: ReadonlyMap<string, string>): string {
  const bytes = randomBytes(16)
  if (present.size === 0) return bytes.toString('base64url')
  const open = openSlots(present)
  const leaving = open.splice(0, Math.max(0, open.length - MAX_OPEN + 1))
  chooseSlot(bytes, new Set(open))
  for (const slot of leaving) if (slot !== bytes.readUInt8() % SLOTS) jar.clear(res, SUFFIXES[slot] as string)
  return bytes.toString('base64url')
}

/** Slots of open sign-ins, the oldest first. */
function openSlots(present: ReadonlyMap<string, string>): number[] {
  return SUFFIXES.map((suffix, slot) => ({ slot, issuedAt: peekIssuedAt(present.get(suffix) ?? '') }))
    .filter(({ issuedAt }) => isAlive(issuedAt, TRANSACTION_LIFETIME_MS))
    .sort((one, other) => one.issuedAt - other.issuedAt)
    .map(({ slot }) => slot)
}

function chooseSlot(bytes: Buffer, taken: ReadonlySet<number>): void {
  const first = bytes.readUInt8()
  if (!taken.has(first % SLOTS)) return
  const free = SUFFIXES.flatMap((_, slot) => (taken.has(slot) ? [] : [slot]))
  bytes.writeUInt8(first - (first % SLOTS) + (free[bytes.readUInt8(1) % free.length] ?? 0))
}
