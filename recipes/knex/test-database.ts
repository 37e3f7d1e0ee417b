import { randomUUID } from 'node:crypto'
import type { Knex } from 'knex'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { addressKey } from '../shared/address-key'
import type { User } from './accounts'

/** Adds and removes accounts for the checks. */
export function testDatabase(knex: Knex): TestDatabase<User> {
  const users = () => knex<User>('users')
  return {
    async addAccount({ name, email, emailVerified, password }) {
      const row = { name, email, email_key: email && addressKey(email), email_verified: emailVerified }
      const [id] = await users().insert({ ...row, password_hash: password ? 'hash' : null }, ['id'])
      return (await users()
        .where({ id: typeof id === 'object' ? id.id : id })
        .first()) as User
    },
    removeAccount: ({ id }) => users().where({ id }).delete(),
    verifyAddress: ({ id }) => users().where({ id }).whereNotNull('email').update({ email_verified: true }),
    suspend: ({ id }) => users().where({ id }).update({ suspended: true }),
    countAccounts: async () => (await users().select('id')).length,
    async hasTokens({ issuer, id }) {
      const row = await knex('identities').where({ issuer, subject: id }).first('tokens')
      return typeof row?.tokens === 'string'
    },
    pendingChanges: {
      add: ({ id }, address) =>
        knex('email_confirmations').insert({ token_hash: randomUUID(), user_id: id, email_key: addressKey(address) }),
      count: async (address) =>
        (
          await knex('email_confirmations')
            .where({ email_key: addressKey(address) })
            .select('user_id')
        ).length,
    },
  }
}
