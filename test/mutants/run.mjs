/**
 * `npm run mutants`: switches off one defence at a time and runs the attack tests that must notice. Prints which test
 * killed which mutant, and ends with an error when one survives or no longer fits the source.
 * `npm run mutants -- code` runs those with "code" in their name; `--check` only compares them with the source.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runnerImport } from 'vite'

const root = fileURLToPath(new URL('../../', import.meta.url))
const { MUTANTS } = (await runnerImport(fileURLToPath(new URL('./mutants.ts', import.meta.url)))).module
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const chosen = MUTANTS.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))
const places = Math.max(1, Math.min(2, availableParallelism()))
const folder = mkdtempSync(join(tmpdir(), 'mutants-'))

/** Why this mutant cannot be made, `null` when it can. */
function unfit({ file, find }) {
  const count = readFileSync(join(root, 'src', file), 'utf8').split(find).length - 1
  return count === 1 ? null : `the text is there ${count} times in src/${file}`
}

function run(mutant, at) {
  const report = join(folder, `${at}.json`)
  const files = mutant.killers.map((name) => `test/attacks/${name}.test.ts`)
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const args = [
    vitest,
    'run',
    '--config',
    'test/mutants/vitest.config.mts',
    '--reporter=json',
    '--outputFile',
    report,
    ...files,
  ]
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, MUTANT: JSON.stringify(mutant) },
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
  const reason = unfit(mutant)
  if (reason) outcomes.set(mutant, { broken: reason })
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
