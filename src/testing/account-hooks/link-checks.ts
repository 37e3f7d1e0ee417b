import { expectTaken } from './create-checks'
import type { HookCheck } from './hook-check'
import { type Diagnosis, fail, inOneLine, NotApplicable } from './hook-failure'
import type { HookTrial, Person } from './hook-trial'

const MOVED: Diagnosis = {
  effect: 'Someone who signs in with Bitbucket is suddenly another user, or none.',
  fix: 'Insert the identity, never upsert it (TypeORM: `insert()`, not `save()`), under a unique key on (issuer, id).',
}

/** What `linkIdentity` must keep. */
export const LINK_CHECKS: readonly HookCheck[] = [
  {
    name: 'link',
    title: 'linkIdentity stores the identity for the user',
    needs: [],
    async run(trial) {
      const user = await trial.account()
      const person = trial.person()
      await trial.link(user, person)
      if ((await trial.ownerOf(person)) === trial.idOf(user)) return
      fail('`getUserByIdentity` does not find the user after `linkIdentity`.', {
        effect: 'People link Bitbucket, and the next sign-in makes them another account.',
        fix: 'Store issuer, id and the id of `user`, and await the write.',
      })
    },
  },
  {
    name: 'linked-identities',
    title: 'listIdentities returns the identities of this user and of no other',
    needs: ['hook:listIdentities'],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      await trial.signUp()
      await expectIdentities(trial, user, [person], {
        effect: 'The account page shows wrong identities, and a user can be linked to a second one by address.',
        fix: 'Return { issuer, id } of each row of this user.',
      })
      const without = await trial.account()
      await expectIdentities(trial, without, [], {
        effect: 'Users without Bitbucket cannot link it: `another_identity_linked`.',
        fix: 'Return an empty array for a user without identities.',
      })
    },
  },
  {
    name: 'link-twice',
    title: 'linkIdentity twice for one user stores the identity once',
    needs: ['hook:listIdentities'],
    async run(trial) {
      const user = await trial.account()
      const person = trial.person()
      await trial.link(user, person)
      expectTaken(await trial.atOnce(2, () => trial.link(user, person)), ['IdentityTakenError'])
      await expectIdentities(trial, user, [person], {
        effect: 'A double click stores the identity twice; unlinking one of them leaves the other as a way in.',
        fix: 'Put a unique key on (issuer, id), and throw IdentityTakenError when it refuses.',
      })
    },
  },
  {
    name: 'link-taken',
    title: 'linkIdentity refuses an identity that belongs to another user, with IdentityTakenError',
    needs: [],
    async run(trial) {
      const person = trial.person()
      const owner = await trial.signUp(person)
      const other = await trial.account()
      const outcome = await trial.atOnce(1, () => trial.link(other, person))
      if ((await trial.ownerOf(person)) !== trial.idOf(owner)) fail('The identity was moved to another user.', MOVED)
      if (outcome.results.length > 0) fail('`linkIdentity` succeeded for an identity of another user.', MOVED)
      expectTaken(outcome, ['IdentityTakenError'])
    },
  },
  {
    name: 'link-race',
    title: 'two users link one identity concurrently: one gets it',
    needs: [],
    async run(trial) {
      for (const count of [2, 5]) await raceForIdentity(trial, count)
    },
  },
  {
    name: 'link-one-per-user',
    title: 'two identities are linked to one user concurrently: one is stored',
    needs: ['hook:listIdentities', 'one identity per user'],
    async run(trial) {
      for (let round = 0; round < 3; round++) await raceForUser(trial)
    },
  },
  {
    name: 'link-deleted-user',
    title: 'linkIdentity stores nothing for a user who was deleted meanwhile',
    needs: [],
    async run(trial) {
      const user = await trial.account()
      await trial.database.removeAccount(user)
      const person = trial.person()
      const outcome = await trial.atOnce(1, () => trial.link(user, person))
      const seen = '`linkIdentity` succeeded for a deleted user.'
      const diagnosis = {
        effect: 'The identity has no user; its owner is refused at each sign-in and cannot sign up.',
        fix: 'Reference the user table with a foreign key, or look for the user inside the transaction and throw.',
      }
      if (outcome.results.length > 0) fail(seen, diagnosis)
      if ((await trial.call('getUserByIdentity', { identity: person.identity })) !== null)
        fail('An identity without a user was stored.', diagnosis)
    },
  },
  {
    name: 'link-suspended-user',
    title: 'linkIdentity stores nothing for a user who was suspended meanwhile',
    needs: ['suspend'],
    async run(trial) {
      const user = await trial.account()
      await trial.database.suspend?.(user)
      const person = trial.person()
      await trial.atOnce(1, () => trial.link(user, person))
      if ((await trial.call('getUserByIdentity', { identity: person.identity })) === null) return
      fail('An identity was linked to a suspended user.', {
        effect: 'Someone who is suspended during a sign-in keeps a new way in for later.',
        fix: 'Read the user again inside the transaction, and throw if it may not sign in.',
      })
    },
  },
  {
    name: 'link-other-address',
    title: 'linkIdentity verifies only the address that was proven',
    needs: ['verified addresses'],
    async run(trial) {
      const own = trial.address()
      const user = await trial.account({ email: own, emailVerified: false })
      await trial.link(user, trial.person(), trial.email(trial.address()))
      const [holder] = await trial.holdersOf(own)
      if (holder?.emailVerified !== true && holder?.id === trial.idOf(user)) return
      fail('The account’s address was changed, or marked verified, by proving another one.', {
        effect: 'Someone who signed up with a victim’s address verifies it by linking their own Bitbucket.',
        fix: 'Mark the address verified only if `email.address` is the stored one: UPDATE … WHERE lower(email) = lower(proven).',
      })
    },
  },
]

