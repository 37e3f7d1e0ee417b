import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { Script } from 'node:vm'
import { afterAll, describe, expect, test } from 'vitest'
import { ask } from '../../src/cli/init-questions'
import { inOurStyle, recipeFiles, toCommonJs } from '../../src/init/recipe-files'

const ROOT = join(__dirname, '../..')
const CLI = join(ROOT, 'dist/cli/index.js')
const run = promisify(execFile)
const folders: string[] = []
afterAll(() => folders.forEach((folder) => void rmSync(folder, { recursive: true, force: true })))

/** An app as a developer has it, with the packages of this checkout. */
function app(files: Readonly<Record<string, string | object>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'init-'))
  folders.push(folder)
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), typeof content === 'string' ? content : JSON.stringify(content))
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

const init = async (cwd: string, ...args: string[]) =>
  (await run(process.execPath, [CLI, 'init', '--yes', ...args], { cwd })).stdout

/** Runs the written test; its output names what failed. */
async function written(cwd: string, command: readonly string[]): Promise<string> {
  const [program = '', ...args] = command
  const env = { ...process.env, NODE_OPTIONS: '', VITEST: '' }
  return run(program, args, { cwd, env }).then(
    ({ stdout }) => stdout,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => `FAILED\n${stdout}\n${stderr}`,
  )
}

const TEST_OF_NODE = (path: string) => [process.execPath, '--test', path]

