import type { HookContext } from 'passport-bitbucket-signin'
import type { Db } from '../database/database.js'
import type { Role } from '../database/schema.js'
import { type Invited, redeemInvitation } from './invitations.js'
import type { User } from './users.js'

const ROLE_OF: Readonly<Record<string, Role>> = { owner: 'admin', 'create-project': 'editor', member: 'viewer' }
const RANKS: readonly Role[] = ['viewer', 'editor', 'admin']

/** Called before each session with Bitbucket: what the user may do here. Running it twice changes nothing. */
export async function grant(db: Db, user: User, { workspaces, data }: HookContext<Invited>): Promise<void> {
  const roles = workspaces.map(({ permission }) => ROLE_OF[permission] ?? 'viewer')
  // Written each time, so that a role never outlives the membership that Bitbucket confirmed.
  const role = RANKS.findLast((each) => roles.includes(each)) ?? null
  if (role !== user.role) await db.updateTable('users').set({ role }).where('id', '=', user.id).execute()
  if (data?.invitation !== undefined) await redeemInvitation(db, user, data.invitation)
}
