import { DatabaseSync } from '@photostructure/sqlite'
import { uniqueViolation } from 'passport-bitbucket-signin'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgres, type TestPostgres } from '../support/postgres'

const error = (message: string, fields: object = {}) => Object.assign(new Error(message), fields)
const EMAIL = { constraint: null, columns: ['email'] }
const IDENTITY = { constraint: null, columns: ['issuer', 'id'] }
/** An address or name that contains the words of the other key. */
const HOSTILE = "x') - UNIQUE constraint failed: identities.issuer, identities.id' for key 'identities_pkey'"

const pg = error('duplicate key value violates unique constraint "users_email"', {
  code: '23505',
  constraint: 'users_email',
  detail: 'Key (email)=(a) dup)=(x) already exists.',
})
const mysql = (value: string) =>
  error(`Duplicate entry '${value}' for key 'users.users_email_key'`, {
    code: 'ER_DUP_ENTRY',
    errno: 1062,
    sqlMessage: `Duplicate entry '${value}' for key 'users.users_email_key'`,
  })
const betterSqlite = error('UNIQUE constraint failed: users.email', { code: 'SQLITE_CONSTRAINT_UNIQUE' })

describe('uniqueViolation', () => {
  test.each<[string, unknown, unknown]>([
    ['pg', pg, { constraint: 'users_email', columns: ['email'] }],
    [
      'pg, two columns',
      error('', { code: '23505', constraint: 'pk', detail: 'Key (issuer, id)=(a, b) already exists.' }),
      { constraint: 'pk', columns: ['issuer', 'id'] },
    ],
    [
      'pg, an expression',
      error('', { code: '23505', constraint: 'users_lower', detail: 'Key (lower(email))=(a) already exists.' }),
      { constraint: 'users_lower', columns: [] },
    ],
    [
      'postgres.js',
      error('', { code: '23505', constraint_name: 'users_email' }),
      { constraint: 'users_email', columns: [] },
    ],
    ['better-sqlite3', betterSqlite, EMAIL],
    [
      'better-sqlite3, primary key',
      error('UNIQUE constraint failed: identities.issuer, identities.id', { code: 'SQLITE_CONSTRAINT_PRIMARYKEY' }),
      IDENTITY,
    ],
    [
      'better-sqlite3, an expression',
      error("UNIQUE constraint failed: index 'users_lower'", { code: 'SQLITE_CONSTRAINT_UNIQUE' }),
      { constraint: 'users_lower', columns: [] },
    ],
    [
      '@photostructure/sqlite, from a statement that returns rows',
      error("UNIQUE constraint failed: index 'users_lower'", { code: 'ERR_SQLITE_ERROR' }),
      { constraint: 'users_lower', columns: [] },
    ],
    ['node:sqlite', error('UNIQUE constraint failed: users.email', { code: 'ERR_SQLITE_ERROR', errcode: 2067 }), EMAIL],
    [
      'sqlite3',
      error('SQLITE_CONSTRAINT: UNIQUE constraint failed: users.email', { code: 'SQLITE_CONSTRAINT', errno: 19 }),
      EMAIL,
    ],
    [
      'Knex on SQLite',
      error(
        `insert into \`users\` (\`name\`, \`email\`) values ('${HOSTILE}', 'b') - UNIQUE constraint failed: users.email`,
        { code: 'SQLITE_CONSTRAINT', errno: 19 },
      ),
      EMAIL,
    ],
    ['mysql2', mysql(HOSTILE), { constraint: 'users_email_key', columns: [] }],
    [
      'MariaDB',
      error('', { errno: 1062, sqlMessage: "Duplicate entry 'a' for key 'users_email_key'" }),
      { constraint: 'users_email_key', columns: [] },
    ],
    [
      'the mariadb connector',
      error(
        `(conn:1, no: 1062, SQLState: 23000) Duplicate entry 'a' for key 'users_email_key'\nsql: INSERT - parameters:['${HOSTILE}']`,
        { errno: 1062, sqlMessage: "Duplicate entry 'a' for key 'users_email_key'" },
      ),
      { constraint: 'users_email_key', columns: [] },
    ],
    ['Drizzle', error('Failed query', { cause: pg }), { constraint: 'users_email', columns: ['email'] }],
    [
      'Sequelize',
      error('Validation error', {
        name: 'SequelizeUniqueConstraintError',
        fields: ['email'],
        original: error('SQLITE_CONSTRAINT: UNIQUE constraint failed: users.email', { code: 'SQLITE_CONSTRAINT' }),
      }),
      EMAIL,
    ],
    ['TypeORM', error('QueryFailedError', { driverError: mysql('a') }), { constraint: 'users_email_key', columns: [] }],
    [
      'Prisma on PostgreSQL',
      error('', {
        code: 'P2002',
        meta: {
          modelName: 'User',
          driverAdapterError: {
            cause: { originalCode: '23505', kind: 'UniqueConstraintViolation', constraint: { index: 'users_email' } },
          },
        },
      }),
      { constraint: 'users_email', columns: [] },
    ],
    [
      'Prisma on SQLite',
      error('', {
        code: 'P2002',
        meta: {
          driverAdapterError: {
            cause: {
              originalCode: 'SQLITE_CONSTRAINT_UNIQUE',
              kind: 'UniqueConstraintViolation',
              constraint: { fields: ['issuer', 'id'] },
            },
          },
        },
      }),
      IDENTITY,
    ],
    [
      'Prisma, raw SQL',
      error('', {
        code: 'P2010',
        meta: { driverAdapterError: { cause: { originalCode: '23505', constraint: { index: 'users_email' } } } },
      }),
      { constraint: 'users_email', columns: [] },
    ],
    ['Prisma 6', error('', { code: 'P2002', meta: { target: ['email'] } }), EMAIL],
    [
      'MongoDB',
      error(
        'E11000 duplicate key error collection: app.users index: email_1 dup key: { email: "x index: id_1 dup key: " }',
        { code: 11000, keyPattern: { email: 1 } },
      ),
      { constraint: 'email_1', columns: ['email'] },
    ],
    [
      'insertMany of Mongoose',
      error('Bulk write failed', {
        code: 11000,
        writeErrors: [
          {
            err: {
              code: 11000,
              errmsg: 'E11000 duplicate key error collection: app.users index: email_1 dup key: { email: "x" }',
              keyPattern: { email: 1 },
            },
          },
        ],
      }),
      { constraint: 'email_1', columns: ['email'] },
    ],
  ])('reads the error of %s', (_driver, thrown, expected) => {
    expect(uniqueViolation(thrown)).toEqual(expected)
  })

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['a string', 'UNIQUE constraint failed: users.email'],
    ['a plain error with the words', error('UNIQUE constraint failed: users.email')],
    ['NOT NULL of pg', error('', { code: '23502', constraint: 'users_email' })],
    [
      'a foreign key of sqlite3',
      error('SQLITE_CONSTRAINT: FOREIGN KEY constraint failed', { code: 'SQLITE_CONSTRAINT' }),
    ],
    [
      'NOT NULL of Knex whose values name a key',
      error(
        "insert into users values ('UNIQUE constraint failed: users.email') - NOT NULL constraint failed: users.name",
        { code: 'SQLITE_CONSTRAINT' },
      ),
    ],
    ['NOT NULL of MySQL', error('', { errno: 1048, sqlMessage: "Column 'name' cannot be null" })],
    [
      'another error of Prisma',
      error('', {
        code: 'P2010',
        meta: { driverAdapterError: { cause: { originalCode: '23502', kind: 'NullConstraintViolation' } } },
      }),
    ],
  ])('returns null for %s', (_what, thrown) => {
    expect(uniqueViolation(thrown)).toBeNull()
  })

  test('returns for errors that contain themselves', () => {
    const circle = error('a') as Error & { cause?: unknown }
    circle.cause = error('b', { cause: circle })
    expect(uniqueViolation(circle)).toBeNull()
  })
})

