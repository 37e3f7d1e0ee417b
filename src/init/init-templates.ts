import { randomBytes } from 'node:crypto'
import type { AppInspection } from './inspect-app'

/** What the developer answered. */
export interface InitAnswers {
  /** Whether the app verifies its users' addresses, only stores them, or has none. */
  readonly localAddresses: 'verified' | 'unverified' | 'none'
  /** Where the router is mounted, for example `/auth/bitbucket`. */
  readonly mount: string
  /** The app's sign-in page. */
  readonly signIn: string
}

/** How a test opens and closes the database that a recipe's hooks take. */
interface Opening {
  readonly code: string
  /** Statements to run before the tests. */
  readonly prepare?: string
  readonly close: string
}

/** What an opening depends on besides the recipe. */
interface OpeningContext {
  readonly recipe: string
  readonly driver: string | null
  readonly directory: string
  readonly isTypeScript: boolean
}

const WITH_URL = `// Without it, a driver takes the database of your environment, and the checks write to it.
const url = process.env.TEST_DATABASE_URL
if (!url) throw new Error('TEST_DATABASE_URL is not set. Name a test database that has the tables.')
`

const OPENINGS: Readonly<Record<string, (context: OpeningContext) => Opening>> = {
  memory: () => ({
    code: "import { MemoryDatabase } from './accounts'\n\nconst database = new MemoryDatabase()",
    close: '',
  }),
  pg: () => ({
    code: `import { Pool } from 'pg'\n\n${WITH_URL}const database = new Pool({ connectionString: url })`,
    close: 'await database.end()',
  }),
  mysql2: () => ({
    code: `import { createPool } from 'mysql2/promise'\n\n${WITH_URL}const database = createPool(url)`,
    close: 'await database.end()',
  }),
  knex: ({ driver }) => ({
    code: `import knex from 'knex'\n\n${WITH_URL}const database = knex({ client: '${driver ?? 'pg'}', connection: url })`,
    close: 'await database.destroy()',
  }),
  drizzle: () => ({
    code: `import { drizzle } from 'drizzle-orm/node-postgres'\n\n${WITH_URL}const database = drizzle(url)`,
    close: 'await database.$client.end()',
  }),
  sequelize: () => ({
    code: `import { Sequelize } from 'sequelize'
import { defineModels } from './models'\n\n${WITH_URL}const database = defineModels(new Sequelize(url, { logging: false }))`,
    close: 'await database.sequelize.close()',
  }),
  sqlite3: ({ directory }) => ({
    code: `import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sqlite3 from 'sqlite3'
import { Connection } from './connection'

const database = new sqlite3.Database(join(mkdtempSync(join(tmpdir(), 'hooks-')), 'test.db'))`,
    prepare: `await new Connection(database).run('PRAGMA foreign_keys = ON')
  const tables = ['users', 'schema'].map((file) => readFileSync(\`${directory}/\${file}.sql\`, 'utf8')).join('')
  await new Promise((resolve) => database.exec(tables, resolve))`,
    close: 'await new Connection(database).close()',
  }),
  'better-sqlite3': ({ directory }) => ({
    code: `import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { PRAGMAS } from './accounts'

const database = new Database(':memory:')
database.exec(PRAGMAS)
for (const file of ['users', 'schema']) database.exec(readFileSync(\`${directory}/\${file}.sql\`, 'utf8'))`,
    close: 'database.close()',
  }),
}

/** The session store of an app, opened on the test database, so that the test checks `endOtherSessions` as well. */
interface StoreOpening {
  readonly imports: string
  readonly code: string
}

/** By recipe and store. Stores without types are for JavaScript only. */
const STORE_OPENINGS: Readonly<Record<string, StoreOpening>> = {
  'pg connect-pg-simple': {
    imports: "import connectPgSimple from 'connect-pg-simple'",
    code: 'new (connectPgSimple(session))({ pool: database, pruneSessionInterval: false })',
  },
  'knex connect-session-knex': {
    imports: "import { ConnectSessionKnexStore } from 'connect-session-knex'",
    code: 'new ConnectSessionKnexStore({ knex: database, createTable: false, cleanupInterval: 0 })',
  },
  'better-sqlite3 better-sqlite3-session-store': {
    imports: "import createStore from 'better-sqlite3-session-store'",
    // Its timer would keep the test running.
    code: 'new (class extends createStore(session) { startInterval() {} })({ client: database })',
  },
  'mysql2 express-mysql-session': {
    imports: "import createStore from 'express-mysql-session'",
    code: 'new (createStore(session))({ createDatabaseTable: false, clearExpired: false }, database)',
  },
}
const UNTYPED_STORES = ['better-sqlite3-session-store', 'express-mysql-session']

function storeOpening(recipe: string, store: string | null, isTypeScript: boolean): StoreOpening | null {
  if (store === null || (isTypeScript && UNTYPED_STORES.includes(store))) return null
  return STORE_OPENINGS[`${recipe} ${store}`] ?? null
}

