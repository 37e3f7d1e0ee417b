import { closest } from '../contract/closest'

/**
 * Refuses a key that nothing reads and suggests the nearest known one: a misspelled switch would otherwise leave a test
 * green for the wrong reason.
 */
export function refuseUnknownKeys(what: string, value: object, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null) throw new TypeError(`${what} takes an object.`)
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue
    throw new TypeError(`${what} has no "${key}". ${suggestion(key, known)}`)
  }
}

/** A non-empty string; otherwise throws a TypeError that names it. */
export function requireText(what: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new TypeError(`${what} must be a non-empty string.`)
}

/** "Did you mean" if a known word is near; otherwise the whole list. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = closest(word, known)
  if (near !== undefined) return `Did you mean "${near}"?`
  return known.length === 0 ? 'There are none.' : `Known: ${known.join(', ')}.`
}
