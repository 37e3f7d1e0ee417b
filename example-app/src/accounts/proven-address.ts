import { type Db, refusedBy } from '../database/database.js'
import { emptyAccount, findRowByEmail, findUser, insertUser, lockUser, type User } from './users.js'

// What an emailed code allows: the user who typed it reads the mail of this address.

/** A new account, or the one that only claimed the address, emptied. `null` = a verified account was quicker. */
export async function openAccount(db: Db, name: string, address: string, passwordHash: string): Promise<User | null> {
  try {
    return await db.transaction().execute(async (trx) => {
      const holder = await findRowByEmail(trx, address)
      if (!holder) return insertUser(trx, { name, email: address, emailVerified: true, passwordHash })
      if ((await lockUser(trx, holder.id))?.email_verified !== 0) return null
      await emptyAccount(trx, holder.id)
      const changes = { name, password_hash: passwordHash, email_verified: 1 }
      await trx.updateTable('users').set(changes).where('id', '=', holder.id).execute()
      return findUser(trx, holder.id)
    })
  } catch (error) {
    if (refusedBy(error) === 'users') return null
    throw error
  }
}

/**
 * Sets the password and ends every session. An address that was not confirmed before is now, and what a stranger may
 * have set up under it goes. `null` = the account is gone or has another address by now.
 */
export function resetPassword(db: Db, userId: string, address: string, passwordHash: string): Promise<User | null> {
  return db.transaction().execute(async (trx) => {
    const row = await lockUser(trx, userId)
    if (!row || row.email_lower !== address.toLowerCase()) return null
    if (row.email_verified === 0) await emptyAccount(trx, userId)
    await trx.deleteFrom('sessions').where('user_id', '=', userId).execute()
    const changes = { password_hash: passwordHash, email_verified: 1 }
    await trx.updateTable('users').set(changes).where('id', '=', userId).execute()
    return findUser(trx, userId)
  })
}

/** The address of this account is verified, if it is still its address. */
export async function confirmAddress(db: Db, userId: string, address: string): Promise<void> {
  const account = db.updateTable('users').set({ email_verified: 1 }).where('id', '=', userId)
  await account.where('email_lower', '=', address.toLowerCase()).execute()
}
