import { CLAIM_CHECKS } from './claim-checks'
import { CREATE_CHECKS } from './create-checks'
import { type HookCheck, skipReason } from './hook-check'
import { fail, failureOf, NotApplicable } from './hook-failure'
import { HookTrial } from './hook-trial'
import { type AccountHookResult, type AccountHooksReport, reportOf } from './hooks-report'
import type { AccountHooksSetup } from './hooks-setup'
import { LINK_CHECKS } from './link-checks'
import { LOOKUP_CHECKS } from './lookup-checks'
import { STORED_DATA_CHECKS } from './stored-data-checks'
import { UNLINK_CHECKS } from './unlink-checks'

/** One check of {@link accountHookChecks}, for any test runner. */
export interface AccountHookCheck {
  /** Stable, for scripts: `create-rollback`. */
  readonly name: string
  /** What the hooks must keep, in a sentence. */
  readonly title: string
  /** Why it cannot run with this setup, or `false`. `node:test` takes it as the option `skip`. */
  readonly skip: string | false
  /** Runs it and removes what it stored. Rejects with what is wrong, what a user would have suffered, and the fix. */
  run(): Promise<void>
}

/** Hooks that belong together. */
const TOGETHER: HookCheck = {
  name: 'hooks-together',
  title: 'hooks that need each other are all there',
  needs: [],
  async run({ setup }) {
    const { claimAddress, unlinkIdentity, endOtherSessions, listIdentities, describeUser } = setup.accounts
    if ((claimAddress || unlinkIdentity) && !endOtherSessions) {
      fail('`claimAddress` or `unlinkIdentity` is there, and `endOtherSessions` is not.', {
        effect: 'Someone who was signed in to the account stays signed in after its owner secured it.',
        fix: 'Add `endOtherSessions`; it deletes the user’s sessions except `req.sessionID`.',
      })
    }
    if (claimAddress && setup.localAddresses !== undefined && setup.localAddresses !== 'verified') {
      fail(`\`claimAddress\` is there, and \`localAddresses\` is '${setup.localAddresses}'.`, {
        effect: 'Unverified addresses are taken from their owners, and with them the password sign-in.',
        fix: 'Remove `claimAddress`. A matching account is proven by its own sign-in.',
      })
    }
    if (!listIdentities || !describeUser) {
      fail('`listIdentities` or `describeUser` is missing.', {
        effect: 'No user can link Bitbucket to an existing account: `configuration_invalid` or `account_exists`.',
        fix: 'Add both.',
      })
    }
  },
}

const CHECKS: readonly HookCheck[] = [
  TOGETHER,
  ...LOOKUP_CHECKS,
  ...CREATE_CHECKS,
  ...LINK_CHECKS,
  ...UNLINK_CHECKS,
  ...CLAIM_CHECKS,
  ...STORED_DATA_CHECKS,
]

/** The checks of your account hooks, one by one: `for (const { name, title, skip, run } of accountHookChecks(setup)) test(title, { skip }, run)`. */
export function accountHookChecks<User>(setup: AccountHooksSetup<User>): readonly AccountHookCheck[] {
  refuseUnlessTest(setup)
  refuseWithoutFunctions(setup)
  return CHECKS.map((check) => ({
    name: check.name,
    title: check.title,
    skip: skipReason(check, setup as AccountHooksSetup<unknown>) ?? false,
    async run() {
      await tryOut(check, setup)
    },
  }))
}

/**
 * Runs your account hooks against your own test database: races, accounts stored without their identity, upper and
 * lower case, suspended users and the rest of the contract. Adds accounts with addresses under `.invalid` and removes
 * them again. Prints nothing; `String(report)` is readable.
 */
export async function checkAccountHooks<User>(setup: AccountHooksSetup<User>): Promise<AccountHooksReport> {
  refuseUnlessTest(setup)
  refuseWithoutFunctions(setup)
  const results: AccountHookResult[] = []
  for (const check of CHECKS) results.push(await resultOf(check, setup))
  return reportOf(results)
}

function refuseUnlessTest({ testDatabase }: { readonly testDatabase: unknown }): void {
  if (testDatabase === true && process.env.NODE_ENV !== 'production') return
  if (testDatabase === true)
    throw new TypeError('`NODE_ENV` is `production`: these checks are for test databases only.')
  throw new TypeError(
    '`testDatabase` must be `true`. The checks add, change and delete accounts: use a test database, and confirm it.',
  )
}

/** Without these every check would fail with a `TypeError`. */
function refuseWithoutFunctions<User>({ accounts, database }: AccountHooksSetup<User>): void {
  const missing = [
    ...(['addAccount', 'removeAccount'] as const)
      .filter((name) => typeof database?.[name] !== 'function')
      .map((name) => `database.${name}`),
    ...(['getUserByIdentity', 'getAccountsByEmail', 'createUser', 'linkIdentity'] as const)
      .filter((name) => typeof accounts?.[name] !== 'function')
      .map((name) => `accounts.${name}`),
  ]
  if (missing.length > 0)
    throw new TypeError(`\`${missing.join('`, `')}\` must be functions. The checks cannot run without them.`)
}

async function resultOf<User>(check: HookCheck, setup: AccountHooksSetup<User>): Promise<AccountHookResult> {
  const { name, title } = check
  const missing = skipReason(check, setup as AccountHooksSetup<unknown>)
  if (missing !== null) return { name, title, status: 'skipped', reason: missing }
  const start = performance.now()
  try {
    const reason = await tryOut(check, setup)
    if (reason !== null) return { name, title, status: 'skipped', reason }
    return { name, title, status: 'passed', durationMs: performance.now() - start }
  } catch (error) {
    const failure = failureOf(error)
    const { seen, effect, fix } = failure
    return { name, title, status: 'failed', durationMs: performance.now() - start, seen, effect, fix, error: failure }
  }
}

/** Runs one check and cleans up after it. Returns why it does not apply, if that turned out. */
async function tryOut<User>(check: HookCheck, setup: AccountHooksSetup<User>): Promise<string | null> {
  const trial = new HookTrial(setup as AccountHooksSetup<unknown>)
  let reason: string | null = null
  try {
    await check.run(trial)
  } catch (error) {
    if (!(error instanceof NotApplicable)) {
      // The first fault counts: a database that broke hooks leave behind may not be cleanable.
      await trial.cleanUp().catch(() => {})
      throw failureOf(error)
    }
    reason = error.message
  }
  await trial.cleanUp()
  return reason
}
