import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

const SRC = join(__dirname, '../src')

/**
 * The modules by layer, lowest first. Each may import from the lines above its own, types included; those on one line do
 * not know each other.
 */
const LAYERS: readonly (readonly string[])[] = [
  ['contract'],
  ['time', 'decisions', 'pages'],
  ['options', 'accounts', 'bitbucket', 'state'],
  ['connections', 'session'],
  ['routes'],
  ['passport', 'doctor'],
  ['bitbucket-sign-in'],
  ['index', 'cli'],
]

/** The modules that may load each package; type imports are exempt. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'escape-html': ['pages/html'],
  express: ['routes/body', 'routes/page-routes', 'routes/router'],
  passport: ['passport/plugin-strategy'],
  'passport-oauth2': ['passport/bitbucket-strategy'],
  undici: ['bitbucket/upstream-host'],
  'undici/lib/dispatcher/pool': ['bitbucket/upstream-host'],
  'zod/v3': ['options/zod'],
  // The transport is the only way out; the doctor listens on loopback, the validation knows private addresses.
  'node:http': ['bitbucket/agent-transport', 'doctor/probe-site'],
  'node:https': ['bitbucket/agent-transport'],
  'node:net': ['bitbucket/spare-connection', 'options/url-rules'],
  'node:tls': ['bitbucket/spare-connection'],
}

interface Module {
  /** Path below `src` without the ending. */
  readonly name: string
  readonly code: string
  /** Our modules that are loaded at run time. */
  readonly imports: readonly string[]
  /** Our modules that are imported for types or values. */
  readonly mentions: readonly string[]
  /** Packages and built-in modules that are loaded at run time. */
  readonly packages: readonly string[]
}

const modules = new Map(
  (readdirSync(SRC, { recursive: true }) as string[])
    // The templates of `init` hold code as text.
    .filter((path) => path.endsWith('.ts') && !path.endsWith('init-templates.ts'))
    .map((path) => read(path.replaceAll('\\', '/')))
    .map((module) => [module.name, module]),
)
/** All but the fake Bitbucket, the recorder and the command line, which are programs of their own. */
const core = [...modules.values()].filter(({ name }) => !/^(?:testing|record|init|cli)\//.test(name))

function read(path: string): Module {
  const name = path.replace(/\.ts$/, '')
  const code = withoutComments(readFileSync(join(SRC, path), 'utf8'))
  const specifiers = [...new Set(valueImports(code))]
  return {
    name,
    code,
    imports: specifiers.filter(isOurs).map((each) => resolve(name, each)),
    mentions: mentionedIn(code)
      .filter(isOurs)
      .map((each) => resolve(name, each)),
    packages: specifiers.filter((each) => !each.startsWith('.')),
  }
}

/** One of our modules; `package.json` is not one. */
function isOurs(specifier: string): boolean {
  return specifier.startsWith('.') && !specifier.endsWith('.json')
}

/** Every relative specifier, whether for types or for values. */
function mentionedIn(code: string): string[] {
  const found = [...code.matchAll(/(?:\bfrom\s+|\b(?:require|import)\()'(\.[^']+)'/g)].map(
    ([, specifier = '']) => specifier,
  )
  return [...new Set(found)]
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '')
}

