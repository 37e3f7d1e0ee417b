import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { insertUser, transaction, type User } from './accounts'
import type { PrismaClient } from './generated/client'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(prisma: PrismaClient): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(prisma, async (tx) => {
      const emailKey = addressKey(email.address)
      const ids = holders.map(({ id }) => id)
      const unverified = { id: { in: ids }, emailVerified: false, emailKey }
      const { count } = await tx.user.updateMany({ where: unverified, data: { email: null, emailKey: null } })
      // A holder has verified it since, or changed to another address. Take nothing from an owner.
      if (count !== ids.length) throw new EmailTakenError()
      await tx.emailConfirmation.deleteMany({ where: { emailKey } })
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      return { user: await insertUser(tx, email, identity, profile) }
    })
}
