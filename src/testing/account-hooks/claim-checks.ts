import { expectTaken } from './create-checks'
import type { HookCheck } from './hook-check'
import { type Diagnosis, fail, inOneLine } from './hook-failure'
import type { HookTrial, Person } from './hook-trial'
import { expectHolders } from './lookup-checks'

const FROM_OWNER: Diagnosis = {
  effect: 'The owner of an account loses its address, and with it the password sign-in.',
  fix: 'Remove the address only from rows that still hold it unverified (UPDATE … WHERE id = … AND lower(email) = … AND NOT email_verified), inside the transaction, and throw EmailTakenError if a row was not changed.',
}

const HALF_CLAIMED: Diagnosis = {
  effect: 'The address belongs to no account, or to two, after a failed claim.',
  fix: 'Remove the address, create the account and store the identity in one transaction.',
}

/** What `claimAddress` must keep: the address goes to a new account, and nothing else does. */
export const CLAIM_CHECKS: readonly HookCheck[] = [
  {
    name: 'claim',
    title: 'claimAddress gives the address to a new account, as verified',
    needs: ['hook:claimAddress', 'verified addresses'],
    async run(trial) {
      const { address, holder, person } = await squatted(trial)
      const user = await trial.claim([holder], person, address)
      await expectClaimed(trial, { address, person, user, holders: [holder] })
    },
  },
  {
    name: 'claim-two-holders',
    title: 'claimAddress removes the address from every holder',
    needs: ['hook:claimAddress', 'verified addresses'],
    async run(trial) {
      const { address, holder, person } = await squatted(trial)
      const unverified = { email: address.toUpperCase(), emailVerified: false }
      const second = await trial.accountOrSkip(unverified, 'The app stores an address once')
      const user = await trial.claim([holder, second], person, address)
      await expectClaimed(trial, { address, person, user, holders: [holder, second] })
    },
  },
  {
    name: 'claim-holder-identity',
    title: 'claimAddress leaves no other identity a way into the new account',
    needs: ['hook:claimAddress', 'verified addresses'],
    async run(trial) {
      const { address, holder, person } = await squatted(trial)
      const squatter = trial.person()
      await trial.link(holder, squatter)
      const user = await trial.claim([holder], person, address)
      if ((await trial.ownerOf(squatter)) !== trial.idOf(user)) return
      fail('The holder’s Bitbucket identity opens the new account.', {
        effect: 'The stranger who waited with the address signs in to the owner’s account.',
        fix: 'Create a new account, and move nothing into it.',
      })
    },
  },
  {
    name: 'claim-user-name',
    title: 'claimAddress removes a username that is the address',
    needs: ['hook:claimAddress', 'verified addresses', 'usernames'],
    async run(trial) {
      const address = trial.address()
      const reason = 'The app refuses usernames that are addresses'
      const holder = await trial.accountOrSkip({ username: address }, reason)
      const person = trial.person()
      const user = await trial.claim([holder], person, address)
      await expectHolders(trial, address, [user], {
        effect: 'A stranger’s username still answers to the owner’s address, at your password sign-in for example.',
        fix: 'Change the username of the holder in the same transaction.',
      })
    },
  },
  {
    name: 'claim-tenant',
    title: 'claimAddress changes no accounts and pending changes of other tenants',
    needs: ['hook:claimAddress', 'verified addresses', 'tenants', 'pendingChanges'],
    run: claimsInsideTenant,
  },
  {
    name: 'claim-verified-meanwhile',
    title: 'claimAddress takes nothing from a holder who verified the address meanwhile',
    needs: ['hook:claimAddress', 'verified addresses', 'verifyAddress'],
    async run(trial) {
      const { address, holder, person } = await squatted(trial)
      await trial.database.verifyAddress?.(holder)
      await expectNothingTaken(trial, { address, holder, person })
    },
  },
  {
    name: 'claim-one-verified',
    title: 'claimAddress changes no holder if one of them verified the address meanwhile',
    needs: ['hook:claimAddress', 'verified addresses', 'verifyAddress'],
    async run(trial) {
      const { address, holder, person } = await squatted(trial)
      const unverified = { email: address, emailVerified: false }
      const second = await trial.accountOrSkip(unverified, 'The app stores an address once')
      await trial.database.verifyAddress?.(second)
      const outcome = await trial.atOnce(1, () => trial.claim([holder, second], person, address))
      if (outcome.results.length > 0) fail('The address was taken from a holder who had verified it.', FROM_OWNER)
      await expectHolders(trial, address, [holder, second], HALF_CLAIMED)
      expectTaken(outcome, ['EmailTakenError'])
    },
  },
  {
    name: 'claim-verify-race',
    title: 'a concurrent claim and confirmation leave one owner',
    needs: ['hook:claimAddress', 'verified addresses', 'verifyAddress'],
    async run(trial) {
      for (let round = 0; round < 8; round++) await raceConfirmation(trial, round)
    },
  },
  {
    name: 'claim-other-address',
    title: 'claimAddress keeps another address of a holder',
    needs: ['hook:claimAddress', 'verified addresses'],
    async run(trial) {
      const { address: own, holder, person } = await squatted(trial)
      const outcome = await trial.atOnce(1, () => trial.claim([holder], person, trial.address()))
      await expectHolders(trial, own, [holder], {
        effect: 'Someone who changed to another address a moment ago loses that one.',
        fix: 'Compare inside the transaction: UPDATE … WHERE id = … AND lower(email) = lower(claimed).',
      })
      expectTaken(outcome, ['EmailTakenError'])
    },
  },
  {
    name: 'claim-rollback',
    title: 'claimAddress changes nothing if it fails halfway',
    needs: ['hook:claimAddress', 'verified addresses'],
    async run(trial) {
      const { address, holder, person } = await squatted(trial)
      const owner = await trial.signUp(person)
      const outcome = await trial.atOnce(1, () => trial.claim([holder], person, address))
      if (outcome.results.length > 0 || (await trial.ownerOf(person)) !== trial.idOf(owner)) {
        fail('A claim with an identity that was stored already succeeded.', HALF_CLAIMED)
      }
      await expectHolders(trial, address, [holder], HALF_CLAIMED)
      expectTaken(outcome, ['IdentityTakenError'])
    },
  },
  {
    name: 'claim-race',
    title: 'two concurrent claims: one account gets the address',
    needs: ['hook:claimAddress', 'verified addresses'],
    async run(trial) {
      for (const count of [2, 2, 5]) await raceClaims(trial, count)
    },
  },
  {
    name: 'claim-pending-changes',
    title: 'claimAddress removes pending changes to the address',
    needs: ['hook:claimAddress', 'verified addresses', 'pendingChanges'],
    async run(trial) {
      const { address, holder, person } = await squatted(trial)
      const { pendingChanges } = trial.database
      await pendingChanges?.add(holder, address)
      await trial.claim([holder], person, address)
      const left = await pendingChanges?.count(address)
      if (left === 0) return
      fail(`${left} pending confirmation of the address is still valid.`, {
        effect: 'The owner clicks an old confirmation link, and the address goes back to the stranger.',
        fix: 'Delete confirmation links and codes for the address in the same transaction.',
      })
    },
  },
  {
    name: 'claim-sessions',
    title: 'a claim ends the sessions of the holders',
    needs: ['hook:claimAddress', 'hook:endOtherSessions', 'verified addresses', 'sessions'],
    async run(trial) {
      const { address, holder, person } = await squatted(trial)
      const session = await trial.openSession(holder)
      const user = await trial.claim([holder], person, address)
      for (const each of [holder, user]) await trial.call('endOtherSessions', { user: each, reason: 'claimed' })
      if (!(await trial.isOpen(session))) return
      fail('A session of the holder is still open after the claim.', {
        effect: 'The stranger stays signed in, with the owner’s address on the page.',
        fix: 'Delete the sessions of each holder in `claimAddress`, and of `user` in `endOtherSessions`.',
      })
    },
  },
]

