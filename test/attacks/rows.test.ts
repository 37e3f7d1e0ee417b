import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { GROUPS, NOT_APPLICABLE } from './rows'

const testsIn = (file: string) =>
  [...readFileSync(`test/${file}`, 'utf8').matchAll(/\btest\(\s*(['"`])([A-Z]{3}-\d\d): /g)].map(([, , id]) => id ?? '')

test('lists a test or a reason for every attack, and every attack test', () => {
  for (const { file, rows } of GROUPS) {
    const found = new Set(testsIn(file))
    expect(rows.filter((row) => !found.has(row) && !NOT_APPLICABLE[row])).toEqual([])
    expect([...found].filter((row) => !rows.includes(row))).toEqual([])
    expect(rows.filter((row) => found.has(row) && NOT_APPLICABLE[row])).toEqual([])
  }
})
