import type { AccountHookFailure } from './hook-failure'

/** The result of one check. */
export type AccountHookResult =
  | { readonly name: string; readonly title: string; readonly status: 'passed'; readonly durationMs: number }
  | { readonly name: string; readonly title: string; readonly status: 'skipped'; readonly reason: string }
  | {
      readonly name: string
      readonly title: string
      readonly status: 'failed'
      readonly durationMs: number
      /** What the check found. */
      readonly seen: string
      /** The effect on a user of the app. */
      readonly effect: string
      readonly fix: string
      readonly error: AccountHookFailure
    }

/** The results of {@link checkAccountHooks}. */
export interface AccountHooksReport {
  /** No check failed. Skipped checks do not count. */
  readonly ok: boolean
  readonly results: readonly AccountHookResult[]
  /** The same as plain text for a terminal. */
  toString(): string
}

export function reportOf(results: readonly AccountHookResult[]): AccountHooksReport {
  const report = { ok: results.every(({ status }) => status !== 'failed'), results: Object.freeze([...results]) }
  // Not enumerable, so that JSON and equality see the results alone.
  return Object.defineProperty(report, 'toString', { value: () => asText(results) })
}

function asText(results: readonly AccountHookResult[]): string {
  const failures = results.filter(({ status }) => status === 'failed')
  const lines = [...results.filter(({ status }) => status !== 'failed'), ...failures].map(line)
  const count = (status: string) => results.filter((each) => each.status === status).length
  return `${lines.join('\n')}\n\n${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped.\n`
}

function line(result: AccountHookResult): string {
  switch (result.status) {
    case 'passed':
      return `passed   ${result.title}`
    case 'skipped':
      return `skipped  ${result.title}\n         because ${result.reason}`
    case 'failed':
      return [
        `FAILED   ${result.title} [${result.name}]`,
        `         Seen:   ${result.seen}`,
        `         Effect: ${result.effect}`,
        `         Fix:    ${result.fix}`,
      ].join('\n')
  }
}
