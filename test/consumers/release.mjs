// What must be true before a release: the changelog has this version with a date, and npm can link to the sources.
import { readFileSync } from 'node:fs'

const { version, ...manifest } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const changelog = readFileSync(new URL('../../CHANGELOG.md', import.meta.url), 'utf8')
const heading = new RegExp(`^## \\[?${version.replaceAll('.', '\\.')}\\]? - \\d{4}-\\d{2}-\\d{2}$`, 'm')
const problems = [
  ...(heading.test(changelog) ? [] : [`CHANGELOG.md: no heading "## [${version}] - YYYY-MM-DD".`]),
  ...['repository', 'homepage', 'bugs']
    .filter((field) => !manifest[field])
    .map((field) => `package.json: \`${field}\` is missing. npm provenance and the links on npmjs.com need it.`),
]
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
else console.log(`${version} can be released.`)
