import type { AccountEmail, ProvenEmail } from '../contract/hooks'
import type { BitbucketEmail } from '../contract/identity'

/**
 * How well an address is proven.
 *
 * - `none`: there is no address.
 * - `asserted`: Bitbucket names it, without proof.
 * - `bitbucket`: confirmed at Bitbucket, and the connection trusts Bitbucket.
 * - `code`: Bitbucket named it, and our one-time code proved it for this very identity.
 * - `typed`: the user typed it, and our one-time code proved it. It never opens or claims an account.
 */
export type EmailLevel = 'none' | 'asserted' | 'bitbucket' | 'code' | 'typed'

/** The address of a sign-in with its level. `address` is `null` exactly when the level is `none`. */
export type SignInEmail =
  | { readonly level: 'none'; readonly address: null }
  | { readonly level: Exclude<EmailLevel, 'none'>; readonly address: string }

const LOCAL_PART = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/
const DOMAIN_LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/
/** No top level domain begins with a digit; a host that ends in a number is an IP address (`1.2.3.4`, `0x7f.1`). */
const TOP_LEVEL_LABEL = /\.[A-Za-z][^.]*$/

/**
 * Whether we accept this address for email and comparison: ASCII, dot-atom local part, letter-digit-hyphen domain with a
 * dot whose last label begins with a letter, at most 254 characters. Quoted, internationalised, bracketed and numeric
 * forms are not accepted: systems read them differently, and that is how one address becomes two.
 */
export function isAddress(value: string): boolean {
  if (value.length > 254) return false
  const [local, domain, ...rest] = value.split('@')
  if (!local || !domain || rest.length > 0 || local.length > 64 || !LOCAL_PART.test(local)) return false
  return TOP_LEVEL_LABEL.test(domain) && domain.split('.').every((label) => DOMAIN_LABEL.test(label))
}

/** The form in which addresses are compared: ASCII letters in lower case, nothing else folded (`K` U+212A is not `k`). */
export function comparableAddress(address: string): string {
  return address.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/**
 * The address that counts: the confirmed primary, otherwise the only confirmed one, otherwise the primary.
 * Two primaries contradict each other and count as none.
 */
export function chooseEmail(emails: readonly BitbucketEmail[]): BitbucketEmail | undefined {
  const valid = emails.filter(({ address }) => isAddress(address))
  const primaries = valid.filter(({ primary }) => primary)
  const primary = primaries.length === 1 ? primaries[0] : undefined
  const confirmed = valid.filter((email) => email.confirmed)
  return confirmed.length === 1 ? confirmed[0] : primary
}

/** Judges what Bitbucket lists, before any code. Trust alone proves nothing: the address must be confirmed too. */
export function judgeEmail(emails: readonly BitbucketEmail[], trustedProvider: boolean): SignInEmail {
  const chosen = chooseEmail(emails)
  if (!chosen) return { level: 'none', address: null }
  return { level: trustedProvider && chosen.confirmed ? 'bitbucket' : 'asserted', address: chosen.address }
}

/** The only maker of a {@link ProvenEmail}: `undefined` for every level that proves nothing. */
export function provenEmail(email: SignInEmail): ProvenEmail | undefined {
  switch (email.level) {
    case 'bitbucket':
      return { address: email.address, verified: true, verifiedBy: 'bitbucket' }
    case 'code':
    case 'typed':
      return { address: email.address, verified: true, verifiedBy: 'code' }
    case 'asserted':
    case 'none':
      return undefined
  }
}

/** The same address without any proof, for `untrustedEmail: 'unverified'`. */
export function unverifiedEmail(address: string): AccountEmail {
  return { address, verified: false, verifiedBy: null }
}

/**
 * An address as pages show it: first character and domain, so that users know which mailbox to open. The hidden part
 * always has the same length, so the mask does not reveal it.
 */
export function maskAddress(address: string): string {
  const [local = '', domain = ''] = address.split('@')
  return `${local.slice(0, 1)}***@${domain}`
}
