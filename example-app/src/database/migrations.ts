import { sql } from 'kysely'
import type { Db } from './database.js'

/** Steps that were released are never edited: a change is a new step at the end. */
const steps: Record<string, (db: Db) => Promise<void>> = {
  async '001-accounts'(db) {
    await db.schema
      .createTable('users')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('email', 'text')
      .addColumn('email_lower', 'text', (column) => column.unique())
      .addColumn('email_verified', 'integer', (column) => column.notNull())
      .addColumn('password_hash', 'text')
      .addColumn('status', 'text', (column) => column.notNull().defaultTo('active'))
      .addColumn('auto_link', 'integer', (column) => column.notNull().defaultTo(1))
      .addColumn('created_at', 'text', (column) => column.notNull())
      .execute()
    // The two unique keys are what makes double sign-ins harmless: the database refuses the second one.
    await db.schema
      .createTable('identities')
      .addColumn('issuer', 'text', (column) => column.notNull())
      .addColumn('provider_user_id', 'text', (column) => column.notNull())
      .addColumn('user_id', 'text', (column) => column.notNull().references('users.id').onDelete('cascade'))
      .addColumn('nickname', 'text')
      .addColumn('profile', 'text', (column) => column.notNull())
      .addColumn('created_at', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('identities_person', ['issuer', 'provider_user_id'])
      .addUniqueConstraint('identities_one_per_user', ['user_id', 'issuer'])
      .execute()
    await db.schema
      .createTable('sessions')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('user_id', 'text')
      .addColumn('data', 'text', (column) => column.notNull())
      .addColumn('device', 'text')
      .addColumn('created_at', 'text', (column) => column.notNull())
      .addColumn('expires_at', 'text', (column) => column.notNull())
      .execute()
    await db.schema.createIndex('sessions_user').on('sessions').column('user_id').execute()
    await db.schema.createIndex('sessions_expiry').on('sessions').column('expires_at').execute()
    await db.schema
      .createTable('codes')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('purpose', 'text', (column) => column.notNull())
      .addColumn('email', 'text', (column) => column.notNull())
      .addColumn('user_id', 'text', (column) => column.references('users.id').onDelete('cascade'))
      .addColumn('name', 'text')
      .addColumn('password_hash', 'text')
      .addColumn('code_hash', 'text', (column) => column.notNull())
      .addColumn('attempts', 'integer', (column) => column.notNull().defaultTo(0))
      .addColumn('expires_at', 'text', (column) => column.notNull())
      .execute()
    await db.schema
      .createTable('tokens')
      .addColumn('issuer', 'text', (column) => column.notNull())
      .addColumn('provider_user_id', 'text', (column) => column.notNull())
      .addColumn('sealed', 'text', (column) => column.notNull())
      .addColumn('expires_at', 'text')
      .addPrimaryKeyConstraint('tokens_person', ['issuer', 'provider_user_id'])
      .addForeignKeyConstraint(
        'tokens_identity',
        ['issuer', 'provider_user_id'],
        'identities',
        ['issuer', 'provider_user_id'],
        (key) => key.onDelete('cascade'),
      )
      .execute()
  },

  async '002-operations'(db) {
    await db.schema
      .createTable('connections')
      .addColumn('level', 'text', (column) => column.primaryKey())
      .addColumn('settings', 'text', (column) => column.notNull())
      .addColumn('client_secret', 'text')
      .addColumn('updated_at', 'text', (column) => column.notNull())
      .execute()
    await db.schema
      .createTable('activity')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('at', 'text', (column) => column.notNull())
      .addColumn('user_id', 'text', (column) => column.references('users.id').onDelete('cascade'))
      .addColumn('type', 'text', (column) => column.notNull())
      .addColumn('detail', 'text', (column) => column.notNull())
      .execute()
    await db.schema.createIndex('activity_user').on('activity').columns(['user_id', 'at']).execute()
    // The table of rate-limiter-flexible, which must not create it: concurrent processes would collide.
    await db.schema
      .createTable('limits')
      .addColumn('key', 'varchar(255)', (column) => column.primaryKey())
      .addColumn('points', 'integer', (column) => column.notNull().defaultTo(0))
      .addColumn('expire', 'bigint')
      .execute()
  },

  async '003-board'(db) {
    await db.schema
      .createTable('notes')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('user_id', 'text', (column) => column.notNull().references('users.id').onDelete('cascade'))
      .addColumn('body', 'text', (column) => column.notNull())
      .addColumn('created_at', 'text', (column) => column.notNull())
      .execute()
    await db.schema.createIndex('notes_tenant').on('notes').columns(['tenant', 'created_at']).execute()
    await db.schema
      .createTable('mails')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('at', 'text', (column) => column.notNull())
      .addColumn('recipient', 'text', (column) => column.notNull())
      .addColumn('subject', 'text', (column) => column.notNull())
      .addColumn('body', 'text', (column) => column.notNull())
      .execute()
  },

  async '004-activity-by-tenant'(db) {
    await db.schema.alterTable('activity').addColumn('tenant', 'text').execute()
    await db.schema
      .alterTable('activity')
      .addColumn('count', 'integer', (column) => column.notNull().defaultTo(1))
      .execute()
    await db.schema.createIndex('activity_time').on('activity').column('at').execute()
    await db.schema.createIndex('activity_tenant').on('activity').columns(['tenant', 'at']).execute()
  },

  async '005-roles-and-invitations'(db) {
    await db.schema.alterTable('users').addColumn('role', 'text').execute()
    await db.schema
      .alterTable('users')
      .addColumn('tidies', 'integer', (column) => column.notNull().defaultTo(0))
      .execute()
    await db.schema
      .createTable('invitations')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('email_lower', 'text', (column) => column.notNull())
      .addColumn('expires_at', 'text', (column) => column.notNull())
      .execute()
  },
}

/**
 * Brings the tables up to date in one transaction under one lock, so that processes which start together wait for
 * each other. (SQLite takes its lock with the transaction, see `database.ts`.)
 */
export async function migrate(db: Db, kind: 'sqlite' | 'postgres'): Promise<void> {
  await db.transaction().execute(async (trx) => {
    if (kind === 'postgres') await sql`select pg_advisory_xact_lock(7311938)`.execute(trx)
    await trx.schema
      .createTable('migrations')
      .ifNotExists()
      .addColumn('name', 'text', (column) => column.primaryKey())
      .execute()
    const done = new Set((await trx.selectFrom('migrations').select('name').execute()).map((row) => row.name))
    for (const [name, step] of Object.entries(steps)) {
      if (done.has(name)) continue
      await step(trx)
      await trx.insertInto('migrations').values({ name }).execute()
    }
  })
}
