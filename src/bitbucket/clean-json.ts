import { INVISIBLE, isJsonObject, type JsonObject, MAX_TOKEN } from './read-answer'

/** Deeper than any of Bitbucket's resources, and far below the depth at which `JSON.stringify` overflows the stack. */
const MAX_DEPTH = 16
/** A recursive copy or merge would read these as a prototype. */
const PROTOTYPE_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

/**
 * A copy of an answer that is safe to hand to the app: strings well formed, at most as long as a token, without invisible
 * characters; no key that a copy would turn into a prototype. Invisible characters are replaced and not dropped, so
 * that no id is repaired into another one.
 */
export function cleanJson(body: JsonObject): JsonObject {
  return cleanObject(body, 0)
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cleanString(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return null
  return isJsonObject(value) ? cleanObject(value, depth) : (value as unknown[]).map((each) => clean(each, depth + 1))
}

function cleanObject(body: JsonObject, depth: number): JsonObject {
  const cleaned: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(body)) {
    if (!PROTOTYPE_KEYS.has(key) && cleanString(key) === key) cleaned[key] = clean(value, depth + 1)
  }
  return cleaned
}

function cleanString(text: string): string {
  // Cut first: a character that is cut in two is replaced with the others.
  return text.slice(0, MAX_TOKEN).replace(INVISIBLE, '\ufffd')
}
