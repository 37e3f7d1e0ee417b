import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT: string = join(__dirname, '../..')

/** A fenced block of a document. */
export interface Block {
  /** `README.md:26` */
  readonly where: string
  readonly language: string
  readonly text: string
}

/** The generated reference. */
const GENERATED = 'docs/api/'

/** Everything written by hand for readers, as paths from the root. */
export function documents(): readonly string[] {
  const guides = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  const own = [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'recipes/README.md',
    ...guides
      .map((path) => `docs/${path.replaceAll('\\', '/')}`)
      .filter((path) => !/\/(?:node_modules|\.vitepress)\//.test(path) && !path.startsWith(GENERATED)),
  ]
  return own.filter((path) => path.endsWith('.md'))
}

/** The pages that TypeDoc wrote. */
export function generated(): readonly string[] {
  return readdirSync(join(ROOT, GENERATED)).map((name) => GENERATED + name)
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** The fenced blocks of a document. */
export function blocksOf(path: string): readonly Block[] {
  const lines = read(path).split('\n')
  const blocks: Block[] = []
  let open: { language: string; line: number } | null = null
  for (const [index, line] of lines.entries()) {
    // Inside a list a block is indented.
    const [, indent = '', language] = /^( *)```(.*)$/.exec(line) ?? []
    if (language === undefined) continue
    if (open) {
      const inside = lines.slice(open.line + 1, index)
      const text = inside.map((each) => each.slice(indent.length)).join('\n')
      blocks.push({ where: `${path}:${open.line + 1}`, language: open.language, text })
      open = null
    } else open = { language: language.trim(), line: index }
  }
  return blocks
}

export const allBlocks = (): readonly Block[] => documents().flatMap(blocksOf)

/** The block that begins with this comment line, such as `// app.mjs`. */
export function blockNamed(path: string, name: string): string {
  const found = blocksOf(path).find(({ text }) => text.startsWith(`// ${name}\n`))
  if (!found) throw new Error(`${path} has no block that begins with "// ${name}"`)
  return found.text
}
