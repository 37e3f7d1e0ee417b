/** What Bitbucket issued. Each token regularly exceeds 2500 characters. */
export interface Tokens {
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
  readonly slug: string
  /** Immutable, unlike the slug. */
  readonly uuid: string
  /** `owner`, `create-project` or `member`. */
  readonly permission: string
}
