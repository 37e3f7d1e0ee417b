// NOT TESTED ON A REAL MONGODB. Type-checked, and tested on a stand-in (see README.md).
import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { newUser, refusing } from './accounts'
import type { Models, User } from './models'

/**
 * Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. It changes
 * several documents, so it needs a transaction, which MongoDB offers on a replica set.
 */
export function claimAddress(models: Models): NonNullable<AccountHooks<User>['claimAddress']> {
  const { connection, users, confirmations } = models
  return ({ holders, identity, profile, email }) =>
    refusing(() =>
      connection.transaction(async (session) => {
        const emailKey = addressKey(email.address)
        const _id = { $in: holders.map((holder) => holder._id) }
        const unverified = { _id, emailVerified: false, emailKey }
        const released = { $set: { email: null, emailKey: null } }
        const { matchedCount } = await users.updateMany(unverified, released, { session })
        // A holder has verified it since, or changed to another address. Take nothing from an owner.
        if (matchedCount !== holders.length) throw new EmailTakenError()
        await confirmations.deleteMany({ emailKey }, { session })
        // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
        const [user] = await users.create([newUser(email, identity, profile)], { session })
        return { user: user as User }
      }),
    )
}
