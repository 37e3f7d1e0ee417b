import { randomUUID } from 'node:crypto'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { type DataSource, IsNull, Not } from 'typeorm'
import { addressKey } from '../shared/address-key'
import { confirmations, identities, type User, users } from './entities'

/** Adds and removes accounts for the checks. */
export function testDatabase(db: DataSource): TestDatabase<User> {
  const repository = () => db.getRepository(users)
  return {
    addAccount({ name, email, emailVerified, password }) {
      const row = { name, email, emailKey: email && addressKey(email), emailVerified }
      return repository().save(repository().create({ ...row, passwordHash: password ? 'hash' : null }))
    },
    removeAccount: ({ id }) => repository().delete({ id }),
    verifyAddress: ({ id }) => repository().update({ id, email: Not(IsNull()) }, { emailVerified: true }),
    suspend: ({ id }) => repository().update({ id }, { suspended: true }),
    countAccounts: () => repository().count(),
    async hasTokens({ issuer, id }) {
      const own = { issuer, subject: id, tokens: Not(IsNull()) }
      return (await db.getRepository(identities).countBy(own)) === 1
    },
    pendingChanges: {
      add: ({ id }, address) =>
        db.getRepository(confirmations).insert({ tokenHash: randomUUID(), userId: id, emailKey: addressKey(address) }),
      count: (address) => db.getRepository(confirmations).countBy({ emailKey: addressKey(address) }),
    },
  }
}
