import { randomUUID } from 'node:crypto'
import type { Selectable } from 'kysely'
import type { Db } from '../database/database.js'
import type { IdentitiesTable, Role, UsersTable } from '../database/schema.js'

/** A person who has an account here; what `req.user` is. */
export interface User {
  readonly id: string
  readonly name: string
  readonly email: string | null
  readonly emailVerified: boolean
  readonly hasPassword: boolean
  readonly status: 'active' | 'suspended'
  /** What the workspace says, `null` = no workspace was asked for. */
  readonly role: Role | null
  /** May remove every note. */
  readonly tidies: boolean
}

export function toUser(row: Selectable<UsersTable>): User {
  return {
    id: row.id,
    name: row.name,
    email: row.email,
    emailVerified: row.email_verified === 1,
    hasPassword: row.password_hash !== null,
    status: row.status,
    role: row.role,
    tidies: row.tidies === 1,
  }
}

export async function findUser(db: Db, id: string): Promise<User | null> {
  const row = await db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst()
  return row ? toUser(row) : null
}

/** The whole row, for those who need the password's hash. */
export async function findRowByEmail(db: Db, email: string): Promise<Selectable<UsersTable> | null> {
  const query = db.selectFrom('users').selectAll().where('email_lower', '=', email.toLowerCase())
  return (await query.executeTakeFirst()) ?? null
}

export interface NewUser {
  readonly name: string
  readonly email: string | null
  readonly emailVerified: boolean
  readonly passwordHash?: string | null
}

export async function insertUser(db: Db, user: NewUser): Promise<User> {
  const row: Selectable<UsersTable> = {
    id: randomUUID(),
    name: user.name,
    email: user.email,
    email_lower: user.email?.toLowerCase() ?? null,
    email_verified: user.emailVerified ? 1 : 0,
    password_hash: user.passwordHash ?? null,
    status: 'active',
    auto_link: 1,
    role: null,
    tidies: 0,
    created_at: new Date().toISOString(),
  }
  await db.insertInto('users').values(row).execute()
  return toUser(row)
}

/** Holds the user's row until the transaction ends, so that two requests cannot both take "the last way in but one". */
export async function lockUser(trx: Db, id: string): Promise<Selectable<UsersTable> | null> {
  // `for update` is not in SQLite; an update that changes nothing locks the row in both.
  const query = trx
    .updateTable('users')
    .set({ status: (eb) => eb.ref('status') })
    .where('id', '=', id)
    .returningAll()
  return (await query.executeTakeFirst()) ?? null
}

/**
 * Removes from an account everything by which another user could get in or stay in. Called when a user
 * proves an address that the account only claimed: a stranger may have set it up and waited for this.
 */
export async function emptyAccount(trx: Db, userId: string): Promise<void> {
  await trx.updateTable('users').set({ password_hash: null }).where('id', '=', userId).execute()
  await trx.deleteFrom('identities').where('user_id', '=', userId).execute()
  await trx.deleteFrom('sessions').where('user_id', '=', userId).execute()
  await trx.deleteFrom('codes').where('user_id', '=', userId).execute()
}

/** Takes an address from an account that never proved it, with the codes under way that could bring it back. */
export async function releaseAddress(trx: Db, userId: string): Promise<void> {
  await trx.updateTable('users').set({ email: null, email_lower: null }).where('id', '=', userId).execute()
  await trx.deleteFrom('codes').where('user_id', '=', userId).execute()
}

export function identitiesOf(db: Db, userId: string): Promise<Selectable<IdentitiesTable>[]> {
  return db.selectFrom('identities').selectAll().where('user_id', '=', userId).orderBy('created_at').execute()
}

/** Foreign keys take identities, codes, notes and activity along; sessions know their user only by name. */
export async function deleteUser(db: Db, userId: string): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx.deleteFrom('sessions').where('user_id', '=', userId).execute()
    await trx.deleteFrom('users').where('id', '=', userId).execute()
  })
}
