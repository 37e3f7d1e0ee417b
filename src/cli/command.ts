/** Where a command writes, and how it learns that it should stop. */
export interface Terminal {
  /** Writes results. */
  write(text: string): void
  /** Writes errors. */
  writeError(text: string): void
  /** Resolves when the user presses Ctrl+C or the system asks the process to stop. */
  untilStopped(): Promise<void>
  /** Asks a question; with `hidden` the answer is not echoed. `null`, or no such method, without a terminal. */
  ask?(question: string, options?: { readonly hidden?: boolean }): Promise<string | null>
}

/** One command of the command line. */
export interface Command {
  readonly name: string
  /** The text of `--help`. */
  readonly usage: string
  /** Returns the exit code: 0 = fine, 1 = it failed. Throw a {@link UsageError} for wrong arguments. */
  run(args: readonly string[], terminal: Terminal): Promise<number>
}

/** The arguments are wrong. The message says how to fix them; the exit code is 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
