import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { sameAddress, type User } from './accounts'
import type { Tables } from './schema'

/** Adds and removes accounts for the checks. */
export function testDatabase(db: Kysely<Tables>): TestDatabase<User> {
  return {
    addAccount({ name, email, emailVerified, password }) {
      const email_verified = emailVerified ? 1 : 0
      const row = { name, email, email_verified, password_hash: password ? 'hash' : null } as const
      return db.insertInto('users').values(row).returningAll().executeTakeFirstOrThrow()
    },
    removeAccount: ({ id }) => db.deleteFrom('users').where('id', '=', id).execute(),
    async verifyAddress({ id }) {
      const update = db.updateTable('users').set({ email_verified: 1 }).where('id', '=', id)
      await update.where('email', 'is not', null).execute()
    },
    suspend: ({ id }) => db.updateTable('users').set({ suspended: 1 }).where('id', '=', id).execute(),
    async countAccounts() {
      return (await db.selectFrom('users').select('id').execute()).length
    },
    async hasTokens({ issuer, id }) {
      const query = db.selectFrom('identities').select('tokens').where('issuer', '=', issuer).where('subject', '=', id)
      return ((await query.executeTakeFirst())?.tokens ?? null) !== null
    },
    sessions: {
      async open(user) {
        const sid = randomUUID()
        const sess = JSON.stringify({ passport: { user: user.id } })
        const expire = new Date(Date.now() + 3_600_000).toISOString()
        await db.insertInto('sessions').values({ sid, sess, expire }).execute()
        return sid
      },
      async isOpen(sid) {
        const query = db.selectFrom('sessions').select('sid').where('sid', '=', sid)
        return (await query.executeTakeFirst()) !== undefined
      },
      close: (sid) => db.deleteFrom('sessions').where('sid', '=', sid).execute(),
    },
    pendingChanges: {
      async add({ id }, email) {
        await db.insertInto('email_confirmations').values({ token_hash: randomUUID(), user_id: id, email }).execute()
      },
      async count(address) {
        const query = db.selectFrom('email_confirmations').select('token_hash').where(sameAddress(address))
        return (await query.execute()).length
      },
    },
  }
}
