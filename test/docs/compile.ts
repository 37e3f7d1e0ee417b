import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Block, ROOT } from './documents'

/** Compiles the blocks against the built package, each as a module of its own; says what the compiler says, and where they are. */
export function compile(blocks: readonly Block[], name: string): { errors: string; folder: string } {
  const folder = programFolder(name)
  const prelude = readFileSync(join(__dirname, 'prelude.d.ts.txt'), 'utf8')
  writeFileSync(join(folder, 'prelude.d.ts'), prelude)
  const compilerOptions = {
    target: 'es2023',
    module: 'node20',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    types: ['node'],
    // Users install `playwright`; its core is installed here.
    paths: { playwright: ['../../playwright-core/index.d.ts'] },
    rootDir: '.',
    outDir: 'out',
  }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, include: ['**/*.mts', 'prelude.d.ts'] }),
  )
  for (const block of blocks) {
    const file = join(folder, `${pathOf(block)}.mts`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${block.text}\nexport {}\n`)
  }
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' })
  return { errors: stdout, folder: join(folder, 'out') }
}

/** Where the compiled block is that begins with a comment such as `// app.mts`. */
export function compiled(folder: string, document: string, name: string): string {
  return join(folder, slug(document), name.replace(/\.m?ts$/, '.mjs'))
}

/** A folder for each document; a block that names its file gets that name, so that others can import it. */
function pathOf({ where, text }: Block): string {
  const [document = '', line] = where.split(':')
  const name = /^\/\/ ([\w.-]+)\.m?ts\n/.exec(text)?.[1] ?? `line-${line}`
  return join(slug(document), name)
}

function slug(path: string): string {
  return path.replace(/[^A-Za-z0-9]+/g, '_')
}

/** An empty folder inside node_modules, so that packages resolve and other tools ignore it. */
export function programFolder(name: string): string {
  const folder = join(ROOT, 'node_modules/.cache', `passport-bitbucket-signin-${name}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  return folder
}
