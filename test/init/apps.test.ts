import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { Pool } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { inFormat } from '../../src/init/recipe-files'
import { startPostgres, type TestPostgres } from '../support/postgres'

// Two of the apps of `npm run check:init`, with the packages of this checkout.
const ROOT = join(__dirname, '../..')
const run = promisify(execFile)

let fake: FakeBitbucket
let postgres: TestPostgres
let apps: readonly { readonly name: string }[]
let runApp: (app: object, folder: string, tools: object) => Promise<{ lines: number; test: string }>
const folders: string[] = []
beforeAll(async () => {
  const load = (name: string) => import(`../consumers/init/${name}.mjs`)
  apps = (await load('apps')).APPS
  runApp = (await load('run-app')).runApp
  fake = await startFakeBitbucket()
  postgres = await startPostgres()
})
afterAll(async () => {
  await fake.close()
  await postgres.stop()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

async function query(sql: string): Promise<void> {
  const pool = new Pool({ connectionString: postgres.url })
  await pool.query(sql)
  await pool.end()
}

const tools = (recipe: string) => ({
  fake,
  inFormat,
  async install(folder: string, { type }: { type: string }) {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type }))
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  },
  add(_folder: string, names: readonly string[]) {
    throw new Error(`Everything is installed, and init wants ${names}.`)
  },
  async init(cwd: string, args: readonly string[]) {
    const command = [join(ROOT, 'dist/cli/index.js'), 'init', '--recipe', recipe, ...args]
    return (await run(process.execPath, command, { cwd })).stdout
  },
  async createDatabase(_app: object, users: string) {
    await query(users)
    return { url: postgres.url }
  },
  execute: (_database: object, sql: string) => query(sql),
})

test.each([
  ['CommonJS, Express 4, pg', 'pg'],
  ['ES modules, Express 4, an unknown database', 'memory'],
])(
  'an app (%s) signs users up, in and links them after init, and its test passes',
  async (name, recipe) => {
    const folder = mkdtempSync(join(tmpdir(), 'init-app-'))
    folders.push(folder)
    const app = { ...apps.find((each) => each.name === name), store: undefined }
    const { lines, test: passed } = await runApp(app, folder, tools(recipe))
    expect(lines).toBeLessThanOrEqual(60)
    expect(Number(passed)).toBeGreaterThan(30)
  },
  60_000,
)
