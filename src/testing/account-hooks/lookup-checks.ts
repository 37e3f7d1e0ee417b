import type { HookCheck } from './hook-check'
import { type Diagnosis, fail } from './hook-failure'
import { type HookTrial, kindOf } from './hook-trial'

/** What the hooks that only read must keep. */
export const LOOKUP_CHECKS: readonly HookCheck[] = [
  {
    name: 'unknown-identity',
    title: 'getUserByIdentity returns null for an unknown identity',
    needs: [],
    async run(trial) {
      const { identity } = trial.person()
      const found = await trial.call('getUserByIdentity', { identity })
      if (found === null) return
      fail(`\`getUserByIdentity\` returned ${kindOf(found)} for an identity that was never stored.`, {
        effect: 'No user can sign up (`hook_failed`), or strangers are signed in to an account that is not theirs.',
        fix: 'Look up by issuer and id, and return `null` for no row: `return row ?? null`.',
      })
    },
  },
  {
    name: 'identity-by-issuer',
    title: 'getUserByIdentity looks at the issuer and the id together',
    needs: [],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      const elsewhere = { ...person, identity: { ...person.identity, issuer: 'https://bitbucket.other.invalid' } }
      if ((await trial.ownerOf(elsewhere)) === trial.idOf(user)) {
        fail('The identity was found under another issuer.', {
          effect: 'Another server, or another tenant, with the same id opens this account.',
          fix: 'Compare both columns: WHERE issuer = … AND id = ….',
        })
      }
      await trial.signUp(elsewhere).catch((error) =>
        fail(
          'The same id of another issuer could not be stored.',
          {
            effect: 'A user of another issuer can never sign up.',
            fix: 'Make the unique key (issuer, id), not id alone.',
          },
          error,
        ),
      )
    },
  },
  {
    name: 'deleted-account',
    title: 'the owner of a deleted account is not a user, and is not locked out',
    needs: [],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      await trial.database.removeAccount(user)
      const found = await trial.call('getUserByIdentity', { identity: person.identity })
      if (found === 'orphaned') return
      if (found !== null) {
        fail(`\`getUserByIdentity\` returned ${kindOf(found)} for an account that was deleted.`, {
          effect: 'The owner of a deleted account is signed in as a user who no longer exists, or gets status 500.',
          fix: "Join the user table. Return `null`, or 'orphaned' if the identity is still stored.",
        })
      }
      await trial.signUp(person).catch((error) =>
        fail(
          'Nobody owns the identity, but it cannot be stored again.',
          {
            effect: 'Someone who deleted the account can never sign up again: `account_exists`, each time.',
            fix: 'Delete identities with their user (ON DELETE CASCADE; SQLite needs PRAGMA foreign_keys = ON on each connection).',
          },
          error,
        ),
      )
    },
  },
  {
    name: 'user-by-id',
    title: 'getUserById reads the user again, and returns null for no user',
    needs: ['hook:getUserById'],
    async run(trial) {
      const user = await trial.signUp()
      const id = trial.idOf(user)
      const found = await trial.call('getUserById', { id })
      if (found === null || trial.idOf(found, '`getUserById`') !== id) {
        fail(`\`getUserById\` did not find user ${id}.`, {
          effect: 'No session is written: each sign-in ends as if the account were gone.',
          fix: 'Look up by the primary key; convert the id if the column is not text.',
        })
      }
      await trial.database.removeAccount(user)
      const gone = await trial.call('getUserById', { id })
      if (gone !== null) {
        fail(`\`getUserById\` returned ${kindOf(gone)} for a deleted user.`, {
          effect: 'Deleted users are signed in, or the request ends with status 500.',
          fix: 'Read the database each time, without a cache, and return `null` for no row.',
        })
      }
    },
  },
  {
    name: 'unknown-address',
    title: 'getAccountsByEmail returns an empty array for an unknown address',
    needs: ['addresses'],
    async run(trial) {
      await trial.account()
      const found = await trial.holdersOf(trial.address())
      if (found.length > 0) {
        fail(`\`getAccountsByEmail\` returned ${found.length} accounts for an address that no account holds.`, {
          effect: 'New users are asked to prove accounts that are not theirs.',
          fix: 'Compare the whole address: lower(email) = lower(…).',
        })
      }
    },
  },
  {
    name: 'letter-case',
    title: 'getAccountsByEmail ignores letter case and returns the address as stored',
    needs: ['addresses'],
    run: findsInAnyCase,
  },
  {
    name: 'address-characters',
    title: "getAccountsByEmail finds addresses with ' + _ % literally",
    needs: ['addresses'],
    async run(trial) {
      const email = trial.address("o'brien+100%_x")
      const user = await trial.accountOrSkip({ email }, "The app does not store addresses with ' + _ %")
      await trial.account({ email: email.replace('%_', 'xx') })
      await expectHolders(trial, email, [user], {
        effect: 'Users with such an address get a second account or status 500, or the whole table is read for them.',
        fix: 'Pass the address as a parameter of the statement, and compare with =, not LIKE or ILIKE.',
      })
    },
  },
  {
    name: 'verified-flag',
    title: 'emailVerified is a boolean, and true only for an address its owner proved',
    needs: ['verified addresses'],
    async run(trial) {
      await expectVerified(trial, true)
      await expectVerified(trial, false)
    },
  },
  {
    name: 'every-holder',
    title: 'getAccountsByEmail returns every account that holds the address',
    needs: ['addresses'],
    async run(trial) {
      const email = trial.address()
      const first = await trial.account({ email, emailVerified: false })
      const reason = 'The app stores an address once'
      const second = await trial.accountOrSkip({ email, emailVerified: trial.verifies }, reason)
      await expectHolders(trial, email, [first, second], {
        effect: 'The rightful owner is hidden behind a stranger’s account, or the stranger’s behind the owner’s.',
        fix: 'Return all rows: no LIMIT 1, no findOne, no `WHERE email_verified`.',
      })
    },
  },
  {
    name: 'user-name-as-address',
    title: 'getAccountsByEmail returns users whose username is the address, as unverified',
    needs: ['addresses', 'usernames'],
    async run(trial) {
      const username = trial.address()
      const user = await trial.accountOrSkip({ username }, 'The app refuses usernames that are addresses')
      const holder = await expectHolders(trial, username, [user], {
        effect: 'A stranger chooses a victim’s address as username and receives what the victim types there.',
        fix: 'Check the username as well: WHERE lower(email) = … OR lower(username) = ….',
      })
      if (holder?.emailVerified === true) {
        fail('A username counts as a verified address.', {
          effect: 'Someone who chose a victim’s address as username gets the victim’s Bitbucket linked to it.',
          fix: 'Return `emailVerified: false` and the username as `email` for accounts found by username.',
        })
      }
    },
  },
  {
    name: 'describe-user',
    title: 'describeUser names the account and returns its address with a boolean',
    needs: ['hook:describeUser'],
    async run(trial) {
      const email = trial.hasAddresses ? trial.address() : null
      const user = await trial.account({ email })
      const { label, ...rest } = (await trial.call('describeUser', { user })) as Record<string, unknown>
      const diagnosis = {
        effect: 'Pages name the wrong account or none, and linking is refused although the address is verified.',
        fix: 'Return { label: name or address, email: string or null, emailVerified: boolean }.',
      }
      if (typeof label !== 'string' || label === '') fail(`\`label\` is ${kindOf(label)}.`, diagnosis)
      if (!sameAddress(rest.email, email)) fail(`\`email\` is ${kindOf(rest.email)}, stored is ${email}.`, diagnosis)
      if (typeof rest.emailVerified !== 'boolean' || (trial.verifies && !rest.emailVerified))
        fail(`\`emailVerified\` is ${kindOf(rest.emailVerified)} for a verified address.`, diagnosis)
    },
  },
  {
    name: 'describe-nameless-user',
    title: 'describeUser names an account that has no name',
    needs: ['hook:describeUser'],
    async run(trial) {
      const user = await trial.accountOrSkip({ name: null }, 'The app stores no account without a name')
      const { label } = (await trial.call('describeUser', { user })) as { label: unknown }
      if (typeof label === 'string' && label !== '') return
      fail(`\`label\` is ${kindOf(label)} for an account without a name.`, {
        effect: 'Users who signed up without a name cannot link Bitbucket: `hook_failed`, status 500.',
        fix: "Fall back to the address: `label: user.name ?? user.email ?? 'your account'`.",
      })
    },
  },
]

