import type { Request, Response } from 'express'
import type { Identity, Profile } from '../contract/identity'
import { configurationError } from '../contract/options'
import type { WorkspaceMembership } from '../contract/tokens'
import { MEMBER_PERMISSIONS } from '../decisions/connection-levels'
import type { SignInEmail } from '../decisions/email-trust'
import { isAlive, now } from '../time/clock'
import type { KeyRing } from './keys'
import type { Limits } from './limits'
import { type CookieJar, openOnly, seal } from './sealed-cookie'

/**
 * What a pending sign-in waits for: an address (`address`), the emailed code (`code`), a sign-in to the matching account
 * (`prove`), or a choice of the signed-in user (`choose`: link or switch, `switch`: switch users).
 */
export type PendingStep = 'address' | 'code' | 'prove' | 'choose' | 'switch'

/** A valid code. `unsure`: the mailer failed or was too slow, so the email may not arrive. */
export interface PendingCode {
  readonly hash: string
  readonly sentAt: number
  readonly unsure?: boolean
}

/** `asked`: an email was sent or attempted. `elsewhere`: another attempt requested one. `limited`: the limits are reached. */
export interface MailPause {
  readonly reason: 'asked' | 'elsewhere' | 'limited'
  /** In milliseconds since 1970. */
  readonly until: number
}

/** A pending sign-in as its browser carries it. */
export interface Pending {
  readonly handle: string
  readonly step: PendingStep
  readonly identity: Identity
  /** Without its addresses. */
  readonly profile: Profile
  readonly email: SignInEmail
  /** Whether the user typed the address; it then never opens or claims an account. */
  readonly typed: boolean
  /** Whether Bitbucket says that the address is confirmed: its owner then has separate limits. */
  readonly confirmed: boolean
  /** The code that was handed to the mailer, `null` when there is none yet. */
  readonly code: PendingCode | null
  /** Since when and until when no other email is sent, and why. `null` = none was requested yet. */
  readonly pause: MailPause | null
  /** Counts emails and address changes; the counter in the limits decides which cookie is current. */
  readonly generation: number
  readonly context: string
  readonly origin: string
  readonly basePath: string
  readonly returnTo: string | null
  /** Who was signed in. */
  readonly login: string
  readonly workspaces: readonly WorkspaceMembership[]
  /**
   * When Bitbucket confirmed the workspaces, in milliseconds since 1970. A sign-in that waits again keeps it; its
   * lifetime begins anew.
   */
  readonly confirmedAt: number
  /** The app's JSON for this sign-in. */
  readonly data?: unknown
}

const PENDING_LIFETIME_MS = 30 * 60 * 1000
/** Long enough for a password reset of the other account. */
export const PROVE_LIFETIME_MS: number = 60 * 60 * 1000
/** No pending sign-in lasts longer: what its counters must outlive, or a finished one would open again. */
export const LONGEST_PENDING_MS: number = Math.max(PENDING_LIFETIME_MS, PROVE_LIFETIME_MS)
const MAX_PENDING = 3072
/** Characters that a sent code and the pause after it take in the sealed record. */
const CODE_ROOM = 200
const MAX_NAME = 64
const SUFFIX = 'p'

/** A pending sign-in with its age. */
export interface FoundPending {
  readonly pending: Pending
  /** When it expires, in milliseconds since 1970. */
  readonly endsAt: number
  /** When it was first stored. */
  readonly startedAt: number
}

/** Stores the one pending sign-in of a browser; a newer one replaces it. */
export interface PendingSignIns {
  /** Stores it. `startedAt` keeps the absolute lifetime of one that continues. */
  store(req: Request, res: Response, jar: CookieJar, pending: Pending, startedAt: number): void
  /** Throws `configuration_invalid` if the record will not fit into a cookie once a code was sent. */
  assertFits(jar: CookieJar, pending: Pending): void
  /** The record of this browser; `undefined` if there is none, an expired one, or two. Counters are not consulted. */
  read(req: Request, jar: CookieJar): FoundPending | undefined
  /** Whether it is still open and this cookie its newest copy. */
  isCurrent(pending: Pending): Promise<boolean>
  /** Advances to the next generation; older copies of the cookie become invalid. */
  advance(pending: Pending): Promise<number>
  /** Consumes it. Exactly one caller ever gets `true`. */
  finish(res: Response, jar: CookieJar, pending: Pending): Promise<boolean>
  /** Clears the cookie, then consumes the record, open or not. For one that is not continued. */
  drop(res: Response, jar: CookieJar, pending: Pending): Promise<void>
  /** Clears the cookie of this browser, readable or not, and consumes its record. */
  forget(req: Request, res: Response, jar: CookieJar): Promise<void>
}