async function raceForIdentity(trial: HookTrial<unknown>, count: number): Promise<void> {
  const users = await Promise.all(Array.from({ length: count }, () => trial.account()))
  const person = trial.person()
  const outcome = await trial.atOnce(count, async (index) => {
    await trial.link(users[index], person)
    return trial.idOf(users[index])
  })
  if (outcome.results.length > 1) fail(`${outcome.results.length} users linked one identity.`, MOVED)
  if (outcome.results.length === 0) fail(`None of ${count} could link it. ${inOneLine(outcome.errors[0])}`, MOVED)
  if ((await trial.ownerOf(person)) !== outcome.results[0]) fail('The identity is not with the user who got it.', MOVED)
  expectTaken(outcome, ['IdentityTakenError'])
}

async function raceForUser(trial: HookTrial<unknown>): Promise<void> {
  const user = await trial.account()
  const outcome = await trial.atOnce(2, () => trial.link(user, trial.person()))
  const stored = await trial.identitiesOf(user)
  if (stored.length > 1) {
    fail(`The user has ${stored.length} identities of one issuer.`, {
      effect: 'Two tabs link two Bitbucket accounts, although your app allows one: the forgotten one stays a way in.',
      fix: 'Put a unique key on (user, issuer), and throw IdentityTakenError when it refuses.',
    })
  }
  if (stored.length === 0) fail(`Neither was linked. ${inOneLine(outcome.errors[0])}`, MOVED)
  expectTaken(outcome, ['IdentityTakenError'])
}

export async function expectIdentities(
  trial: HookTrial<unknown>,
  user: unknown,
  people: readonly Person[],
  diagnosis: Diagnosis,
): Promise<void> {
  const key = ({ issuer, id }: { issuer: string; id: string }) => `${issuer} ${id}`
  const listed = (await trial.identitiesOf(user)).map(key).sort()
  const expected = people.map(({ identity }) => key(identity)).sort()
  if (listed.join() === expected.join()) return
  fail(`\`listIdentities\` returned [${listed.join(', ')}], expected [${expected.join(', ')}].`, diagnosis)
}

/** Links further identities, each of another issuer, with the same id if one is given. */
export async function linkMore(
  trial: HookTrial<unknown>,
  user: unknown,
  count: number,
  id?: string,
): Promise<Person[]> {
  const people = Array.from({ length: count }, (_, index) => trial.person(`https://bitbucket-${index}.invalid`, id))
  for (const person of people) {
    await trial.link(user, person).catch((error) => {
      throw new NotApplicable(`The app stores one identity per user (${inOneLine(error)})`)
    })
  }
  return people
}