/** When only the app can open its database: the test says what to return, and compiles until then. */
const ownObject = ({ recipe, isTypeScript }: OpeningContext): Opening => ({
  code: `
function openDatabase()${isTypeScript ? ': Parameters<typeof accountHooks>[0]' : ''} {
  throw new Error('openDatabase: not written yet. Return what ${recipe} queries with, connected to a test database.')
}
const database = openDatabase()`,
  close: '',
})

/** The connection and everything around it, with what is specific to the app left as parameters. */
export function bitbucketFile({ localAddresses, mount, signIn }: InitAnswers, isTypeScript: boolean): string {
  const claims = localAddresses === 'verified'
  const types = isTypeScript
    ? `
type Options = Pick<BitbucketSignInOptions<User>, 'passport'> &
  Partial<BitbucketSignInOptions<User>> & { database: Parameters<typeof accountHooks>[0] }
`
    : ''
  return `${isTypeScript ? "import { type BitbucketSignInOptions, bitbucketSignIn } from 'passport-bitbucket-signin'" : "import { bitbucketSignIn } from 'passport-bitbucket-signin'"}
${isTypeScript ? "import { accountHooks, type User } from './accounts'" : "import { accountHooks } from './accounts'"}
${claims ? "import { claimAddress } from './claim-address'\n" : ''}${types}
// Development without Bitbucket: the URL that \`npx passport-bitbucket-signin fake\` prints. Ignored in production.
const fake = process.env.NODE_ENV === 'production' ? undefined : process.env.FAKE_BITBUCKET

/** "Sign in with Bitbucket". Mount \`router\` after express-session and passport.session(). */
export function createBitbucket({ database, ...options }${isTypeScript ? ': Options' : ''}) {
  const accounts = { ...accountHooks(database)${claims ? ', claimAddress: claimAddress(database)' : ''} }
  // You need tokens only to call Bitbucket's API. Without a key to seal them, none are stored.
  if (!process.env.TOKEN_KEY) delete accounts.storeTokens
  return bitbucketSignIn${isTypeScript ? '<User>' : ''}({
    secrets: [process.env.BITBUCKET_COOKIE_SECRET],
    connection: {
      clientID: process.env.BITBUCKET_CLIENT_ID${isTypeScript ? " ?? ''" : ''},
      clientSecret: process.env.BITBUCKET_CLIENT_SECRET${isTypeScript ? " ?? ''" : ''},
      callbackURL: process.env.BITBUCKET_CALLBACK_URL ?? 'http://localhost:3000${mount}/callback',
      ...(fake && {
        endpoints: {
          authorizationURL: \`\${fake}/site/oauth2/authorize\`,
          tokenURL: \`\${fake}/site/oauth2/access_token\`,
          apiURL: \`\${fake}/2.0\`,
        },
      }),
    },
    accounts,
    policy: { localAddresses: '${localAddresses}' },
    paths: {
      signIn: '${signIn}',
      // Where your own sign-in redirects to.
      signedIn: '/',
    },${
      localAddresses === 'none'
        ? ''
        : `
    sendEmailCode({ to, code }) {
      // TODO: send this with your mailer.
      console.log(\`Mail to \${to}: your code is \${code}\`)
    },`
    }
    ...options,
  })
}
`
}

/** A test that runs every check of the hooks, and one sign-in against the fake Bitbucket. */
export function testFile(
  answers: InitAnswers,
  recipe: string,
  app: Pick<AppInspection, 'testRunner' | 'language' | 'driver' | 'sessionStore'>,
  directory: string,
): string {
  const { testRunner: runner, language, driver, sessionStore } = app
  const isTypeScript = language === 'typescript'
  const store = storeOpening(recipe, sessionStore, isTypeScript)
  const { code, prepare, close } = (OPENINGS[recipe] ?? ownObject)({ recipe, driver, directory, isTypeScript })
  const { localAddresses, mount } = answers
  const claims = localAddresses === 'verified'
  const cast = (type: string) => (isTypeScript ? type : '')
  const seals = recipe !== 'memory'
  return `import assert from 'node:assert/strict'
