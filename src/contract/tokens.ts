/** The tokens that Bitbucket issued. Each usually has more than 2500 characters. */
export interface Tokens {
  /** For `Authorization: Bearer`; lasts about two hours. */
  readonly accessToken: string
  /** Rotates at every use; expires after three months without use. */
  readonly refreshToken: string | null
  /** When the access token expires, `null` if Bitbucket did not say. */
  readonly expiresAt: Date | null
  /** Granted scopes, `null` if Bitbucket did not say. */
  readonly scopes: readonly string[] | null
}

/** A user's membership in one workspace. */
export interface WorkspaceMembership {
  /** The workspace's name in URLs; can change. */
  readonly slug: string
  /** Immutable, unlike the slug. */
  readonly uuid: string
  /** `owner`, `create-project` or `member`. */
  readonly permission: string
}
