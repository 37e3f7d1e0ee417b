/** The app's policy; every default is safe. */
export interface SignInPolicy {
  /**
   * What to do with an unproven address. `verify` (default): email a code. `omit`: create without an address.
   * `unverified`: create with the address marked unverified; this one reveals whether an account exists, and once the
   * address is proven by other means, remove its earlier identities: they may belong to a stranger. `reject`.
   */
  readonly untrustedEmail: 'verify' | 'unverified' | 'omit' | 'reject'
  /** What to do without any address. `ask` (default): ask for one and email a code. `allow`: create without. `reject`. */
  readonly missingEmail: 'ask' | 'allow' | 'reject'
  /**
   * What to do when an account holds the proven address. `link` (default): link when a trusted provider confirmed it
   * and the account's own address is verified; prove otherwise. `prove`: always ask to sign in to it first. `reject`.
   */
  readonly matchingAccount: 'link' | 'prove' | 'reject'
  /** Whether our code alone links to an account with that verified address. Default `false`: reading one email proves less than owning the account. */
  readonly codeOpensAccount: boolean
  /** `one` (default) Bitbucket identity per user, or `many`. */
  readonly identitiesPerUser: 'one' | 'many'
  /** Whether new accounts may be created. Default `true`; follows the connection's `signUp`. */
  readonly signUp: boolean
  /** Whether the app can take an address from unverified holders (`claimAddress`). */
  readonly canClaim: boolean
  /** Whether the app can name accounts and list identities (`describeUser`, `listIdentities`). */
  readonly canProve: boolean
}

/** The app's policy for linking. */
export interface LinkPolicy {
  /**
   * What the app knows about its users' addresses.
   *
   * - `verified` (default): the app verifies them, and `emailVerified` of the hooks says which. An account whose address
   *   is not verified cannot link: a stranger could have made it and wait inside it for the address's owner.
   * - `unverified`: the app only stores them. `emailVerified` counts as false everywhere, linking needs no verified
   *   address, and a matching account is always proven by signing in to it. `claimAddress` is refused at construction:
   *   it would take accounts from their owners.
   * - `none`: users have no addresses here. Bitbucket's are not read, no account is looked up by address, and no code
   *   is ever sent. The address policies and `trustedProvider` are refused at construction.
   */
  readonly localAddresses: 'verified' | 'unverified' | 'none'
  /** `one` (default) Bitbucket identity per user, or `many`. */
  readonly identitiesPerUser: SignInPolicy['identitiesPerUser']
}
