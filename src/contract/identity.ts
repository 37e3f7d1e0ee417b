/** The key of a Bitbucket account: issuer and immutable id. Store exactly these two, unique together. */
export interface Identity {
  /** `https://bitbucket.org`, or the server of a connection's own `endpoints`. */
  readonly issuer: string
  /** Bitbucket's `uuid`, with its braces. Never a name or an address: those change hands. */
  readonly id: string
}

/** One address as `/user/emails` lists it. `confirmed` is Bitbucket's claim; the policy decides its worth. */
export interface BitbucketEmail {
  readonly address: string
  readonly primary: boolean
  readonly confirmed: boolean
}

/** A Bitbucket account. Everything but the id may change between two sign-ins. */
export interface Profile {
  /** Bitbucket's `uuid`, with its braces. */
  readonly id: string
  /** Atlassian's account id across products; informative. */
  readonly accountId: string | null
  /** Mutable and re-registrable: for display only. */
  readonly username: string | null
  /** Display handle, not unique. */
  readonly nickname: string | null
  /** Full name in one string, never empty. */
  readonly displayName: string
  readonly avatarUrl: string | null
  readonly profileUrl: string | null
  /**
   * The addresses Bitbucket lists; strings that are not addresses are left out. `null` when they were not read, which
   * is not "has none": a known user signs in without waiting for them. After a pending sign-in only the one in question
   * is still known.
   */
  readonly emails: readonly BitbucketEmail[] | null
}
