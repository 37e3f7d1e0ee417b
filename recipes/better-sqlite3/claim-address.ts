import type { Database } from 'better-sqlite3'
import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { storeIdentity, transaction, type User } from './accounts'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(db: Database): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(db, () => {
      const take = db.prepare(
        'UPDATE users SET email = NULL WHERE id = ? AND NOT email_verified AND lower(email) = lower(?)',
      )
      for (const { id } of holders) {
        // A holder has verified it since, or changed to another address. Take nothing from an owner.
        if (take.run(id, email.address).changes !== 1) throw new EmailTakenError()
      }
      db.prepare('DELETE FROM email_confirmations WHERE lower(email) = lower(?)').run(email.address)
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      const insert = db.prepare<[string, string], User>(
        'INSERT INTO users (name, email, email_verified) VALUES (?, ?, 1) RETURNING *',
      )
      const user = insert.get(profile.displayName, email.address) as User
      storeIdentity(db, user.id, identity, profile)
      return { user }
    })
}