/** The modules that a file loads when it runs: `import type`, lists of types only, and `typeof import()` load nothing. */
function valueImports(code: string): string[] {
  const found: string[] = []
  for (const [, kind = '', clause = '', specifier = ''] of code.matchAll(
    /^(import|export)\s+((?:type\s+)?(?:[\w*{][^;'"]*?)\s+from\s+)?'([^']+)'/gm,
  )) {
    if (kind === 'export' && clause === '') continue
    if (!isTypesOnly(clause)) found.push(specifier)
  }
  for (const [, specifier = ''] of code.matchAll(/(?<!typeof\s)\b(?:require|import)\('([^']+)'\)/g))
    found.push(specifier)
  return found
}

function isTypesOnly(clause: string): boolean {
  if (/^type\s/.test(clause)) return true
  const list = /^\{([\s\S]*)\}\s+from\s+$/.exec(clause)?.[1]
  if (list === undefined) return false
  const names = list.split(',').map((each) => each.trim())
  return names.filter((each) => each !== '').every((each) => each.startsWith('type '))
}

function resolve(from: string, specifier: string): string {
  const target = relative(SRC, join(SRC, dirname(from), specifier)).replaceAll('\\', '/')
  for (const candidate of [target, `${target}/index`]) if (existsSync(join(SRC, `${candidate}.ts`))) return candidate
  throw new Error(`${from} imports ${specifier}, which is no file of src`)
}

/** The folder a module stands in: the longest name that fits. */
function moduleOf(name: string): string {
  const folders = [...LAYERS.flat(), 'testing', 'record', 'init']
  const fitting = folders.filter((folder) => name === folder || name.startsWith(`${folder}/`))
  const [folder] = fitting.sort((a, b) => b.length - a.length)
  if (folder === undefined) throw new Error(`src/${name} is in no known module: add it to a layer in this test`)
  return folder
}

const layerOf = (folder: string) => LAYERS.findIndex((layer) => layer.includes(folder))

/** Everything that runs when this module is loaded, itself included. */
function closureOf(name: string, seen = new Set<string>()): ReadonlySet<string> {
  if (!seen.has(name)) {
    seen.add(name)
    for (const each of modules.get(name)?.imports ?? []) closureOf(each, seen)
  }
  return seen
}

test('the import reader finds every kind of import and ignores types', () => {
  const code = withoutComments(
    `
    import { a } from './a'
    import { type B } from './types-only'
    import { type B, c } from './c'
    import type { D } from './types-only'
    import * as e from './e'
    import f, { g } from './f'
    import './side-effect'
    import http = require('node:http')
    import {
      type H,
      h,
    } from './h'
    export { i } from './i'
    export type { J } from './types-only'
    export * from './k'
    export const l = 'from \\'./no-import\\''
    // import { m } from './comment'
    /* import { m } from './comment' */
    const n = require('zod') as typeof import('zod/types')
    const o = await import('./o')
  `.replace(/^ {4}/gm, ''),
  )
  expect(valueImports(code).sort()).toEqual(
    ['./a', './c', './e', './f', './h', './i', './k', './o', './side-effect', 'node:http', 'zod'].sort(),
  )
  expect(modules.size).toBeGreaterThan(60)
  expect(modules.get('options/zod')?.packages).toContain('zod/v3')
  expect(modules.get('bitbucket-sign-in')?.imports).toContain('routes/router')
})

describe('modules', () => {
  test('import downwards only, types included, and never their neighbours', () => {
    const breaches = core.flatMap(({ name, mentions }) =>
      mentions
        .filter((each) => moduleOf(each) !== moduleOf(name) && layerOf(moduleOf(each)) >= layerOf(moduleOf(name)))
        .map((each) => `${name} imports ${each}`),
    )
    expect(breaches).toEqual([])
  })

  test('have unique file names', () => {
    const names = [...modules.keys()]
      .map((name) => name.slice(name.lastIndexOf('/') + 1))
      .filter((each) => each !== 'index')
    expect(names.filter((each, at) => names.indexOf(each) !== at)).toEqual([])
  })

  test('that are loaded on use have the types of what is loaded', () => {
    for (const { name, code } of modules.values()) {
      for (const [, loaded, typed] of code.matchAll(/\brequire\('([^']+)'\)\s+as\s+typeof import\('([^']+)'\)/g))
        expect({ name, loaded }).toEqual({ name, loaded: typed })
    }
  })

  test('have no import cycles', () => {
    const cycles = [...modules.values()].filter(({ name, imports }) =>
      imports.some((each) => closureOf(each).has(name)),
    )
    expect(cycles.map(({ name }) => name)).toEqual([])
  })

  test('contain a fake Bitbucket that needs contract/ only and is loaded by the command line only', () => {
    for (const { name, imports } of modules.values()) {
      const isFake = moduleOf(name) === 'testing'
      for (const each of imports) {
        if (isFake) expect(`${name} imports ${each}`).toMatch(/ imports (?:testing|contract)\//)
        else if (moduleOf(name) !== 'cli') expect(`${name} imports ${each}`).not.toMatch(/ imports testing\//)
      }
    }
  })

  test('keep pages independent of the flow', () => {
    for (const { name } of core.filter((each) => moduleOf(each.name) === 'pages')) {
      const others = [...closureOf(name)].filter((each) => moduleOf(each) !== 'pages')
      expect({ name, others: others.filter((each) => !each.startsWith('contract/')) }).toEqual({ name, others: [] })
    }
  })
})

describe('the walk of a sign-in in CONTRIBUTING', () => {
  const text = readFileSync(join(SRC, '../CONTRIBUTING.md'), 'utf8')
  const section = text.slice(text.indexOf('## A sign-in, function by function')).split('\n## ', 1)[0] ?? ''
  const walks = section.split(/^The (?=start|callback)/m).slice(1)

  test('names the start and the callback', () => {
    expect(walks.map((walk) => stepsOf(walk).length)).toEqual([10, 19])
  })

  test.each(walks.flatMap(stepsOf))('$file has $functions', ({ file, functions }) => {
    const { code } = modules.get(file.replace(/\.ts$/, '')) ?? { code: '' }
    expect(functions).not.toEqual([])
    for (const name of functions)
      expect(code).toMatch(new RegExp(`(?:function|const|class) ${name}\\b|^ +(?:async )?${name}[(:,]`, 'm'))
  })

  test('enters no file twice', () => {
    for (const walk of walks) {
      const files = stepsOf(walk).map(({ file }) => file)
      expect(files).toEqual([...new Set(files)])
    }
  })
})

/** Each numbered line names a file and functions of it. */
function stepsOf(walk: string): { file: string; functions: string[] }[] {
  return [...walk.matchAll(/^\d+\. `(\S+\.ts)`: (.*)$/gm)].map(([, file = '', rest = '']) => ({
    file,
    functions: [...rest.matchAll(/`(\w+)`/g)].map(([, name = '']) => name),
  }))
}

describe('purity', () => {
  const pure = core.map(({ name }) => name).filter((name) => /^decisions\/|^bitbucket\/read-answer$/.test(name))

  test('decisions and the profile reader load nothing that does I/O, directly or indirectly', () => {
    expect(pure).toContain('decisions/sign-in')
    for (const name of pure) {
      for (const each of closureOf(name)) {
        expect({ name, each, packages: modules.get(each)?.packages }).toEqual({ name, each, packages: [] })
      }
    }
  })

  test('decisions and the profile reader use no clock, no randomness and no environment', () => {
    const impure =
      /\b(?:Date\.now|new Date\(\)|performance|Math\.random|crypto|process|(?<!sec-)fetch|console|set(?:Timeout|Interval|Immediate)|globalThis)\b/
    for (const name of pure)
      expect({ name, found: impure.exec(modules.get(name)?.code ?? '') }).toEqual({ name, found: null })
  })
})

describe('packages and built-in modules', () => {
  test('are loaded by the listed modules only', () => {
    const users = new Map<string, string[]>()
    for (const { name, packages } of core) {
      for (const each of packages) users.set(each, [...(users.get(each) ?? []), name])
    }
    for (const [name, allowed] of Object.entries(PACKAGES)) {
      expect({ name, users: users.get(name)?.sort() }).toEqual({ name, users: [...allowed].sort() })
    }
    const others = [...users.keys()].filter((name) => !(name in PACKAGES) && !name.startsWith('node:'))
    expect(others).toEqual([])
  })

  test('reach the network through the transport only', () => {
    for (const { name, code, packages } of core) {
      expect({ name, fetches: /\b(?:fetch|XMLHttpRequest|WebSocket)\s*\(/.test(code) }).toEqual({
        name,
        fetches: false,
      })
      for (const module of ['node:dgram', 'node:dns', 'node:http2', 'node:child_process']) {
        expect({ name, packages }).not.toEqual({ name, packages: expect.arrayContaining([module]) })
      }
    }
  })

  test('read a secret only to derive keys, to call the token endpoint and to compare clients', () => {
    const revealing = core.filter(({ code }) => code.includes('.reveal()')).map(({ name }) => name)
    expect(revealing.sort()).toEqual(['bitbucket/exchange', 'doctor/setup-findings', 'state/keys'])
  })
})
