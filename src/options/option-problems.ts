import type { AnyZodObject, ZodIssue } from 'zod/v3'
import { configurationError } from '../contract/options'
import { adviceOn } from './option-advice'

/** One problem of one field. */
export interface ConnectionProblem {
  /** The field of the connection, or the unknown name. */
  readonly field: string
  /** One or two sentences for an operator. */
  readonly message: string
}

/** Every problem, at most one for each field. */
export function problemsOf(schema: AnyZodObject, value: unknown): readonly ConnectionProblem[] {
  const issues = schema.safeParse(value).error?.issues ?? []
  const problems = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          field: topOf(issue) ?? key,
          message: `Unknown field \`${key}\`. ${adviceOn(key, schema, issue.path)}`,
        }))
      : [{ field: topOf(issue) ?? '', message: sentence(`${innerOf(issue)}${factOf(issue, valueAt(value, issue))}`) }],
  )
  return problems.filter(({ field }, index) => problems.findIndex((each) => each.field === field) === index)
}

/** The error about the first problem; `where` names what was parsed. */
export function refusal(schema: AnyZodObject, value: unknown, where: string, issues: readonly ZodIssue[]) {
  // A misspelt option is also a missing one; the misspelt name is the one to fix.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? (issues[0] as ZodIssue)
  const path = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys') {
    const at = path === '' ? where : `${where}: ${path}`
    const key = issue.keys[0] ?? ''
    return configurationError(`${at}: unknown option \`${key}\`. ${adviceOn(key, schema, issue.path)}`)
  }
  const subject = path === '' ? `${where}: the argument` : `${where}: \`${path}\``
  return configurationError(ended(`${subject} ${factOf(issue, valueAt(value, issue))}`))
}

const valueAt = (value: unknown, { path }: ZodIssue): unknown =>
  path.reduce<unknown>((inner, step) => (inner as Record<PropertyKey, unknown>)?.[step], value)

const topOf = ({ path }: ZodIssue): string | undefined => (path.length === 0 ? undefined : String(path[0]))

/** Names the part of a field; entries of an array count from 1. */
function innerOf({ path: [, inner] }: ZodIssue): string {
  if (inner === undefined) return ''
  return typeof inner === 'number' ? `Entry ${inner + 1} ` : `\`${String(inner)}\` `
}

const ended = (text: string) => (/[.?]$/.test(text) ? text : `${text}.`)

const sentence = (text: string) => ended(text.replace(/^[a-z]/, (letter) => letter.toUpperCase()))

/** The problem in our words: zod's messages describe its internals. */
function factOf(issue: ZodIssue, given: unknown): string {
  if (/^(?:must|is|begins) /.test(issue.message)) return issue.message
  if (given === undefined) return 'is missing'
  if (issue.code === 'invalid_type')
    return `must be ${KINDS[issue.expected] ?? issue.expected}, not ${kindOf(given, issue.expected)}`
  return `is not valid (${issue.message})`
}

const KINDS: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'true or false',
  integer: 'a whole number',
  number: 'a number',
  object: 'an object',
  string: 'a string',
}

function kindOf(given: unknown, expected: string): string {
  if (given === null) return 'null'
  if (Array.isArray(given)) return KINDS.array as string
  if (typeof given === 'number' && (expected === 'number' || expected === 'integer')) return String(given)
  // zod tells a Map, a Date or a promise from an object.
  if (typeof given === 'object' && expected === 'object')
    return `a ${Object.prototype.toString.call(given).slice(8, -1)}`
  return KINDS[typeof given] ?? `a ${typeof given}`
}
