import type { ErrorCode } from '../contract/errors'
import type { Identity } from '../contract/identity'
import type { LinkPolicy } from '../contract/policy'

/** Who owns the identity that came back from Bitbucket. */
export type IdentityOwner = 'nobody' | 'self' | 'other' | 'disabled'

/** Decides what follows when a signed-in user completes a plain sign-in. Never links implicitly. */
export function decideSignedIn(owner: IdentityOwner): 'continue' | 'choose' | 'switch' | 'refuse-disabled' {
  switch (owner) {
    case 'self':
      return 'continue'
    case 'other':
      return 'switch'
    case 'nobody':
      return 'choose'
    case 'disabled':
      return 'refuse-disabled'
  }
}

/** The facts that decide linking for a signed-in user. */
export interface LinkFacts {
  readonly owner: IdentityOwner
  /** Whether the user has another Bitbucket identity already. */
  readonly hasOtherIdentity: boolean
  /** Whether the user has an unverified address. A user without an address has none that an owner could prove later. */
  readonly unverifiedAddress: boolean
}

/** The decision on a link: store it, only refresh the stored one, or refuse. */
export type LinkDecision =
  | { readonly type: 'link' }
  | { readonly type: 'refresh' }
  | {
      readonly type: 'refuse'
      readonly code: Extract<ErrorCode, 'identity_linked_elsewhere' | 'another_identity_linked' | 'email_unverified'>
    }

/** Linking while signed in. The Bitbucket address is not consulted: the session says whose account it is. */
export function decideLink(facts: LinkFacts, policy: LinkPolicy): LinkDecision {
  if (facts.owner === 'self') return { type: 'refresh' }
  // A disabled owner gets the same refusal as any other: the owner is never disclosed.
  if (facts.owner !== 'nobody') return { type: 'refuse', code: 'identity_linked_elsewhere' }
  if (facts.unverifiedAddress && policy.localAddresses === 'verified')
    return { type: 'refuse', code: 'email_unverified' }
  if (facts.hasOtherIdentity && policy.identitiesPerUser === 'one') {
    return { type: 'refuse', code: 'another_identity_linked' }
  }
  return { type: 'link' }
}

/** Reauthentication: only with one of the user's own identities. */
export function decideReauthentication(owner: IdentityOwner): 'confirmed' | 'mismatch' {
  return owner === 'self' ? 'confirmed' : 'mismatch'
}

/** Unlinking: only one of the user's own identities. The app's transaction decides whether it is the last way in. */
export function decideUnlink({ issuer, id }: Identity, own: readonly Identity[]): 'unlink' | 'not-found' {
  return own.some((identity) => identity.issuer === issuer && identity.id === id) ? 'unlink' : 'not-found'
}

/** A sign-in counts as recent for 10 minutes. */
export const RECENT_SIGN_IN_MS = 10 * 60 * 1000

/** Whether a sign-in is recent. A stamp from the future proves nothing. */
export function isRecent(signedInAt: Date | null, now: number, maxAgeMs: number = RECENT_SIGN_IN_MS): boolean {
  if (!signedInAt) return false
  const age = now - signedInAt.getTime()
  return age <= maxAgeMs && age >= -60_000
}
