import type { AccountEmail, ProvenEmail, SignInHow } from '../contract/hooks'
import type { Identity, Profile } from '../contract/identity'
import type { SignInPolicy } from '../contract/policy'
import { provenEmail, type SignInEmail, unverifiedEmail } from '../decisions/email-trust'
import type { IdentityOwner } from '../decisions/linking'
import {
  consultsHolders,
  type Decision,
  decideSignIn,
  type Holder,
  MAX_CLAIMED,
  type RefusalCode,
  type SignInFacts,
} from '../decisions/sign-in'
import type { FoundIdentity, GuardedHooks, KnownUser } from './account-access'
import { type Accounts, type Change, settleLoss, writeChange } from './account-writer'
import { LostWrite } from './lost-write'

/** The user who came back from Bitbucket, with the level of their address. */
export interface Subject {
  readonly identity: Identity
  readonly profile: Profile
  readonly email: SignInEmail
}

/** The result of a decision. */
export type Resolution<User> =
  | ({ readonly type: 'signed-in'; readonly how: Exclude<SignInHow, 'reauthenticated'> } & KnownUser<User>)
  | { readonly type: 'wait'; readonly step: 'address' | 'code' | 'prove' }
  | { readonly type: 'refused'; readonly code: RefusalCode }

/**
 * Reads the facts, decides and carries the decision out: at most one write. After a lost race the facts are read once
 * more; that second run may sign in by identity, ask or refuse, and never writes, so it cannot end at an address.
 * `found` is the owner of the identity, if this request has already read it.
 */
export async function resolveSignIn<User>(
  subject: Subject,
  accounts: Accounts<User>,
  policy: SignInPolicy,
  found?: FoundIdentity<User>,
): Promise<Resolution<User>> {
  const { hooks } = accounts
  const first = await readFacts(subject, hooks, policy, found ?? (await hooks.findByIdentity(subject.identity)))
  const next = nextStep(decideSignIn(first.facts, policy), subject, first)
  if (!('change' in next)) return next
  const written = await writeChange(next.change, subject, accounts)
  if (!(written instanceof LostWrite)) return { type: 'signed-in', ...written }
  const again = async () => {
    const second = await readFacts(subject, hooks, policy, await hooks.findByIdentity(subject.identity))
    const settled = nextStep(decideSignIn(second.facts, policy), subject, second)
    return 'change' in settled ? null : settled
  }
  return settleLoss<Resolution<User>>(written, again, { type: 'refused', code: 'account_exists' }, accounts.report)
}

interface Read<User> {
  readonly facts: SignInFacts
  readonly found: FoundIdentity<User>
  readonly holders: readonly KnownUser<User>[]
}

async function readFacts<User>(
  { identity, email }: Subject,
  hooks: GuardedHooks<User>,
  policy: SignInPolicy,
  found: FoundIdentity<User>,
): Promise<Read<User>> {
  const known = await identityFact(found, hooks)
  const facts = { identity: known, email: email.level }
  if (email.address === null || !consultsHolders(facts, policy))
    return { facts: { ...facts, holders: [] }, found, holders: [] }
  const holders = await readHolders(email.address, identity, hooks)
  return { facts: { ...facts, holders: holders.map(({ holder }) => holder) }, found, holders }
}

async function identityFact<User>(
  found: FoundIdentity<User>,
  hooks: GuardedHooks<User>,
): Promise<SignInFacts['identity']> {
  if (found.type === 'nobody') return 'unknown'
  return found.type === 'user' && (await hooks.canSignIn(found)) ? 'known' : 'disabled'
}

/** The accounts that hold an address, one entry per user, with what the decision needs about each. */
export async function readHolders<User>(
  address: string,
  identity: Identity,
  hooks: GuardedHooks<User>,
): Promise<readonly (KnownUser<User> & { readonly holder: Holder })[]> {
  const accounts = await hooks.findByEmail(address)
  const byUser = new Map<string, (typeof accounts)[number]>()
  for (const account of accounts) {
    const other = byUser.get(account.id)
    // One user found twice (as address and as username) is one holder: a verified row counts, and so does any "never".
    byUser.set(account.id, {
      ...account,
      emailVerified: account.emailVerified || other?.emailVerified === true,
      autoLink: account.autoLink !== false && other?.autoLink !== false,
    })
  }
  // Verified holders come first: an attacker who fills the list with unverified accounts must not push the owner out.
  const holders = [...byUser.values()].sort((a, b) => Number(b.emailVerified) - Number(a.emailVerified))
  return Promise.all(
    // One more than can be claimed: the decision sees that there are too many.
    holders.slice(0, MAX_CLAIMED + 1).map(async ({ user, id, emailVerified, autoLink }) => ({
      user,
      id,
      holder: {
        verified: emailVerified,
        autoLink: autoLink !== false,
        canSignIn: await hooks.canSignIn({ user, id }),
        hasOtherIdentity: await hasOtherIdentity({ user, id }, identity, hooks),
      },
    })),
  )
}

/** Who owns the identity, relative to the signed-in user. */
export function ownerOf<User>(found: FoundIdentity<User>, current: KnownUser<User>): IdentityOwner {
  if (found.type === 'nobody') return 'nobody'
  if (found.type === 'orphaned') return 'disabled'
  return found.id === current.id ? 'self' : 'other'
}

/** Whether this user has another identity of the same issuer; `null` if the app cannot tell. */
export async function hasOtherIdentity<User>(
  user: KnownUser<User>,
  identity: Identity,
  hooks: GuardedHooks<User>,
): Promise<boolean | null> {
  const identities = await hooks.listIdentities(user)
  return identities === null
    ? null
    : identities.some(({ issuer, id }) => issuer === identity.issuer && id !== identity.id)
}

/** One exhaustive switch: the result of a decision, or the change that it requires. */
function nextStep<User>(
  decision: Decision,
  { email }: Subject,
  { found, holders }: Read<User>,
): Resolution<User> | { readonly change: Change<User> } {
  switch (decision.type) {
    case 'sign-in': {
      if (found.type !== 'user') throw new TypeError('A known identity has a user.')
      return { ...found, type: 'signed-in', how: 'signed_in' }
    }
    case 'ask-address':
      return { type: 'wait', step: 'address' }
    case 'verify-address':
      return { type: 'wait', step: 'code' }
    case 'prove':
      return { type: 'wait', step: 'prove' }
    case 'refuse':
      return { type: 'refused', code: decision.code }
    case 'create':
      return { change: { type: 'create', email: emailForNewUser(decision.email, email) } }
    case 'link':
      return { change: { type: 'link', to: at(holders, decision.holder), email: proofOf(email) } }
    case 'claim': {
      const from = decision.holders.map((index) => at(holders, index))
      return { change: { type: 'claim', from, email: proofOf(email) } }
    }
  }
}

function emailForNewUser(kind: 'none' | 'unverified' | 'proven', email: SignInEmail): AccountEmail | null {
  if (kind === 'none' || email.address === null) return null
  if (kind === 'unverified') return unverifiedEmail(email.address)
  return proofOf(email)
}

function proofOf(email: SignInEmail): ProvenEmail {
  const proven = provenEmail(email)
  if (!proven) throw new TypeError('Only a proven address opens or claims an account, or is stored as verified.')
  return proven
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index]
  if (item === undefined) throw new TypeError('The decision names a holder that was not read.')
  return item
}
