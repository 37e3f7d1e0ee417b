import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Language } from './inspect-app'

/** The package's own folder: the recipes in TypeScript, and the same compiled for apps without it. */
const PACKAGE = join(__dirname, '../..')
const SHARED_IMPORT = /(['"])\.\.\/shared\//g
const RELATIVE_IMPORT = /(from\s+|import\s+)(['"])(\.\/[\w-]+)\2/g

/** How the files of a recipe are to be written. */
export interface Format {
  readonly language: Language
  readonly importsNeedEnding: boolean
  /** Ending of files with code, for example `.ts`. */
  readonly ending: string
}

/** The files of a recipe for this app, by name; `null` when this version has no such recipe. */
export function recipeFiles(recipe: string, format: Format): ReadonlyMap<string, string> | null {
  const folder = join(PACKAGE, 'recipes', recipe)
  if (!existsSync(folder)) return null
  // The written test takes the place of `check-hooks.ts`.
  const own = readdirSync(folder).filter(
    (name) => /\.(?:ts|sql|prisma)$/.test(name) && !/\.test\.ts$/.test(name) && name !== 'check-hooks.ts',
  )
  const files = new Map(own.map((name) => [targetName(name, format), contentOf(recipe, name, format)]))
  for (const name of sharedBy(folder, own)) files.set(targetName(name, format), contentOf('shared', name, format))
  return files
}

/** The files of `shared/` that a recipe imports: they are written next to its own. */
function sharedBy(folder: string, names: readonly string[]): readonly string[] {
  const code = names.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n')
  return [...new Set([...code.matchAll(/\.\.\/shared\/([\w-]+)/g)].map(([, name]) => `${name}.ts`))]
}

function targetName(name: string, { ending }: Format): string {
  return name.replace(/\.ts$/, ending)
}

function contentOf(folder: string, name: string, format: Format): string {
  if (!name.endsWith('.ts')) return readFileSync(join(PACKAGE, 'recipes', folder, name), 'utf8')
  const code =
    format.language === 'typescript'
      ? readFileSync(join(PACKAGE, 'recipes', folder, name), 'utf8')
      : inOurStyle(readFileSync(join(PACKAGE, 'dist/recipes', folder, name.replace(/\.ts$/, '.js')), 'utf8'))
  return inFormat(code.replace(SHARED_IMPORT, '$1./'), format)
}

/**
 * The compiler writes four spaces and semicolons; the rest of what `init` writes has two spaces and none. A semicolon
 * stays where the next line would continue the statement.
 */
export function inOurStyle(code: string): string {
  return code
    .replace(/^(?: {4})+/gm, (spaces) => ' '.repeat(spaces.length / 2))
    .replace(/;$(?!\s*(?:[[(`+*-]|\/(?![/*])))/gm, '')
}

/** Written as an ES module without endings; turned into what the app loads. */
export function inFormat(code: string, { language, importsNeedEnding, ending }: Format): string {
  if (language === 'commonjs') return toCommonJs(code)
  if (!importsNeedEnding) return code
  const loaded = ending === '.ts' ? '.js' : ending
  return code.replace(RELATIVE_IMPORT, (_all, keyword, quote, path) => `${keyword}${quote}${path}${loaded}${quote}`)
}

/** Enough for our own files: named and default imports, exported functions, classes and constants. */
export function toCommonJs(code: string): string {
  const exported = [...code.matchAll(/^export (?:async )?(?:function|class|const) (\w+)/gm)].map(([, name]) => name)
  const body = code
    .replace(/^import \{([^}]*)\} from (['"][^'"]+['"])/gm, (_all, names: string, from: string) => {
      const list = names.split(',').flatMap((each) => (each.trim() === '' ? [] : [each.trim().replace(' as ', ': ')]))
      return `const { ${list.join(', ')} } = require(${from})`
    })
    .replace(/^import (\w+) from (['"][^'"]+['"])/gm, 'const $1 = require($2)')
    .replace(/^export (?=(?:async )?(?:function|class|const) )/gm, '')
  return exported.length === 0 ? body : `${body.trimEnd()}\n\nmodule.exports = { ${exported.join(', ')} }\n`
}
