import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import type { Database } from 'sqlite3'
import { insertUser, transaction, type User } from './accounts'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(database: Database): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(database, async (tx) => {
      const take = 'UPDATE users SET email = NULL WHERE id = ? AND NOT email_verified AND lower(email) = lower(?)'
      for (const { id } of holders) {
        // A holder has verified it since, or changed to another address. Take nothing from an owner.
        if ((await tx.run(take, id, email.address)) !== 1) throw new EmailTakenError()
      }
      await tx.run('DELETE FROM email_confirmations WHERE lower(email) = lower(?)', email.address)
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      return { user: await insertUser(tx, email, identity, profile) }
    })
}
