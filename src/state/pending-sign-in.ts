import type { Request, Response } from 'express'
import type { Identity, Profile } from '../contract/identity'
import { configurationError } from '../contract/options'
import type { WorkspaceMembership } from '../contract/tokens'
import type { SignInEmail } from '../decisions/email-trust'
import { isAlive, now } from '../time/clock'
import { compactMemberships, expandMemberships } from './compact-memberships'
import type { KeyRing } from './keys'
import type { Limits } from './limits'
import { type CookieJar, open, seal } from './sealed-cookie'

/**
 * What a pending sign-in waits for: an address (`address`), the mailed code (`code`), a sign-in to the matching account
 * (`prove`), or a choice of somebody who is signed in (`choose`: link or switch, `switch`: switch users).
 */
export type PendingStep = 'address' | 'code' | 'prove' | 'choose' | 'switch'

/** A code that works. `unsure`: the mailer failed or was too slow, so that the mail may not arrive. */
export interface PendingCode {
  readonly hash: string
  readonly sentAt: number
  readonly unsure?: boolean
}

/** `asked`: a mail was sent or tried. `elsewhere`: another attempt asked for one. `limited`: the limits are reached. */
export interface MailPause {
  readonly reason: 'asked' | 'elsewhere' | 'limited'
  /** In milliseconds since 1970. */
  readonly until: number
}

/** A sign-in that came back from Bitbucket and waits, as this browser carries it. */
export interface Pending {
  readonly handle: string
  readonly step: PendingStep
  readonly identity: Identity
  /** Without its addresses. */
  readonly profile: Profile
  readonly email: SignInEmail
  /** Whether the person typed the address, so that it never opens or claims an account. */
  readonly typed: boolean
  /** Whether Bitbucket says that the address is confirmed: its owner's limits are then nobody else's. */
  readonly confirmed: boolean
  /** The code that was handed to the mailer, `null` when there is none yet. */
  readonly code: PendingCode | null
  /** Since when and until when no other mail is sent, and why. `null` = not yet asked for one. */
  readonly pause: MailPause | null
  /** Counts mails and address changes; the counter in the limits decides which cookie is the current one. */
  readonly generation: number
  readonly context: string
  readonly origin: string
  readonly basePath: string
  readonly returnTo: string | null
  /** Who was signed in. */
  readonly login: string
  readonly workspaces: readonly WorkspaceMembership[]
  /** JSON of the app that travels along. */
  readonly data?: unknown
}

const LIFETIME_MS = 30 * 60 * 1000
/** Signing in to the other account may take a password reset. */
const PROVE_LIFETIME_MS = 60 * 60 * 1000
const MAX_PENDING = 3072
/** Characters that a sent code and the pause after it take in the sealed record. */
const CODE_ROOM = 200
const MAX_NAME = 64
const SUFFIX = 'p'

/** A pending sign-in with its age. */
export interface FoundPending {
  readonly pending: Pending
  /** When it ends, in milliseconds since 1970. */
  readonly endsAt: number
  /** When it was first stored. */
  readonly startedAt: number
}

/** Remembers the one sign-in of a browser that waits for something; a newer one replaces it. */
export interface PendingSignIns {
  /** Stores it. `startedAt` keeps the absolute lifetime of one that goes on. */
  store(req: Request, res: Response, jar: CookieJar, pending: Pending, startedAt: number): void
  /** Throws `configuration_invalid` if the record will not fit into a cookie once a code was sent. */
  assertFits(jar: CookieJar, pending: Pending): void
  /** What this browser carries; `undefined` when nothing, something expired or two of them. Counters are not asked. */
  read(req: Request, jar: CookieJar): FoundPending | undefined
  /** Whether it is still open and this cookie its newest copy. */
  isCurrent(pending: Pending): Promise<boolean>
  /** Moves on to the next generation; older copies of the cookie are void from here. */
  advance(pending: Pending): Promise<number>
  /** Ends it. Exactly one caller ever gets `true`. */
  finish(res: Response, jar: CookieJar, pending: Pending): Promise<boolean>
  /** Clears the cookie, then ends it. For one that nobody continues, whether it is still open or not. */
  drop(res: Response, jar: CookieJar, pending: Pending): Promise<void>
}

/** Makes the memory of waiting sign-ins. */
export function createPendingSignIns(keys: KeyRing, limits: Limits): PendingSignIns {
  return {
    store(req, res, jar, pending, startedAt) {
      const sealed = fitToCookie(keys, jar.nameOf(SUFFIX), pending, startedAt)
      jar.set(req, res, SUFFIX, sealed, startedAt + lifetimeOf(pending) - now())
    },

    assertFits(jar, pending) {
      fitToCookie(keys, jar.nameOf(SUFFIX), pending, now(), CODE_ROOM)
    },

    read(req, jar) {
      const [value, ...more] = jar.read(req, SUFFIX)
      if (value === undefined || more.length > 0) return undefined
      const opened = open(keys, jar.nameOf(SUFFIX), value)
      if (!opened) return undefined
      const { pending: kept, startedAt } = opened.payload as { pending: Pending; startedAt: number }
      const pending = { ...kept, workspaces: expandMemberships(kept.workspaces) }
      if (!isAlive(startedAt, lifetimeOf(pending))) return undefined
      return { pending, startedAt, endsAt: startedAt + lifetimeOf(pending) }
    },

    async isCurrent(pending) {
      const [done, generation] = await Promise.all([
        limits.read('done', pending.handle),
        limits.read('generation', pending.handle),
      ])
      return done === 0 && generation === pending.generation
    },

    advance: (pending) => limits.increment('generation', pending.handle),

    async finish(res, jar, pending) {
      if (!(await limits.consume('done', pending.handle))) return false
      jar.clear(res, SUFFIX)
      return true
    },

    async drop(res, jar, pending) {
      jar.clear(res, SUFFIX)
      await limits.consume('done', pending.handle)
    },
  }
}

function lifetimeOf(pending: Pending): number {
  return pending.step === 'prove' ? PROVE_LIFETIME_MS : LIFETIME_MS
}

/**
 * Seals the record in as many characters as a cookie holds, without the return URL, pictures and the ends of long names if
 * they do not fit. Identity, address, data and memberships are never dropped: hooks grant by them.
 */
function fitToCookie(keys: KeyRing, name: string, pending: Pending, startedAt: number, spare = 0): string {
  const workspaces = compactMemberships(pending.workspaces)
  for (const version of [pending, shortVersion(pending)]) {
    const sealed = seal(keys, name, { pending: { ...version, workspaces }, startedAt })
    if (sealed.length + spare <= MAX_PENDING) return sealed
  }
  throw configurationError(
    `\`workspaces\`: a user is a member of ${workspaces.length} of those that the connection names, more than a pending sign-in can hold. Name fewer.`,
  )
}

function shortVersion(pending: Pending): Pending {
  const { profile } = pending
  const { username, nickname, displayName } = profile
  const names = { username: shortened(username), nickname: shortened(nickname), displayName: shortened(displayName) }
  return { ...pending, returnTo: null, profile: { ...profile, ...names, avatarUrl: null, profileUrl: null } }
}

/** Cuts between code points: half a surrogate pair is not valid text. */
function shortened<Name extends string | null>(name: Name): Name {
  return (name === null ? null : Array.from(name).slice(0, MAX_NAME).join('')) as Name
}