/** Creates the store of pending sign-ins. */
export function createPendingSignIns(keys: KeyRing, limits: Limits): PendingSignIns {
  const pendings: PendingSignIns = {
    store(req, res, jar, pending, startedAt) {
      const sealed = fitToCookie(keys, jar.nameOf(SUFFIX), pending, startedAt)
      jar.set(req, res, SUFFIX, sealed, startedAt + lifetimeOf(pending) - now())
    },

    assertFits(jar, pending) {
      fitToCookie(keys, jar.nameOf(SUFFIX), pending, now(), CODE_ROOM)
    },

    read(req, jar) {
      const opened = openOnly(keys, req, jar, SUFFIX)
      if (!opened) return undefined
      const { pending: kept, startedAt } = opened.payload as { pending: Pending; startedAt: number }
      const { confirmedAt = startedAt } = kept
      const pending = { ...kept, confirmedAt, workspaces: expandMemberships(kept.workspaces) }
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

    async forget(req, res, jar) {
      const found = pendings.read(req, jar)
      jar.clearSent(req, res, SUFFIX)
      if (found) await limits.consume('done', found.pending.handle)
    },
  }
  return pendings
}

function lifetimeOf(pending: Pending): number {
  return pending.step === 'prove' ? PROVE_LIFETIME_MS : PENDING_LIFETIME_MS
}

/**
 * Drops optional data until the record fits into a cookie: the return URL, pictures and the ends of long names if
 * they do not fit. Identity, address, data and memberships are never dropped: hooks grant by them.
 */
function fitToCookie(keys: KeyRing, name: string, pending: Pending, startedAt: number, spare = 0): string {
  const workspaces = compactMemberships(pending.workspaces)
  // Without memberships nothing depends on it.
  const confirmedAt = workspaces.length > 0 ? pending.confirmedAt : undefined
  for (const version of [pending, shortVersion(pending)]) {
    const sealed = seal(keys, name, { pending: { ...version, workspaces, confirmedAt }, startedAt })
    if (sealed.length + spare <= MAX_PENDING) return sealed
  }
  throw configurationError(
    `\`workspaces\`: a user is a member of ${workspaces.length} named workspaces, more than a pending sign-in can hold. Name fewer.`,
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

const UUID = /^\{([\da-f]{8})-([\da-f]{4})-([\da-f]{4})-([\da-f]{4})-([\da-f]{12})\}$/

/**
 * Memberships in about half the bytes of their JSON: a cookie must hold all of them. One string each: a digit for a known
 * permission, the uuid in 22 characters, the slug. Anything else stays an object.
 */
function compactMemberships(memberships: readonly WorkspaceMembership[]): readonly unknown[] {
  // A gate may name a workspace twice, by slug and by uuid.
  const distinct = new Map(memberships.map((each) => [each.uuid, each]))
  return [...distinct.values()].map((membership) => {
    const { slug, uuid, permission } = membership
    const digit = MEMBER_PERMISSIONS.indexOf(permission)
    const hex = UUID.exec(uuid)?.slice(1).join('')
    return digit < 0 || hex === undefined ? membership : digit + Buffer.from(hex, 'hex').toString('base64url') + slug
  })
}

/** Restores the memberships. */
function expandMemberships(compact: readonly unknown[]): readonly WorkspaceMembership[] {
  return compact.map((each) => {
    if (typeof each !== 'string') return each as WorkspaceMembership
    const hex = Buffer.from(each.slice(1, 23), 'base64url').toString('hex')
    const uuid = `{${hex.replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')}}`
    return { slug: each.slice(23), uuid, permission: MEMBER_PERMISSIONS[Number(each[0])] ?? '' }
  })
}
