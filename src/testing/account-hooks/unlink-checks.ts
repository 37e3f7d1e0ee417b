import type { HookCheck } from './hook-check'
import { type Diagnosis, fail, inOneLine } from './hook-failure'
import { type HookTrial, kindOf } from './hook-trial'
import { expectIdentities, linkMore } from './link-checks'

const LOCKED_OUT: Diagnosis = {
  effect: 'The user has no way left to sign in, and the account is lost.',
  fix: 'In one transaction: lock the user’s row (SELECT … FOR UPDATE), count the other identities and check the password there, not in the `user` argument, then delete.',
}

/** What `unlinkIdentity` must keep. */
export const UNLINK_CHECKS: readonly HookCheck[] = [
  {
    name: 'unlink',
    title: 'unlinkIdentity removes this identity and no other',
    needs: ['hook:unlinkIdentity', 'hook:listIdentities'],
    async run(trial) {
      const user = await trial.account()
      const person = trial.person()
      await trial.link(user, person)
      await expectUnlinked(await trial.unlink(user, person))
      const gone = {
        effect: 'Bitbucket still signs in after it was unlinked.',
        fix: 'Delete the row by issuer, id and user.',
      }
      if ((await trial.ownerOf(person)) !== null) fail('The identity is still stored after an unlink.', gone)
      await expectIdentities(trial, user, [], gone)
      await trial.link(await trial.account(), person).catch((error) =>
        fail(
          `An unlinked identity cannot be linked again. ${inOneLine(error)}`,
          {
            effect: 'Someone who unlinks to move Bitbucket to another account can use it nowhere.',
            fix: 'Delete the row instead of marking it, with everything that refers to it (tokens).',
          },
          error,
        ),
      )
    },
  },
  {
    name: 'unlink-keeps-others',
    title: 'unlinkIdentity keeps the other identities of the user, also one with the same id of another issuer',
    needs: ['hook:unlinkIdentity', 'hook:listIdentities'],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      const [other] = await linkMore(trial, user, 1, person.identity.id)
      await expectUnlinked(await trial.unlink(user, person, other ? [other] : []))
      await expectIdentities(trial, user, other ? [other] : [], LOCKED_OUT)
    },
  },
  {
    name: 'unlink-last',
    title: "unlinkIdentity keeps the last way in and returns 'last'",
    needs: ['hook:unlinkIdentity'],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      const result = await trial.unlink(user, person)
      if ((await trial.ownerOf(person)) === null) fail('The only way to sign in was removed.', LOCKED_OUT)
      if (result !== 'last') fail(`\`unlinkIdentity\` returned ${kindOf(result)}, not 'last'.`, LOCKED_OUT)
    },
  },
  {
    name: 'unlink-unserved',
    title: 'unlinkIdentity does not count an identity that no connection serves',
    needs: ['hook:unlinkIdentity'],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      await linkMore(trial, user, 1)
      const result = await trial.unlink(user, person, [])
      if (result === 'last' && (await trial.ownerOf(person)) !== null) return
      fail('The only identity that can sign in was removed, because another one is stored.', {
        effect: 'A user whose other identity belongs to a connection that is gone has no way left to sign in.',
        fix: 'Count the identities of `remaining` that are still stored, not all rows.',
      })
    },
  },
  {
    name: 'unlink-race',
    title: 'concurrent unlinks keep one way in',
    needs: ['hook:unlinkIdentity', 'hook:listIdentities'],
    async run(trial) {
      for (const count of [2, 2, 8, 8]) await raceToLast(trial, count)
    },
  },
  {
    name: 'unlink-foreign',
    title: 'unlinkIdentity does not touch an identity of another user',
    needs: ['hook:unlinkIdentity'],
    async run(trial) {
      const person = trial.person()
      const owner = await trial.signUp(person)
      const other = await trial.account()
      await trial.link(other, trial.person())
      await trial.atOnce(1, () => trial.unlink(other, person))
      if ((await trial.ownerOf(person)) === trial.idOf(owner)) return
      fail('A user unlinked the identity of another user.', {
        effect: 'A forged request removes other users’ way to sign in.',
        fix: 'Delete WHERE issuer = … AND id = … AND user_id = ….',
      })
    },
  },
  {
    name: 'unlink-no-auto-link',
    title: 'getAccountsByEmail returns autoLink: false after an unlink',
    needs: ['hook:unlinkIdentity', 'verified addresses'],
    async run(trial) {
      const email = trial.address()
      const user = await trial.account({ email })
      const person = trial.person()
      await trial.link(user, person)
      await expectUnlinked(await trial.unlink(user, person))
      const [holder] = await trial.holdersOf(email)
      if (holder?.autoLink === false) return
      fail(`\`autoLink\` is ${kindOf(holder?.autoLink)} after an unlink.`, {
        effect: 'The next sign-in with Bitbucket links the identity again, although the user unlinked it.',
        fix: 'Store a flag at the user in `unlinkIdentity`, and return it as a boolean.',
      })
    },
  },
]

async function expectUnlinked(result: unknown): Promise<void> {
  if (result === 'unlinked') return
  fail(`\`unlinkIdentity\` returned ${kindOf(result)}, not 'unlinked', although another way to sign in remains.`, {
    effect: 'The user cannot unlink Bitbucket: `last_sign_in_method` or `hook_failed`.',
    fix: "Return 'unlinked' after the row is deleted. A password counts as another way to sign in.",
  })
}

async function raceToLast(trial: HookTrial<unknown>, count: number): Promise<void> {
  const first = trial.person()
  const user = await trial.signUp(first)
  const people = [first, ...(await linkMore(trial, user, count - 1))]
  await trial.atOnce(count, (index) => {
    const person = people[index] ?? first
    return trial.unlink(
      user,
      person,
      people.filter((each) => each !== person),
    )
  })
  const left = await trial.identitiesOf(user)
  if (left.length === 0) fail(`${count} concurrent unlinks left no way to sign in.`, LOCKED_OUT)
  if (left.length > 1)
    fail(`${count} concurrent unlinks left ${left.length} identities.`, {
      effect: 'An identity that the user unlinked still signs in.',
      fix: 'Let concurrent unlinks wait for each other (SELECT … FOR UPDATE), and retry after a deadlock.',
    })
}
