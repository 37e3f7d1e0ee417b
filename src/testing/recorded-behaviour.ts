import { readFileSync } from 'node:fs'
import type { FakeBehaviour } from './behaviour'

/** The format that the command `record` writes; a later one may have other switches. */
export const RECORD_FORMAT = 1

/** The switches in a record of `passport-bitbucket-signin record`. */
export function recordedBehaviour(file: string): FakeBehaviour {
  const record = parse(file, read(file))
  if (record?.format !== RECORD_FORMAT || typeof record.behaviour !== 'object' || record.behaviour === null) {
    throw new TypeError(`${file} is not a record of "passport-bitbucket-signin record" in format ${RECORD_FORMAT}.`)
  }
  return record.behaviour
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new TypeError(`"record": ${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`, {
      cause: error,
    })
  }
}

function parse(file: string, text: string): { readonly format?: unknown; readonly behaviour?: FakeBehaviour } | null {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TypeError(`"record": ${file} is not JSON.`, { cause: error })
  }
}
