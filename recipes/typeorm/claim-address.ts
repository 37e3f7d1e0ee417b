import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { type DataSource, In } from 'typeorm'
import { addressKey } from '../shared/address-key'
import { insertUser, transaction } from './accounts'
import { confirmations, type User, users } from './entities'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(db: DataSource): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(db, async (tx) => {
      const emailKey = addressKey(email.address)
      const ids = holders.map(({ id }) => id)
      const unverified = { id: In(ids), emailVerified: false, emailKey }
      const { affected } = await tx.update(users, unverified, { email: null, emailKey: null })
      // A holder has verified it since, or changed to another address. Take nothing from an owner.
      if (affected !== ids.length) throw new EmailTakenError()
      await tx.delete(confirmations, { emailKey })
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      return { user: await insertUser(tx, email, identity, profile) }
    })
}
