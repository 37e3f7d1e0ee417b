import type { UserDescription } from '../contract/hooks'
import type { Identity, Profile } from '../contract/identity'
import type { LinkPolicy } from '../contract/policy'
import { provenEmail, type SignInEmail } from '../decisions/email-trust'
import { decideLink, type LinkDecision, type LinkFacts } from '../decisions/linking'
import type { GuardedHooks, KnownUser } from './account-access'
import { type Accounts, settleLoss, writeChange } from './account-writer'
import { LostWrite } from './lost-write'
import { hasOtherIdentity, ownerOf } from './resolve-sign-in'

/** An identity that a signed-in user wants to link, with the level of its address. */
export interface Linkable {
  readonly identity: Identity
  readonly profile: Profile
  readonly email: SignInEmail
}

/** How a link ended. `refresh`: it was already linked to this user. */
export type LinkOutcome = Exclude<LinkDecision, { readonly type: 'link' }> | { readonly type: 'linked' }

/** Links an identity to the signed-in user if the table allows it: one write, settled once more after a lost race. */
export async function linkIdentity<User>(
  linkable: Linkable,
  current: KnownUser<User>,
  accounts: Accounts<User>,
  policy: LinkPolicy,
): Promise<LinkOutcome> {
  const { hooks } = accounts
  const decide = async () => {
    const unverified = hasUnverifiedAddress(await hooks.describe(current))
    return decideLink(await linkFacts(linkable.identity, current, hooks, unverified), policy)
  }
  const decision = await decide()
  return decision.type === 'link' ? write(linkable, current, accounts, decide) : decision
}

/** Links an identity to the signed-in user who has just proved to own the matching account. */
export async function linkProven<User>(
  linkable: Linkable,
  current: KnownUser<User>,
  accounts: Accounts<User>,
  policy: LinkPolicy,
): Promise<LinkOutcome> {
  // What this sign-in proved counts, not whether the account had proved its address before.
  const decide = async () => decideLink(await linkFacts(linkable.identity, current, accounts.hooks, false), policy)
  return write(linkable, current, accounts, decide)
}

const ELSEWHERE = { type: 'refuse', code: 'identity_linked_elsewhere' } as const

async function write<User>(
  { identity, profile, email }: Linkable,
  current: KnownUser<User>,
  accounts: Accounts<User>,
  decide: () => Promise<LinkDecision>,
): Promise<LinkOutcome> {
  const change = { type: 'link', to: current, email: provenEmail(email) ?? null } as const
  const written = await writeChange(change, { identity, profile }, accounts)
  if (!(written instanceof LostWrite)) return { type: 'linked' }
  const again = async () => {
    const decision = await decide()
    return decision.type === 'link' ? null : decision
  }
  return settleLoss<LinkOutcome>(written, again, ELSEWHERE, accounts.report)
}

async function linkFacts<User>(
  identity: Identity,
  current: KnownUser<User>,
  hooks: GuardedHooks<User>,
  unverifiedAddress: boolean,
): Promise<LinkFacts> {
  return {
    owner: ownerOf(await hooks.findByIdentity(identity), current),
    hasOtherIdentity: (await hasOtherIdentity(current, identity, hooks)) ?? true,
    unverifiedAddress,
  }
}

/** Whether the account was made with an address that its user has not proven. Unknown counts as unverified. */
export function hasUnverifiedAddress(description: UserDescription | null): boolean {
  return description === null || (description.email !== null && !description.emailVerified)
}