interface Squatted {
  readonly address: string
  readonly holder: unknown
  readonly person: Person
}

/** A user signed up with another user's address and never proved it. */
async function squatted(trial: HookTrial<unknown>): Promise<Squatted> {
  const address = trial.address()
  return { address, holder: await trial.account({ email: address, emailVerified: false }), person: trial.person() }
}

async function expectClaimed(
  trial: HookTrial<unknown>,
  { address, person, user, holders }: { address: string; person: Person; user: unknown; holders: readonly unknown[] },
): Promise<void> {
  const id = trial.idOf(user)
  if (holders.some((holder) => trial.idOf(holder) === id)) {
    fail('`claimAddress` returned an account that held the address.', {
      effect:
        'The package refuses it (`hook_failed`): a stranger whose request is under way could re-enter the account.',
      fix: 'Insert a new account with the address and the identity, and return it.',
    })
  }
  if ((await trial.ownerOf(person)) !== id) fail('The identity does not belong to the new account.', HALF_CLAIMED)
  const holder = await expectHolders(trial, address, [user], {
    effect: 'The address is still at the stranger’s account; the owner is refused at the next sign-in.',
    fix: 'Remove the address from each holder: set it to NULL, or to a placeholder if the column is NOT NULL.',
  })
  if (holder?.emailVerified === true) return
  fail('The claimed address is not verified at the new account.', {
    effect: 'The next user who proves the address claims it from the owner.',
    fix: 'Store `email.verified` unchanged.',
  })
}

