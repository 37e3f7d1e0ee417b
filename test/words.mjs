// Fails on words that the project never uses, and on changelog entries without a heading. Part of `npm run check`.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Each expression with what to write instead. Only words without a legitimate use here are listed. */
const WORDS = [
  [/\bmend(?:s|ed|ing)?\b/i, 'fix'],
  [/\bwhoever\b/i, 'anyone who'],
  [/\bany more\b/i, 'no longer'],
  [/\bin the place of\b/i, 'instead of'],
  [/\bfor want of\b/i, 'because … is missing'],
  [/\bpassed over\b/i, 'ignored'],
  [/\b(?:is|are|was|were|be) told of\b/i, 'is notified, is called with'],
  [/\be-mail/i, 'email'],
  [/\bset-ups?\b/i, 'setup'],
  [/\bwhat (?:came|becomes|became) of\b/i, 'the result of'],
  [/\bare abandoned since\b/i, 'have been abandoned since'],
  [/\b(?!none )\w+ of ours\b/i, 'one of our'],
  [/\bof one's own\b/i, 'your own'],
  [/\bshorterAndShorter\b|\blookouts?\b|\bspoil(?:s|t|ed)?\b|\bclinic\b/i, 'a term of the field'],
]
/** Words that test titles and comments of tests may still have. */
const OUTSIDE_TESTS = [
  // In quotes it is a value, before ` =` a name.
  [/(?<!['"`])\b(?:[Nn]obody|[Ss]omebody)\b(?!['"`]| =|\)|,)/, 'no user, another user, or the passive'],
  [/\bbeside\b/i, 'next to, along with'],
  [/\bgoes on\b/, 'continues'],
  [/\bby itself\b/i, 'automatically, alone'],
  [/\bthe way back\b/i, 'the redirect back'],
  [/\bleads? back\b/i, 'redirects back'],
  [/\bused up\b/i, 'consumed'],
  [/\badministrates\b/i, 'administers'],
  [/\blook again\b/i, 'revisit when'],
  [/\ball the same\b/i, 'still, anyway'],
  [/, else \w/, 'otherwise'],
  [/\buser names?\b/i, 'username'],
  [/\bdo not go together\b/i, 'incorrect'],
]
const SKIPPED = /^(?:test\/words\.mjs|docs\/api\/.*|.*package-lock\.json)$/
/** The notes of the first release stay as they were published. */
const FIRST_RELEASE = /^## \[?0\.1\.0\b[\s\S]*/m

const files = execFileSync('git', ['ls-files'], { encoding: 'utf8' }).split('\n')
const found = files
  .filter((path) => /\.(?:ts|mts|mjs|md|yml)$/.test(path) && !SKIPPED.test(path))
  .flatMap((path) => wordsIn(path, readFileSync(path, 'utf8')))
found.push(...ungrouped(readFileSync('CHANGELOG.md', 'utf8').replace(FIRST_RELEASE, '')))
if (found.length > 0) {
  console.error(`${found.join('\n')}\n${found.length} words to replace.`)
  process.exitCode = 1
}

/** Entries of the changelog that name their kind instead of standing under its heading. */
function ungrouped(changelog) {
  return changelog.split('\n').flatMap((line, index) => {
    const kind = /^- (Breaking|Added|Changed|Fixed|Security):/.exec(line)?.[1]
    return kind ? [`CHANGELOG.md:${index + 1}: "- ${kind}:". Write: the entry under "### ${kind}".`] : []
  })
}

function wordsIn(path, text) {
  const current = path === 'CHANGELOG.md' ? text.replace(FIRST_RELEASE, '') : text
  const words = path.startsWith('test/') ? WORDS : [...WORDS, ...OUTSIDE_TESTS]
  return current.split('\n').flatMap((line, index) =>
    words.flatMap(([pattern, instead]) => {
      const match = pattern.exec(line)
      return match ? [`${path}:${index + 1}: "${match[0]}". Write: ${instead}.`] : []
    }),
  )
}
