/** The key of a Bitbucket account: issuer and immutable id. Store exactly these two, unique together. */
export interface Identity {
  /** `https://bitbucket.org`, or the server of a connection's own `endpoints`. */
  readonly issuer: string
  /** Bitbucket's `uuid`, with its braces. Never a name or an address: those can pass to another person. */
  readonly id: string
}

/** One address as `/user/emails` lists it. `confirmed` is Bitbucket's claim; the policy decides its worth. */
export interface BitbucketEmail {
  /** As Bitbucket lists it. */
  readonly address: string
  /** Whether it is the main address of the account. */
  readonly primary: boolean
  /** Whether Bitbucket says that the user confirmed it. */
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
  /** URL of the picture, https; `null` if there is none. */
  readonly avatarUrl: string | null
  /** URL of the profile page at Bitbucket; `null` if there is none. */
  readonly profileUrl: string | null
  /**
   * The addresses that Bitbucket lists, without strings that are not addresses. `null` if they were not read, which does
   * not mean "has none": a known user signs in without waiting for them. After a pending sign-in only the one in question
   * is still known.
   */
  readonly emails: readonly BitbucketEmail[] | null
}
