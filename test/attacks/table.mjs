/**
 * `npm run attacks:table`: which row of the attack catalogue is held by which tests. Reads the list of rows and the
 * names of the tests; `npm test` runs them. Ends with an error when a row is open.
 */
import { readFileSync } from 'node:fs'
import { runnerImport } from 'vite'

const { module } = await runnerImport(new URL('./rows.ts', import.meta.url).pathname)
const { GROUPS, NOT_APPLICABLE } = module
const totals = { covered: 0, notApplicable: 0, open: 0, tests: 0 }

for (const { name, file, rows } of GROUPS) {
  console.log(`\n${name} (test/${file})`)
  const source = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
  const tests = [...source.matchAll(/\btest\(\s*(['"`])([A-Z]{3}-\d\d): ((?:\\.|(?!\1).)*)\1/g)]
  totals.tests += tests.length
  for (const row of rows) {
    const sentences = tests.filter(([, , id]) => id === row).map(([, , , text]) => text.replaceAll("\\'", "'"))
    if (sentences.length > 0) totals.covered++
    else if (NOT_APPLICABLE[row]) totals.notApplicable++
    else totals.open++
    const lines =
      sentences.length > 0 ? sentences : [NOT_APPLICABLE[row] ? `not applicable: ${NOT_APPLICABLE[row]}` : 'OPEN']
    for (const [at, line] of lines.entries()) console.log(`  ${at === 0 ? row : '      '}  ${line}`)
  }
}

const { covered, notApplicable, open, tests } = totals
console.log(`\n${covered} rows covered by ${tests} tests, ${notApplicable} not applicable, ${open} open`)
process.exitCode = open === 0 ? 0 : 1