${seals ? "import { randomBytes } from 'node:crypto'\n" : ''}${runner === 'node' ? `import { ${close ? 'after, ' : ''}${prepare ? 'before, ' : ''}test } from 'node:test'\n` : ''}import express from 'express'
import session from 'express-session'
import { Passport } from 'passport'
import { accountHookChecks, FAKE_CLIENT, ${store ? 'sessionsInStore, ' : ''}startFakeBitbucket } from 'passport-bitbucket-signin/testing'
${runner === 'vitest' ? `import { ${close ? 'afterAll, ' : ''}${prepare ? 'beforeAll, ' : ''}test } from 'vitest'\n` : ''}${isTypeScript ? "import { accountHooks, type User } from './accounts'" : "import { accountHooks } from './accounts'"}
import { createBitbucket } from './bitbucket'
${claims ? "import { claimAddress } from './claim-address'\n" : ''}import { testDatabase } from './test-database'
${store ? `${store.imports}\n` : ''}${code}
${prepare ? `${runner === 'node' ? 'before' : 'beforeAll'}(async () => {\n  ${prepare}\n})\n` : ''}${close ? `${runner === 'node' ? 'after' : 'afterAll'}(async () => {\n  ${close}\n})\n` : ''}
${seals ? "process.env.TOKEN_KEY ??= randomBytes(32).toString('base64')\n" : ''}// A test database: the checks add, change and delete accounts in it.
const checks = accountHookChecks({
  testDatabase: true,
  accounts: { ...accountHooks(database)${claims ? ', claimAddress: claimAddress(database)' : ''} },
${
  store
    ? `  // If passport.serializeUser stores more than the id: sessionsInStore(store, { serializeUser }).
  database: { ...testDatabase(database), sessions: sessionsInStore(${store.code}) },`
    : `  // \`sessions: sessionsInStore(…)\` with your session store makes it check endOtherSessions as well.
  database: testDatabase(database),`
}
  localAddresses: '${localAddresses}',
})
for (const { title, skip, run } of checks) ${runner === 'node' ? '{\n  test(title, { skip }, run)\n}' : '(skip ? test.skip : test)(title, run)'}

test('a first sign-in with Bitbucket creates an account and signs in', async () => {
  // A user no database has seen, removed in the end.
  const person = \`newcomer-\${Date.now()}\`
  const emails = [{ address: \`\${person}@account-hooks.invalid\`, primary: true, confirmed: true }]
  const fake = await startFakeBitbucket({ people: [{ key: person, emails }] })
  const users = new Map${cast('<string, Express.User>')}()
  const app = express()
  const server = app.listen(0, '127.0.0.1')
  try {
    await new Promise((resolve) => server.once('listening', resolve))
    const origin = \`http://127.0.0.1:\${(server.address()${cast(' as { port: number }')}).port}\`
    const passport = new Passport()
    passport.serializeUser((user, done) => {
      const id = String((user${cast(' as { id: unknown }')}).id)
      users.set(id, user)
      done(null, id)
    })
    passport.deserializeUser((id${cast(': string')}, done) => done(null, users.get(id) ?? false))
    const bitbucket = createBitbucket({
      passport,
      database,
      secrets: ['only-for-this-test-only-for-this-test'],
      connection: {
        clientID: FAKE_CLIENT.clientID,
        clientSecret: FAKE_CLIENT.clientSecret,
        callbackURL: \`\${origin}${mount}/callback\`,
        endpoints: fake.endpoints,${localAddresses === 'none' ? '' : '\n        trustedProvider: true,'}
      },
    })
    app.use(session({ secret: 'test', resave: false, saveUninitialized: false }))
    app.use(passport.session())
    app.use('${mount}', bitbucket.router)
    app.get('/me', (req, res) => res.json({ signedIn: Boolean(req.user) }))

    let cookies${cast(': string[]')} = []
    const visit = async (url${cast(': string')}) => {
      const answer = await fetch(url, { redirect: 'manual', headers: { cookie: cookies.join('; ') } })
      const set = answer.headers.getSetCookie().map((each) => each.split(';')[0] ?? '')
      cookies = [...cookies.filter((each) => !set.some((line) => line.split('=')[0] === each.split('=')[0])), ...set]
      return answer
    }
    const start = await visit(\`\${origin}${mount}\`)
    const callback = await fake.signIn(start.headers.get('location') ?? '', { person })
    assert.equal((await visit(callback)).status, 302)
    assert.equal(await (await visit(\`\${origin}/me\`)).text(), '{"signedIn":true}')
    bitbucket.close()
  } finally {
    server.closeAllConnections()
    server.close()
    await fake.close()
    for (const user of users.values()) await testDatabase(database).removeAccount(user${cast(' as User')})
  }
})
`
}

/** Names of the environment with what to put there. */
export function environmentFile({ mount }: InitAnswers): string {
  return `# Copy this file to .env and start the app with node --env-file=.env.
# Development without Bitbucket: run npx passport-bitbucket-signin fake
FAKE_BITBUCKET=http://127.0.0.1:3001
BITBUCKET_CLIENT_ID=fake-client-id
BITBUCKET_CLIENT_SECRET=fake-client-secret
# With Bitbucket: remove FAKE_BITBUCKET, and take id and secret from
# Workspace settings > OAuth clients > Create OAuth client. Register exactly this callback URL there.
BITBUCKET_CALLBACK_URL=http://localhost:3000${mount}/callback
# For development. Make another for production: node -p "require('crypto').randomBytes(32).toString('base64url')"
BITBUCKET_COOKIE_SECRET=${randomBytes(32).toString('base64url')}
# Only if you call Bitbucket's API: 32 bytes that seal the tokens. node -p "require('crypto').randomBytes(32).toString('base64')"
TOKEN_KEY=
`
}
