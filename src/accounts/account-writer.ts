import type { BitbucketSignInError } from '../contract/errors'
import type { AccountEmail, ProvenEmail } from '../contract/hooks'
import type { Identity, Profile } from '../contract/identity'
import type { GuardedHooks, KnownUser } from './account-access'
import { LostWrite } from './lost-write'

/** A decided change of accounts. */
export type Change<User> =
  | { readonly type: 'create'; readonly email: AccountEmail | null }
  | { readonly type: 'link'; readonly to: KnownUser<User>; readonly email: ProvenEmail | null }
  | { readonly type: 'claim'; readonly from: readonly KnownUser<User>[]; readonly email: ProvenEmail }

/** A change that is committed, as events name it. */
export type ChangeName = 'signed_up' | 'linked' | 'claimed' | 'unlinked'

/** The account that a change was written to. */
export interface Written<User> extends KnownUser<User> {
  readonly how: Exclude<ChangeName, 'unlinked'>
}

/** The inputs of a change of accounts, and its listeners. */
export interface Accounts<User> {
  readonly hooks: GuardedHooks<User>
  /** Called as soon as a change is committed, because it stays even if the session fails. */
  readonly changed: (change: ChangeName, who: { readonly userId: string; readonly identityId: string }) => void
  /** Called with a failure that did not end the request. */
  readonly report: (error: BitbucketSignInError) => void
}

/**
 * The only place that creates, links and claims: writes, emits the event, then ends the other sessions of every user
 * whose account lost or gained something. Only after the commit, so that no session opened meanwhile is missed.
 */
export async function writeChange<User>(
  change: Change<User>,
  { identity, profile }: { readonly identity: Identity; readonly profile: Profile },
  accounts: Accounts<User>,
): Promise<Written<User> | LostWrite> {
  const { hooks } = accounts
  const committed = (how: Written<User>['how'], { user, id }: KnownUser<User>): Written<User> => {
    accounts.changed(how, { userId: id, identityId: identity.id })
    return { user, id, how }
  }
  switch (change.type) {
    case 'create': {
      const created = await hooks.create({ identity, profile, email: change.email })
      return created instanceof LostWrite ? created : committed('signed_up', created)
    }
    case 'link': {
      const linked = await hooks.link({ known: change.to, identity, profile, email: change.email })
      if (linked instanceof LostWrite) return linked
      const written = committed('linked', change.to)
      await hooks.endOtherSessions({ known: change.to, reason: 'linked' })
      return written
    }
    case 'claim': {
      const claimed = await hooks.claim({ holders: change.from, identity, profile, email: change.email })
      if (claimed instanceof LostWrite) return claimed
      const written = committed('claimed', claimed)
      await endClaimed([...change.from, claimed], hooks)
      return written
    }
  }
}

/** Tries every user, then throws the first failure. The claim is committed, so no later request would end the rest. */
async function endClaimed<User>(users: readonly KnownUser<User>[], hooks: GuardedHooks<User>): Promise<void> {
  const failures: unknown[] = []
  for (const known of users) {
    await hooks.endOtherSessions({ known, reason: 'claimed' }).catch((error: unknown) => failures.push(error))
  }
  if (failures.length > 0) throw failures[0]
}

/** The only place that unlinks. `last`: it would have been the last way in, and nothing was changed. */
export async function writeUnlink<User>(
  known: KnownUser<User>,
  { identity, remaining }: { readonly identity: Identity; readonly remaining: readonly Identity[] },
  { hooks, changed }: Accounts<User>,
): Promise<'unlinked' | 'last'> {
  const outcome = await hooks.unlink({ known, identity, remaining })
  if (outcome === 'last') return outcome
  changed('unlinked', { userId: known.id, identityId: identity.id })
  await hooks.endOtherSessions({ known, reason: 'unlinked' })
  return outcome
}

/**
 * The result of a lost write. `again` reads the facts once more and settles them without a write; `null` requests the
 * write again. After an error about a unique key that is `refused`; after any other it is the hook's own fault. A
 * failure that the second reading explains is still reported, because it may hide a bug.
 */
export async function settleLoss<T>(
  { how, error }: LostWrite,
  again: () => Promise<T | null>,
  refused: T,
  report: Accounts<never>['report'],
): Promise<T> {
  const settled = await again()
  if (how === 'taken') return settled ?? refused
  if (settled === null) throw error
  report(error)
  return settled
}
