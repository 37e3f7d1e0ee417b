/** Values by name; a row chooses one of each. */
export type Choices = Readonly<Record<string, readonly unknown[]>>
export type Row = Readonly<Record<string, unknown>>

/**
 * Rows in which each pair of values of two names occurs at least once. Deterministic: each row takes the first pair that
 * is still missing, then for each other name the value that covers most missing pairs, the first one at a tie.
 */
export function pairwise(choices: Choices): Row[] {
  const missing = allPairs(choices)
  const rows: Row[] = []
  for (let next = firstOf(missing); next !== undefined; next = firstOf(missing)) {
    const row = new Map(JSON.parse(next) as [string, number][])
    for (const [name, values] of Object.entries(choices)) {
      if (!row.has(name)) row.set(name, bestValue(name, values.length, row, missing))
    }
    for (const pair of pairsOf([...row])) missing.delete(pair)
    rows.push(Object.fromEntries([...row].map(([name, index]) => [name, choices[name]?.[index]])))
  }
  return rows
}

/** Every pair that a complete cover contains. */
export function allPairs(choices: Choices): Set<string> {
  const singles = Object.entries(choices).map(([name, values]) => values.map((_, index) => [name, index] as const))
  const pairs = singles.flatMap((some, at) =>
    singles.slice(at + 1).flatMap((others) => some.flatMap((a) => others.map((b) => keyOf(a, b)))),
  )
  return new Set(pairs)
}

function bestValue(
  name: string,
  count: number,
  row: ReadonlyMap<string, number>,
  missing: ReadonlySet<string>,
): number {
  const gain = (index: number) => [...row].filter((other) => missing.has(keyOf([name, index], other))).length
  const gains = Array.from({ length: count }, (_, index) => gain(index))
  return gains.indexOf(Math.max(...gains))
}

function pairsOf(row: readonly (readonly [string, number])[]): string[] {
  return row.flatMap((a, at) => row.slice(at + 1).map((b) => keyOf(a, b)))
}

function keyOf(a: readonly [string, number], b: readonly [string, number]): string {
  return JSON.stringify(a[0] < b[0] ? [a, b] : [b, a])
}

function firstOf(keys: ReadonlySet<string>): string | undefined {
  return keys.values().next().value
}
