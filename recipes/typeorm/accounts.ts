import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import type { DataSource, EntityManager } from 'typeorm'
import { addressKey } from '../shared/address-key'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'
import { identities, type User, users } from './entities'

const key = ({ issuer, id }: Identity) => ({ issuer, subject: id })

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(db: DataSource): AccountHooks<User> {
  return {
    async getUserByIdentity({ identity }) {
      const found = await db.getRepository(identities).findOneBy(key(identity))
      return found && db.getRepository(users).findOneBy({ id: found.userId })
    },

    getUserById: ({ id }) => db.getRepository(users).findOneBy({ id: Number(id) }),

    async getAccountsByEmail({ email }) {
      const found = await db.getRepository(users).findBy({ emailKey: addressKey(email) })
      return found.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.emailVerified,
        autoLink: user.autoLink,
      }))
    },

    createUser: ({ identity, profile, email }) => transaction(db, (tx) => insertUser(tx, email, identity, profile)),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(db, async (tx) => {
        // Read again under a lock: the user may have been suspended or deleted since the request began.
        const user = await lockUser(tx, id)
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        await insertIdentity(tx, id, identity, profile)
        const own = email && { id, emailKey: addressKey(email.address) }
        if (own) await tx.update(users, own, { emailVerified: true })
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(db, async (tx) => {
        // The lock makes concurrent unlinks wait for each other.
        const user = await lockUser(tx, id)
        const rows = await tx.findBy(identities, { userId: id })
        if (!user?.passwordHash && !stillStored(remaining, rows)) return 'last'
        await tx.delete(identities, { ...key(identity), userId: id })
        await tx.update(users, { id }, { autoLink: false })
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const rows = await db.getRepository(identities).findBy({ userId: user.id })
      return rows.map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.emailVerified,
    }),

    storeTokens: ({ identity, tokens }) =>
      db.getRepository(identities).update(key(identity), { tokens: sealTokens(tokens, identity.id) }),

    updateProfile: ({ identity, profile }) =>
      db.getRepository(identities).update(key(identity), { profile: stored(profile) }),

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    // The table of connect-pg-simple. connect-typeorm requires TypeORM 0.3.
    endOtherSessions: ({ req, user }) =>
      db.query("DELETE FROM session WHERE sess #>> '{passport,user}' = $1 AND sid <> $2", [
        String(user.id),
        req.sessionID,
      ]),
  }
}

export async function insertUser(
  tx: EntityManager,
  email: { address: string; verified: boolean } | null,
  identity: Identity,
  profile: Profile,
): Promise<User> {
  const address = email?.address ?? null
  const row = { name: profile.displayName, email: address, emailKey: address && addressKey(address) }
  const { identifiers } = await tx.insert(users, { ...row, emailVerified: email?.verified ?? false })
  const id = identifiers[0]?.id as number
  await insertIdentity(tx, id, identity, profile)
  return tx.findOneByOrFail(users, { id })
}

/** `insert`, never `save`, which would move another user's identity to this one without an error. */
async function insertIdentity(tx: EntityManager, userId: number, identity: Identity, profile: Profile) {
  await tx.insert(identities, { ...key(identity), userId, profile: stored(profile) })
}

function lockUser(tx: EntityManager, id: number): Promise<User | null> {
  return tx.findOne(users, { where: { id }, lock: { mode: 'pessimistic_write' } })
}

function stored({ username, nickname, displayName, avatarUrl }: Profile) {
  return { username, nickname, displayName, avatarUrl }
}

/** All or nothing. */
export async function transaction<T>(db: DataSource, work: (tx: EntityManager) => Promise<T>): Promise<T> {
  try {
    return await db.transaction(work)
  } catch (error) {
    throw takenError(error)
  }
}
