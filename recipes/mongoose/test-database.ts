import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { addressKey } from '../shared/address-key'
import type { Models, User } from './models'

/** Adds and removes accounts for the checks. */
export function testDatabase({ users, confirmations }: Models): TestDatabase<User> {
  return {
    addAccount({ name, email, emailVerified, password }) {
      const row = { name, email, emailKey: email && addressKey(email), emailVerified }
      return users.create({ ...row, passwordHash: password ? 'hash' : null })
    },
    async removeAccount({ _id }) {
      await users.deleteOne({ _id })
      await confirmations.deleteMany({ userId: _id })
    },
    verifyAddress: ({ _id }) => users.updateOne({ _id, email: { $ne: null } }, { $set: { emailVerified: true } }),
    suspend: ({ _id }) => users.updateOne({ _id }, { $set: { suspended: true } }),
    countAccounts: () => users.countDocuments(),
    async hasTokens({ issuer, id }) {
      const own = { identities: { $elemMatch: { issuer, subject: id, tokens: { $ne: null } } } }
      return (await users.exists(own)) !== null
    },
    pendingChanges: {
      add: ({ _id }, address) => confirmations.create({ userId: _id, emailKey: addressKey(address) }),
      count: (address) => confirmations.countDocuments({ emailKey: addressKey(address) }),
    },
  }
}
