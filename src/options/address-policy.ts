import { type BitbucketSignInOptions, configurationError } from '../contract/options'

const ABOUT_ADDRESSES = ['untrustedEmail', 'missingEmail', 'matchingAccount', 'codeOpensAccount'] as const

/** Refuses options that contradict `policy.localAddresses`. Checks what the app set, before defaults. */
export function checkAddressPolicy<User>({ policy, accounts, connection }: BitbucketSignInOptions<User>): void {
  if (policy?.localAddresses === 'unverified' && accounts.claimAddress) {
    throw configurationError(
      "bitbucketSignIn: `accounts.claimAddress` would take accounts from their owners, because with `policy.localAddresses: 'unverified'` no owner has verified an address. Remove it, or verify addresses and set 'verified'.",
    )
  }
  if (policy?.localAddresses !== 'none') return
  const given = ABOUT_ADDRESSES.find((name) => policy[name] !== undefined)
  if (given !== undefined) throw pointless(`bitbucketSignIn: \`policy.${given}\``)
  if (typeof connection !== 'function' && connection.trustedProvider) throw pointless('connection: `trustedProvider`')
}

const pointless = (option: string) =>
  configurationError(`${option} is about addresses, but \`policy.localAddresses\` is 'none'. Remove one of them.`)
