import { expect, test } from 'vitest'
import { read } from './documents'

/** The last column of the table "What to see where". */
function named(): readonly string[] {
  const [, section = ''] = read('example-app/README.md').split('## What to see where')
  const rows = section.split('\n').filter((line) => line.startsWith('| '))
  return rows.slice(1).map((row) => row.split(' | ').at(-1)?.replace(/ \|$/, '') ?? '')
}

/** The titles of the tests of a file. */
const titles = (file: string) =>
  [...read(`test/example-app/${file}`).matchAll(/\b(?:row|test)\(\s*'([^']+)'/g)].map(([, title]) => title ?? '')

test('every row of the table in the README of the example app names a test in a browser', () => {
  const tests = [...titles('table.browser.test.ts'), ...titles('browser.test.ts')]
  expect(named().length).toBeGreaterThanOrEqual(30)
  expect(named().filter((title) => !tests.includes(title))).toEqual([])
})

test('every test of the table is named by a row', () => {
  expect(titles('table.browser.test.ts').filter((title) => !named().includes(title))).toEqual([])
})
