import { createHash, createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../contract/secret'

/** The purpose of a key. A key of one purpose opens no value of another. */
export type KeyPurpose =
  | 'transaction'
  | 'verifier'
  | 'pending'
  | 'second-pass'
  | 'asked-for'
  | 'notice'
  | 'state'
  | 'hand-over'
  | 'code'

/** One derived key with its short public name. */
export interface Key {
  /** Four bytes that tell which secret made a value, so that opening tries one key only. */
  readonly id: Buffer
  readonly key: KeyObject
}

/** The keys of one purpose, newest first: the first seals, all open. */
export type KeyRing = readonly [Key, ...Key[]]

/**
 * Incremented when values sealed by an earlier version must not be opened. 2: version 0.1 had no tenants in issuers, so
 * values that it sealed for a tenant's own client would open any user's account.
 */
const FORMAT = 2

/** Derives the keys of one purpose and plugin from the secrets. @see https://www.rfc-editor.org/rfc/rfc5869 */
export function deriveKeys(secrets: readonly Secret[], name: string, purpose: KeyPurpose): KeyRing {
  const [first, ...rest] = secrets.map((secret): Key => {
    const bytes = Buffer.from(
      hkdfSync('sha256', secret.reveal(), '', `passport-bitbucket-signin/${FORMAT}/${name}/${purpose}`, 32),
    )
    return { id: createHash('sha256').update(bytes).digest().subarray(0, 4), key: createSecretKey(bytes) }
  })
  if (!first) throw new TypeError('At least one secret is needed.')
  return [first, ...rest]
}

/** A message authentication code of 128 bits under the newest key. */
export function sign(keys: KeyRing, message: string): string {
  return macOf(keys[0], message).toString('base64url')
}

/** Whether any key made this code; in constant time for each. */
export function verify(keys: KeyRing, message: string, code: string): boolean {
  const given = Buffer.from(code, 'base64url')
  return keys.some((key) => {
    const expected = macOf(key, message)
    return given.length === expected.length && timingSafeEqual(given, expected)
  })
}

function macOf({ key }: Key, message: string): Buffer {
  return createHmac('sha256', key).update(message).digest().subarray(0, 16)
}
