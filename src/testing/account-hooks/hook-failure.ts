/** What a check found wrong in the hooks of an app. The message is written for a test runner's output. */
export class AccountHookFailure extends Error {
  override readonly name = 'AccountHookFailure'
  /** What the check found. */
  readonly seen: string
  /** The effect on a user of the app. */
  readonly effect: string
  readonly fix: string

  constructor(found: { seen: string; effect: string; fix: string }, cause?: unknown) {
    const { seen, effect, fix } = found
    super(`${seen}\n  Effect: ${effect}\n  Fix: ${fix}`, cause === undefined ? undefined : { cause })
    this.seen = seen
    this.effect = effect
    this.fix = fix
  }
}

/** A check that does not apply to this app, which only turned out when it ran. */
export class NotApplicable extends Error {
  override readonly name = 'NotApplicable'
}

/** What a check says about its failures; one of its assertions may say it more precisely. */
export interface Diagnosis {
  readonly effect: string
  readonly fix: string
}

/** Fails a check. */
export function fail(seen: string, { effect, fix }: Diagnosis, cause?: unknown): never {
  throw new AccountHookFailure({ seen, effect, fix }, cause)
}

/** An error in one line, as a failure quotes it. */
export function inOneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const [line = ''] = error.message.split('\n').filter((each) => each.trim() !== '')
  return `${error.name}: ${line.trim().slice(0, 200)}`
}

/** A failure as a check reports it; anything that was thrown unexpectedly becomes one as well. */
export function failureOf(error: unknown): AccountHookFailure {
  if (error instanceof AccountHookFailure) return error
  const found = {
    seen: `A hook or a function of \`database\` failed. ${inOneLine(error)}`,
    effect: 'The request ends with `hook_failed`, status 500.',
    fix: 'See `cause`, which says where it was thrown.',
  }
  return new AccountHookFailure(found, error)
}
