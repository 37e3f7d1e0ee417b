import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import type { Pool } from 'pg'
import { storeIdentity, transaction, type User } from './accounts'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(pool: Pool): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(pool, async (client) => {
      const ids = holders.map(({ id }) => id)
      const taken = await client.query(
        `UPDATE users SET email = NULL
          WHERE id = ANY($1) AND NOT email_verified AND lower(email COLLATE "C") = lower($2 COLLATE "C")`,
        [ids, email.address],
      )
      // A holder has verified it since, or changed to another address. Take nothing from an owner.
      if (taken.rowCount !== ids.length) throw new EmailTakenError()
      await client.query('DELETE FROM email_confirmations WHERE lower(email) = lower($1)', [email.address])
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      const sql = 'INSERT INTO users (name, email, email_verified) VALUES ($1, $2, true) RETURNING *'
      const user = (await client.query<User>(sql, [profile.displayName, email.address])).rows[0] as User
      await storeIdentity(client, user.id, identity, profile)
      return { user }
    })
}
