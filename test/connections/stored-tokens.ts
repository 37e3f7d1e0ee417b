import { type BitbucketSignIn, BitbucketSignInError, type Tokens } from 'passport-bitbucket-signin'

/** A client of node-postgres, checked out for one call: `const client = await pool.connect()`. */
interface Client {
  query(sql: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

export const createTable = `
  CREATE TABLE bitbucket_tokens (
    user_id       text PRIMARY KEY,
    tenant        text,
    access_token  text NOT NULL,   -- encrypt both tokens in a real app
    refresh_token text,            -- NULL: this person has to sign in with Bitbucket again
    expires_at    timestamptz
  )`

/** For the hook: `storeTokens: ({ user, tokens, context }) => saveTokens(client, user.id, context.tenant, tokens)`. */
export async function saveTokens(client: Client, userId: string, tenant: string | null, tokens: Tokens): Promise<void> {
  await client.query(
    `INSERT INTO bitbucket_tokens (user_id, tenant, access_token, refresh_token, expires_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (user_id) DO UPDATE SET tenant = $2, access_token = $3, refresh_token = $4, expires_at = $5`,
    [userId, tenant, tokens.accessToken, tokens.refreshToken, tokens.expiresAt],
  )
}

/** An access token that is good for another minute. Rejects with `reauthorization_required` when there is none. */
export async function accessTokenOf(client: Client, bitbucket: BitbucketSignIn, userId: string): Promise<string> {
  await client.query('BEGIN')
  try {
    // Whoever comes second waits here, and then reads what the first one stored.
    const locked = await client.query('SELECT * FROM bitbucket_tokens WHERE user_id = $1 FOR UPDATE', [userId])
    const row = locked.rows[0] as
      | { tenant: string | null; access_token: string; refresh_token: string | null; expires_at: Date | null }
      | undefined
    let token = row?.access_token
    if (!row || !token || (row.expires_at && row.expires_at.getTime() < Date.now() + 60_000)) {
      if (!row?.refresh_token) throw new BitbucketSignInError('reauthorization_required', 'No refresh token is stored.')
      const fresh = await bitbucket.refreshTokens({ tenant: row.tenant, refreshToken: row.refresh_token })
      // An answer without a refresh token leaves the old one as it is.
      await saveTokens(client, userId, row.tenant, { ...fresh, refreshToken: fresh.refreshToken ?? row.refresh_token })
      token = fresh.accessToken
    }
    await client.query('COMMIT')
    return token
  } catch (error) {
    if (error instanceof BitbucketSignInError && error.code === 'reauthorization_required') {
      await client.query('UPDATE bitbucket_tokens SET refresh_token = NULL WHERE user_id = $1', [userId])
      await client.query('COMMIT')
    } else {
      await client.query('ROLLBACK')
    }
    throw error
  }
}
