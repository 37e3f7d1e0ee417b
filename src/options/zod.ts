export type Zod = typeof import('zod')['z']

/** Defers a schema to the first construction: importing zod costs more than the rest of the package. */
export function lazily<Schema>(make: (z: Zod) => Schema): () => Schema {
  let made: Schema | undefined
  return () => {
    made ??= make((require('zod') as typeof import('zod')).z)
    return made
  }
}

/** A hook or callback; `what` says what it must be. */
export function callable(z: Zod, what = 'a function') {
  return z.custom<(...given: never[]) => unknown>((value) => typeof value === 'function', { error: `must be ${what}` })
}
