import type { Kysely } from 'kysely'
import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { sameAddress, storeIdentity, transaction, type User } from './accounts'
import type { Tables } from './schema'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(db: Kysely<Tables>): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(db, async (trx) => {
      for (const { id } of holders) {
        const unverified = trx
          .updateTable('users')
          .set({ email: null })
          .where('id', '=', id)
          .where('email_verified', '=', 0)
        const { numUpdatedRows } = await unverified.where(sameAddress(email.address)).executeTakeFirst()
        // A holder has verified it since, or changed to another address. Take nothing from an owner.
        if (numUpdatedRows !== 1n) throw new EmailTakenError()
      }
      await trx.deleteFrom('email_confirmations').where(sameAddress(email.address)).execute()
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      const row = { name: profile.displayName, email: email.address, email_verified: 1 } as const
      const user = await trx.insertInto('users').values(row).returningAll().executeTakeFirstOrThrow()
      await storeIdentity(trx, user.id, identity, profile)
      return { user }
    })
}
