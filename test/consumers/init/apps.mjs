// Small apps with passwords, as they are before `init`, and the lines that their developers write afterwards.

/** The app: sign-up, sign-in and sign-out with passwords. Types between slashes are for TypeScript. */
export const SERVER = `import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'
import express/*, { type NextFunction, type Request, type Response }*/ from 'express'
import session from 'express-session'
import passport from 'passport'
import { addUser, database, findByEmail, findById, /*type User*/ } from './users'
STORE_IMPORT
passport.serializeUser((user, done) => done(null, (user/* as User*/).id))
passport.deserializeUser((id/*: string*/, done) => {
  findById(id).then((user) => done(null, user ?? false), done)
})

const app = express()
app.use(express.urlencoded({ extended: false }))
app.use(session({ STORE_OPTION secret: 'for this app only', resave: false, saveUninitialized: false }))
app.use(passport.session())

app.get('/me', (req, res) => {
  res.json(req.user ? String((req.user/* as User*/).id) : null)
})
app.get('/login', (req, res) => {
  res.send('<form method="post" action="/login"><input name="email"><input name="password"></form>')
})
app.post('/sign-up', (req, res, next) => {
  const salt = randomBytes(16).toString('hex')
  const hash = scryptSync(req.body.password, salt, 32).toString('hex')
  addUser(req.body.email, salt + hash).then((user) => signIn(req, res, next, user), next)
})
app.post('/login', (req, res, next) => {
  findByEmail(req.body.email).then((user) => {
    if (!user?.password_hash || !matches(user.password_hash, req.body.password)) return res.status(401).send('Incorrect')
    signIn(req, res, next, user)
  }, next)
})
app.post('/logout', (req, res, next) => {
  req.logout((error) => (error ? next(error) : res.redirect('/login')))
})

function signIn(req/*: Request*/, res/*: Response*/, next/*: NextFunction*/, user/*: User*/) {
  req.logIn(user, (error) => (error ? next(error) : res.redirect('/me')))
}
function matches(stored/*: string*/, password/*: string*/) {
  return timingSafeEqual(Buffer.from(stored.slice(32), 'hex'), scryptSync(password, stored.slice(0, 32), 32))
}

app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening'))
`

/** The lines that `init` prints, put where they belong. */
export const SERVER_EDITS = [
  ['import { addUser,', "import { createBitbucket } from './bitbucket/bitbucket'\nimport { addUser,"],
  ['const app = express()', 'const bitbucket = createBitbucket({ passport, database })\nconst app = express()'],
  ['app.use(passport.session())\n', "app.use(passport.session())\napp.use('/auth/bitbucket', bitbucket.router)\n"],
  [
    "app.get('/login', (req, res) => {\n  res.send('",
    "app.get('/login', async (req, res) => {\n  const button = await bitbucket.button(req)\n  res.send(button + '",
  ],
  ["app.post('/logout', (req", "app.post('/logout', async (req"],
  ['  req.logout(', '  await bitbucket.forget(req, res)\n  req.logout('],
  [
    "req.logIn(user, (error) => (error ? next(error) : res.redirect('/me')))",
    "req.logIn(user, (error) => {\n    if (error) return next(error)\n    bitbucket.signedIn(req).then((path) => res.redirect(path ?? '/me'), next)\n  })",
  ],
]

const USER = `/*
export interface User {
  id: any
  password_hash: string | null
}*/`

const USERS_PG = `import { Pool } from 'pg'
${USER}
export const database = new Pool({ connectionString: process.env.DATABASE_URL })
const one = async (sql/*: string*/, values/*: unknown[]*/)/*: Promise<User | undefined>*/ => (await database.query(sql, values)).rows[0]
export const findById = (id/*: string*/) => one('SELECT * FROM users WHERE id = $1', [id])
export const findByEmail = (email/*: string*/) => one('SELECT * FROM users WHERE email = $1', [email])
export async function addUser(email/*: string*/, hash/*: string*/)/*: Promise<User>*/ {
  return (await one('INSERT INTO users (name, email, password_hash) VALUES ($1, $1, $2) RETURNING *', [email, hash]))/* as User*/
}
`

const USERS_KNEX = `import createKnex from 'knex'
${USER}
export const database = createKnex({ client: 'pg', connection: process.env.DATABASE_URL/* ?? ''*/ })
export const findById = async (id/*: string*/)/*: Promise<User | undefined>*/ => database('users').where({ id }).first()
export const findByEmail = async (email/*: string*/)/*: Promise<User | undefined>*/ => database('users').where({ email }).first()
export async function addUser(email/*: string*/, password_hash/*: string*/)/*: Promise<User>*/ {
  return (await database('users').insert({ name: email, email, password_hash }, ['*']))[0]
}
`

