import { invite } from '../accounts/invitations.js'
import { hashPassword } from '../accounts/passwords.js'
import { insertUser } from '../accounts/users.js'
import type { ConnectionSettings, Settings } from '../bitbucket/settings.js'
import { DEMO_PASSWORD } from '../config.js'
import type { Db } from '../database/database.js'
import type { Demo } from '../web/scenarios.js'

/** One case of the decision table: the state before, who signs in, and the expected outcome. */
export interface Scenario {
  readonly id: string
  readonly title: string
  /** Key of the user at the fake Bitbucket. */
  readonly person: string
  readonly choose: string
  readonly expect: string
  readonly settings?: Settings
  /** An account that already holds the user's address. */
  readonly account?: 'verified' | 'unverified'
  readonly bitbucketDown?: boolean
  /** The browser opened an invitation for the user's address. */
  readonly invited?: boolean
  /** Where the sign-in ends. Default: the account page. */
  readonly to?: string
}

export const SCENARIOS: readonly Scenario[] = [
  {
    id: 'code',
    title: 'A first sign-in, Bitbucket not trusted',
    person: 'alice',
    choose: 'Alice is chosen: allow.',
    expect:
      'Bitbucket says the address is confirmed, but the app does not trust that yet: a code is emailed first. It is in the mailbox.',
  },
  {
    id: 'trusted',
    title: 'A first sign-in, Bitbucket trusted',
    person: 'alice',
    choose: 'Alice is chosen: allow.',
    expect:
      'With the trusted-provider switch on, the confirmed address counts: signed in immediately, address verified.',
    settings: { trustedProvider: true },
  },
  {
    id: 'unconfirmed',
    title: 'An unconfirmed address',
    person: 'bob',
    choose: 'Bob is chosen: allow.',
    expect: 'Bitbucket itself has not confirmed this address, so even a trusted Bitbucket means a code by email.',
    settings: { trustedProvider: true },
  },
  {
    id: 'none',
    title: 'No address at all',
    person: 'dave',
    choose: 'Dave is chosen: allow.',
    expect: 'You are asked for an address, which is then proven by code.',
  },
  {
    id: 'match-trusted',
    title: 'An account with this address exists, Bitbucket trusted',
    person: 'carol',
    choose: 'Carol is chosen: allow.',
    expect: 'Both sides have proven the address: Bitbucket is connected to the existing account, which is signed in.',
    settings: { trustedProvider: true },
    account: 'verified',
  },
  {
    id: 'match',
    title: 'An account with this address exists, Bitbucket not trusted',
    person: 'carol',
    choose: `Carol is chosen: allow, enter the code, then sign in as carol@example.com with “${DEMO_PASSWORD}”.`,
    expect:
      'The code proves the mailbox, but the account belongs to its password: you prove that too, then confirm the connection.',
    account: 'verified',
  },
  {
    id: 'squatted',
    title: 'Another user took the address before',
    person: 'grace',
    choose: 'Grace is chosen: allow, and enter the code.',
    expect: `A stranger has set up an account with Grace’s address, unverified, with the password “${DEMO_PASSWORD}”. The owner gets a new account and the address: try that password afterwards.`,
    account: 'unverified',
  },
  {
    id: 'denied',
    title: 'Denied at Bitbucket',
    person: 'alice',
    choose: 'Press Deny.',
    expect: 'A friendly page with a link back. No user is signed in.',
  },
  {
    id: 'member',
    title: 'Members of a workspace only: a member',
    person: 'alice',
    choose: 'Alice, who owns the workspace acme, is chosen: allow.',
    expect: 'Signed in.',
    settings: { trustedProvider: true, workspaces: ['acme'] },
  },
  {
    id: 'stranger',
    title: 'Members of a workspace only: a non-member',
    person: 'erin',
    choose: 'Erin, who is in no workspace, is chosen: allow.',
    expect: 'Refused, with the reason.',
    settings: { trustedProvider: true, workspaces: ['acme'] },
  },
  {
    id: 'closed',
    title: 'Sign-up is closed',
    person: 'erin',
    choose: 'Erin is chosen: allow.',
    expect: 'Only people who have an account get in; Erin has none.',
    settings: { trustedProvider: true, signUp: false },
  },
  {
    id: 'leaves',
    title: 'A member leaves the workspace',
    person: 'alice',
    choose:
      'Alice is chosen: allow. On the page Company press “Leave the workspace”, wait, reload, and confirm with Bitbucket.',
    expect:
      'The page asks again whether she is a member. Bitbucket says no: the page stays closed, and her session ends.',
    settings: { trustedProvider: true, workspaces: ['acme'] },
    to: '/company',
  },
  {
    id: 'outage',
    title: 'Bitbucket is down while members work',
    person: 'alice',
    choose: 'Alice is chosen: allow. On the page Company press “Bitbucket goes down”, wait, and reload.',
    expect:
      'For a while “Go on without confirming” keeps the page open; then it is closed until Bitbucket is back. Alice stays signed in.',
    settings: { trustedProvider: true, workspaces: ['acme'] },
    to: '/company',
  },
  {
    id: 'invited',
    title: 'An invitation travels with the sign-in',
    person: 'alice',
    choose: 'An invitation for Alice’s address is open in this browser. Alice is chosen: allow, and enter the code.',
    expect:
      'She proved the invited address, so she may tidy: the board lets her remove every note. Anyone else may not.',
    invited: true,
    to: '/',
  },
  {
    id: 'down',
    title: 'Bitbucket is down',
    person: 'alice',
    choose: 'Alice is chosen: allow.',
    expect: 'Bitbucket answers with errors: a page says so and offers another try. Any other scenario fixes it.',
    bitbucketDown: true,
  },
]

/** Sets everything up for the scenario, and returns its invitation. The user's earlier data is deleted. */
export async function prepare(
  scenario: Scenario,
  db: Db,
  settings: ConnectionSettings,
  demo: Demo,
): Promise<string | null> {
  const fake = demo.bitbucket
  const { displayName, emails, uuid } = fake.person(scenario.person)
  const addresses = emails.map(({ address }) => address.toLowerCase())
  const byIdentity = db.selectFrom('identities').select('user_id').where('provider_user_id', '=', uuid)
  await db.deleteFrom('users').where('id', 'in', byIdentity).execute()
  if (addresses.length > 0) await db.deleteFrom('users').where('email_lower', 'in', addresses).execute()

  const primary = emails.find((each) => each.primary)
  if (scenario.account && primary) {
    const stranger = scenario.account === 'unverified'
    await insertUser(db, {
      name: stranger ? 'A stranger' : displayName,
      email: primary.address,
      emailVerified: !stranger,
      passwordHash: await hashPassword(DEMO_PASSWORD),
    })
  }
  await settings.save('default', { trustedProvider: false, ...scenario.settings })
  fake.reset()
  demo.setDown(scenario.bitbucketDown === true)
  // The consent page offers people in this order and selects the first.
  for (const { avatarUrl, ...each } of fake.people.filter(({ key }) => key !== scenario.person)) {
    fake.removePerson(each.key)
    fake.addPerson({ ...each, ...(avatarUrl !== undefined && { avatarUrl }) })
  }
  return scenario.invited && primary ? invite(db, primary.address) : null
}
