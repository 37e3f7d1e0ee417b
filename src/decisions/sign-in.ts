import type { ErrorCode } from '../contract/errors'
import type { SignInPolicy } from '../contract/policy'
import type { EmailLevel } from './email-trust'

/** A local account that holds the address. */
export interface Holder {
  /** Whether its owner proved the address to the app. */
  readonly verified: boolean
  /** `false` = never by address alone. */
  readonly autoLink: boolean
  /** Whether `canSignIn` lets it in. */
  readonly canSignIn: boolean
  /** Whether it already has another Bitbucket identity; `null` = the app cannot tell. */
  readonly hasOtherIdentity: boolean | null
}

/** Everything the decision depends on. */
export interface SignInFacts {
  /** `unknown`: not stored. `known`: stored, its user may sign in. `disabled`: its user is gone or may not. */
  readonly identity: 'unknown' | 'known' | 'disabled'
  /** How well the address of this sign-in is proven. */
  readonly email: EmailLevel
  /** The accounts that hold the address; read only when the decision can depend on them. */
  readonly holders: readonly Holder[]
}

/**
 * The decision. `type` is what happens next, `row` the row of the decision table that matched (docs/concepts.md), `email` how
 * the address of a new account is stored, `code` why a sign-in is refused. `holder` and `holders` are indexes into
 * `facts.holders`.
 */
export type Decision =
  | { readonly type: 'sign-in'; readonly row: 1 }
  | { readonly type: 'ask-address'; readonly row: 2 }
  | { readonly type: 'verify-address'; readonly row: 3 }
  | { readonly type: 'create'; readonly row: 2 | 4 | 5 | 6; readonly email: 'none' | 'unverified' | 'proven' }
  | { readonly type: 'link'; readonly row: 8; readonly holder: number }
  | { readonly type: 'claim'; readonly row: 9; readonly holders: readonly number[] }
  | { readonly type: 'prove'; readonly row: 5 | 8 | 9; readonly holder: number }
  | { readonly type: 'refuse'; readonly row: 0 | 2 | 4 | 5 | 6 | 7 | 8 | 9; readonly code: RefusalCode }

/** The error codes of refusals. */
export type RefusalCode = Extract<
  ErrorCode,
  | 'account_disabled'
  | 'account_exists'
  | 'account_exists_unverified'
  | 'email_required'
  | 'email_unverified'
  | 'email_ambiguous'
  | 'sign_up_disabled'
>

/**
 * The maximum number of holders from which an address is claimed. Hooks run for each, so without a limit a squatter could
 * make one sign-in cost any number of hooks; and a claim from some of them would leave the address with the others.
 */
export const MAX_CLAIMED = 20

/**
 * Whether accounts may be looked up by address at all. If `false`, the response is the same for every address,
 * so strangers learn nothing from it.
 */
export function consultsHolders(facts: Omit<SignInFacts, 'holders'>, policy: SignInPolicy): boolean {
  if (facts.identity !== 'unknown' || facts.email === 'none') return false
  return facts.email !== 'asserted' || policy.untrustedEmail === 'unverified'
}

/** The decision table: ordered rows, the first that matches wins. Pure; every input has exactly one answer. */
export function decideSignIn(facts: SignInFacts, policy: SignInPolicy): Decision {
  if (facts.identity === 'disabled') return { type: 'refuse', row: 0, code: 'account_disabled' }
  if (facts.identity === 'known') return { type: 'sign-in', row: 1 }
  switch (facts.email) {
    case 'none':
      return decideMissing(policy)
    case 'asserted':
      return decideAsserted(facts.holders, policy)
    case 'bitbucket':
    case 'code':
    case 'typed':
      return decideProven(facts.email, facts.holders, policy)
  }
}

function decideMissing(policy: SignInPolicy): Decision {
  switch (policy.missingEmail) {
    case 'ask':
      return { type: 'ask-address', row: 2 }
    case 'allow':
      return create(2, 'none', policy)
    case 'reject':
      return { type: 'refuse', row: 2, code: 'email_required' }
  }
}

