import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('users', (table) => {
    table.increments('id')
    table.text('name').notNullable()
    table.text('email')
    // Lower case, set by the app: the same key on every database.
    table.string('email_key', 254).unique({ indexName: 'users_email_key' })
    table.boolean('email_verified').notNullable().defaultTo(false)
    table.text('password_hash') // null: signs in with Bitbucket only
    table.boolean('suspended').notNullable().defaultTo(false)
    table.boolean('auto_link').notNullable().defaultTo(true) // false after an unlink
  })
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
  // The table of connect-session-knex.
  await knex.schema.createTable('sessions', (table) => {
    table.string('sid').primary()
    table.json('sess').notNullable()
    table.timestamp('expired').notNullable()
  })
}

export async function down(knex: Knex): Promise<void> {
  for (const table of ['sessions', 'email_confirmations', 'identities', 'users']) await knex.schema.dropTable(table)
}
