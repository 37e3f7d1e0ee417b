import { describe, expect, test } from 'vitest'
import { isPlainObject, problemOfData } from '../../src/decisions/app-data'

const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])
const RESTORE = 'it holds an object that JSON cannot restore'

describe('the data of an app', () => {
  test.each([
    [null],
    [''],
    [false],
    [0],
    [[]],
    [{}],
    [Object.create(null)],
    [{ a: [1, null, { b: 'x' }], left: undefined }],
    [nested(16)],
    ['x'.repeat(510)],
  ])('may be %j', (data) => {
    expect(problemOfData(data)).toBeNull()
  })

  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'a undefined is not JSON'],
    ['a number without end', { n: Number.POSITIVE_INFINITY }, 'a number is not JSON'],
    ['a big integer', 1n, 'a bigint is not JSON'],
    ['a function in a list', [() => {}], 'a function is not JSON'],
    ['nothing in a list', [1, undefined], 'a undefined is not JSON'],
    ['a symbol', Symbol('x'), 'a symbol is not JSON'],
    ['a date', new Date(), RESTORE],
    ['a map', { map: new Map() }, RESTORE],
    ['a list with a class', new (class extends Array {})(), RESTORE],
    ['a hole', new Array(1), RESTORE],
    ['a name in a list', Object.assign([1], { name: 'x' }), RESTORE],
    ['a symbol in a list', Object.assign([1], { [Symbol('x')]: 1 }), RESTORE],
    ['a symbol as a name', { [Symbol('x')]: 1 }, RESTORE],
    ['a hidden property', Object.defineProperty({}, 'hidden', { value: 1 }), RESTORE],
    ['a prototype', JSON.parse('{"__proto__":1}'), 'it has a member `__proto__`'],
    ['17 levels', nested(17), 'it is nested too deeply'],
    ['513 bytes', 'x'.repeat(511), 'it takes 513 bytes as JSON; at most 512 fit'],
    ['513 bytes in fewer characters', `${'€'.repeat(170)}x`, 'it takes 513 bytes as JSON; at most 512 fit'],
  ])('must not be %s', (_what, data, problem) => {
    expect(problemOfData(data)).toBe(problem)
  })

  test.each([null, undefined, 'x', [], new Date()])('%j is not a plain object', (value) => {
    expect(isPlainObject(value)).toBe(false)
  })
})
