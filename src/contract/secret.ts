import { inspect } from 'node:util'

/**
 * A value that must not be printed. `console.log`, `util.inspect` (hidden properties included) and `JSON.stringify`
 * show a placeholder; only {@link Secret.reveal} returns the value, and a search for it finds every use.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself. */
  reveal(): string {
    return this.#value
  }

  /** What JSON shows instead. */
  toJSON(): string {
    return '[secret]'
  }

  /** What `util.inspect` shows instead. */
  [inspect.custom](): string {
    return '[secret]'
  }
}
