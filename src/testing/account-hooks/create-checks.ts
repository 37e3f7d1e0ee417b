import type { HookCheck } from './hook-check'
import { type Diagnosis, fail, inOneLine } from './hook-failure'
import { type HookTrial, kindOf, type Outcomes, type Person } from './hook-trial'
import { expectHolders, sameAddress } from './lookup-checks'

/** What `createUser` must keep. */
export const CREATE_CHECKS: readonly HookCheck[] = [
  { name: 'create', title: 'createUser stores the user with identity and address', needs: [], run: createsOne },
  {
    name: 'create-unverified',
    title: 'createUser stores an unproven address as unverified',
    needs: ['verified addresses'],
    async run(trial) {
      const address = trial.address()
      await trial.create(trial.person(), trial.email(address, false))
      const [holder] = await trial.holdersOf(address)
      if (holder?.emailVerified === false) return
      fail('An address that came with `verified: false` is stored as verified.', {
        effect: 'Someone who enters a victim’s address at Bitbucket owns it in your app.',
        fix: 'Store `email.verified` unchanged: `email?.verified ?? false`.',
      })
    },
  },
  {
    name: 'create-without-address',
    title: 'createUser stores accounts without an address, more than one of them',
    needs: ['accounts without an address'],
    async run(trial) {
      const diagnosis = {
        effect: 'Users without an address at Bitbucket cannot sign up, or only the first of them can.',
        fix: 'Store NULL, not an empty string. If the column is NOT NULL, set `withoutAddress: false` here and do not allow such accounts.',
      }
      for (const _ of [1, 2]) {
        const user = await trial
          .create(trial.person(), null)
          .catch((error) => fail(`\`createUser\` failed with \`email: null\`. ${inOneLine(error)}`, diagnosis, error))
        if (!('describeUser' in trial.setup.accounts)) continue
        const { email } = (await trial.call('describeUser', { user })) as { email: unknown }
        if (email !== null) fail(`\`describeUser\` returned ${kindOf(email)} as address, not null.`, diagnosis)
      }
    },
  },
  {
    name: 'create-long-values',
    title: 'createUser stores long names, and letters of any language',
    needs: [],
    async run(trial) {
      const { identity, profile } = trial.person()
      const displayName = `Zoë 山田 🦊 O'Brien ${profile.displayName} ${'x'.repeat(150)}`
      const avatarUrl = `https://avatar.invalid/${'x'.repeat(480)}`
      const long = { identity, profile: { ...profile, displayName, avatarUrl, username: null, nickname: null } }
      await trial.signUp(long).catch((error) =>
        fail(
          `\`createUser\` failed with a name of ${displayName.length} characters. ${inOneLine(error)}`,
          {
            effect: 'Users with an emoji in their name, a long name or a long picture URL cannot sign up.',
            fix: 'Use text columns (MySQL: utf8mb4), or shorten the values in the hook.',
          },
          error,
        ),
      )
    },
  },
  {
    name: 'create-rollback',
    title: 'createUser leaves nothing behind if it fails halfway',
    needs: [],
    run: leavesNothingBehind,
  },
  {
    name: 'create-same-person',
    title: 'two and twenty concurrent createUser calls for one identity store one account',
    needs: [],
    async run(trial) {
      for (const count of [2, 2, 20]) {
        await raceOnePerson(trial, count, 'one address')
        await raceOnePerson(trial, count, 'different addresses')
      }
    },
  },
  {
    name: 'create-same-address',
    title: 'two and twenty concurrent createUser calls for one verified address store one account',
    needs: ['verified addresses'],
    async run(trial) {
      for (const count of [2, 2, 2, 20]) await raceOneAddress(trial, count)
    },
  },
  {
    name: 'create-taken-address',
    title: 'createUser refuses a verified address in other letter case, with EmailTakenError',
    needs: ['verified addresses'],
    async run(trial) {
      const address = trial.address()
      await trial.account({ email: address })
      const outcome = await trial.atOnce(1, () => trial.create(trial.person(), trial.email(address.toUpperCase())))
      if (outcome.results.length > 0) fail('Two accounts hold one address, both verified.', TWO_OWNERS)
      expectTaken(outcome, ['EmailTakenError'])
    },
  },
  {
    name: 'create-similar-address',
    title: 'createUser does not treat é as e',
    needs: ['addresses'],
    async run(trial) {
      const email = trial.address('é')
      await trial.accountOrSkip({ email }, 'The app stores ASCII addresses only')
      await trial.create(trial.person(), trial.email(email.replace('é', 'e'))).catch((error) =>
        fail(
          `An account with another address (${email}) blocks ${email.replace('é', 'e')}. ${inOneLine(error)}`,
          {
            effect: 'The user can never sign up: `account_exists`, although no account with the address is found.',
            fix: 'Give the column a binary collation (utf8mb4_bin, COLLATE "C") and store or index the lower case.',
          },
          error,
        ),
      )
    },
  },
  {
    name: 'create-unrelated',
    title: 'concurrent sign-ups of different users do not interfere',
    needs: [],
    run: keepsPeopleApart,
  },
]

