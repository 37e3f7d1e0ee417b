import type { Knex } from 'knex'
import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { insertUser, transaction, type User } from './accounts'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(knex: Knex): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(knex, async (trx) => {
      const email_key = addressKey(email.address)
      const ids = holders.map(({ id }) => id)
      const unverified = trx<User>('users').whereIn('id', ids).where({ email_key, email_verified: false })
      // A holder has verified it since, or changed to another address. Take nothing from an owner.
      if ((await unverified.update({ email: null, email_key: null })) !== ids.length) throw new EmailTakenError()
      await trx('email_confirmations').where({ email_key }).delete()
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      return { user: await insertUser(trx, email, identity, profile) }
    })
}
