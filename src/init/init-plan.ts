import { bitbucketFile, environmentFile, type InitAnswers, testFile } from './init-templates'
import { type AppInspection, UNESCAPED } from './inspect-app'
import { type Format, inFormat, recipeFiles } from './recipe-files'

/** Where the written test gets its tables: users in memory, the written SQL, `TEST_DATABASE_URL`, or code to write. */
export type TestDatabaseSource = 'memory' | 'sql' | 'url' | 'unwritten'

/** What `init` would do; nothing is written yet. */
export interface InitPlan {
  readonly recipe: string
  /** Contents by path below the app's folder. */
  readonly files: ReadonlyMap<string, string>
  /** Packages to install, each with what it is for. */
  readonly install: readonly string[]
  /** Lines to add to the app. */
  readonly appLines: string
  /** What was not recognised, and what to do about it. */
  readonly notes: readonly string[]
  /** How to create the tables, `null` when there are none. */
  readonly tables: string | null
  readonly testCommand: string
  readonly testDatabase: TestDatabaseSource
}

/** Decides on files, packages and lines for an app. `directory` is where the files go. */
export function planInit(app: AppInspection, answers: InitAnswers, directory: string, chosenRecipe?: string): InitPlan {
  const format = formatOf(app)
  const wanted = chosenRecipe ?? app.recipe ?? 'memory'
  const found = recipeFiles(wanted, format)
  const recipe = found ? wanted : 'memory'
  const files = new Map(found ?? recipeFiles('memory', format) ?? [])
  if (answers.localAddresses !== 'verified') files.delete(`claim-address${format.ending}`)
  const isTypeScript = app.language === 'typescript'
  const ours = {
    bitbucket: bitbucketFile(answers, isTypeScript),
    'bitbucket.test': testFile(answers, recipe, app, directory),
  }
  for (const [name, code] of Object.entries(ours)) files.set(name + format.ending, inFormat(code, format))
  return {
    recipe,
    files: new Map([
      ...[...files].map(([name, code]) => [`${directory}/${name}`, code] as const),
      ['.env.example', environmentFile(answers)] as const,
    ]),
    install: missingPackages(app, recipe),
    appLines: appLines(app, answers, directory, format),
    notes: notesOn(app, recipe, wanted),
    tables: tablesFrom(recipe, [...files.keys()], directory, format),
    testCommand: testCommand(app, `${directory}/bitbucket.test${format.ending}`),
    testDatabase: testDatabaseOf(recipe, ours['bitbucket.test']),
  }
}

function testDatabaseOf(recipe: string, test: string): TestDatabaseSource {
  if (recipe === 'memory') return 'memory'
  if (test.includes('TEST_DATABASE_URL')) return 'url'
  return test.includes('.sql') ? 'sql' : 'unwritten'
}

/** The user table exists in most apps, so its columns come apart from the new tables. */
function tablesFrom(recipe: string, names: readonly string[], directory: string, { ending }: Format): string | null {
  if (recipe === 'memory') return null
  const rename = `Change the names of tables and columns to yours, in all files of ${directory}.`
  if (names.includes('existing-users.sql'))
    return `Create the tables: ${directory}/existing-users.sql if you have a users table, otherwise users.sql; then schema.sql. ${rename}`
  const source = names.find((name) => /^(?:migration|schema|models|entities)\./.test(name)) ?? `accounts${ending}`
  return `Create the tables of ${directory}/${source}. If you have a users table, add the columns that it lacks. ${rename}`
}

function formatOf({ language, importsNeedEnding }: AppInspection): Format {
  return { language, importsNeedEnding, ending: language === 'typescript' ? '.ts' : '.js' }
}

function missingPackages(app: AppInspection, recipe: string): readonly string[] {
  return [
    ...(app.express === null ? ['express'] : []),
    ...(app.passport === null ? ['passport'] : []),
    ...(app.expressSession === null ? ['express-session'] : []),
    ...(app.language === 'typescript' ? missingForTypeScript(app, recipe) : []),
  ]
}

function missingForTypeScript({ installed, testRunner }: AppInspection, recipe: string): readonly string[] {
  const needed = [
    ...(testRunner === 'node' ? ['tsx'] : []),
    ...(testRunner === 'jest' ? ['@types/jest'] : []),
    '@types/express-session',
    ...(recipe === 'pg' || recipe === 'better-sqlite3' ? [`@types/${recipe}`] : []),
  ]
  return needed.filter((name) => !installed.includes(name)).map((name) => `-D ${name}`)
}

