import type { ErrorCode } from '../contract/errors'
import type { Identity } from '../contract/identity'
import type { LinkPolicy } from '../contract/policy'

/** Whose the identity is that came back from Bitbucket. */
export type IdentityOwner = 'nobody' | 'self' | 'other' | 'disabled'

/** Signed in as somebody, came back from a plain sign-in: what now? Never an implicit link. */
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

/** What linking for a signed-in user depends on. */
export interface LinkFacts {
  readonly owner: IdentityOwner
  /** Whether the user has another Bitbucket identity already. */
  readonly hasOtherIdentity: boolean
  /** Whether the user has an address that is not verified; a user without any has none to wait for the owner of. */
  readonly unverifiedAddress: boolean
}

/** The answer to a link: store it, only refresh what is stored, or refuse. */
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
  // A disabled owner is answered like any other: nothing is disclosed of whose the identity is.
  if (facts.owner !== 'nobody') return { type: 'refuse', code: 'identity_linked_elsewhere' }
  if (facts.unverifiedAddress && policy.localAddresses === 'verified')
    return { type: 'refuse', code: 'email_unverified' }
  if (facts.hasOtherIdentity && policy.identitiesPerUser === 'one') {
    return { type: 'refuse', code: 'another_identity_linked' }
  }
  return { type: 'link' }
}

/** Confirming who one is: only with an identity of one's own. */
export function decideReauthentication(owner: IdentityOwner): 'confirmed' | 'mismatch' {
  return owner === 'self' ? 'confirmed' : 'mismatch'
}

/** Unlinking: only an identity of one's own. Whether it is the last way in is decided inside the app's transaction. */
export function decideUnlink({ issuer, id }: Identity, own: readonly Identity[]): 'unlink' | 'not-found' {
  return own.some((identity) => identity.issuer === issuer && identity.id === id) ? 'unlink' : 'not-found'
}

/** How long ago a sign-in may be to count as recent: 10 minutes. */
export const RECENT_SIGN_IN_MS = 10 * 60 * 1000

/** Whether a sign-in is recent. A stamp from the future is no proof of anything. */
export function isRecent(signedInAt: Date | null, now: number, maxAgeMs: number = RECENT_SIGN_IN_MS): boolean {
  if (!signedInAt) return false
  const age = now - signedInAt.getTime()
  return age <= maxAgeMs && age >= -60_000
}
