import { randomUUID } from 'node:crypto'
import { and, count, eq, isNotNull } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { addressKey } from '../shared/address-key'
import type { User } from './accounts'
import { emailConfirmations, identities, users } from './schema'

/** Adds and removes accounts for the checks. */
export function testDatabase(db: NodePgDatabase): TestDatabase<User> {
  return {
    async addAccount({ name, email, emailVerified, password }) {
      const row = { name, email, emailKey: email && addressKey(email), emailVerified }
      const [user] = await db
        .insert(users)
        .values({ ...row, passwordHash: password ? 'hash' : null })
        .returning()
      return user as User
    },
    removeAccount: ({ id }) => db.delete(users).where(eq(users.id, id)),
    verifyAddress: ({ id }) =>
      db
        .update(users)
        .set({ emailVerified: true })
        .where(and(eq(users.id, id), isNotNull(users.email))),
    suspend: ({ id }) => db.update(users).set({ suspended: true }).where(eq(users.id, id)),
    countAccounts: () => db.$count(users),
    async hasTokens({ issuer, id }) {
      const own = and(eq(identities.issuer, issuer), eq(identities.subject, id), isNotNull(identities.tokens))
      return (await db.$count(identities, own)) === 1
    },
    pendingChanges: {
      add: ({ id }, address) =>
        db.insert(emailConfirmations).values({ tokenHash: randomUUID(), userId: id, emailKey: addressKey(address) }),
      async count(address) {
        const own = eq(emailConfirmations.emailKey, addressKey(address))
        return (await db.select({ found: count() }).from(emailConfirmations).where(own))[0]?.found ?? 0
      },
    },
  }
}
