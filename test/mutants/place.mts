import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Mutant } from './mutants.js'

/** A mutant with the file that holds its defence now, and its place there. */
export interface Placed {
  /** File under `src/`. */
  readonly file: string
  readonly start: number
  readonly end: number
  readonly replace: string
}

const src = fileURLToPath(new URL('../../src/', import.meta.url))
const sources = new Map(
  readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [file, readFileSync(join(src, file), 'utf8')]),
)

/** Finds what the mutant changes; a string says why it cannot be made. */
export function place({ where, find, replace }: Mutant): Placed | string {
  const [, file, name] = /^(\S+\.ts)? ?(?:(\S+)\(\))?$/.exec(where) ?? []
  const files = file === undefined ? [...sources] : [[file, sources.get(file) ?? ''] as const]
  const texts = files.flatMap(([each, code]) =>
    (name === undefined ? [[0, code.length] as const] : functionsOf(code, name)).map(
      ([from, to]) => ({ file: each, from, text: code.slice(from, to) }) as const,
    ),
  )
  const [only] = texts
  if (!only || texts.length > 1) return `the function is there ${texts.length} times: ${where}`
  const count = only.text.split(find).length - 1
  if (count !== 1) return `the text is there ${count} times in ${where}`
  const start = only.from + only.text.indexOf(find)
  return { file: only.file, start, end: start + find.length, replace }
}

/**
 * Where functions of this name begin and end. Indentation shows it in formatted source: lines at the same depth that
 * begin with a bracket belong to the function, and a bracket alone ends it.
 */
function functionsOf(code: string, name: string): [from: number, to: number][] {
  const forms = [
    `(?:export )?(?:async )?function ${name}\\b`,
    `(?:export )?const ${name}(?:: .*)? = (?:async )?(?:<.*>)?\\((?:$|.*=>)`,
    `${name}: (?:async )?\\((?:$|.*=>)`,
    `(?:(?:override|static|async|get) )*${name}(?:<.*>)?\\(.*\\)(?:: [^=\\n]+)? \\{$`,
  ]
  return [...code.matchAll(new RegExp(`^( *)(?:${forms.join('|')})`, 'gm'))].map(
    ({ 0: head, 1: { length } = '', index }) => {
      const from = index + head.length
      const end = new RegExp(
        `\\n {${length}}[)\\]}]+[,;)]*(?=\\n)|\\n(?= {0,${length}}[^ \\n)\\]}]| {0,${length - 1}}[)\\]}])`,
      )
      const found = end.exec(code.slice(from).replace(/$/, '\n'))
      return [index, found ? from + found.index + found[0].length : code.length]
    },
  )
}
