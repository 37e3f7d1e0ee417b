import type { Tokens } from '../../contract/tokens'
import type { HookCheck } from './hook-check'
import { type Diagnosis, fail, inOneLine } from './hook-failure'
import type { HookTrial, Person } from './hook-trial'

const KEEP_TOKENS: Diagnosis = {
  effect: 'Each sign-in ends with `hook_failed`, status 500, or your calls to Bitbucket’s API fail.',
  fix: 'Use text columns for the tokens, allow NULL for refreshToken and expiresAt, and replace the row of the identity (upsert).',
}

/** What is kept next to an identity, and who else may be asked about it. */
export const STORED_DATA_CHECKS: readonly HookCheck[] = [
  {
    name: 'profile',
    title: 'listIdentities returns the profile that was stored',
    needs: ['hook:listIdentities', 'hook:updateProfile'],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      await expectProfile(trial, user, person)
      const linked = trial.person()
      const other = await trial.account()
      await trial.link(other, linked)
      await expectProfile(trial, other, linked)
    },
  },
  {
    name: 'update-profile',
    title: 'updateProfile stores the profile of this identity, and changes no address',
    needs: ['hook:listIdentities', 'hook:updateProfile'],
    run: updatesProfile,
  },
  {
    name: 'tokens',
    title: 'storeTokens accepts long tokens, repeated calls and missing fields',
    needs: ['hook:storeTokens'],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      await storeTokens(trial, user, person, tokens('a'.repeat(4000)))
      await storeTokens(trial, user, person, { ...tokens('b'), refreshToken: null, expiresAt: null, scopes: null })
      if ((await trial.database.hasTokens?.(person.identity)) === false) fail('No tokens are stored.', KEEP_TOKENS)
    },
  },
  {
    name: 'tokens-deleted',
    title: 'tokens are deleted with their identity',
    needs: ['hook:storeTokens', 'hook:unlinkIdentity', 'hasTokens'],
    async run(trial) {
      const person = trial.person()
      const user = await trial.account()
      await trial.link(user, person)
      await storeTokens(trial, user, person, tokens('a'))
      await trial.unlink(user, person)
      await expectNoTokens(trial, person, 'an unlink')
      const other = trial.person()
      const leaving = await trial.signUp(other)
      await storeTokens(trial, leaving, other, tokens('a'))
      await trial.database.removeAccount(leaving)
      await expectNoTokens(trial, other, 'the account was deleted')
    },
  },
  {
    name: 'can-sign-in',
    title: 'canSignIn admits every user except the suspended ones',
    needs: ['hook:canSignIn'],
    run: judgesUsers,
  },
  {
    name: 'before-sign-in',
    title: 'beforeSignIn may run twice for one sign-in',
    needs: ['hook:beforeSignIn'],
    async run(trial) {
      const person = trial.person()
      const user = await trial.signUp(person)
      for (const how of ['signed_up', 'signed_in']) {
        await trial.call('beforeSignIn', { user, ...person, how }).catch((error) =>
          fail(
            `\`beforeSignIn\` failed. ${inOneLine(error)}`,
            {
              effect: 'The sign-in ends with `hook_failed`, each time.',
              fix: 'Set the target state, not a change: upsert the role, never insert it twice.',
            },
            error,
          ),
        )
      }
    },
  },
  {
    name: 'end-other-sessions',
    title: 'endOtherSessions ends the other sessions of this user, and only those',
    needs: ['hook:endOtherSessions', 'sessions'],
    run: endsOthers,
  },
  {
    name: 'tenants-apart',
    title: 'accounts are looked up and stored inside their tenant',
    needs: ['tenants', 'addresses'],
    run: keepsTenantsApart,
  },
]

async function expectProfile(trial: HookTrial<unknown>, user: unknown, { identity, profile }: Person): Promise<void> {
  const stored = (await trial.identitiesOf(user)).find(({ id }) => id === identity.id)?.profile
  const { displayName, nickname, avatarUrl } = profile
  const wrong = Object.entries({ displayName, nickname, avatarUrl }).find(
    ([name, value]) => stored?.[name as 'nickname'] !== value,
  )
  if (!wrong) return
  fail(
    `\`profile.${wrong[0]}\` of the stored identity is ${JSON.stringify(stored?.[wrong[0] as 'nickname'])}, not ${JSON.stringify(wrong[1])}.`,
    {
      effect: 'Names and pictures are out of date, or `updateProfile` writes at every sign-in.',
      fix: 'Store username, nickname, displayName and avatarUrl with the identity, and return them as `profile`.',
    },
  )
}

async function updatesProfile(trial: HookTrial<unknown>): Promise<void> {
  const person = trial.person()
  const user = await trial.signUp(person)
  const bystander = trial.person()
  const other = await trial.signUp(bystander)
  const addressBefore = await addressOf(trial, user)
  const changes = { displayName: 'Kit O’Renamed', nickname: null, avatarUrl: null }
  const emails = [{ address: trial.address(), primary: true, confirmed: true }]
  const profile = { ...person.profile, ...changes, emails }
  await trial.call('updateProfile', { user, identity: person.identity, profile, changes })
  await expectProfile(trial, user, { ...person, profile })
  await expectProfile(trial, other, bystander)
  if ((await addressOf(trial, user)) === addressBefore) return
  fail('`updateProfile` changed the address of the account.', {
    effect:
      'Someone who controls the Bitbucket account takes over the address, and with it your emails and password resets.',
    fix: 'Store the profile with the identity and leave the user’s address alone.',
  })
}

