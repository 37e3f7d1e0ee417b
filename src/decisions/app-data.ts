/** The limit of the app's data in a sign-in, in bytes of JSON. */
export const MAX_DATA_BYTES = 512
const MAX_DEPTH = 16

/**
 * The problem of the app's data for a sign-in, `null` if there is none. Data that JSON would drop or change is
 * refused: its loss would go unnoticed.
 */
export function problemOfData(data: unknown): string | null {
  const problem = problemOfJson(data, MAX_DEPTH)
  if (problem !== null) return problem
  const bytes = Buffer.byteLength(JSON.stringify(data))
  return bytes <= MAX_DATA_BYTES ? null : `it takes ${bytes} bytes as JSON; at most ${MAX_DATA_BYTES} fit`
}

function problemOfJson(value: unknown, depth: number): string | null {
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)) return null
  if (typeof value !== 'object') return `a ${typeof value} is not JSON`
  if (depth === 0) return 'it is nested too deeply'
  if (!isPlainArray(value) && !isPlainObject(value)) return 'it holds an object that JSON cannot restore'
  // An object's undefined members are left out, as JSON does; a copy of a `__proto__` would change its prototype.
  const members = Array.isArray(value) ? value : Object.values(value).filter((each) => each !== undefined)
  if (Object.hasOwn(value, '__proto__')) return 'it has a member `__proto__`'
  for (const each of members) {
    const problem = problemOfJson(each, depth - 1)
    if (problem !== null) return problem
  }
  return null
}

/** An object without a class, which JSON restores unchanged. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === null) && hasOnlyMembers(value)
}

function isPlainArray(value: object): boolean {
  return Array.isArray(value) && Object.getPrototypeOf(value) === Array.prototype && hasOnlyMembers(value)
}

/** Whether it holds neither what JSON leaves out (symbols, hidden properties, names in an array) nor holes. */
function hasOnlyMembers(value: object): boolean {
  const names = Object.keys(value).length
  if (!Array.isArray(value)) return Reflect.ownKeys(value).length === names
  return names === value.length && Reflect.ownKeys(value).length === names + 1
}
