import { and, eq, inArray } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { insertUser, transaction, type User } from './accounts'
import { emailConfirmations, users } from './schema'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(db: NodePgDatabase): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(db, async (tx) => {
      const key = addressKey(email.address)
      const ids = holders.map(({ id }) => id)
      const unverified = and(inArray(users.id, ids), eq(users.emailVerified, false), eq(users.emailKey, key))
      const taken = await tx.update(users).set({ email: null, emailKey: null }).where(unverified).returning()
      // A holder has verified it since, or changed to another address. Take nothing from an owner.
      if (taken.length !== ids.length) throw new EmailTakenError()
      await tx.delete(emailConfirmations).where(eq(emailConfirmations.emailKey, key))
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      return { user: await insertUser(tx, email, identity, profile) }
    })
}
