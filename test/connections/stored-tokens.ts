import { type BitbucketSignIn, BitbucketSignInError, type Tokens } from 'passport-bitbucket-signin'

/** A client of node-postgres, checked out for one call: `const client = await pool.connect()`. */
interface Client {
  query(sql: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

export const createTable = `
  CREATE TABLE bitbucket_tokens (
    user_id       text PRIMARY KEY,
    tenant        text,
    access_token  text NOT NULL,    -- encrypt both tokens in a real app
    refresh_token text,
    expires_at    timestamptz,
    accepted_at   timestamptz,      -- the last successful refresh
    refused_at    timestamptz,      -- the last refresh_refused
    refusals      int NOT NULL DEFAULT 0,
    dead          boolean NOT NULL DEFAULT false   -- this user has to sign in with Bitbucket again
  )`

/** For the hook: `storeTokens: ({ user, tokens, context }) => saveTokens(client, user.id, context.tenant, tokens)`. */
export async function saveTokens(client: Client, userId: string, tenant: string | null, tokens: Tokens): Promise<void> {
  await client.query(
    `INSERT INTO bitbucket_tokens (user_id, tenant, access_token, refresh_token, expires_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (user_id) DO UPDATE SET tenant = $2, access_token = $3, refresh_token = $4, expires_at = $5,
       refused_at = NULL, refusals = 0, dead = false`,
    [userId, tenant, tokens.accessToken, tokens.refreshToken, tokens.expiresAt],
  )
}

interface Row {
  readonly tenant: string | null
  readonly access_token: string
  readonly refresh_token: string | null
  readonly running_out: boolean
  readonly dead: boolean
  readonly paused: boolean
}

/**
 * An access token that is valid for another minute. Rejects with `reauthorization_required` when the user has to sign
 * in again, and with `refresh_refused` when it is too early to tell.
 */
export async function accessTokenOf(client: Client, bitbucket: BitbucketSignIn, userId: string): Promise<string> {
  await client.query('BEGIN')
  try {
    // A second call waits here and then reads what the first one stored.
    const locked = await client.query(
      `SELECT *, coalesce(expires_at < clock_timestamp() + interval '1 minute', false) AS running_out,
         coalesce(refused_at + interval '15 minutes' * least(2 ^ (refusals - 1), 96) > clock_timestamp(), false) AS paused
       FROM bitbucket_tokens WHERE user_id = $1 FOR UPDATE`,
      [userId],
    )
    const row = locked.rows[0] as unknown as Row | undefined
    const token = row && !row.running_out ? row.access_token : await refreshRow(client, bitbucket, userId, row)
    await client.query('COMMIT')
    return token
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  }
}

async function refreshRow(client: Client, bitbucket: BitbucketSignIn, userId: string, row?: Row): Promise<string> {
  if (!row?.refresh_token || row.dead) {
    throw new BitbucketSignInError('reauthorization_required', 'No refresh token that works is stored.')
  }
  if (row.paused) throw new BitbucketSignInError('refresh_refused', 'Bitbucket refused this token a short while ago.')
  const fresh = await bitbucket
    .refreshTokens({ tenant: row.tenant, refreshToken: row.refresh_token })
    .catch((error: unknown) => noteRefusal(client, userId, error))
  // A response without a refresh token keeps the old one.
  await saveTokens(client, userId, row.tenant, { ...fresh, refreshToken: fresh.refreshToken ?? row.refresh_token })
  await client.query('UPDATE bitbucket_tokens SET accepted_at = clock_timestamp() WHERE user_id = $1', [userId])
  return fresh.accessToken
}

/**
 * Records a refusal and throws it. No token is ever deleted, because a refusal may concern the whole client. It concerns
 * this token if it is the second refusal, and if the latest refresh of another token of the client since the first
 * refusal succeeded.
 */
async function noteRefusal(client: Client, userId: string, error: unknown): Promise<never> {
  const code = error instanceof BitbucketSignInError ? error.code : null
  if (code !== 'reauthorization_required' && code !== 'refresh_refused') throw error
  const noted = await client.query(
    `UPDATE bitbucket_tokens AS mine SET refused_at = clock_timestamp(), refusals = refusals + 1,
       dead = $2 OR coalesce(mine.refused_at IS NOT NULL AND (
         SELECT max(accepted_at) > greatest(mine.refused_at, max(refused_at)) FROM bitbucket_tokens AS other
         WHERE tenant IS NOT DISTINCT FROM mine.tenant AND user_id <> mine.user_id), false)
     WHERE user_id = $1 RETURNING dead`,
    [userId, code === 'reauthorization_required'],
  )
  await client.query('COMMIT')
  if (code === 'refresh_refused' && noted.rows[0]?.dead === true) {
    throw new BitbucketSignInError('reauthorization_required', 'This refresh token is dead.', { cause: error })
  }
  throw error
}
