/** `npm run cases`: which tests show that a reported fault, by its number, stays fixed. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const byCase = new Map()
for (const path of readdirSync(folder, { recursive: true })
  .filter((each) => each.endsWith('.test.ts'))
  .sort()) {
  for (const [, , title] of readFileSync(folder + path, 'utf8').matchAll(/(['"`])(cases? \d(?:(?!\1).)*)\1/g)) {
    for (const number of title.split(':', 1)[0].match(/\d+/g) ?? []) {
      byCase.set(Number(number), [...(byCase.get(Number(number)) ?? []), `${path}: ${title}`])
    }
  }
}
for (const [number, tests] of [...byCase].sort(([a], [b]) => a - b)) {
  for (const [index, each] of tests.entries())
    console.log(`${index === 0 ? String(number).padStart(3) : '   '}  ${each}`)
}
console.log(`\n${byCase.size} cases, ${[...byCase.values()].flat().length} tests`)
