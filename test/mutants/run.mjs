/**
 * `npm run mutants`: switches off one defence at a time and runs the attack tests that must notice. Prints which test
 * killed which mutant, and ends with an error when one survives or no longer fits the source.
 * `npm run mutants -- code` runs those with "code" in their name; `--check` only compares them with the source.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runnerImport } from 'vite'

const root = fileURLToPath(new URL('../../', import.meta.url))
const load = async (path) => (await runnerImport(fileURLToPath(new URL(path, import.meta.url)))).module
const { MUTANTS } = await load('./mutants.ts')
const { place } = await load('./place.mts')
const { GROUPS } = await load('../attacks/rows.ts')
/** The test file of each row of the attack catalogue, and of each file of attacks by its name. */
const fileOf = new Map([
  ...readdirSync(join(root, 'test'), { recursive: true })
    .filter((file) => file.endsWith('.attacks.test.ts'))
    .map((file) => [basename(file, '.attacks.test.ts'), file]),
  ...GROUPS.flatMap(({ file, rows }) => rows.map((row) => [row, file])),
])
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const chosen = MUTANTS.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))
const places = Math.max(1, Math.min(2, availableParallelism()))
const folder = mkdtempSync(join(tmpdir(), 'mutants-'))

function run(mutant, at) {
  const report = join(folder, `${at}.json`)
  const files = mutant.killers.map((name) => `test/${fileOf.get(name) ?? `${name}.test.ts`}`)
  const areRows = mutant.killers.every((name) => /^[A-Z]{3}-\d\d$/.test(name))
  const only = areRows ? ['--testNamePattern', `(${mutant.killers.join('|')}): `] : []
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const args = [
    vitest,
    'run',
    '--config',
    'test/mutants/vitest.config.mts',
    '--reporter=json',
    '--outputFile',
    report,
    ...only,
    ...new Set(files),
  ]
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, MUTANT: JSON.stringify(place(mutant)) },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let errors = ''
    child.stderr.on('data', (data) => {
      errors += data
    })
    child.on('close', (code) => resolve(verdict(report, code, errors)))
  })
}

/** A mutant that does not even load proves nothing: only a test that failed kills. */
function verdict(report, code, errors) {
  let results
  try {
    results = JSON.parse(readFileSync(report, 'utf8'))
  } catch {
    return { broken: errors.split('\n').find((line) => line.trim() !== '') ?? `exit code ${code}` }
  }
  const failed = results.testResults.flatMap(({ assertionResults }) =>
    assertionResults.filter(({ status }) => status === 'failed'),
  )
  if (failed.length > 0) return { killer: failed[0].fullName }
  if (results.numPassedTests === 0) return { broken: results.testResults[0]?.message?.split('\n')[0] ?? 'no test ran' }
  return code === 0 ? { survived: true } : { killer: 'an error outside of the tests' }
}

const outcomes = new Map()
for (const mutant of chosen) {
  const placed = place(mutant)
  if (typeof placed === 'string') outcomes.set(mutant, { broken: placed })
}
if (!process.argv.includes('--check')) {
  const queue = chosen.filter((mutant) => !outcomes.has(mutant))
  const worker = async () => {
    for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
      const outcome = await run(mutant, MUTANTS.indexOf(mutant))
      outcomes.set(mutant, outcome)
      console.error(`${outcome.killer ? 'killed  ' : outcome.survived ? 'SURVIVED' : 'BROKEN  '} ${mutant.name}`)
    }
  }
  await Promise.all(Array.from({ length: places }, worker))
}
rmSync(folder, { recursive: true })

const width = Math.max(...chosen.map(({ name }) => name.length))
for (const mutant of chosen) {
  const { killer, survived, broken } = outcomes.get(mutant) ?? {}
  const text = killer ?? (survived ? 'SURVIVED' : broken ? `BROKEN: ${broken}` : 'fits the source')
  console.log(`${mutant.name.padEnd(width)}  ${text}`)
}
const bad = [...outcomes.values()].filter(({ killer }) => !killer).length
console.log(`\n${chosen.length} mutants, ${outcomes.size - bad} killed, ${bad} survived or broken`)
process.exitCode = bad === 0 ? 0 : 1
