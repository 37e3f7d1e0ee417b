import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BitbucketSignInError, ERROR_STATUS, type ErrorCode } from 'passport-bitbucket-signin'
import { describe, expect, it } from 'vitest'
import { dispatch } from '../../src/cli/dispatch'
import { compile } from './compile'
import { allBlocks, blocksOf, documents, generated, ROOT, read } from './documents'

const README = read('README.md')
const manifest = JSON.parse(read('package.json')) as { scripts: Record<string, string>; files: string[] }

/** The section of a page under a heading, up to the next one of the same level. */
function section(path: string, heading: string): string {
  const page = read(path)
  const from = page.indexOf(`\n## ${heading}\n`)
  expect(from, `${path} has no section "${heading}"`).toBeGreaterThan(-1)
  const to = page.indexOf('\n## ', from + 1)
  return page.slice(from, to === -1 ? undefined : to)
}

function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'))
  return lines.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

/** As code hosts make them, where a repeated heading gets a number; and the anchors in tables. */
function anchorsOf(text: string): string[] {
  const seen = new Map<string, number>()
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => {
    const slug = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replace(/ /g, '-')
    const before = seen.get(slug) ?? 0
    seen.set(slug, before + 1)
    return before === 0 ? slug : `${slug}-${before}`
  })
  return [...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id)]
}

/** Names of the members of an interface, read from its source. */
function membersOf(file: string, name: string): string[] {
  const source = readFileSync(join(ROOT, file), 'utf8')
  const from = source.indexOf(`export interface ${name} {`)
  expect(from, name).toBeGreaterThan(-1)
  const body = source.slice(from, source.indexOf('\n}', from))
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[(:]/gm)].map(([, member = '']) => member)
}

describe('the first screen', () => {
  it('fits on one screen and a map: at most 200 lines and 1,500 words', () => {
    expect(README.split('\n').length).toBeLessThanOrEqual(200)
    expect(README.split(/\s+/).length).toBeLessThanOrEqual(1500)
  })

  it('begins with one sentence, then a working app of 12 to 15 lines', () => {
    const [title, sentence] = README.split('\n\n')
    expect(title).toBe('# passport-bitbucket-signin')
    expect(sentence?.match(/\./g)).toHaveLength(1)
    const app = blocksOf('README.md').find(({ language }) => language === 'js')?.text ?? ''
    const lines = app.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('//'))
    expect(lines.length).toBeGreaterThanOrEqual(12)
    expect(lines.length).toBeLessThanOrEqual(15)
  })

  it('names the two commands', () => {
    expect(README).toMatch(/npm ci && npm start[\s\S]+npm ci && npm test/)
    expect(README).toMatch(/npx passport-bitbucket-signin doctor[\s\S]+npx passport-bitbucket-signin check-hooks/)
  })
})

describe('every block', () => {
  it('of TypeScript compiles', { timeout: 60_000 }, () => {
    const blocks = allBlocks().filter(({ language }) => language === 'ts')
    expect(blocks.length).toBeGreaterThan(10)
    expect(compile(blocks, 'blocks').errors).toBe('')
  })

  it('is in a language that a test knows', () => {
    const known = ['ts', 'js', 'sh', 'json', 'sql', 'diff', 'text', 'typescript', 'mermaid']
    for (const { where, language } of allBlocks()) expect(known, where).toContain(language)
  })
})