describe('init', () => {
  test.each([
    ['CommonJS', { name: 'a' }, 'bitbucket/bitbucket.test.js', 'require('],
    ['ES modules', { name: 'a', type: 'module' }, 'bitbucket/bitbucket.test.js', "from './accounts.js'"],
  ])(
    'writes a test that passes into an app of %s whose database it does not know',
    async (_what, manifest, path, sign) => {
      const folder = app({ 'package.json': manifest })
      const output = await init(folder)
      expect(output).toContain('No database library was recognised')
      expect(readFileSync(join(folder, 'bitbucket/bitbucket.js'), 'utf8')).toContain(sign)
      const result = await written(folder, TEST_OF_NODE(path))
      expect(result).toMatch(/\n# fail 0\n/)
      expect(result).toContain('ok')
      expect(result).toContain('a first sign-in with Bitbucket creates an account and signs in')
    },
  )

  test.each(['verified', 'unverified', 'none'])(
    'writes a test that passes into an app with %s addresses',
    async (addresses) => {
      const folder = app({ 'package.json': { name: 'a' } })
      const output = await init(folder, '--addresses', addresses)
      expect(output).not.toContain('Without --addresses')
      expect(existsSync(join(folder, 'bitbucket/claim-address.js'))).toBe(addresses === 'verified')
      expect(await written(folder, TEST_OF_NODE('bitbucket/bitbucket.test.js'))).toMatch(/\n# fail 0\n/)
    },
  )

  test('writes TypeScript for an app of TypeScript, with endings where Node wants them', async () => {
    const manifest = { name: 'a', type: 'module', devDependencies: { typescript: '7', vitest: '4' } }
    const folder = app({
      'package.json': manifest,
      'tsconfig.json':
        '{ "compilerOptions": { "module": "nodenext", "strict": true, "noEmit": true, "skipLibCheck": true } } // ours',
      'src/server.ts': '',
    })
    const output = await init(folder)
    expect(output).toContain('npx vitest run src/bitbucket/bitbucket.test.ts')
    expect(readFileSync(join(folder, 'src/bitbucket/bitbucket.ts'), 'utf8')).toContain("from './accounts.js'")
    const compiled = await written(folder, [process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', '.'])
    expect(compiled).toBe('')
    const result = await written(folder, [process.execPath, join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run'])
    expect(result).not.toContain('FAILED')
    expect(result).toMatch(/Tests .*passed/)
  })

  test('writes a test that fails without a database of its own, and never uses the one of the environment', async () => {
    const manifest = { name: 'a', dependencies: { knex: '3', mysql2: '3' } }
    const folder = app({ 'package.json': manifest })
    expect(await init(folder)).toContain('Run the test, with TEST_DATABASE_URL naming')
    const code = readFileSync(join(folder, 'bitbucket/bitbucket.test.js'), 'utf8')
    expect(code).toContain("knex({ client: 'mysql2', connection: url })")
    const pg = app({ 'package.json': { name: 'a', dependencies: { pg: '8' } } })
    await init(pg)
    const result = await written(pg, TEST_OF_NODE('bitbucket/bitbucket.test.js'))
    expect(result).toContain('TEST_DATABASE_URL is not set.')
    expect(result).toContain('# fail 1\n')
  })

  test.each([
    ['a builder whose object only the app has', { kysely: '0.28' }, 'openDatabase: not written yet.'],
    ['pg', { pg: '8' }, 'TEST_DATABASE_URL is not set.'],
    ['a database it does not know', {}, 'MemoryDatabase'],
  ])('writes TypeScript that compiles under strict rules for %s', async (_what, dependencies, says) => {
    const rules = {
      strict: true,
      noUnusedLocals: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
    }
    const options = { ...rules, module: 'nodenext', target: 'es2022', noEmit: true, skipLibCheck: true }
    const folder = app({
      'package.json': { name: 'a', devDependencies: { typescript: '7' }, dependencies },
      'tsconfig.json': { compilerOptions: options },
      'src/server.ts': '',
    })
    const output = await init(folder)
    expect(output).toContain("from './bitbucket/bitbucket'")
    const compiled = await written(folder, [process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', '.'])
    expect(compiled).toBe('')
    expect(readFileSync(join(folder, 'src/bitbucket/bitbucket.test.ts'), 'utf8')).toContain(says)
  })

  test.each([
    ['module', 'node --experimental-vm-modules node_modules/jest/bin/jest.js bitbucket/bitbucket.test.js'],
    ['commonjs', 'npx jest bitbucket/bitbucket.test.js'],
  ])('names the command that runs Jest in a package of type %s', async (type, command) => {
    const folder = app({ 'package.json': { name: 'a', type, devDependencies: { jest: '29' } } })
    const output = await init(folder)
    expect(output).toContain(command)
    expect(output).not.toContain('tables of the schema')
    // Jest runs tests in a realm of their own: objects that `fetch` makes have other prototypes there.
    expect(readFileSync(join(folder, 'bitbucket/bitbucket.test.js'), 'utf8')).not.toContain('deepEqual')
  })

  test('takes the recipe of the database library, the ORM before its driver', async () => {
    const folder = app({ 'package.json': { name: 'a', dependencies: { pg: '8', 'connect-pg-simple': '10' } } })
    const output = await init(folder)
    expect(output).toContain('database: pg   session store: connect-pg-simple')
    expect(existsSync(join(folder, 'bitbucket/schema.sql'))).toBe(true)
    expect(readFileSync(join(folder, 'bitbucket/accounts.js'), 'utf8')).toContain("require('./seal-tokens')")
    expect(existsSync(join(folder, 'bitbucket/seal-tokens.js'))).toBe(true)
  })

  test('says how the template language of the app prints the button, and takes sqlite3 after pg', async () => {
    const manifest = (dependencies: object) => ({ 'package.json': { name: 'a', dependencies } })
    const output = await init(app(manifest({ ejs: '3', sqlite3: '5' })))
    expect(output).toContain('ejs prints the button unescaped by <%- button %>')
    expect(output).toContain('database: sqlite3')
    expect(await init(app(manifest({ sqlite3: '5', pg: '8' })))).toContain('database: pg')
  })

  test('what it writes stores tokens only with a key, and takes the fake outside of production only', async () => {
    const folder = app({ 'package.json': { name: 'a', dependencies: { pg: '8' } } })
    await init(folder)
    const code = readFileSync(join(folder, 'bitbucket/bitbucket.js'), 'utf8')
    expect(code).toContain('if (!process.env.TOKEN_KEY) delete accounts.storeTokens')
    expect(code).toContain("process.env.NODE_ENV === 'production' ? undefined : process.env.FAKE_BITBUCKET")
    expect(readFileSync(join(folder, '.env.example'), 'utf8')).toContain('FAKE_BITBUCKET=http://127.0.0.1:3001')
  })

  test('takes addresses as unverified without --addresses, and says so', async () => {
    const folder = app({ 'package.json': { name: 'a' } })
    expect(await init(folder)).toContain('Note: Without --addresses, init takes addresses as unverified.')
    const code = readFileSync(join(folder, 'bitbucket/bitbucket.js'), 'utf8')
    expect(code).toContain("policy: { localAddresses: 'unverified' }")
    expect(code).not.toContain('claimAddress')
    expect(existsSync(join(folder, 'bitbucket/claim-address.js'))).toBe(false)
  })

  test('writes a cookie secret of its own into each .env.example', async () => {
    const secrets = await Promise.all(
      [1, 2].map(async () => {
        const folder = app({ 'package.json': { name: 'a' } })
        await init(folder)
        return /^BITBUCKET_COOKIE_SECRET=(.*)$/m.exec(readFileSync(join(folder, '.env.example'), 'utf8'))?.[1]
      }),
    )
    for (const secret of secrets) expect(secret).toMatch(/^[\w-]{43}$/)
    expect(new Set(secrets).size).toBe(2)
  })

  test('names the session store of express-session, and what endOtherSessions does with it', async () => {
    const memory = await init(app({ 'package.json': { name: 'a' } }))
    expect(memory).toContain('session store: MemoryStore')
    expect(memory).toContain("`endOtherSessions` deletes sessions in express-session's MemoryStore.")
    const pg = await init(app({ 'package.json': { name: 'a', dependencies: { pg: '8' } } }))
    expect(pg).toContain('`endOtherSessions` deletes sessions in your database, but your app seems to keep them in')
  })

  test.each(
    [...readFileSync(join(ROOT, 'recipes/README.md'), 'utf8').matchAll(/^\| \[([\w-]+)\]\(.*\| (@?[\w/-]+) \|$/gm)].map(
      ([, recipe, store]) => [recipe ?? '', store ?? ''] as const,
    ),
  )('names the session store to install for the recipe %s: %s', async (recipe, store) => {
    const output = await init(app({ 'package.json': { name: 'a' } }), '--recipe', recipe)
    expect(output).toContain(`Install ${store}, and pass it to session()`)
  })

  test('says which table to change where the test passes with the one that it creates', async () => {
    const folder = app({ 'package.json': { name: 'a', dependencies: { 'better-sqlite3': '12' } } })
    const output = await init(folder)
    expect(output).toContain('Change the names of tables and columns to yours, in all files of bitbucket.')
    expect(output).toContain('It passes with the users table of users.sql. Change that file')
    expect(readFileSync(join(folder, 'bitbucket/bitbucket.test.js'), 'utf8')).toContain("'users', 'schema'")
  })

  test('prints what the sign-in page and the account page show, and does not call a test in memory a list', async () => {
    const output = await init(app({ 'package.json': { name: 'a' } }), '--mount', '/bb')
    expect(output).toContain('const pending = bitbucket.pending(req)')
    expect(output).toContain('<a href="/bb/link?returnTo=/account">')
    expect(output).toContain('Read in node_modules/passport-bitbucket-signin/docs/existing-app.md: step 2 if')
    expect(output).toContain('steps 7 to 9 if')
    expect(output).toContain('It passes with users in memory. Replace `MemoryDatabase`')
    expect(output).not.toContain('It is your list')
  })

  test('overwrites nothing, and says what it kept', async () => {
    const folder = app({
      'package.json': { name: 'a' },
      '.env.example': 'MINE=1\n',
      'bitbucket/accounts.js': '// mine',
    })
    expect(await init(folder)).toMatch(/kept +bitbucket\/accounts\.js/)
    expect(readFileSync(join(folder, 'bitbucket/accounts.js'), 'utf8')).toBe('// mine')
    expect(readFileSync(join(folder, '.env.example'), 'utf8')).toBe('MINE=1\n')
  })

  test('writes nothing with --dry-run', async () => {
    const folder = app({ 'package.json': { name: 'a' } })
    expect(await init(folder, '--dry-run')).toContain('--- bitbucket/accounts.js')
    expect(existsSync(join(folder, 'bitbucket'))).toBe(false)
  })

  test.each([
    [['--addresses', 'maybe'], '--addresses'],
    [['--mount', 'auth'], '--mount'],
    [['--directory', '../elsewhere'], '--directory'],
    [['--recipe', '../pg'], '--recipe'],
  ])('refuses %j with exit code 2', async (args, option) => {
    const folder = app({ 'package.json': { name: 'a' } })
    await expect(init(folder, ...args)).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining(option) })
  })

  test.each([
    ['without package.json', {}],
    ['whose package.json cannot be read', { 'package.json': '{ "name": "a", }' }],
  ])('refuses a folder %s, and names both causes', async (_what, files) => {
    const stderr = expect.stringContaining('package.json is missing here, or is not valid JSON.')
    await expect(init(app(files))).rejects.toMatchObject({ code: 2, stderr })
  })
})

test('the prepare script of the package builds in a checkout only: npx runs it in an installed package', async () => {
  const { prepare } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts
  const scripts = { prepare, build: "node -e \"fs.writeFileSync('built', '')\"" }
  const folder = app({ 'package.json': { name: 'a', scripts }, 'dist/index.js': '' })
  const npm = () => run('npm', ['run', 'prepare'], { cwd: folder })
  await npm()
  expect(existsSync(join(folder, 'dist/index.js'))).toBe(true)
  writeFileSync(join(folder, 'tsconfig.build.json'), '{}')
  await npm()
  expect(existsSync(join(folder, 'dist/index.js'))).toBe(false)
  expect(existsSync(join(folder, 'built'))).toBe(true)
})

describe('ask', () => {
  const DEFAULTS = { localAddresses: 'unverified', mount: '/auth/bitbucket', signIn: '/login' } as const

  /** Answers each question when it is printed. */
  function answering(answers: readonly string[]) {
    const [input, output] = [new PassThrough(), new PassThrough()]
    const left = [...answers]
    let printed = ''
    output.on('data', (chunk) => {
      printed += chunk
      if (!/\] $/.test(String(chunk))) return
      const answer = left.shift()
      if (answer === undefined) input.end()
      else input.write(`${answer}\n`)
    })
    return { result: ask(DEFAULTS, input, output), printed: () => printed }
  }

  test('asks again after an invalid answer', async () => {
    const { result, printed } = answering(['2', 'none', 'auth', '/bb', ''])
    expect(await result).toEqual({ localAddresses: 'none', mount: '/bb', signIn: '/login' })
    expect(printed()).toContain('The answer must be verified, unverified or none.')
    expect(printed()).toContain('The mount path must be a path')
  })

  test.each([[[]], [['2']], [['none']]])('takes the defaults at the end of input, after %j', async (answers) => {
    const { result } = answering(answers)
    expect(await result).toMatchObject({ mount: '/auth/bitbucket', signIn: '/login' })
  })
})

describe('inOurStyle', () => {
  test('removes semicolons unless the next line continues', () => {
    expect(inOurStyle('if (a) {\n    b();\n}\nc;\n[d].e();\n// f\n')).toBe('if (a) {\n  b()\n}\nc;\n[d].e()\n// f\n')
  })

  test.each(readdirSync(join(ROOT, 'dist/recipes')).filter((name) => name !== 'shared'))(
    'writes JavaScript of %s that compiles, with two spaces and no semicolons',
    (recipe) => {
      const files = recipeFiles(recipe, { language: 'commonjs', importsNeedEnding: false, ending: '.js' })
      const code = [...(files ?? [])].filter(([name]) => name.endsWith('.js') && name !== 'prisma.config.js')
      expect(code.length).toBeGreaterThan(2)
      for (const [name, text] of code) {
        new Script(`(async () => {\n${text}\n})`, { filename: name })
        expect(text, name).not.toMatch(/;$/m)
        expect(text, name).not.toMatch(/^(?:const|let|export|function|class) .*\{\n {4}/m)
      }
    },
  )
})

describe('toCommonJs', () => {
  test('converts the imports and exports of our files', () => {
    const code = "import { a, b as c } from 'x'\nimport d from 'y'\nexport const e = 1\nexport async function f() {}\n"
    expect(toCommonJs(code)).toBe(
      "const { a, b: c } = require('x')\nconst d = require('y')\nconst e = 1\nasync function f() {}\n\nmodule.exports = { e, f }\n",
    )
  })
})
