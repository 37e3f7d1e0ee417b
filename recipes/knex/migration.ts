import type { Knex } from 'knex'
import { addressKey } from '../shared/address-key'

/** Adds to an existing table `users`, or creates it. */
export async function up(knex: Knex): Promise<void> {
  if (!(await knex.schema.hasTable('users'))) {
    await knex.schema.createTable('users', (table) => {
      table.increments('id')
      table.text('name')
      table.text('email')
      table.text('password_hash') // null: signs in with Bitbucket only
    })
  }
  await knex.schema.alterTable('users', (table) => {
    // Lower case, set by the app: the same key on every database.
    table.string('email_key', 254)
    table.boolean('email_verified').notNullable().defaultTo(false)
    table.boolean('suspended').notNullable().defaultTo(false)
    table.boolean('auto_link').notNullable().defaultTo(true) // false after an unlink
  })
  for (const { id, email } of await knex('users').whereNotNull('email').select('id', 'email'))
    await knex('users')
      .where({ id })
      .update({ email_key: addressKey(email) })
  // Fails if two accounts have addresses that differ in letter case only: decide whose it is first.
  await knex.schema.alterTable('users', (table) => table.unique(['email_key'], { indexName: 'users_email_lower_key' }))
  await knex.schema.createTable('identities', (table) => {
    table.string('issuer').notNullable()
    table.string('subject', 64).notNullable() // Bitbucket's uuid; not `id`, which a join would mix up with users.id
    table.integer('user_id').unsigned().notNullable().references('users.id').onDelete('CASCADE')
    table.text('profile').notNullable() // JSON
    table.text('tokens', 'mediumtext') // sealed
    table.unique(['issuer', 'subject'], { indexName: 'identities_key' })
    table.unique(['user_id', 'issuer'], { indexName: 'identities_one_per_user' })
  })
  // Your confirmation links. Only apps that verify addresses have them.
  await knex.schema.createTable('email_confirmations', (table) => {
    table.string('token_hash', 64).primary()
    table.integer('user_id').unsigned().notNullable().references('users.id').onDelete('CASCADE')
    table.string('email_key', 254).notNullable()
  })
  if (await knex.schema.hasTable('sessions')) return
  // The table of connect-session-knex.
  await knex.schema.createTable('sessions', (table) => {
    table.string('sid').primary()
    table.json('sess').notNullable()
    table.timestamp('expired').notNullable()
  })
}

/** Leaves `users` and `sessions`, which may have been there before. */
export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('email_confirmations')
  await knex.schema.dropTable('identities')
  await knex.schema.alterTable('users', (table) => {
    table.dropUnique(['email_key'], 'users_email_lower_key')
    table.dropColumns('email_key', 'email_verified', 'suspended', 'auto_link')
  })
}
