import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'
import type { Prisma, PrismaClient, User } from './generated/client'

export type { User }

const key = ({ issuer, id }: Identity) => ({ issuer_subject: { issuer, subject: id } })

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(prisma: PrismaClient): AccountHooks<User> {
  return {
    async getUserByIdentity({ identity }) {
      const found = await prisma.identity.findUnique({ where: key(identity), include: { user: true } })
      return found?.user ?? null
    },

    getUserById: ({ id }) => prisma.user.findUnique({ where: { id: Number(id) } }),

    async getAccountsByEmail({ email }) {
      const users = await prisma.user.findMany({ where: { emailKey: addressKey(email) } })
      return users.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.emailVerified,
        autoLink: user.autoLink,
      }))
    },

    createUser: ({ identity, profile, email }) => transaction(prisma, (tx) => insertUser(tx, email, identity, profile)),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(prisma, async (tx) => {
        // Read again under a lock: the user may have been suspended or deleted since the request began.
        const user = await lockUser(tx, id)
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        await tx.identity.create({ data: { ...row(identity, profile), userId: id } })
        const own = email && { id, emailKey: addressKey(email.address) }
        if (own) await tx.user.updateMany({ where: own, data: { emailVerified: true } })
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(prisma, async (tx) => {
        const user = await lockUser(tx, id)
        const rows = await tx.identity.findMany({ where: { userId: id } })
        if (!user?.passwordHash && !stillStored(remaining, rows)) return 'last'
        await tx.identity.deleteMany({ where: { issuer: identity.issuer, subject: identity.id, userId: id } })
        await tx.user.update({ where: { id }, data: { autoLink: false } })
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const rows = await prisma.identity.findMany({ where: { userId: user.id } })
      return rows.map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile: profile as Partial<Profile> }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.emailVerified,
    }),

    storeTokens: ({ identity, tokens }) =>
      prisma.identity.update({ where: key(identity), data: { tokens: sealTokens(tokens, identity.id) } }),

    updateProfile: ({ identity, profile }) =>
      prisma.identity.update({ where: key(identity), data: { profile: row(identity, profile).profile } }),

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    // PostgreSQL. `data` is text, so it is cast to JSON.
    endOtherSessions: ({ req, user }) =>
      prisma.$executeRaw`DELETE FROM session WHERE data::json #>> '{passport,user}' = ${String(user.id)} AND sid <> ${req.sessionID}`,
  }
}

export async function insertUser(
  tx: Prisma.TransactionClient,
  email: { address: string; verified: boolean } | null,
  identity: Identity,
  profile: Profile,
): Promise<User> {
  const address = email?.address ?? null
  const data = { name: profile.displayName, email: address, emailKey: address && addressKey(address) }
  const identities = { create: row(identity, profile) }
  return tx.user.create({ data: { ...data, emailVerified: email?.verified ?? false, identities } })
}

function row({ issuer, id }: Identity, { username, nickname, displayName, avatarUrl }: Profile) {
  return { issuer, subject: id, profile: { username, nickname, displayName, avatarUrl } }
}

/** Prisma has no FOR UPDATE. A write takes the same lock, so concurrent unlinks wait for each other. */
async function lockUser(tx: Prisma.TransactionClient, id: number): Promise<User | null> {
  const { count } = await tx.user.updateMany({ where: { id }, data: { id } })
  return count === 0 ? null : tx.user.findUnique({ where: { id } })
}

/** All or nothing. */
export async function transaction<T>(
  prisma: PrismaClient,
  work: (tx: Prisma.TransactionClient) => Promise<T>,
): Promise<T> {
  try {
    // The default, 2 seconds to wait for a connection, is too short when many users sign in concurrently.
    return await prisma.$transaction(work, { maxWait: 10_000 })
  } catch (error) {
    throw takenError(error)
  }
}
