import type { ZodTypeAny } from 'zod/v3'
import { once } from '../contract/once'

export type Zod = typeof import('zod/v3')['z']

/**
 * Defers a schema to the first construction. The API of zod 3, which zod 4 keeps: it loads in a fifth of the time (10 of
 * 50 ms), because every entry of zod 4 loads its messages in fifty languages.
 */
export function lazily<Schema extends object>(make: (z: Zod) => Schema): () => Schema {
  return once(() => make((require('zod/v3') as typeof import('zod/v3')).z))
}

/** A hook or callback; `what` says what it must be. */
export function callable(z: Zod, what = 'a function') {
  return z.custom<(...given: never[]) => unknown>((value) => typeof value === 'function', `must be ${what}`)
}

export const nonEmpty = (z: Zod) => z.string().min(1, { message: 'must not be empty' })

/** An object whose keys are checked elsewhere. */
export const anyObject = (z: Zod) => z.object({}).passthrough()

/** A union with one message; zod's own would be "Invalid input". */
export function either<const Options extends Readonly<[ZodTypeAny, ZodTypeAny, ...ZodTypeAny[]]>>(
  z: Zod,
  message: string,
  options: Options,
) {
  return z.union(options, { errorMap: () => ({ message }) })
}

/** One of these strings, for a value of any type. */
export function oneOf<const Value extends string>(z: Zod, ...values: [Value, ...Value[]]) {
  const message = `must be one of ${values.map((each) => `'${each}'`).join(', ')}`
  return z.enum(values, { errorMap: () => ({ message }) })
}

/** The option names of each group: a message about a misplaced option names the right group. */
export const optionGroups: Map<string, () => readonly string[]> = new Map()
