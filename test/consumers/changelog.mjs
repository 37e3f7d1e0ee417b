// The version about to be released must have its entry in the changelog, with a date.
import { readFileSync } from 'node:fs'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const changelog = readFileSync(new URL('../../CHANGELOG.md', import.meta.url), 'utf8')
const heading = new RegExp(`^## ${version.replaceAll('.', '\\.')} · \\d{4}-\\d{2}-\\d{2}$`, 'm')
if (heading.test(changelog)) {
  console.log(`CHANGELOG.md has an entry for ${version}.`)
} else {
  console.error(`CHANGELOG.md needs a heading "## ${version} · YYYY-MM-DD" with what changes for users.`)
  process.exitCode = 1
}
