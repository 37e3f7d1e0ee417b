import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { insertUser, transaction } from './accounts'
import type { Models, User } from './models'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(models: Models): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(models, async (transaction) => {
      const emailKey = addressKey(email.address)
      const id = holders.map((holder) => holder.id)
      const unverified = { id, emailKey, emailVerified: false }
      const [taken] = await models.users.update({ email: null, emailKey: null }, { where: unverified, transaction })
      // A holder has verified it since, or changed to another address. Take nothing from an owner.
      if (taken !== id.length) throw new EmailTakenError()
      await models.confirmations.destroy({ where: { emailKey }, transaction })
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      return { user: await insertUser(models, transaction, email, identity, profile) }
    })
}
