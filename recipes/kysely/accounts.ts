import type { Kysely, Selectable, Transaction } from 'kysely'
import { sql } from 'kysely'
import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'
import type { Tables } from './schema'

export type User = Selectable<Tables['users']>

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(db: Kysely<Tables>): AccountHooks<User> {
  return {
    async getUserByIdentity({ identity }) {
      const query = db.selectFrom('identities').innerJoin('users', 'users.id', 'identities.user_id').selectAll('users')
      const { issuer, id } = identity
      return (await query.where('issuer', '=', issuer).where('subject', '=', id).executeTakeFirst()) ?? null
    },

    async getUserById({ id }) {
      return (await db.selectFrom('users').selectAll().where('id', '=', Number(id)).executeTakeFirst()) ?? null
    },

    async getAccountsByEmail({ email }) {
      const users = await db.selectFrom('users').selectAll().where(sameAddress(email)).execute()
      return users.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.email_verified === 1,
        autoLink: user.auto_link === 1,
      }))
    },

    createUser: ({ identity, profile, email }) =>
      transaction(db, async (trx) => {
        const row = {
          name: profile.displayName,
          email: email?.address ?? null,
          email_verified: email?.verified ? (1 as const) : (0 as const),
        }
        const user = await trx.insertInto('users').values(row).returningAll().executeTakeFirstOrThrow()
        await storeIdentity(trx, user.id, identity, profile)
        return user
      }),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(db, async (trx) => {
        // Read again under a lock: the user may have been suspended or deleted since the request began.
        const user = await lockUser(trx, id)
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        await storeIdentity(trx, id, identity, profile)
        if (!email) return
        const own = trx.updateTable('users').set({ email_verified: 1 }).where('id', '=', id)
        await own.where(sameAddress(email.address)).execute()
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(db, async (trx) => {
        const user = await lockUser(trx, id)
        const rows = await trx.selectFrom('identities').selectAll().where('user_id', '=', id).execute()
        if (!user?.password_hash && !stillStored(remaining, rows)) return 'last'
        const deleted = trx.deleteFrom('identities').where('user_id', '=', id)
        await deleted.where('issuer', '=', identity.issuer).where('subject', '=', identity.id).execute()
        await trx.updateTable('users').set({ auto_link: 0 }).where('id', '=', id).execute()
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const rows = await db.selectFrom('identities').selectAll().where('user_id', '=', user.id).execute()
      return rows.map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile: JSON.parse(profile) }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.email_verified === 1,
    }),

    async storeTokens({ identity: { issuer, id }, tokens }) {
      const update = db.updateTable('identities').set({ tokens: sealTokens(tokens, id) })
      await update.where('issuer', '=', issuer).where('subject', '=', id).execute()
    },

    async updateProfile({ identity: { issuer, id }, profile }) {
      const update = db.updateTable('identities').set({ profile: stored(profile) })
      await update.where('issuer', '=', issuer).where('subject', '=', id).execute()
    },

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    async endOtherSessions({ req, user }) {
      const others = db.deleteFrom('sessions').where('sid', '<>', req.sessionID)
      await others.where(sql<boolean>`json_extract(sess, '$.passport.user') = ${user.id}`).execute()
    },
  }
}

export function sameAddress(address: string) {
  return sql<boolean>`lower(email) = lower(${address})`
}

/** Takes SQLite's write lock before the first read, so that concurrent transactions wait for each other. */
async function lockUser(trx: Transaction<Tables>, id: number): Promise<User | undefined> {
  const touch = trx.updateTable('users').set({ id }).where('id', '=', id)
  return touch.returningAll().executeTakeFirst()
}

export async function storeIdentity(trx: Transaction<Tables>, userId: number, identity: Identity, profile: Profile) {
  const row = { issuer: identity.issuer, subject: identity.id, user_id: userId, profile: stored(profile) }
  await trx.insertInto('identities').values(row).execute()
}

function stored({ username, nickname, displayName, avatarUrl }: Profile): string {
  return JSON.stringify({ username, nickname, displayName, avatarUrl })
}

/** All or nothing. */
export async function transaction<T>(db: Kysely<Tables>, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
  try {
    return await db.transaction().execute(work)
  } catch (error) {
    throw takenError(error)
  }
}
