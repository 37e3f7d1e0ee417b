import { and, eq, getTableColumns, ne, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'
import { identities, session, users } from './schema'

export type User = typeof users.$inferSelect
export type Transaction = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

const stores = ({ issuer, id }: Identity) => and(eq(identities.issuer, issuer), eq(identities.subject, id))

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(db: NodePgDatabase): AccountHooks<User> {
  return {
    async getUserByIdentity({ identity }) {
      const query = db.select(getTableColumns(users)).from(identities)
      return (await query.innerJoin(users, eq(users.id, identities.userId)).where(stores(identity)))[0] ?? null
    },

    async getUserById({ id }) {
      const found = db.select().from(users)
      return (await found.where(eq(users.id, Number(id))))[0] ?? null
    },

    async getAccountsByEmail({ email }) {
      const found = await db
        .select()
        .from(users)
        .where(eq(users.emailKey, addressKey(email)))
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
        const own = email && and(eq(users.id, id), eq(users.emailKey, addressKey(email.address)))
        if (own) await tx.update(users).set({ emailVerified: true }).where(own)
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(db, async (tx) => {
        // The lock makes concurrent unlinks wait for each other.
        const user = await lockUser(tx, id)
        const rows = await tx.select().from(identities).where(eq(identities.userId, id))
        if (!user?.passwordHash && !stillStored(remaining, rows)) return 'last'
        await tx.delete(identities).where(and(stores(identity), eq(identities.userId, id)))
        await tx.update(users).set({ autoLink: false }).where(eq(users.id, id))
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const rows = await db.select().from(identities).where(eq(identities.userId, user.id))
      return rows.map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile: profile as Partial<Profile> }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.emailVerified,
    }),

    async storeTokens({ identity, tokens }) {
      await db
        .update(identities)
        .set({ tokens: sealTokens(tokens, identity.id) })
        .where(stores(identity))
    },

    async updateProfile({ identity, profile }) {
      await db
        .update(identities)
        .set({ profile: stored(profile) })
        .where(stores(identity))
    },

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    async endOtherSessions({ req, user }) {
      const own = sql`${session.sess} #>> '{passport,user}' = ${String(user.id)}`
      await db.delete(session).where(and(own, ne(session.sid, req.sessionID)))
    },
  }
}

export async function insertUser(
  tx: Transaction,
  email: { address: string; verified: boolean } | null,
  identity: Identity,
  profile: Profile,
): Promise<User> {
  const address = email?.address ?? null
  const row = { name: profile.displayName, email: address, emailKey: address && addressKey(address) }
  const [user] = await tx
    .insert(users)
    .values({ ...row, emailVerified: email?.verified ?? false })
    .returning()
  await insertIdentity(tx, (user as User).id, identity, profile)
  return user as User
}

async function insertIdentity(tx: Transaction, userId: number, { issuer, id }: Identity, profile: Profile) {
  await tx.insert(identities).values({ issuer, subject: id, userId, profile: stored(profile) })
}

async function lockUser(tx: Transaction, id: number): Promise<User | undefined> {
  return (await tx.select().from(users).where(eq(users.id, id)).for('update'))[0]
}

function stored({ username, nickname, displayName, avatarUrl }: Profile) {
  return { username, nickname, displayName, avatarUrl }
}

/** All or nothing. */
export async function transaction<T>(db: NodePgDatabase, work: (tx: Transaction) => Promise<T>): Promise<T> {
  try {
    return await db.transaction(work)
  } catch (error) {
    throw takenError(error)
  }
}
