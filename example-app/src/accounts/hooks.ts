import {
  type AccountHooks,
  EmailTakenError,
  type Identity,
  IdentityTakenError,
  type Profile,
  type StoredIdentity,
} from 'passport-bitbucket-signin'
import { type Db, refusedBy } from '../database/database.js'
import type { Sealer } from '../seal.js'
import { grant } from './entitlements.js'
import type { Invited } from './invitations.js'
import { confirmAddress } from './proven-address.js'
import { endSessions } from './session-store.js'
import { findUser, identitiesOf, insertUser, lockUser, releaseAddress, toUser, type User } from './users.js'

/**
 * How `passport-bitbucket-signin` reads and changes our accounts. The package decides what may happen; here it is
 * carried out, each change in one transaction.
 */
export function accountHooks(db: Db, sealer: Sealer): Required<AccountHooks<User, Invited>> {
  return {
    async getUserByIdentity({ identity }) {
      const row = await db
        .selectFrom('identities')
        .innerJoin('users', 'users.id', 'identities.user_id')
        .selectAll('users')
        .where('identities.issuer', '=', identity.issuer)
        .where('identities.provider_user_id', '=', identity.id)
        .executeTakeFirst()
      // Never 'orphaned': the foreign key deletes an identity together with its user.
      return row ? toUser(row) : null
    },

    getUserById: ({ id }) => findUser(db, id),

    async getAccountsByEmail({ email }) {
      const rows = await db.selectFrom('users').selectAll().where('email_lower', '=', email.toLowerCase()).execute()
      return rows.map((row) => ({
        user: toUser(row),
        email: row.email ?? '',
        emailVerified: row.email_verified === 1,
        autoLink: row.auto_link === 1,
      }))
    },

    createUser({ identity, profile, email }) {
      return writing(db, async (trx) => {
        const user = await insertUser(trx, {
          name: profile.displayName,
          email: email?.address ?? null,
          emailVerified: email?.verified ?? false,
        })
        await insertIdentity(trx, user.id, identity, profile)
        return user
      })
    },

    async linkIdentity({ user, identity, profile, email }) {
      await writing(db, async (trx) => {
        const row = await lockUser(trx, user.id)
        // Suspended or deleted since it was read.
        if (row?.status !== 'active') throw new Error('The account is gone or may not sign in.')
        await insertIdentity(trx, user.id, identity, profile)
        if (email) await confirmAddress(trx, user.id, email.address)
      })
    },

    claimAddress({ holders, identity, profile, email }) {
      return writing(db, async (trx) => {
        for (const holder of holders) {
          const row = await lockUser(trx, holder.id)
          // Verified in the meantime: its owner was quicker, and nothing may be taken from an owner.
          if (!row || row.email_verified === 1) throw new EmailTakenError()
          await releaseAddress(trx, row.id)
        }
        // A new account: a sign-in to a holder that is in flight must not end in the account of the owner.
        const user = await insertUser(trx, { name: profile.displayName, email: email.address, emailVerified: true })
        await insertIdentity(trx, user.id, identity, profile)
        return { user }
      })
    },

    unlinkIdentity({ user, identity, remaining }) {
      return db.transaction().execute(async (trx) => {
        const row = await lockUser(trx, user.id)
        const identities = await identitiesOf(trx, user.id)
        // Only identities that a connection still serves are ways in, and only while they are stored.
        const waysIn = identities.filter((each) =>
          remaining.some(({ issuer, id }) => issuer === each.issuer && id === each.provider_user_id),
        )
        if (!row?.password_hash && waysIn.length === 0) return 'last'
        await trx
          .deleteFrom('identities')
          .where('issuer', '=', identity.issuer)
          .where('provider_user_id', '=', identity.id)
          .where('user_id', '=', user.id)
          .execute()
        await trx.updateTable('users').set({ auto_link: 0 }).where('id', '=', user.id).execute()
        return 'unlinked'
      })
    },

    async listIdentities({ user }) {
      const rows = await identitiesOf(db, user.id)
      return rows.map((row) => ({ issuer: row.issuer, id: row.provider_user_id, profile: JSON.parse(row.profile) }))
    },

    describeUser: ({ user }) => ({ label: user.name, email: user.email, emailVerified: user.emailVerified }),

    async storeTokens({ identity, tokens }) {
      const sealed = sealer.seal('tokens', JSON.stringify(tokens))
      const expires_at = tokens.expiresAt?.toISOString() ?? null
      await db
        .insertInto('tokens')
        .values({ issuer: identity.issuer, provider_user_id: identity.id, sealed, expires_at })
        .onConflict((conflict) => conflict.columns(['issuer', 'provider_user_id']).doUpdateSet({ sealed, expires_at }))
        .execute()
    },

    async updateProfile({ identity, profile }) {
      // Bitbucket's profile is kept with the identity; the name in our account is the user's choice.
      await db
        .updateTable('identities')
        .set({ nickname: profile.nickname, profile: JSON.stringify(storedProfile(profile)) })
        .where('issuer', '=', identity.issuer)
        .where('provider_user_id', '=', identity.id)
        .execute()
    },

    beforeSignIn: ({ user, context }) => grant(db, user, context),

    canSignIn: ({ user }) => user.status === 'active' || user.status,

    async endOtherSessions({ req, user }) {
      await endSessions(db, user.id, req.sessionID)
    },
  }
}

async function insertIdentity(trx: Db, userId: string, identity: Identity, profile: Profile): Promise<void> {
  const row = {
    issuer: identity.issuer,
    provider_user_id: identity.id,
    user_id: userId,
    nickname: profile.nickname,
    profile: JSON.stringify(storedProfile(profile)),
    created_at: new Date().toISOString(),
  }
  await trx.insertInto('identities').values(row).execute()
}

function storedProfile({ username, nickname, displayName, avatarUrl }: Profile): StoredIdentity['profile'] {
  return { username, nickname, displayName, avatarUrl }
}

/** One transaction; a unique key that refuses becomes the error by which the package knows that a race was lost. */
async function writing<T>(db: Db, write: (trx: Db) => Promise<T>): Promise<T> {
  try {
    return await db.transaction().execute(write)
  } catch (error) {
    const table = refusedBy(error)
    if (table === 'identities') throw new IdentityTakenError(undefined, { cause: error })
    if (table === 'users') throw new EmailTakenError(undefined, { cause: error })
    throw error
  }
}
