import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** Recipes by the package that an app on this stack installs, the most specific first: an ORM brings its driver along. */
export const RECIPE_OF_PACKAGE: Readonly<Record<string, string>> = {
  '@prisma/client': 'prisma',
  'drizzle-orm': 'drizzle',
  typeorm: 'typeorm',
  sequelize: 'sequelize',
  mongoose: 'mongoose',
  kysely: 'kysely',
  knex: 'knex',
  mysql2: 'mysql2',
  'better-sqlite3': 'better-sqlite3',
  pg: 'pg',
  sqlite3: 'sqlite3',
}

const SESSION_STORES = [
  'connect-pg-simple',
  'connect-redis',
  'connect-mongo',
  'connect-session-knex',
  'connect-session-sequelize',
  'connect-typeorm',
  'express-mysql-session',
  'better-sqlite3-session-store',
  'connect-sqlite3',
  '@quixo3/prisma-session-store',
]
const DRIVERS = ['pg', 'mysql2', 'better-sqlite3', 'sqlite3', 'mysql']
const NEEDED_BY_TYPESCRIPT = ['tsx', '@types/express-session', '@types/pg', '@types/better-sqlite3', '@types/jest']
/** How each template language prints HTML unescaped. */
export const UNESCAPED: Readonly<Record<string, string>> = {
  ejs: '<%- button %>',
  pug: '!= button',
  'express-handlebars': '{{{button}}}',
  hbs: '{{{button}}}',
  nunjucks: '{{ button | safe }}',
  eta: '<%~ it.button %>',
}
const LOCK_FILES = { 'package-lock.json': 'npm', 'pnpm-lock.yaml': 'pnpm', 'yarn.lock': 'yarn', 'bun.lock': 'bun' }

/** How the files of an app are written. */
export type Language = 'typescript' | 'esm' | 'commonjs'

/** What `init` sees of an app without running it. */
export interface AppInspection {
  readonly packageManager: string
  readonly language: Language
  /** Whether relative imports need `.js`: TypeScript that Node loads as ES modules, and ES modules themselves. */
  readonly importsNeedEnding: boolean
  /** Whether `package.json` makes `.js` an ES module. */
  readonly isModulePackage: boolean
  /** Installed versions, `null` = not installed. */
  readonly express: string | null
  readonly passport: string | null
  readonly expressSession: string | null
  readonly sessionStore: string | null
  /** The recipe that fits, `null` when no known database library is installed. */
  readonly recipe: string | null
  /** The driver below a query builder, `null` = not recognised. */
  readonly driver: string | null
  /** What written TypeScript may need besides, as far as it is installed. */
  readonly installed: readonly string[]
  readonly testRunner: 'vitest' | 'jest' | 'node'
  readonly views: string | null
  readonly hasSourceFolder: boolean
}

/** Reads `package.json`, lock file, `tsconfig.json` and installed versions; `null` where there is no `package.json`. */
export function inspectApp(folder: string): AppInspection | null {
  const manifest = readJson(join(folder, 'package.json'))
  if (!manifest) return null
  const names = Object.keys({ ...asRecord(manifest.dependencies), ...asRecord(manifest.devDependencies) })
  const first = (candidates: readonly string[]) => candidates.find((name) => names.includes(name)) ?? null
  const isModulePackage = manifest.type === 'module'
  const isTypeScript = existsSync(join(folder, 'tsconfig.json')) || names.includes('typescript')
  const language = isTypeScript ? 'typescript' : isModulePackage ? 'esm' : 'commonjs'
  const library = first(Object.keys(RECIPE_OF_PACKAGE))
  const lockFile = Object.entries(LOCK_FILES).find(([file]) => existsSync(join(folder, file)))
  return {
    packageManager: lockFile?.[1] ?? 'npm',
    language,
    importsNeedEnding:
      language === 'esm' || (language === 'typescript' && isModulePackage && usesNodeResolution(folder)),
    isModulePackage,
    express: versionOf(folder, 'express'),
    passport: versionOf(folder, 'passport'),
    expressSession: versionOf(folder, 'express-session'),
    sessionStore: first(SESSION_STORES),
    recipe: library === null ? null : (RECIPE_OF_PACKAGE[library] ?? null),
    driver: first(DRIVERS),
    installed: NEEDED_BY_TYPESCRIPT.filter((name) => names.includes(name) || versionOf(folder, name) !== null),
    testRunner: names.includes('vitest') ? 'vitest' : names.includes('jest') ? 'jest' : 'node',
    views: first(Object.keys(UNESCAPED)),
    hasSourceFolder: existsSync(join(folder, 'src')),
  }
}

function usesNodeResolution(folder: string): boolean {
  const path = join(folder, 'tsconfig.json')
  if (!existsSync(path)) return false
  // A tsconfig may hold comments and trailing commas, so it is searched and not parsed.
  return /"(?:module|moduleResolution)"\s*:\s*"node(?:16|18|20|next)"/i.test(readFileSync(path, 'utf8'))
}

function versionOf(folder: string, name: string): string | null {
  try {
    const path = createRequire(join(folder, 'package.json')).resolve(`${name}/package.json`)
    const version = readJson(path)?.version
    return typeof version === 'string' ? version : null
  } catch {
    return null
  }
}

function readJson(path: string): Record<string, unknown> | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  } catch {
    return null
  }
}

const asRecord = (value: unknown) => (typeof value === 'object' && value !== null ? value : {})
