// npm run docs:api: writes docs/api.md from the declarations that tsc wrote, docstrings included.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const dist = fileURLToPath(new URL('../dist/', import.meta.url))

/** The whole reference as Markdown. */
export function apiReference() {
  const parts = [
    '# API reference',
    '',
    'Generated from the docstrings by `npm run docs:api`; edit those.',
    '',
    ...entry('passport-bitbucket-signin', 'index.d.ts'),
    ...entry('passport-bitbucket-signin/testing', 'testing/index.d.ts'),
  ]
  return `${parts
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim()}\n`
}

function entry(name, file) {
  const exported = exportsOf(file)
  const found = exported.map(({ name: each, from }) => declarationOf(each, from)).sort(byKindThenName)
  return [`## ${name}`, '', ...found.flatMap(render)]
}

/** The names that an index file lists, with the file each comes from. */
function exportsOf(file) {
  const text = readFileSync(join(dist, file), 'utf8')
  return [...text.matchAll(/export (?:type )?\{([^}]*)\} from '([^']+)'/g)]
    .flatMap(([, names, from]) =>
      names.split(',').map((each) => {
        const [original, alias] = each
          .trim()
          .replace(/^type /, '')
          .split(' as ')
        return { name: original, alias, from: `${normalize(join(dirname(file), from))}.d.ts` }
      }),
    )
    .filter(({ name, alias }) => name !== '' && alias === undefined)
}

/** A top-level declaration with its docstring. */
function declarationOf(name, file) {
  const lines = readFileSync(join(dist, file), 'utf8').split('\n')
  const start = lines.findIndex((line) =>
    new RegExp(`^export (?:declare )?(?:abstract )?(?:interface|type|class|function|const) ${name}\\b`).test(line),
  )
  if (start === -1) throw new Error(`${file} does not declare ${name}`)
  let end = start
  while (!isWhole(lines.slice(start, end + 1).join('\n'))) end++
  const code = lines.slice(start, end + 1).join('\n')
  return {
    name,
    file,
    kind: /(interface|type|class|function|const) /.exec(code)[1],
    code,
    doc: docBefore(lines, start),
  }
}

/** Whether all brackets are closed and the statement has ended. */
function isWhole(code) {
  const bare = code
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/'(?:[^'\\]|\\.)*'/g, "''")
    .replace(/=>/g, '')
  const depth = [...bare].reduce((sum, char) => sum + ('{(['.includes(char) ? 1 : '})]'.includes(char) ? -1 : 0), 0)
  return depth === 0 && /[;}]\s*$/.test(bare)
}

function docBefore(lines, start) {
  let line = start - 1
  if (!lines[line]?.trim().endsWith('*/')) return ''
  const end = line
  while (!lines[line].trim().startsWith('/**')) line--
  return cleaned(lines.slice(line, end + 1).join('\n'))
}

/** A docstring as Markdown. */
function cleaned(comment) {
  const text = comment
    .replace(/^\s*\/\*\*\s?/, '')
    .replace(/\s*\*\/\s*$/, '')
    .replace(/^\s*\* ?/gm, '')
    .replace(/\{@link ([\w.]+)\}/g, '`$1`')
    .replace(/@see (\S+)/g, 'See <$1>.')
  const [said, ...examples] = text.split(/\n?@example\n/)
  return [said.trim(), ...examples.map((example) => `\`\`\`js\n${example.trim()}\n\`\`\``)].join('\n\n')
}

function render({ name, kind, code, doc }) {
  const members = kind === 'interface' || kind === 'class' ? membersOf(code) : []
  const head = code
    .split('\n')[0]
    .replace(/^export (?:declare )?/, '')
    .replace(/ \{$/, '')
  const whole =
    kind === 'interface' || kind === 'class' ? head : withoutComments(code).replace(/^export (?:declare )?/, '')
  return [
    `### ${name}`,
    '',
    doc,
    '',
    ...(tellsNothing(kind, whole) ? [] : ['```typescript', whole, '```', '']),
    ...(members.length === 0 ? [] : ['| Member | Type | |', '|---|---|---|', ...members, '']),
  ]
}

/** A head that only repeats the heading, or a value that is too long to print. */
function tellsNothing(kind, text) {
  return kind === 'const' || (kind === 'interface' && /^interface \w+$/.test(text))
}

/** Rows of a table: name, type, what the docstring says in one cell. */
function membersOf(code) {
  const body = code.slice(code.indexOf('{\n') + 2, code.lastIndexOf('}'))
  const rows = []
  let doc = ''
  let held = ''
  for (const line of body.split('\n')) {
    if (held === '' && doc.startsWith('/**') && !doc.endsWith('*/')) {
      doc += `\n${line}`
      continue
    }
    if (held === '' && line.trim().startsWith('/**')) {
      doc = line.trim()
      continue
    }
    held += held === '' ? line.trim() : `\n${line}`
    if (!isWhole(held)) continue
    if (!/^(?:private|protected|declare|#|(?:override )?readonly name = )/.test(held) && held.trim() !== '')
      rows.push(row(held, doc.trim()))
    held = ''
    doc = ''
  }
  return rows
}

function row(member, doc) {
  const bare = withoutComments(member)
    .replace(/\s+/g, ' ')
    .replace(/;\s*$/, '')
    .replace(/^(?:readonly |override )+/, '')
  const [, name, optional = '', rest = ''] = /^(\w+|\[[^\]]+\])(\??)(.*)$/.exec(bare) ?? [null, bare]
  const type = rest.replace(/^:\s*/, '').replace(/; \}/g, ' }')
  const cell = (text) => text.replace(/\|/g, '\\|').replace(/\n+/g, ' ')
  const said =
    doc === ''
      ? ''
      : cleaned(doc)
          .replace(/```js\n([\s\S]*?)\n```/g, '')
          .replace(/\n+/g, ' ')
          .trim()
  return `| \`${name}${optional}\` | \`${cell(type)}\` | ${cell(said)} |`
}

function withoutComments(code) {
  return code.replace(/\s*\/\*[\s\S]*?\*\//g, '').replace(/^\s*\n/gm, '')
}

const ORDER = ['function', 'class', 'const', 'interface', 'type']

function byKindThenName(a, b) {
  return ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || a.name.localeCompare(b.name, 'en')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!existsSync(dist)) throw new Error('Build first: npm run build.')
  writeFileSync(fileURLToPath(new URL('api.md', import.meta.url)), apiReference())
}