function testCommand({ language, testRunner }: AppInspection, path: string): string {
  if (testRunner === 'vitest') return `npx vitest run ${path}`
  // Jest loads ES modules with this flag only.
  if (testRunner === 'jest' && language === 'esm')
    return `node --experimental-vm-modules node_modules/jest/bin/jest.js ${path}`
  if (testRunner === 'jest') return `npx jest ${path}`
  return language === 'typescript' ? `node --import tsx --test ${path}` : `node --test ${path}`
}

function appLines(
  { language, importsNeedEnding }: AppInspection,
  { mount, signIn }: InitAnswers,
  directory: string,
  { ending }: Format,
): string {
  // The app's own files are in `src` too, where there is one.
  const path = `./${directory.replace(/^src\//, '')}/bitbucket${importsNeedEnding ? ending.replace('.ts', '.js') : ''}`
  const load =
    language === 'commonjs'
      ? `const { createBitbucket } = require('${path}')`
      : `import { createBitbucket } from '${path}'`
  return `${load}

const bitbucket = createBitbucket({ passport, database }) // database: your pool, client or ORM

app.use(session({ … }))            // you have this
app.use(passport.session())        // and this
app.use('${mount}', bitbucket.router)

app.get('${signIn}', (req, res, next) => {
  // The button is HTML: print it unescaped, on your sign-up page as well.
  // Show \`pending\`, if it is not null, as a link: Continue as \${pending.label} (escape it), to pending.next.
  const pending = bitbucket.pending(req)
  bitbucket.button(req).then((button) => res.render('login', { button, pending }), next)
})

// Where your own sign-in and sign-up redirect to, after req.logIn:
bitbucket.signedIn(req).then((path) => res.redirect(path ?? '/'), next)

// In your sign-out, around req.logout:
bitbucket.forget(req, res).then(() => req.logout((error) => …), next)

// On your account page, with the path of that page:
<a href="${mount}/link?returnTo=/account">Bitbucket</a>
`
}

const IN_MEMORY_STORE = "`endOtherSessions` deletes sessions in express-session's MemoryStore."
/** The session store whose table `endOtherSessions` of a recipe reads. Kysely's is the app's own. */
const STORE_OF_RECIPE: Readonly<Record<string, string>> = {
  pg: 'connect-pg-simple',
  mysql2: 'express-mysql-session',
  'better-sqlite3': 'better-sqlite3-session-store',
  sqlite3: 'connect-sqlite3',
  knex: 'connect-session-knex',
  drizzle: 'connect-pg-simple',
  prisma: '@quixo3/prisma-session-store',
  sequelize: 'connect-session-sequelize',
  typeorm: 'connect-pg-simple',
  mongoose: 'connect-mongo',
}
const inDatabase = (recipe: string) =>
  `\`endOtherSessions\` deletes sessions in your database, but your app seems to keep them in express-session's MemoryStore: linking and disconnecting would end in \`hook_failed\`. Install ${STORE_OF_RECIPE[recipe] ?? 'a session store for the database'}, and pass it to session() as \`store\`.`

function notesOn(app: AppInspection, recipe: string, wanted: string): readonly string[] {
  return [
    ...(recipe !== wanted ? [`There is no recipe "${wanted}"; the hooks keep everything in memory instead.`] : []),
    ...(app.recipe === null && recipe === 'memory'
      ? [
          'No database library was recognised: the hooks keep everything in memory. Rewrite accounts for your database, and let the test tell you when they are right.',
        ]
      : []),
    ...(app.expressSession !== null && app.sessionStore === null
      ? [
          `${recipe === 'memory' ? IN_MEMORY_STORE : inDatabase(recipe)} If your app has another store, delete them there.`,
        ]
      : []),
    ...(recipe === 'kysely' && app.driver !== 'better-sqlite3'
      ? [
          'The recipe for kysely is written for SQLite: change its schema and its reading of the session store to your database.',
        ]
      : []),
    ...(app.express === null ? ['Express was not found in this folder.'] : []),
    ...(app.views === null ? [] : [`${app.views} prints the button unescaped by ${UNESCAPED[app.views]}`]),
  ]
}
