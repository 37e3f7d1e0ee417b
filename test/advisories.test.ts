import { beforeAll, expect, test } from 'vitest'

type Verdict = { result: string; lines: string[] }
let RESULTS: Record<string, number>
let readAudit: (text: string) => unknown
let verdict: (packages: unknown, audit: unknown) => Verdict
beforeAll(async () => {
  ;({ RESULTS, readAudit, verdict } = await import('./consumers/lib/audit.mjs' as string))
})

/** The output of npm, shortened, with and without an answer of the registry. */
const CLEAN = { auditReportVersion: 2, vulnerabilities: {}, metadata: { vulnerabilities: { total: 0 } } }
const FOUND = {
  auditReportVersion: 2,
  vulnerabilities: {
    minimist: {
      name: 'minimist',
      severity: 'critical',
      isDirect: false,
      via: [
        {
          source: 1097678,
          name: 'minimist',
          dependency: 'minimist',
          title: 'Prototype Pollution in minimist',
          url: 'https://github.com/advisories/GHSA-xvch-5gv4-984h',
          severity: 'critical',
          range: '>=1.0.0 <1.2.6',
        },
      ],
      effects: ['mkdirp'],
      range: '1.0.0 - 1.2.5',
      nodes: ['node_modules/minimist'],
      fixAvailable: true,
    },
    mkdirp: { name: 'mkdirp', severity: 'critical', via: ['minimist'], effects: [], range: '0.4.1 - 0.5.1' },
  },
}
const REFUSED = {
  message: '405 Method Not Allowed - POST https://registry.npmjs.org/-/npm/v1/security/advisories/bulk',
  statusCode: 405,
  error: { summary: '', detail: '' },
}
const NO_LOCK = { error: { code: 'ENOLOCK', summary: 'This command requires an existing lockfile.', detail: 'x' } }

const PACKAGES = [
  { name: 'minimist', version: '1.2.0', licence: 'MIT' },
  { name: 'odd', version: '2.0.0' },
]
const judged = (report: unknown, packages: unknown = PACKAGES) => verdict(packages, readAudit(JSON.stringify(report)))

test('reports a clean audit with version and licence of each package', () => {
  const { result, lines } = judged(CLEAN)
  expect([result, RESULTS[result]]).toEqual(['clean', 0])
  expect(lines).toContain('  minimist 1.2.0, MIT')
  expect(lines).toContain('  odd 2.0.0, no licence stated')
})

test('reports an advisory on an installed package once, with its URL', () => {
  const { result, lines } = judged(FOUND)
  expect([result, RESULTS[result]]).toEqual(['found', 1])
  expect(lines.filter((line) => line.includes('GHSA-xvch-5gv4-984h'))).toHaveLength(1)
  expect(lines).toContain('1 published for them:')
})

test("reports an advisory on the app's own packages separately", () => {
  const { result, lines } = judged(FOUND, [{ name: 'zod', version: '4.0.0', licence: 'MIT' }])
  expect(result).toBe('clean')
  expect(lines.join('\n')).toContain('GHSA-xvch-5gv4-984h')
})

test.each([
  ['a registry that has no such service', JSON.stringify(REFUSED), '405 Method Not Allowed'],
  ['a missing lock file', JSON.stringify(NO_LOCK), 'lockfile'],
  ['a report of another version', JSON.stringify({ ...CLEAN, auditReportVersion: 3 }), 'no report'],
  ['nothing', '', 'no JSON'],
  ['null', 'null', 'no report'],
  ['a page of a proxy', '<html>Forbidden</html>', 'no JSON'],
])('does not report a clean audit for %s', (_what, text, reason) => {
  const { result, lines } = verdict(PACKAGES, readAudit(text))
  expect([result, RESULTS[result]]).toEqual(['not checked', 2])
  expect(lines.join('\n')).toContain('NOT CHECKED')
  expect(lines.join('\n')).toContain(reason)
})