const USERS_SQLITE = `import Database from 'better-sqlite3'
${USER}
export const database = new Database(process.env.DATABASE_URL)
database.exec('CREATE TABLE IF NOT EXISTS users (id integer PRIMARY KEY, name text, email text UNIQUE, password_hash text)')
export const findById = async (id) => database.prepare('SELECT * FROM users WHERE id = ?').get(id)
export const findByEmail = async (email) => database.prepare('SELECT * FROM users WHERE email = ?').get(email)
export async function addUser(email, hash) {
  const insert = database.prepare('INSERT INTO users (name, email, password_hash) VALUES (?, ?, ?) RETURNING *')
  return insert.get(email, email, hash)
}
`

const USERS_SQLITE3 = `import sqlite3 from 'sqlite3'
${USER}
export const database = new sqlite3.Database(process.env.DATABASE_URL)
const one = (sql, ...values) => new Promise((resolve, reject) => {
  database.get(sql, values, (error, row) => (error ? reject(error) : resolve(row)))
})
export const findById = (id) => one('SELECT * FROM users WHERE id = ?', id)
export const findByEmail = (email) => one('SELECT * FROM users WHERE email = ?', email)
export const addUser = (email, hash) => one('INSERT INTO users (name, email, password_hash) VALUES (?, ?, ?) RETURNING *', email, email, hash)
`

const USERS_DRIZZLE = `import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, serial, text } from 'drizzle-orm/pg-core'
${USER.replace('  password_hash', '  passwordHash')}
export const users = pgTable('users', {
  id: serial().primaryKey(),
  name: text(),
  email: text().unique(),
  passwordHash: text('password_hash'),
})
export const database = drizzle(process.env.DATABASE_URL/* ?? ''*/)
const named = (user/*: any*/) => user && { ...user, password_hash: user.passwordHash }
export const findById = async (id/*: any*/) => named((await database.select().from(users).where(eq(users.id, id)))[0])
export const findByEmail = async (email/*: string*/) => named((await database.select().from(users).where(eq(users.email, email)))[0])
export async function addUser(email/*: string*/, passwordHash/*: string*/)/*: Promise<User>*/ {
  return (await database.insert(users).values({ name: email, email, passwordHash }).returning())[0]/*!*/
}
`

/** Users in memory: a stack that `init` does not know. */
const USERS_OWN = `import { randomUUID } from 'node:crypto'
${USER}
const users/*: any[]*/ = []
export const database = users
export const findById = async (id/*: string*/) => users.find((user) => user.id === id)
export const findByEmail = async (email/*: string*/) => users.find((user) => user.email === email)
export async function addUser(email/*: string*/, password_hash/*: string*/)/*: Promise<User>*/ {
  const user = { id: randomUUID(), name: email, email, password_hash }
  users.push(user)
  return user
}
`

/** With hooks in memory, the users of the app move into the same object. */
const OWN_EDITS = [
  [
    'users.ts',
    "import { randomUUID } from 'node:crypto'\n",
    "import { randomUUID } from 'node:crypto'\nimport { MemoryDatabase } from './bitbucket/accounts'\n",
  ],
  [
    'users.ts',
    'const users/*: any[]*/ = []\nexport const database = users\n',
    'export const database = new MemoryDatabase()\nconst users/*: Map<string, any>*/ = database.users\n',
  ],
  [
    'users.ts',
    'async (id/*: string*/) => users.find((user) => user.id === id)',
    'async (id/*: string*/) => users.get(id)',
  ],
  [
    'users.ts',
    '=> users.find((user) => user.email === email)',
    '=> [...users.values()].find((user) => user.email === email)',
  ],
  [
    'users.ts',
    'const user = { id: randomUUID(), name: email, email, password_hash }\n  users.push(user)',
    'const user = { id: randomUUID(), name: email, email, password_hash, emailVerified: false, hasPassword: true, suspended: false, autoLink: true }\n  users.set(user.id, user)',
  ],
]

const DRIZZLE_EDITS = [
  [
    'users.ts',
    "import { pgTable, serial, text } from 'drizzle-orm/pg-core'\n",
    "import { users } from './bitbucket/schema'\n",
  ],
  ['users.ts', /export const users = pgTable[\s\S]*?\n\}\)\n/, ''],
  [
    'users.ts',
    'values({ name: email, email, passwordHash })',
    'values({ name: email, email, emailKey: addressKey(email), passwordHash })',
  ],
  [
    'users.ts',
    "import { users } from './bitbucket/schema'\n",
    "import { addressKey } from './bitbucket/address-key'\nimport { users } from './bitbucket/schema'\n",
  ],
]

/** A key of its own keeps addresses unique, so the app's sign-up writes it as well. */
const KNEX_EDITS = [
  [
    'users.ts',
    "import createKnex from 'knex'\n",
    "import createKnex from 'knex'\nimport { addressKey } from './bitbucket/address-key'\n",
  ],
  [
    'users.ts',
    'insert({ name: email, email, password_hash }',
    'insert({ name: email, email, email_key: addressKey(email), password_hash }',
  ],
]