const ONE_TRANSACTION: Diagnosis = {
  effect: 'A partial account remains: the user can neither sign in to it nor sign up again.',
  fix: 'Store user and identity in one transaction, on one connection, and roll back on each error.',
}

const TWO_OWNERS: Diagnosis = {
  effect: 'Two accounts own one address; from then on no user with it can sign in: `email_ambiguous`.',
  fix: 'Put a unique index on lower(email), at least for verified addresses.',
}

const NAME_THE_KEY: Diagnosis = {
  effect: 'A double click reports a fault to `onError` each time, and in a lost race the user may see status 500.',
  fix: 'In the catch: `const refused = uniqueViolation(error)`, and throw IdentityTakenError or EmailTakenError by `refused.constraint` or `refused.columns`. Retry the transaction after a deadlock.',
}

async function createsOne(trial: HookTrial<unknown>): Promise<void> {
  const person = trial.person()
  const address = trial.hasAddresses ? trial.address() : null
  const user = await trial.create(person, trial.email(address))
  if ((await trial.ownerOf(person)) !== trial.idOf(user)) {
    fail('`getUserByIdentity` does not find the user that `createUser` returned.', {
      effect: 'Each sign-in creates another account, or is refused from the second on.',
      fix: 'Store issuer and id with the user, and return the stored user.',
    })
  }
  if (address === null) return
  const holder = await expectHolders(trial, address, [user], {
    effect: 'The address is lost: the user gets no email from you, and others can sign up with it.',
    fix: 'Store `email.address`.',
  })
  if (!sameAddress(holder?.email, address)) fail(`The stored address is ${kindOf(holder?.email)}.`, ONE_TRANSACTION)
  if (trial.verifies && holder?.emailVerified !== true) {
    fail('A proven address is stored as unverified.', {
      effect: 'The owner has to confirm the address again, and another user can claim it.',
      fix: 'Store `email.verified` unchanged.',
    })
  }
}

/** The identity is taken, so the second half of the transaction must fail. */
async function leavesNothingBehind(trial: HookTrial<unknown>): Promise<void> {
  const person = trial.person()
  const owner = await trial.signUp(person)
  const before = await trial.database.countAccounts?.()
  const address = trial.hasAddresses ? trial.address() : null
  const outcome = await trial.atOnce(1, () => trial.create(person, trial.email(address)))
  if (outcome.results.length > 0) {
    const stolen = (await trial.ownerOf(person)) !== trial.idOf(owner)
    fail(stolen ? 'A stored identity was moved to a new account.' : 'A stored identity was stored again.', {
      effect: 'A lost race takes the account away from its owner, or creates a second one.',
      fix: 'Insert, never upsert (TypeORM: `insert()`, not `save()`), under a unique key on (issuer, id).',
    })
  }
  if (address !== null && (await trial.holdersOf(address)).length > 0) {
    fail('The user of a failed `createUser` is still stored, without an identity.', ONE_TRANSACTION)
  }
  if ((await trial.ownerOf(person)) !== trial.idOf(owner)) fail('The identity lost its owner.', ONE_TRANSACTION)
  const after = await trial.database.countAccounts?.()
  if (after !== before)
    fail(`There were ${before} accounts before a failed \`createUser\`, ${after} after it.`, ONE_TRANSACTION)
  expectTaken(outcome, ['IdentityTakenError'])
}

