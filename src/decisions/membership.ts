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
  /** When the user last chose "Go on". */
  readonly wentOnAt?: number
}

/** What a guard demands of a membership. */
export interface MembershipRules {
  /** One of these is needed. */
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
 * `confirmed` passes. `grace` may go on without Bitbucket once more; `unconfirmed` may not. `elsewhere` is a current
 * member of other workspaces than those that the guard asks for.
 */
export type MembershipVerdict = 'confirmed' | 'grace' | 'unconfirmed' | 'elsewhere'

/** How long "Go on" holds before the page appears again: 15 minutes. */
export const GO_ON_MS = 15 * 60 * 1000

/** Judges what the session says of a membership. `null` = it says nothing. */
export function decideMembership(
  membership: Membership | null,
  rules: MembershipRules,
  source: MembershipSource,
  now: number,
): MembershipVerdict {
  if (!membership || membership.identity.issuer !== source.issuer) return 'unconfirmed'
  const { workspaces, at, wentOnAt } = membership
  // What the connection no longer admits was confirmed under rules that have changed since.
  if (!isAdmitted(source.workspaces, workspaces)) return 'unconfirmed'
  const isWithin = (since: number, ms: number) => isRecent(new Date(since), now, ms)
  const isMember = isAdmitted(rules.workspaces, workspaces)
  if (isWithin(at, rules.maxAgeMs)) return isMember ? 'confirmed' : 'elsewhere'
  if (!isMember || !isWithin(at, rules.maxAgeMs + rules.graceMs)) return 'unconfirmed'
  return wentOnAt !== undefined && isWithin(wentOnAt, GO_ON_MS) ? 'confirmed' : 'grace'
}