async function findsInAnyCase(trial: HookTrial<unknown>): Promise<void> {
  const email = trial.address()
  const user = await trial.account({ email })
  const asked = email.toUpperCase()
  const holder = await expectHolders(trial, asked, [user], {
    effect: 'A user whose address is in another letter case gets a second account.',
    fix: 'Compare in lower case: lower(email) = lower(…), with a unique index on lower(email).',
  })
  if (holder && holder.email === asked) {
    fail('`email` is the requested address, not the stored one.', {
      effect: 'A database that treats é as e makes two addresses one: a stranger’s account is opened or claimed.',
      fix: 'Return the column: `email: row.email`. The package compares it with the requested address.',
    })
  }
}

async function expectVerified(trial: HookTrial<unknown>, emailVerified: boolean): Promise<void> {
  const email = trial.address()
  await trial.account({ email, emailVerified })
  const [holder] = await trial.holdersOf(email)
  if (!holder) {
    fail(`An account that ${emailVerified ? 'proved' : 'never proved'} its address is not found.`, {
      effect: 'The user gets a second account with the same address, or is refused by the unique key each time.',
      fix: 'Return all accounts that hold the address, verified or not.',
    })
  }
  if (holder.emailVerified === emailVerified) return
  const seen = `\`emailVerified\` is ${kindOf(holder.emailVerified)} for an account that ${emailVerified ? 'proved' : 'never proved'} its address.`
  fail(seen, {
    effect: emailVerified
      ? 'Owners are not linked to their account, and with `claimAddress` they lose the address.'
      : 'Someone who signed up with a victim’s address and waited gets the victim’s Bitbucket linked to it.',
    fix: 'Return the column that your confirmation link sets, and nothing else.',
  })
}

/** Compares who holds an address with who should; returns what was said of the first of them. */
export async function expectHolders(
  trial: HookTrial<unknown>,
  address: string,
  expected: readonly unknown[],
  diagnosis: Diagnosis,
  tenant?: string,
) {
  const found = await trial.holdersOf(address, tenant)
  const ids = [...new Set(found.map(({ id }) => id))].sort()
  const wanted = expected.map((user) => trial.idOf(user)).sort()
  if (ids.join() !== wanted.join()) {
    const counted = `\`getAccountsByEmail\` returned ${ids.length} of ${wanted.length} accounts for ${address}`
    const others = ids.filter((id) => !wanted.includes(id))
    fail(others.length > 0 ? `${counted}, and others: ${others.join(', ')}.` : `${counted}.`, diagnosis)
  }
  return found.find(({ id }) => id === wanted[0])
}

export function sameAddress(one: unknown, other: string | null): boolean {
  return typeof one === 'string' && other !== null ? one.toLowerCase() === other.toLowerCase() : one === other
}
