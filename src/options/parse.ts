import type { AnyZodObject } from 'zod/v3'

/** Parses options with their defaults; throws `configuration_invalid` for the first problem. */
export function parse<Schema extends AnyZodObject>(
  schema: Schema,
  value: unknown,
  where: string,
): ReturnType<Schema['parse']> {
  const result = schema.safeParse(value)
  if (result.success) return result.data as ReturnType<Schema['parse']>
  throw onFailure().refusal(schema, value, where, result.error.issues)
}

/** As {@link parse}, for values whose defaults come later. */
export function check(schema: AnyZodObject, value: unknown, where: string): void {
  const { error } = schema.safeParse(value)
  if (error) throw onFailure().refusal(schema, value, where, error.issues)
}

const onFailure = () => require('./option-problems') as typeof import('./option-problems')
