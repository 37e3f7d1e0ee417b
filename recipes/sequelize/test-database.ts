import { randomUUID } from 'node:crypto'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { Op } from 'sequelize'
import { addressKey } from '../shared/address-key'
import type { Models, User } from './models'

/** Adds and removes accounts for the checks. */
export function testDatabase({ users, identities, confirmations }: Models): TestDatabase<User> {
  return {
    addAccount({ name, email, emailVerified, password }) {
      const row = { name, email, emailKey: email && addressKey(email), emailVerified }
      return users.create({ ...row, passwordHash: password ? 'hash' : null })
    },
    removeAccount: ({ id }) => users.destroy({ where: { id } }),
    verifyAddress: ({ id }) => users.update({ emailVerified: true }, { where: { id, email: { [Op.not]: null } } }),
    suspend: ({ id }) => users.update({ suspended: true }, { where: { id } }),
    countAccounts: () => users.count(),
    async hasTokens({ issuer, id }) {
      return (await identities.count({ where: { issuer, subject: id, tokens: { [Op.not]: null } } })) === 1
    },
    pendingChanges: {
      add: ({ id }, address) =>
        confirmations.create({ tokenHash: randomUUID(), userId: id, emailKey: addressKey(address) }),
      count: (address) => confirmations.count({ where: { emailKey: addressKey(address) } }),
    },
  }
}
