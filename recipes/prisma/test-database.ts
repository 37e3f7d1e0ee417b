import { randomUUID } from 'node:crypto'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { addressKey } from '../shared/address-key'
import type { User } from './accounts'
import type { PrismaClient } from './generated/client'

/** Adds and removes accounts for the checks. */
export function testDatabase(prisma: PrismaClient): TestDatabase<User> {
  return {
    addAccount({ name, email, emailVerified, password }) {
      const data = { name, email, emailKey: email && addressKey(email), emailVerified }
      return prisma.user.create({ data: { ...data, passwordHash: password ? 'hash' : null } })
    },
    removeAccount: ({ id }) => prisma.user.deleteMany({ where: { id } }),
    verifyAddress: ({ id }) =>
      prisma.user.updateMany({ where: { id, email: { not: null } }, data: { emailVerified: true } }),
    suspend: ({ id }) => prisma.user.update({ where: { id }, data: { suspended: true } }),
    countAccounts: () => prisma.user.count(),
    async hasTokens({ issuer, id }) {
      return (await prisma.identity.count({ where: { issuer, subject: id, tokens: { not: null } } })) === 1
    },
    pendingChanges: {
      add: ({ id }, address) =>
        prisma.emailConfirmation.create({
          data: { tokenHash: randomUUID(), userId: id, emailKey: addressKey(address) },
        }),
      count: (address) => prisma.emailConfirmation.count({ where: { emailKey: addressKey(address) } }),
    },
  }
}
