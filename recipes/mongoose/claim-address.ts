// NEVER RUN ON A REAL MONGODB BY US: none was to be had. Type-checked, and run on a stand-in (see README.md).
import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { newUser, refusing } from './accounts'
import type { Models, User } from './models'

/**
 * Gives an address that nobody verified to the person who proved it. Only for apps that verify addresses. Several
 * documents change, so it needs a transaction, and MongoDB a replica set for it.
 */
export function claimAddress(models: Models): NonNullable<AccountHooks<User>['claimAddress']> {
  const { connection, users, confirmations } = models
  return ({ holders, identity, profile, email }) =>
    refusing(() =>
      connection.transaction(async (session) => {
        const emailKey = addressKey(email.address)
        const _id = { $in: holders.map((holder) => holder._id) }
        const unverified = { _id, emailVerified: false, emailKey }
        const nobodys = { $set: { email: null, emailKey: null } }
        const { matchedCount } = await users.updateMany(unverified, nobodys, { session })
        // Somebody verified it meanwhile, or changed to another address: nothing may be taken from an owner.
        if (matchedCount !== holders.length) throw new EmailTakenError()
        await confirmations.deleteMany({ emailKey }, { session })
        // A new account: a request of a holder that is still under way finds nothing of the owner's in the old one.
        const [user] = await users.create([newUser(email, identity, profile)], { session })
        return { user: user as User }
      }),
    )
}
