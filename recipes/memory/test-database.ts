import type { TestDatabase } from 'passport-bitbucket-signin/testing'
import { addUser, type MemoryDatabase, type User } from './accounts'

/** Adds and removes accounts for the checks. */
export function testDatabase({ users, identities }: MemoryDatabase): TestDatabase<User> {
  return {
    addAccount({ name, email, emailVerified, password }) {
      const user = addUser(users, { name, email, emailVerified })
      user.hasPassword = Boolean(password)
      return { ...user }
    },
    removeAccount({ id }) {
      users.delete(id)
      for (const [key, { userId }] of identities) if (userId === id) identities.delete(key)
    },
    verifyAddress({ id }) {
      const user = users.get(id)
      if (user?.email) user.emailVerified = true
    },
    suspend({ id }) {
      const user = users.get(id)
      if (user) user.suspended = true
    },
    countAccounts: () => users.size,
  }
}
