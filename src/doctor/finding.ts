import { docsOf, ERROR_STATUS, type ErrorCode } from '../contract/errors'

/** The severity: `problem` = sign-in fails or is unsafe, `warning` = it works but should be changed, `unknown` = it cannot be seen from here. */
export type DoctorVerdict = 'ok' | 'warning' | 'problem' | 'unknown'

/** The result of one check. */
export interface DoctorFinding {
  /** Name of the check, stable, for scripts: `session-store`. */
  readonly check: string
  /** The severity. */
  readonly verdict: DoctorVerdict
  /** What was found, in one sentence. */
  readonly message: string
  /** How to fix it; `null` if there is nothing to fix. */
  readonly fix: string | null
}

/** The findings of the doctor, worst first. `String(report)` is the text for a terminal. */
export interface DoctorReport {
  /** Whether no finding is a `problem`. */
  readonly ok: boolean
  /** All findings, worst first. */
  readonly findings: readonly DoctorFinding[]
  /** The same as plain text for a terminal. */
  toString(): string
}

/** The inputs of the findings apart from the observations. */
export interface AppExpectation {
  readonly callbackURL: string
  /** Path at which the router is mounted. */
  readonly mount: string
  readonly hasCustomDomains: boolean
  /** Whether the site of the callback hands sign-ins over to other origins, and may serve no users itself. */
  readonly passesOn: boolean
  readonly production: boolean
}

/** All is well. */
export function ok(check: string, message: string): DoctorFinding {
  return { check, verdict: 'ok', message, fix: null }
}

/** It cannot be seen from here. */
export function unknown(check: string, message: string): DoctorFinding {
  return { check, verdict: 'unknown', message, fix: null }
}

/** It works but should be changed. */
export function warning(check: string, message: string, fix: string): DoctorFinding {
  return { check, verdict: 'warning', message, fix }
}

/** Sign-in fails or is unsafe. */
export function problem(check: string, message: string, fix: string): DoctorFinding {
  return { check, verdict: 'problem', message, fix }
}

const WORST_FIRST: readonly DoctorVerdict[] = ['problem', 'warning', 'unknown', 'ok']

/** Sorts findings, worst first. */
export function reportOf(findings: readonly DoctorFinding[]): DoctorReport {
  const sorted = WORST_FIRST.flatMap((verdict) => findings.filter((each) => each.verdict === verdict))
  const report = {
    ok: !sorted.some(({ verdict }) => verdict === 'problem'),
    findings: Object.freeze(sorted.map((each) => Object.freeze(each))),
  }
  // Not enumerable, so that JSON and equality ignore it.
  return Object.defineProperty(report, 'toString', { value: () => asText(sorted) })
}

const LABEL: Readonly<Record<DoctorVerdict, string>> = {
  problem: 'PROBLEM',
  warning: 'warning',
  unknown: 'unknown',
  ok: 'ok',
}

function asText(findings: readonly DoctorFinding[]): string {
  const lines = findings.flatMap((finding) => {
    const { check, verdict, message, fix } = finding
    const code = codeIn(finding)
    const more = [fix === null ? null : `Fix: ${fix}`, code && `See: ${docsOf(code)}`].filter((each) => each !== null)
    const texts = [
      `${LABEL[verdict].padEnd(9)}${check.padEnd(18)} ${message}`,
      ...more.map((each) => ' '.repeat(28) + each),
    ]
    // A finding can quote what a site answered, and a terminal obeys control characters.
    return texts.map((text) => text.replace(/\p{C}+/gu, ' '))
  })
  const count = (verdict: DoctorVerdict) => findings.filter((each) => each.verdict === verdict).length
  const summary = `${plural(count('problem'), 'problem')}, ${plural(count('warning'), 'warning')}, ${count('ok')} in order`
  return `${lines.join('\n')}\n\n${summary}${count('unknown') > 0 ? `, ${count('unknown')} not visible from here` : ''}.\n`
}

/** The error code that a finding names, `null` if it names none or nothing is wrong. */
function codeIn({ verdict, message, fix }: DoctorFinding): ErrorCode | null {
  if (verdict === 'ok') return null
  const words: readonly string[] = `${message} ${fix ?? ''}`.match(/[a-z]+(?:_[a-z]+)+/g) ?? []
  return words.find((word): word is ErrorCode => Object.hasOwn(ERROR_STATUS, word)) ?? null
}

function plural(count: number, word: string): string {
  return `${count === 0 ? 'no' : count} ${word}${count === 1 ? '' : 's'}`
}
