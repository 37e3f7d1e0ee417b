import type { HookTrial } from './hook-trial'
import type { AccountHooksSetup } from './hooks-setup'

/** What a check needs; without it the check is skipped, and the report says why. */
export type Need =
  | 'addresses'
  | 'verified addresses'
  | 'accounts without an address'
  | 'usernames'
  | 'tenants'
  | 'one identity per user'
  | `hook:${string}`
  | 'verifyAddress'
  | 'suspend'
  | 'countAccounts'
  | 'hasTokens'
  | 'sessions'
  | 'pendingChanges'

/** One check, before it meets an app. */
export interface HookCheck {
  /** Stable, for scripts. */
  readonly name: string
  /** What the hooks must keep, as a sentence about them. */
  readonly title: string
  readonly needs: readonly Need[]
  run(trial: HookTrial<unknown>): Promise<void>
}

const SETTINGS: Readonly<Partial<Record<Need, (setup: AccountHooksSetup<unknown>) => string | null>>> = {
  addresses: ({ localAddresses }) => (localAddresses === 'none' ? "`localAddresses` is 'none'" : null),
  'verified addresses': ({ localAddresses = 'verified' }) =>
    localAddresses === 'verified' ? null : `\`localAddresses\` is '${localAddresses}'`,
  'accounts without an address': ({ withoutAddress, localAddresses }) =>
    withoutAddress === false && localAddresses !== 'none' ? '`withoutAddress` is false' : null,
  usernames: ({ usernames }) => (usernames === true ? null : '`usernames` is not true'),
  tenants: ({ tenants }) => (tenants ? null : '`tenants` is not set'),
  'one identity per user': ({ identitiesPerUser }) =>
    identitiesPerUser === 'many' ? "`identitiesPerUser` is 'many'" : null,
}

/** Why a check cannot run in this setup; `null` if it can. */
export function skipReason({ needs }: HookCheck, setup: AccountHooksSetup<unknown>): string | null {
  for (const need of needs) {
    const reason = reasonFor(need, setup)
    if (reason !== null) return reason
  }
  return null
}

function reasonFor(need: Need, setup: AccountHooksSetup<unknown>): string | null {
  const setting = SETTINGS[need]
  if (setting) return setting(setup)
  const [, hook] = need.split('hook:')
  if (hook !== undefined) return hook in setup.accounts ? null : `there is no hook \`${hook}\``
  return need in setup.database ? null : `\`database.${need}\` is not set`
}
