/**
 * Refuses a key that nothing reads, and names the nearest one that is: a misspelt switch would otherwise leave a test
 * green for the wrong reason.
 */
export function refuseUnknownKeys(what: string, value: object, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null) throw new TypeError(`${what} takes an object.`)
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue
    throw new TypeError(`${what} has no "${key}". ${suggestion(key, known)}`)
  }
}

/** A non-empty string, or a TypeError that says which. */
export function requireText(what: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new TypeError(`${what} must be a non-empty string.`)
}

/** "Did you mean" when one is near, else the whole list. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = known.find((candidate) => isNear(word.toLowerCase(), candidate.toLowerCase()))
  if (near) return `Did you mean "${near}"?`
  return known.length === 0 ? 'There are none.' : `Known: ${known.join(', ')}.`
}

function isNear(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a) || editDistance(a, b) <= 2
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1]
    for (const [j, other] of Array.from(b).entries()) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] ?? 0
}