async function addressOf(trial: HookTrial<unknown>, user: unknown): Promise<unknown> {
  const id = trial.idOf(user)
  const fresh = 'getUserById' in trial.setup.accounts ? await trial.call('getUserById', { id }) : user
  if (!('describeUser' in trial.setup.accounts)) return null
  return ((await trial.call('describeUser', { user: fresh })) as { email: unknown }).email
}

function tokens(text: string): Tokens {
  return Object.freeze({
    accessToken: text,
    refreshToken: text,
    expiresAt: new Date(Date.now() + 7_200_000),
    scopes: ['account', 'email'],
  })
}

async function storeTokens(
  trial: HookTrial<unknown>,
  user: unknown,
  { identity }: Person,
  given: Tokens,
): Promise<void> {
  await trial
    .call('storeTokens', { user, identity, tokens: given })
    .catch((error) => fail(`\`storeTokens\` failed. ${inOneLine(error)}`, KEEP_TOKENS, error))
}

async function expectNoTokens(trial: HookTrial<unknown>, { identity }: Person, cause: string): Promise<void> {
  if ((await trial.database.hasTokens?.(identity)) === false) return
  fail(`Tokens are still stored after ${cause}.`, {
    effect: 'Your app can still act at Bitbucket for a user who unlinked it.',
    fix: 'Delete the tokens in the same transaction, or reference the identity with ON DELETE CASCADE.',
  })
}

async function judgesUsers(trial: HookTrial<unknown>): Promise<void> {
  const person = trial.person()
  const created = await trial.signUp(person)
  for (const user of [created, await trial.account()]) {
    if ((await trial.call('canSignIn', { user })) === true) continue
    fail('`canSignIn` did not return `true` for an ordinary user.', {
      effect: 'No user can sign in: `account_disabled`.',
      fix: 'Return the boolean `true`: 1, undefined and strings refuse the user.',
    })
  }
  if (!trial.database.suspend) return
  await trial.database.suspend(created)
  const user = await trial.call('getUserByIdentity', { identity: person.identity })
  if (user === null || user === 'orphaned') return
  if ((await trial.call('canSignIn', { user })) !== true) return
  fail('`canSignIn` returned `true` for a suspended user.', {
    effect: 'Suspended users sign in with Bitbucket.',
    fix: 'Read the column that suspends, and return it with the user in every look-up.',
  })
}

async function endsOthers(trial: HookTrial<unknown>): Promise<void> {
  const user = await trial.account()
  const stranger = await trial.openSession(await trial.account())
  for (const reason of ['linked', 'unlinked', 'claimed']) {
    const [current, ...others] = [
      await trial.openSession(user),
      await trial.openSession(user),
      await trial.openSession(user),
    ]
    await trial.call('endOtherSessions', { user, reason }, { sessionID: current })
    for (const other of others) {
      if (!(await trial.isOpen(other))) continue
      fail(`Another session of the user is still open (reason '${reason}').`, {
        effect: 'Someone who was signed in to the account stays signed in after its owner secured it.',
        fix: 'Delete all sessions of the user except `req.sessionID`, by the user’s id in the session.',
      })
    }
    if (!(await trial.isOpen(current))) {
      fail('`endOtherSessions` ended the session of the request.', {
        effect: 'Everyone who links, unlinks or claims is signed out and has to begin again.',
        fix: 'Keep the session with the id `req.sessionID`.',
      })
    }
  }
  if (!(await trial.isOpen(stranger))) {
    fail('`endOtherSessions` ended a session of another user.', {
      effect: 'One user’s change signs out others.',
      fix: 'Compare the user’s id in the session exactly, not by a part of the text (1 and 11).',
    })
  }
}

async function keepsTenantsApart(trial: HookTrial<unknown>): Promise<void> {
  const [ours, theirs] = trial.setup.tenants ?? ['', '']
  const email = trial.address()
  const person = trial.person(`https://bitbucket.org#tenant=${ours}`)
  await trial.account({ email, tenant: ours })
  await trial.create(person, null, ours).catch(() => trial.create(person, trial.email(trial.address()), ours))
  const crossed = {
    effect: 'The administrator of one tenant opens accounts of another.',
    fix: 'Add WHERE tenant = context.tenant to every look-up.',
  }
  if ((await trial.holdersOf(email, theirs)).length > 0)
    fail(`Tenant ${theirs} sees an account of tenant ${ours}.`, crossed)
  const sameIdElsewhere = {
    ...person,
    identity: { ...person.identity, issuer: `https://bitbucket.org#tenant=${theirs}` },
  }
  if ((await trial.ownerOf(sameIdElsewhere, theirs)) !== null)
    fail(`Tenant ${theirs} finds an identity of tenant ${ours}.`, crossed)
  const other = await trial.create(sameIdElsewhere, trial.email(email), theirs).catch((error) =>
    fail(
      `Tenant ${theirs} cannot store a person with an address that tenant ${ours} has. ${inOneLine(error)}`,
      {
        effect: 'One tenant’s accounts keep users of another from signing up, and reveal that they exist.',
        fix: 'Include the tenant in the unique key on the address, and store `context.tenant` in `createUser`.',
      },
      error,
    ),
  )
  const found = await trial.holdersOf(email, theirs)
  if (found.length !== 1 || found[0]?.id !== trial.idOf(other))
    fail(`Tenant ${theirs} does not find its own account.`, crossed)
}
