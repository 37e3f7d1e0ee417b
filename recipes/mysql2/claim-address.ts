import type { Pool, ResultSetHeader } from 'mysql2/promise'
import { type AccountHooks, EmailTakenError } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { insertUser, transaction, type User } from './accounts'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress(pool: Pool): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) =>
    transaction(pool, async (connection) => {
      const key = addressKey(email.address)
      for (const { id } of holders) {
        const sql =
          'UPDATE users SET email = NULL, email_key = NULL WHERE id = ? AND NOT email_verified AND email_key = ?'
        const [{ affectedRows }] = await connection.execute<ResultSetHeader>(sql, [id, key])
        // A holder has verified it since, or changed to another address. Take nothing from an owner.
        if (affectedRows !== 1) throw new EmailTakenError()
      }
      await connection.execute('DELETE FROM email_confirmations WHERE email_key = ?', [key])
      // A new account, so that a holder's request in progress finds nothing of the owner's in the old one.
      return { user: await insertUser(connection, email, identity, profile) }
    })
}
