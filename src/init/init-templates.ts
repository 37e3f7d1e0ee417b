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
  readonly imports: string
  readonly open: string
  readonly close: string
}

const OWN_MODELS = (what: string): Opening => ({
  imports: `// TODO: import ${what} of your app, connected to a test database.`,
  open: `undefined /* TODO: ${what} */`,
  close: '',
})

const OPENINGS: Readonly<Record<string, Opening>> = {
  memory: {
    imports: "import { MemoryDatabase } from './accounts'",
    open: 'new MemoryDatabase()',
    close: '',
  },
  pg: {
    imports: "import { Pool } from 'pg'",
    open: 'new Pool({ connectionString: process.env.TEST_DATABASE_URL })',
    close: 'await database.end()',
  },
  mysql2: {
    imports: "import { createPool } from 'mysql2/promise'",
    open: 'createPool(process.env.TEST_DATABASE_URL)',
    close: 'await database.end()',
  },
  knex: {
    imports: "import knex from 'knex'",
    open: "knex({ client: 'pg', connection: process.env.TEST_DATABASE_URL })",
    close: 'await database.destroy()',
  },
  'better-sqlite3': {
    imports: "import Database from 'better-sqlite3'",
    open: "new Database(process.env.TEST_DATABASE_PATH ?? ':memory:')",
    close: 'database.close()',
  },
}

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
/** "Sign in with Bitbucket". Mount \`router\` after express-session and passport.session(). */
export function createBitbucket({ database, ...options }${isTypeScript ? ': Options' : ''}) {
  return bitbucketSignIn${isTypeScript ? '<User>' : ''}({
    secrets: [process.env.BITBUCKET_COOKIE_SECRET],
    connection: {
      clientID: process.env.BITBUCKET_CLIENT_ID${isTypeScript ? " ?? ''" : ''},
      clientSecret: process.env.BITBUCKET_CLIENT_SECRET${isTypeScript ? " ?? ''" : ''},
      callbackURL: process.env.BITBUCKET_CALLBACK_URL ?? 'http://localhost:3000${mount}/callback',
    },
    accounts: { ...accountHooks(database)${claims ? ', claimAddress: claimAddress(database)' : ''} },
    policy: { localAddresses: '${localAddresses}' },
    paths: { signIn: '${signIn}' },${
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
  runner: 'vitest' | 'jest' | 'node',
  isTypeScript: boolean,
): string {
  const { imports, open, close } = OPENINGS[recipe] ?? OWN_MODELS(`the ${recipe} database object`)
  const { localAddresses, mount } = answers
  const claims = localAddresses === 'verified'
  const cast = (type: string) => (isTypeScript ? type : '')
  return `import assert from 'node:assert/strict'
${runner === 'node' ? "import { after, test } from 'node:test'\n" : ''}import express from 'express'
import session from 'express-session'
import { Passport } from 'passport'
import { accountHookChecks, FAKE_CLIENT, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
${runner === 'vitest' ? "import { afterAll as after, test } from 'vitest'\n" : ''}${imports}
import { accountHooks } from './accounts'
import { createBitbucket } from './bitbucket'
${claims ? "import { claimAddress } from './claim-address'\n" : ''}import { testDatabase } from './test-database'

// A test database: the checks add, change and delete accounts in it.
const database = ${open}
${close ? `${runner === 'jest' ? 'afterAll' : 'after'}(async () => {\n  ${close}\n})\n` : ''}
const checks = accountHookChecks({
  testDatabase: true,
  accounts: { ...accountHooks(database)${claims ? ', claimAddress: claimAddress(database)' : ''} },
  database: testDatabase(database),
  localAddresses: '${localAddresses}',
})
for (const { title, skip, run } of checks) ${runner === 'node' ? '{\n  test(title, { skip }, run)\n}' : '(skip ? test.skip : test)(title, run)'}

test('a first sign-in with Bitbucket creates an account and signs in', async () => {
  const fake = await startFakeBitbucket()
  const app = express()
  const server = app.listen(0, '127.0.0.1')
  try {
    await new Promise((resolve) => server.once('listening', resolve))
    const origin = \`http://127.0.0.1:\${(server.address()${cast(' as { port: number }')}).port}\`
    const passport = new Passport()
    const users = new Map${cast('<string, Express.User>')}()
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
    const callback = await fake.signIn(start.headers.get('location') ?? '', { person: 'alice' })
    assert.equal((await visit(callback)).status, 302)
    assert.deepEqual(await (await visit(\`\${origin}/me\`)).json(), { signedIn: true })
    bitbucket.close()
  } finally {
    server.closeAllConnections()
    server.close()
    await fake.close()
  }
})
`
}

/** Names of the environment with what to put there. */
export function environmentFile({ mount }: InitAnswers): string {
  return `# Bitbucket > Workspace settings > OAuth clients > Create OAuth client
BITBUCKET_CLIENT_ID=
BITBUCKET_CLIENT_SECRET=
# Register exactly this one there.
BITBUCKET_CALLBACK_URL=http://localhost:3000${mount}/callback
# node -p "require('crypto').randomBytes(32).toString('base64url')"
BITBUCKET_COOKIE_SECRET=
# 32 bytes, for stored tokens: node -p "require('crypto').randomBytes(32).toString('base64')"
TOKEN_KEY=
`
}