/** A double click, a second tab: every loser finds the account that the winner made. */
async function raceOnePerson(
  trial: HookTrial<unknown>,
  count: number,
  addresses: 'one address' | 'different addresses',
): Promise<void> {
  const person = trial.person()
  const before = await trial.database.countAccounts?.()
  const one = trial.address()
  const emails = Array.from({ length: count }, () => (addresses === 'one address' ? one : trial.address()))
  const outcome = await trial.atOnce(count, (index) => trial.create(person, trial.email(emails[index] ?? one)))
  const ids = new Set(outcome.results.map((user) => trial.idOf(user)))
  const owner = await trial.ownerOf(person)
  if (outcome.results.length === 0 || owner === null) {
    fail(`None of ${count} concurrent sign-ups stored the account. ${inOneLine(outcome.errors[0])}`, {
      effect: 'A double click on the button signs the user up nowhere.',
      fix: 'Let the first transaction win, and run all its statements on one connection of the pool.',
    })
  }
  if (ids.size > 1) {
    fail(`${ids.size} accounts were stored for one Bitbucket identity.`, {
      effect: 'A double click on the button creates two accounts, and the user’s data ends up in either.',
      fix: 'Put a unique key on (issuer, id), and insert the identity in the transaction that inserts the user.',
    })
  }
  if (!ids.has(owner)) fail('The identity belongs to another user than the one that was returned.', ONE_TRANSACTION)
  const after = await trial.database.countAccounts?.()
  if (before !== undefined && after !== before + 1)
    fail(`${count} concurrent sign-ups of one user left ${Number(after) - before} accounts.`, ONE_TRANSACTION)
  if (trial.hasAddresses) await expectOneHolder(trial, emails)
  expectTaken(outcome, ['IdentityTakenError', 'EmailTakenError'])
}

/** The losers’ addresses must not stay behind at accounts that no user can sign in to. */
async function expectOneHolder(trial: HookTrial<unknown>, addresses: readonly string[]): Promise<void> {
  const held = await Promise.all([...new Set(addresses)].map((address) => trial.holdersOf(address)))
  if (held.flat().length !== 1) fail(`${held.flat().length} accounts hold the user’s address.`, ONE_TRANSACTION)
}

async function raceOneAddress(trial: HookTrial<unknown>, count: number): Promise<void> {
  const address = trial.address()
  const people = Array.from({ length: count }, () => trial.person())
  const written = (index: number) => (index % 2 ? address : address.toUpperCase())
  const outcome = await trial.atOnce(count, (i) => trial.create(people[i] as Person, trial.email(written(i))))
  if (outcome.results.length > 1) {
    fail(`${outcome.results.length} accounts hold one verified address after ${count} concurrent sign-ups.`, TWO_OWNERS)
  }
  if (outcome.results.length === 0) {
    fail(`None of ${count} concurrent sign-ups stored the account. ${inOneLine(outcome.errors[0])}`, ONE_TRANSACTION)
  }
  await expectHolders(trial, address, outcome.results, ONE_TRANSACTION)
  const owners = await Promise.all(people.map((person) => trial.ownerOf(person)))
  if (owners.filter((owner) => owner !== null).length !== 1)
    fail('Identities of refused sign-ups are stored.', ONE_TRANSACTION)
  expectTaken(outcome, ['EmailTakenError'])
}

/** Transactions of unrelated people, half of which fail, must not share a connection. */
async function keepsPeopleApart(trial: HookTrial<unknown>): Promise<void> {
  const taken = trial.person()
  await trial.signUp(taken)
  const people = Array.from({ length: 20 }, (_, index) => (index % 2 ? taken : trial.person()))
  const outcome = await trial.atOnce(people.length, async (index) => {
    const person = people[index] as Person
    return { person, user: await trial.signUp(person) }
  })
  const diagnosis = {
    effect: 'Under load, strangers’ failing sign-ups undo those of others, or end them with status 500.',
    fix: 'Begin, write and commit on one connection per request. On a single connection, queue the transactions.',
  }
  for (const { person, user } of outcome.results) {
    if ((await trial.ownerOf(person)) !== trial.idOf(user)) fail('A sign-up that succeeded is not stored.', diagnosis)
  }
  const missing = people.filter((each) => each !== taken).length - outcome.results.length
  if (missing > 0) {
    const other = outcome.errors.find((error) => !isTaken(error, ['IdentityTakenError']))
    fail(`${missing} of 10 concurrent sign-ups of different users failed. ${inOneLine(other)}`, diagnosis, other)
  }
}

/** Refused writes must say which key refused. */
export function expectTaken({ errors }: Outcomes<unknown>, names: readonly string[]): void {
  const other = errors.find((error) => !isTaken(error, names))
  if (other !== undefined)
    fail(`A refused write threw ${inOneLine(other)}, not ${names.join(' or ')}.`, NAME_THE_KEY, other)
}

export function isTaken(error: unknown, names: readonly string[]): boolean {
  return error instanceof Error && names.includes(error.name)
}