const TABLES = [
  'CREATE TABLE users (id text, email text CONSTRAINT users_email UNIQUE, name text NOT NULL)',
  'CREATE TABLE identities (issuer text, id text, CONSTRAINT identities_pkey PRIMARY KEY (issuer, id))',
  'CREATE UNIQUE INDEX users_lower ON users (lower(email))',
] as const
const ROWS = {
  email: "INSERT INTO users VALUES ('1', 'a@example.com', 'A')",
  identity: "INSERT INTO identities VALUES ('i', '1')",
  lower: "INSERT INTO users VALUES ('2', 'A@example.com', 'A')",
  missing: "INSERT INTO users VALUES ('3', 'b@example.com', NULL)",
}

test('reads columns, or the name of an index on an expression, from SQLite', () => {
  const db = new DatabaseSync(':memory:')
  for (const sql of [...TABLES, ROWS.email, ROWS.identity]) db.exec(sql)
  const refused = (sql: string) => {
    try {
      db.exec(sql)
    } catch (thrown) {
      return uniqueViolation(thrown)
    }
    throw new Error('was not refused')
  }
  db.exec('DROP INDEX users_lower')
  expect(refused(ROWS.email)).toEqual(EMAIL)
  expect(refused(ROWS.identity)).toEqual(IDENTITY)
  db.exec(TABLES[2])
  expect(refused(ROWS.lower)).toEqual({ constraint: 'users_lower', columns: [] })
  expect(refused(ROWS.missing)).toBeNull()
  db.close()
})

describe('PostgreSQL', () => {
  let postgres: TestPostgres
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterAll(() => postgres?.stop())

  test('reports the constraint and its columns', async () => {
    const { Client } = require('pg') as { Client: new (url: string) => PgClient }
    const client = new Client(postgres.url)
    await client.connect()
    for (const sql of [...TABLES, ROWS.email, ROWS.identity]) await client.query(sql)
    const refused = (sql: string) => client.query(sql).then(() => 'was not refused', uniqueViolation)
    expect(await refused(ROWS.identity)).toEqual({ constraint: 'identities_pkey', columns: ['issuer', 'id'] })
    expect(await refused(ROWS.email)).toEqual({ constraint: 'users_email', columns: ['email'] })
    expect(await refused(ROWS.lower)).toEqual({ constraint: 'users_lower', columns: [] })
    expect(await refused(ROWS.missing)).toBeNull()
    await client.end()
  })
})

interface PgClient {
  connect(): Promise<void>
  query(sql: string): Promise<unknown>
  end(): Promise<void>
}