function decideAsserted(holders: readonly Holder[], policy: SignInPolicy): Decision {
  switch (policy.untrustedEmail) {
    case 'verify':
      return { type: 'verify-address', row: 3 }
    case 'omit':
      return create(4, 'none', policy)
    case 'reject':
      return { type: 'refuse', row: 4, code: 'email_unverified' }
    case 'unverified': {
      const [only, ...more] = holders
      if (!only) return create(5, 'unverified', policy)
      if (more.length > 0 || policy.matchingAccount === 'reject') return refuseExisting(5)
      return prove(5, only, 0, policy)
    }
  }
}

function decideProven(
  level: 'bitbucket' | 'code' | 'typed',
  holders: readonly Holder[],
  policy: SignInPolicy,
): Decision {
  if (holders.length === 0) return create(6, 'proven', policy)
  const verified = holders.flatMap((holder, index) => (holder.verified ? [{ holder, index }] : []))
  const [owner, ...others] = verified
  if (others.length > 0) return { type: 'refuse', row: 7, code: 'email_ambiguous' }
  return owner ? decideOwner(level, owner.holder, owner.index, policy) : decideSquatters(level, holders, policy)
}

/** Exactly one account proved this address to the app. */
function decideOwner(
  level: 'bitbucket' | 'code' | 'typed',
  owner: Holder,
  index: number,
  policy: SignInPolicy,
): Decision {
  if (!owner.canSignIn) return { type: 'refuse', row: 8, code: 'account_disabled' }
  if (policy.matchingAccount === 'reject' || !hasRoom(owner, policy)) return refuseExisting(8)
  const opens =
    (level === 'bitbucket' && policy.matchingAccount === 'link') || (level === 'code' && policy.codeOpensAccount)
  return opens && owner.autoLink ? { type: 'link', row: 8, holder: index } : prove(8, owner, index, policy)
}

/** Accounts hold the address and none ever proved it: one of them may be a trap for the rightful owner. */
function decideSquatters(
  level: 'bitbucket' | 'code' | 'typed',
  holders: readonly Holder[],
  policy: SignInPolicy,
): Decision {
  if (policy.matchingAccount === 'reject') return refuseExisting(9)
  if (holders.length > MAX_CLAIMED) return { type: 'refuse', row: 9, code: 'account_exists_unverified' }
  // A claim makes a new account, which a closed sign-up does not allow.
  const canClaim = policy.canClaim && policy.signUp && level !== 'typed'
  if (canClaim) return { type: 'claim', row: 9, holders: holders.map((_, index) => index) }
  const [only, ...more] = holders
  // An account that may not sign in cannot be proved by signing in to it, and it is not its holder's word that counts.
  // Under 'many' as well: the identity that an unverified account has already may belong to the stranger who made it,
  // and would stay behind in an account whose address is proven now.
  const provable = only?.canSignIn && more.length === 0 && only.hasOtherIdentity !== true
  if (provable) return prove(9, only, 0, { ...policy, identitiesPerUser: 'one' })
  return { type: 'refuse', row: 9, code: 'account_exists_unverified' }
}

function create(row: 2 | 4 | 5 | 6, email: 'none' | 'unverified' | 'proven', policy: SignInPolicy): Decision {
  return policy.signUp ? { type: 'create', row, email } : { type: 'refuse', row, code: 'sign_up_disabled' }
}

/** Whether the account may get one more identity. Under 'one', an app that cannot tell is treated as having one. */
function hasRoom({ hasOtherIdentity }: Holder, policy: SignInPolicy): boolean {
  return policy.identitiesPerUser === 'many' || hasOtherIdentity === false
}

/** Proving needs an account that can be named and that has room for the identity. */
function prove(row: 5 | 8 | 9, holder: Holder, index: number, policy: SignInPolicy): Decision {
  return policy.canProve && hasRoom(holder, policy) ? { type: 'prove', row, holder: index } : refuseExisting(row)
}

function refuseExisting(row: 5 | 8 | 9): Decision {
  return { type: 'refuse', row, code: 'account_exists' }
}
