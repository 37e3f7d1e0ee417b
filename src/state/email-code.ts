import { randomInt } from 'node:crypto'
import type { Identity } from '../contract/identity'
import { comparableAddress } from '../decisions/email-trust'
import type { KeyRing } from './keys'
import { sign, verify } from './keys'

/** Twenty consonants: no vowels, so no words; no letters that read like another. 20^8 = 34.6 bits. */
const ALPHABET = 'BCDFGHJKLMNPQRSTVWXZ'
const LENGTH = 8

/** A code is valid for 10 minutes. */
export const CODE_LIFETIME_MS: number = 10 * 60 * 1000

/** Everything a code is bound to. A change of any field invalidates the code. */
export interface CodeBinding {
  /** Handle of the pending sign-in, and so of the browser. */
  readonly handle: string
  /** The number of the email; a newer email invalidates older codes. */
  readonly generation: number
  readonly identity: Identity
  readonly address: string
  /** Digest of connection, tenant and application. */
  readonly context: string
}

/** Makes a new code as emailed, `XXXX-XXXX`. */
export function makeCode(): string {
  const letters = Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
  return `${letters.slice(0, 4)}-${letters.slice(4)}`
}

/** The letters of a typed code; lower case, spaces and hyphens are fine. `undefined` = cannot be a code. */
function readCode(typed: string): string | undefined {
  if (typed.length > 64) return undefined
  const letters = typed.replace(/[ -]/g, '').replace(/[a-z]/g, (letter) => letter.toUpperCase())
  return letters.length === LENGTH && [...letters].every((letter) => ALPHABET.includes(letter)) ? letters : undefined
}

/** The keyed hash of a code. The key stays on the server, or a stolen cookie could be searched for its code. */
export function hashCode(keys: KeyRing, binding: CodeBinding, code: string): string {
  return sign(keys, messageOf(binding, readCode(code) ?? ''))
}

/** Whether the typed text is the code behind this hash; compares hashes of one length in constant time. */
export function matchesCode(keys: KeyRing, binding: CodeBinding, hash: string, typed: string): boolean {
  const code = readCode(typed)
  return code !== undefined && verify(keys, messageOf(binding, code), hash)
}

function messageOf({ handle, generation, identity, address, context }: CodeBinding, code: string): string {
  return JSON.stringify([handle, generation, identity.issuer, identity.id, comparableAddress(address), context, code])
}
