import type { Identity } from '../contract/identity'
import { isAdmitted } from './connection-levels'
import { isRecent } from './linking'

/** What Bitbucket last said about a user's workspaces, as the session keeps it. */
export interface Membership {
  readonly identity: Identity
  /** The memberships that opened the gate of the connection. */
  readonly workspaces: readonly { readonly slug: string; readonly uuid: string }[]
  /** When Bitbucket confirmed them, in milliseconds since 1970. */
  readonly at: number
  /** When the user last chose to continue without confirming. */
  readonly wentOnAt?: number
}

/** What a guard requires of a membership. */
export interface MembershipRules {
  /** Any one of these suffices. */
  readonly workspaces: readonly string[]
  readonly maxAgeMs: number
  readonly graceMs: number
}

/** What the connection of the request vouches for. */
export interface MembershipSource {
  readonly issuer: string
  readonly workspaces: readonly string[]
}

/**
 * `confirmed` passes. `grace` may continue without Bitbucket once more; `unconfirmed` may not. `elsewhere` is a current
 * member of other workspaces than those that the guard asks for.
 */
export type MembershipVerdict = 'confirmed' | 'grace' | 'unconfirmed' | 'elsewhere'

/** How long continuing without confirmation lasts before the page appears again: 15 minutes. */
export const GO_ON_MS = 15 * 60 * 1000

/** Judges the membership stored in the session, `null` if there is none. */
export function decideMembership(
  membership: Membership | null,
  rules: MembershipRules,
  source: MembershipSource,
  now: number,
): MembershipVerdict {
  if (!membership || membership.identity.issuer !== source.issuer) return 'unconfirmed'
  const { workspaces, at, wentOnAt } = membership
  // A membership that the connection no longer admits was confirmed under older rules.
  if (!isAdmitted(source.workspaces, workspaces)) return 'unconfirmed'
  const isWithin = (since: number, ms: number) => isRecent(new Date(since), now, ms)
  const isMember = isAdmitted(rules.workspaces, workspaces)
  if (isWithin(at, rules.maxAgeMs)) return isMember ? 'confirmed' : 'elsewhere'
  if (!isMember || !isWithin(at, rules.maxAgeMs + rules.graceMs)) return 'unconfirmed'
  return wentOnAt !== undefined && isWithin(wentOnAt, GO_ON_MS) ? 'confirmed' : 'grace'
}