async function expectNothingTaken(trial: HookTrial<unknown>, { address, holder, person }: Squatted): Promise<void> {
  const outcome = await trial.atOnce(1, () => trial.claim([holder], person, address))
  if (outcome.results.length > 0) fail('The address was taken from a holder who had verified it.', FROM_OWNER)
  const found = await expectHolders(trial, address, [holder], FROM_OWNER)
  if (found?.emailVerified !== true) fail('The holder’s address is no longer verified.', FROM_OWNER)
  if ((await trial.ownerOf(person)) !== null) fail('The identity of a refused claim is stored.', HALF_CLAIMED)
  expectTaken(outcome, ['EmailTakenError'])
}

async function raceConfirmation(trial: HookTrial<unknown>, round: number): Promise<void> {
  const { address, holder, person } = await squatted(trial)
  const both = [() => trial.claim([holder], person, address), async () => trial.database.verifyAddress?.(holder)]
  const [claimed] = await Promise.allSettled((round % 2 ? both : both.reverse()).map((start) => start())).then(
    (settled) => (round % 2 ? settled : settled.reverse()),
  )
  const holders = await trial.holdersOf(address)
  if (holders.length !== 1) fail(`The address is held by ${holders.length} accounts.`, HALF_CLAIMED)
  const winner = claimed?.status === 'fulfilled' ? claimed.value : holder
  if (holders[0]?.id !== trial.idOf(winner)) fail('Claim and confirmation both took the address.', FROM_OWNER)
  if (claimed?.status === 'rejected') expectTaken({ results: [], errors: [claimed.reason] }, ['EmailTakenError'])
}

async function raceClaims(trial: HookTrial<unknown>, count: number): Promise<void> {
  const { address, holder } = await squatted(trial)
  const people = Array.from({ length: count }, () => trial.person())
  const outcome = await trial.atOnce(count, (index) => trial.claim([holder], people[index] as Person, address))
  if (outcome.results.length === 0)
    fail(`None of ${count} claims succeeded. ${inOneLine(outcome.errors[0])}`, HALF_CLAIMED)
  if (outcome.results.length > 1) fail(`${outcome.results.length} accounts claimed one address.`, FROM_OWNER)
  await expectHolders(trial, address, outcome.results, HALF_CLAIMED)
  expectTaken(outcome, ['EmailTakenError'])
}

async function claimsInsideTenant(trial: HookTrial<unknown>): Promise<void> {
  const theirs = trial.setup.tenants?.[1] ?? ''
  const { address, holder, person } = await squatted(trial)
  const bystander = await trial.account({ email: address, emailVerified: false, tenant: theirs })
  await trial.database.pendingChanges?.add(bystander, address)
  const user = await trial.claim([holder], person, address)
  const crossed = {
    effect: 'A claim in one tenant changes accounts of another.',
    fix: 'Add WHERE tenant = context.tenant to every statement of `claimAddress`, and store `context.tenant` in the new account.',
  }
  const holders = (await trial.holdersOf(address, theirs)).map(({ id }) => id)
  if (holders.length !== 1 || holders[0] !== trial.idOf(bystander))
    fail(`The account of tenant ${theirs} does not hold its address alone after a claim elsewhere.`, crossed)
  if (holders.includes(trial.idOf(user))) fail(`The new account belongs to tenant ${theirs}.`, crossed)
  if (((await trial.database.pendingChanges?.count(address)) ?? 0) !== 1)
    fail(`A change of address in tenant ${theirs} was deleted.`, crossed)
}