describe('every command', () => {
  const commands = allBlocks()
    .filter(({ language }) => language === 'sh')
    .flatMap(({ where, text }) => text.split(/\n|&&/).map((line) => ({ where, line: line.replace(/#.*/, '').trim() })))
    .filter(({ line }) => line !== '')

  it.each(commands)('$line ($where) exists', async ({ line }) => {
    const words = line.replace(/^(?:[A-Z_]+=\S+ )+/, '').split(/\s+/)
    const script = /^npm (?:run )?([\w:]+)/.exec(line)?.[1] ?? ''
    if (words[0] === 'npm' && words[1] === 'run') expect(manifest.scripts).toHaveProperty([script])
    else if (words[0] === 'npm' && ['start', 'test'].includes(script)) expect(manifest.scripts).toHaveProperty(script)
    else if (words[0] === 'npm') expect(['ci', 'install', 'init', 'uninstall']).toContain(words[1])
    else if (words[0] === 'npx') await expectOwnCommand(words)
    else if (words[0] === 'node' && words[1] === '--test') expectTestFile(words[2] ?? '')
    else if (words[0] === 'node') expect(README).toContain(`// ${words[1]}`)
    else expect(['mkdir', 'cd', 'curl', 'export']).toContain(words[0])
  })

  /** The guide has the source of the compiled test that is run. */
  function expectTestFile(file: string): void {
    const source = file.replace(/^out\//, '').replace(/\.mjs$/, '.mts')
    expect(allBlocks().some(({ text }) => text.startsWith(`// ${source}\n`))).toBe(true)
  }

  /** The command is there, and its help knows every option. */
  async function expectOwnCommand([, program, name = '', ...rest]: string[]): Promise<void> {
    if (['vitest', 'tsc', 'playwright'].includes(program ?? '')) return
    expect(program).toBe('passport-bitbucket-signin')
    let help = ''
    const terminal = {
      write: (text: string) => {
        help += text
      },
      writeError: () => {},
      untilStopped: async () => {},
    }
    expect(await dispatch([name, '--help'], terminal)).toBe(0)
    for (const option of rest.filter((word) => word.startsWith('--'))) expect(help).toContain(option)
  }
})

describe('every inline command of the command line', () => {
  it('names options that exist', async () => {
    for (const path of documents()) {
      for (const [command, name] of read(path).matchAll(/`npx passport-bitbucket-signin ([\w-]+)[^`]*`/g)) {
        expect(['fake', 'doctor', 'record', 'check-hooks', 'init'], command).toContain(name)
      }
    }
  })
})

describe('the reference', () => {
  it('has each error code with its status, meaning, cause and fix, in the order of the list', () => {
    const entries = section('docs/reference/errors.md', 'Codes').split('\n### ').slice(1)
    const facts = /^(\w+)\n\n\*\*Status (\d+)\.\*\* \S[^\n]+\n\n- \*\*Cause:\*\* \S[^\n]+\n- \*\*Fix:\*\* \S[^\n]+\n*$/
    const found = entries.map((entry) => facts.exec(entry)?.slice(1) ?? [entry])
    expect(found.map(([code, status]) => [code, Number(status)])).toEqual(Object.entries(ERROR_STATUS))
  })

  it('has the anchor in the installed package that each error names', () => {
    for (const code of Object.keys(ERROR_STATUS) as ErrorCode[]) {
      const [path = '', anchor] = new BitbucketSignInError(code, '').docs.split('#')
      const [name, ...rest] = path.split('/')
      expect(name).toBe('passport-bitbucket-signin')
      expect(manifest.files).toContain(`${rest.slice(0, -1).join('/')}/*.md`)
      expect(anchorsOf(read(rest.join('/'))), code).toContain(anchor)
    }
  })

  it.each([
    ['BitbucketSignInOptions<User, Data = unknown>', 'bitbucketSignIn'],
    ['Connection', 'Connection'],
  ])('has each option of %s', (name, heading) => {
    const text = section('docs/reference/options.md', heading)
    for (const option of membersOf('src/contract/options.ts', name)) expect(text).toContain(`\`${option}\``)
  })

  it.each([
    'untrustedEmail',
    'missingEmail',
    'matchingAccount',
    'codeOpensAccount',
    ...membersOf('src/contract/policy.ts', 'LinkPolicy'),
  ])('has the policy %s', (name) => {
    const rows = rowsOf(section('docs/reference/options.md', 'policy'))
    expect(rows.map(([policy]) => policy)).toContain(`\`${name}\``)
  })

  it('has each member of what bitbucketSignIn returns', () => {
    const text = section('docs/reference/options.md', 'The returned object')
    for (const member of membersOf('src/bitbucket-sign-in.ts', 'BitbucketSignIn'))
      expect(text).toMatch(new RegExp(`^\\| \`${member}\\b`, 'm'))
  })

  it('has each hook', () => {
    const rows = rowsOf(read('docs/reference/hooks.md')).map(([hook]) => hook)
    for (const hook of membersOf('src/contract/hooks.ts', 'AccountHooks<User, Data = unknown>'))
      expect(
        rows.some((row) => row?.includes(`\`${hook}\``)),
        hook,
      ).toBe(true)
  })

  it('has each event and each of its fields', () => {
    const rows = rowsOf(read('docs/reference/events.md')).map(([cell]) => cell)
    const [, types = ''] = /SignInEventType =([^/]*)/.exec(read('src/contract/events.ts')) ?? []
    const names = [...types.matchAll(/'(\w+)'/g)].map(([, name]) => name)
    expect(names.length).toBeGreaterThan(10)
    const fields = membersOf('src/contract/events.ts', 'SignInEvent').filter((name) => name !== 'type')
    for (const name of [...names, ...fields])
      expect(
        rows.some((row) => row?.includes(`\`${name}\``)),
        name,
      ).toBe(true)
  })

  it.each([
    ['src/index.ts', 'docs/api/passport-bitbucket-signin.md'],
    ['src/testing/index.ts', 'docs/api/testing.md'],
  ])('of the API has each name that %s exports', (index, page) => {
    const api = read(page)
    for (const [, names = ''] of read(index).matchAll(/export (?:type )?\{([^}]*)\}/g)) {
      const list = names.split(',').map((each) => each.trim().replace(/^type /, ''))
      for (const name of list)
        if (name !== '' && !name.includes(' as '))
          expect(
            new RegExp(`^### (?:abstract )?${name}(?:\\\\?[(<]|$)`, 'm').test(api.replaceAll('\\_', '_')),
            name,
          ).toBe(true)
    }
  })

  it('has each row of the decision table', () => {
    const rows = rowsOf(section('docs/concepts.md', 'The decision table')).slice(2)
    expect(rows.map(([row]) => row)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
  })
})

describe('every link inside the repository', () => {
  it.each([...documents(), ...generated(), 'llms.txt'])('in %s resolves', (path) => {
    const text = read(path).replace(/```[\s\S]*?```/g, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const absolute = file === '' ? join(ROOT, path) : join(ROOT, dirname(path), file)
      expect(existsSync(absolute), `${path} -> ${target}`).toBe(true)
      if (anchor) expect(anchorsOf(readFileSync(absolute, 'utf8')), `${path} -> ${target}`).toContain(anchor)
    }
  })
})
