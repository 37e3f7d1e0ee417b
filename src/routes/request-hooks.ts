import type { GuardedHooks } from '../accounts/account-access'
import type { Accounts } from '../accounts/account-writer'
import { frozen, guardHooks } from '../accounts/guarded-hooks'
import { BitbucketSignInError } from '../contract/errors'
import type { HookContext, Intent } from '../contract/hooks'
import type { SignInPolicy } from '../contract/policy'
import type { WorkspaceMembership } from '../contract/tokens'
import { endsSession } from '../session/stored-session'
import { tell, type Visit } from './context'

/** What a sign-in passes to the hooks besides the identity. */
export interface Carried {
  readonly workspaces: readonly WorkspaceMembership[]
  readonly data?: unknown
}

const NOTHING: Carried = { workspaces: [] }

/** The app's hooks, guarded for this request. */
export function hooksOf<User>(visit: Visit<User>, intent: Intent, carried: Carried = NOTHING): GuardedHooks<User> {
  const { req, services } = visit
  const { users } = services
  const hooks = watched(visit, guardHooks(users.hooks, users, { req, context: hookContextOf(visit, intent, carried) }))
  return services.policy.localAddresses === 'unverified' ? withoutVerifiedAddresses(hooks) : hooks
}

/**
 * The same hooks. Reports an `endOtherSessions` that ends the session of the request too: its user is
 * signed out and refused with `session_changed` after each link, although the link is stored.
 */
function watched<User>({ req, services }: Visit<User>, hooks: GuardedHooks<User>): GuardedHooks<User> {
  if (!services.users.hooks.endOtherSessions) return hooks
  return {
    ...hooks,
    async endOtherSessions(ended) {
      if (!(await endsSession(req, () => hooks.endOtherSessions(ended)))) return
      const problem = 'accounts.endOtherSessions ended the session with `req.sessionID`, so its user is signed out.'
      services.report(new BitbucketSignInError('hook_failed', `${problem} Leave that session out.`), req)
    },
  }
}

/** The same hooks for an app that does not verify addresses: whatever `emailVerified` says, it counts as false. */
function withoutVerifiedAddresses<User>(hooks: GuardedHooks<User>): GuardedHooks<User> {
  return {
    ...hooks,
    findByEmail: async (address) =>
      (await hooks.findByEmail(address)).map((account) => ({ ...account, emailVerified: false })),
    async describe(known) {
      const description = await hooks.describe(known)
      return description && { ...description, emailVerified: false }
    },
  }
}

/** The account writer's inputs for this request. */
export function accountsOf<User>(visit: Visit<User>, intent: Intent, carried: Carried = NOTHING): Accounts<User> {
  return {
    hooks: hooksOf(visit, intent, carried),
    changed: (change, who) => tell(visit, change, who),
    report: (error) => visit.services.report(error, visit.req),
  }
}

/** The context of a hook call. */
export function hookContextOf<User>(
  { connection, origin }: Visit<User>,
  intent: Intent,
  { workspaces, data }: Carried,
): HookContext {
  return Object.freeze({
    connection: connection.id,
    tenant: connection.tenant,
    application: connection.application,
    origin,
    intent,
    workspaces: frozen(workspaces),
    data: frozen(data),
  })
}

/** The effective policy of this connection. */
export function policyOf<User>({ services: { policy }, connection: { signUp } }: Visit<User>): SignInPolicy {
  return policy.signUp === signUp ? policy : { ...policy, signUp }
}
