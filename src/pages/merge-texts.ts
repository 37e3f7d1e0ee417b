import { BitbucketSignInError } from '../contract/errors'
import type { PartialTexts, Texts } from '../contract/texts'
import { english } from './texts-en'

const PLACEHOLDER = /\{(\w+)\}/g

/** Replaces `{name}` by `values.name`, in one pass: a value that contains braces is left alone. */
export function fillText(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(PLACEHOLDER, (whole, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole,
  )
}

/** The placeholders of a text, without duplicates. */
export function placeholdersOf(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(PLACEHOLDER)].map((match) => match[1] ?? ''))
}

/**
 * Our texts with some replaced. A key that does not exist, a value that is not a string, or a placeholder that the
 * text never gets throws `configuration_invalid`, so that a typo shows at start and not on the page.
 */
export function mergeTexts(overrides: PartialTexts | undefined): Texts {
  return overrides === undefined ? english : (mergeInto('texts', english, overrides) as unknown as Texts)
}

type Branch = { readonly [key: string]: string | Branch }

function mergeInto(path: string, base: object, overrides: object): Branch {
  const merged: { [key: string]: string | Branch } = { ...(base as Branch) }
  for (const [key, value] of Object.entries(overrides)) {
    if (value === undefined) continue
    const where = `${path}.${key}`
    const known = Object.hasOwn(base, key) ? (base as Branch)[key] : undefined
    if (known === undefined) throw invalid(`\`${where}\` does not exist. Remove it or correct its name.`)
    if (typeof known === 'object') {
      if (typeof value !== 'object' || value === null) throw invalid(`\`${where}\` must be an object of texts.`)
      merged[key] = mergeInto(where, known, value)
    } else {
      merged[key] = checkedText(where, value, known)
    }
  }
  return Object.freeze(merged)
}

function checkedText(where: string, value: unknown, reference: string): string {
  if (typeof value !== 'string' || value.trim() === '') throw invalid(`\`${where}\` must be a non-empty string.`)
  const allowed = placeholdersOf(reference)
  for (const name of placeholdersOf(value)) {
    if (allowed.has(name)) continue
    const instead = allowed.size === 0 ? 'It has none' : `It may use {${[...allowed].join('}, {')}}`
    throw invalid(`\`${where}\` uses {${name}}, which is never filled in. ${instead}.`)
  }
  return value
}

function invalid(message: string): BitbucketSignInError {
  return new BitbucketSignInError('configuration_invalid', message)
}