/** What drizzle-kit generates for the columns that the app's table lacks, and for the new tables. */
const DRIZZLE_MIGRATION = `ALTER TABLE users ADD COLUMN email_key text CONSTRAINT users_email_lower_key UNIQUE;
ALTER TABLE users ADD COLUMN email_verified boolean NOT NULL DEFAULT false;
ALTER TABLE users ADD COLUMN suspended boolean NOT NULL DEFAULT false;
ALTER TABLE users ADD COLUMN auto_link boolean NOT NULL DEFAULT true;
`

const pg = {
  users: USERS_PG,
  packages: ['pg@8.23.1'],
  server: 'postgres',
  sql: ['existing-users.sql', 'schema.sql'],
  types: ['@types/pg@8.23.1'],
}
const pgStore = {
  packages: [...pg.packages, 'connect-pg-simple@10.0.0'],
  store: {
    import: "import connectPgSimple from 'connect-pg-simple'\n",
    option: 'store: new (connectPgSimple(session))({ pool: database }),',
  },
}
const knex = {
  users: USERS_KNEX,
  packages: ['knex@3.3.0', 'pg@8.23.1', 'connect-session-knex@5.0.0'],
  server: 'postgres',
  migration: 'migration',
  edits: KNEX_EDITS,
  store: {
    import: "import { ConnectSessionKnexStore } from 'connect-session-knex'\n",
    option: 'store: new ConnectSessionKnexStore({ knex: database, createTable: false }),',
  },
  types: [],
}
const sqlite = {
  users: USERS_SQLITE,
  packages: ['better-sqlite3@12.11.1', 'better-sqlite3-session-store@0.1.0'],
  server: 'sqlite',
  sql: ['existing-users.sql', 'schema.sql'],
  store: {
    import: "import createStore from 'better-sqlite3-session-store'\n",
    option: 'store: new (createStore(session))({ client: database }),',
  },
  types: [],
}
const sqlite3 = {
  users: USERS_SQLITE3,
  packages: ['sqlite3@6.0.1', 'connect-sqlite3@0.9.16'],
  overrides: { 'connect-sqlite3': { sqlite3: '6.0.1' } },
  store: {
    import: "import connectSqlite from 'connect-sqlite3'\n",
    option: "store: new (connectSqlite(session))({ db: 'sessions.db' }),",
  },
  server: 'sqlite',
  sql: ['existing-users.sql', 'schema.sql'],
  types: [],
}
const drizzle = {
  users: USERS_DRIZZLE,
  packages: ['drizzle-orm@0.45.4', 'pg@8.23.1'],
  server: 'postgres',
  edits: DRIZZLE_EDITS,
  developerSql: DRIZZLE_MIGRATION,
  sql: ['schema.sql'],
  types: ['@types/pg@8.23.1'],
}
/** An app that confirms addresses by a link, which is left out here. */
const pgVerified = {
  ...pg,
  users: USERS_PG.replace(
    '(name, email, password_hash) VALUES ($1, $1, $2)',
    '(name, email, password_hash, email_verified) VALUES ($1, $1, $2, true)',
  ),
  before:
    'CREATE TABLE users (id serial PRIMARY KEY, name text, email text UNIQUE, password_hash text, email_verified boolean NOT NULL)',
}
const own = { users: USERS_OWN, packages: [], server: null, edits: OWN_EDITS, types: [] }

const ownVerified = {
  ...own,
  edits: OWN_EDITS.map(([file, find, replace]) => [
    file,
    find,
    replace.replace('emailVerified: false', 'emailVerified: true'),
  ]),
}

export const APPS = [
  { name: 'CommonJS, Express 4, pg', language: 'cjs', express: 4, ...pg, ...pgStore, addresses: 'unverified' },
  { name: 'ES modules, Express 5, Knex', language: 'esm', express: 5, ...knex, addresses: 'unverified' },
  { name: 'ES modules, Express 4, sqlite3', language: 'esm', express: 4, ...sqlite3, addresses: 'unverified' },
  { name: 'CommonJS, Express 5, better-sqlite3', language: 'cjs', express: 5, ...sqlite, addresses: 'unverified' },
  {
    name: 'TypeScript as ES modules, Express 5, Drizzle',
    language: 'ts-esm',
    express: 5,
    ...drizzle,
    addresses: 'unverified',
  },
  {
    name: 'TypeScript as CommonJS, Express 4, pg',
    language: 'ts-cjs',
    express: 4,
    ...pgVerified,
    addresses: 'verified',
  },
  { name: 'TypeScript as CommonJS, Express 5, Knex', language: 'ts-cjs', express: 5, ...knex, addresses: 'unverified' },
  { name: 'ES modules, Express 4, an unknown database', language: 'esm', express: 4, ...own, addresses: 'unverified' },
  {
    name: 'TypeScript as ES modules, Express 5, an unknown database',
    language: 'ts-esm',
    express: 5,
    ...ownVerified,
    addresses: 'verified',
  },
]
