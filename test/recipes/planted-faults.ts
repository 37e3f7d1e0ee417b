// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of the recipe

import type { Edit } from './edited-recipe'

/** One mistake in the pg recipe, and the check that must find it. */
export interface PlantedFault {
  /** What the developer did. */
  readonly mistake: string
  /** Name of the check. */
  readonly check: string
  readonly edit: Edit | null
  /** Changes of the tables, undone afterwards. */
  readonly tables: { readonly change: string; readonly undo: string } | null
}

const inHooks = (check: string, mistake: string, find: string, replace: string): PlantedFault => ({
  mistake,
  check,
  edit: { file: 'accounts', find, replace },
  tables: null,
})

const inClaim = (check: string, mistake: string, find: string, replace: string): PlantedFault => ({
  mistake,
  check,
  edit: { file: 'claim-address', find, replace },
  tables: null,
})

const inTables = (check: string, mistake: string, change: string, undo: string): PlantedFault => ({
  mistake,
  check,
  edit: null,
  tables: { change, undo },
})

const BY_EMAIL = `'SELECT * FROM users WHERE lower(email COLLATE "C") = lower($1 COLLATE "C")'`
const VERIFIED_IN_LIST = 'emailVerified: user.email_verified,\n        autoLink'
const ADDRESS_KEY = 'CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email COLLATE "C")) WHERE email_verified'
const INSERT_IDENTITY = "VALUES ($1, $2, $3, $4)'"

export const PLANTED_FAULTS: readonly PlantedFault[] = [
  // Look-ups
  inHooks(
    'unknown-identity',
    'returns undefined for no user',
    '[identity.issuer, identity.id])).rows[0] ?? null',
    '[identity.issuer, identity.id])).rows[0] as User',
  ),
  inHooks(
    'identity-by-issuer',
    'looks an identity up by its id alone',
    "users.id WHERE issuer = $1 AND subject = $2'",
    "users.id WHERE $1::text IS NOT NULL AND subject = $2'",
  ),
  inTables(
    'deleted-account',
    'forgot the foreign key of identities',
    'ALTER TABLE identities DROP CONSTRAINT identities_user_id_fkey',
    `DELETE FROM identities;
     ALTER TABLE identities ADD CONSTRAINT identities_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE`,
  ),
  inHooks(
    'user-by-id',
    'returns undefined for a deleted user',
    "'SELECT * FROM users WHERE id = $1', [id])).rows[0] ?? null",
    "'SELECT * FROM users WHERE id = $1', [id])).rows[0] as User",
  ),
  inHooks(
    'unknown-address',
    'compares the domain alone',
    BY_EMAIL,
    `"SELECT * FROM users WHERE split_part(email, '@', 2) = split_part($1, '@', 2)"`,
  ),
  inHooks('letter-case', 'compares letter case', BY_EMAIL, "'SELECT * FROM users WHERE email = $1'"),
  inHooks('letter-case', 'returns the address that was asked for', "email: user.email ?? '',", 'email,'),
  inHooks('address-characters', 'compares with ILIKE', BY_EMAIL, "'SELECT * FROM users WHERE email ILIKE $1'"),
  inHooks(
    'address-characters',
    'writes the address into the statement',
    BY_EMAIL,
    "`SELECT * FROM users WHERE lower(email) = lower('${email}') AND $1::text IS NOT NULL`",
  ),
  inHooks('every-holder', 'returns one account only', BY_EMAIL, BY_EMAIL.replace(/'$/, " LIMIT 1'")),
  inHooks('verified-flag', 'returns verified accounts only', BY_EMAIL, BY_EMAIL.replace(/'$/, " AND email_verified'")),
  inHooks(
    'verified-flag',
    'takes each stored address for verified',
    VERIFIED_IN_LIST,
    VERIFIED_IN_LIST.replace('user.email_verified', 'true'),
  ),
  inHooks(
    'verified-flag',
    'returns 0 and 1',
    VERIFIED_IN_LIST,
    VERIFIED_IN_LIST.replace('user.email_verified', 'Number(user.email_verified) as never'),
  ),
  inHooks('describe-user', 'shows an id for the address', '      email: user.email,', '      email: user.id,'),
  inHooks(
    'describe-nameless-user',
    'names users by a column that may be empty',
    "label: user.name ?? user.email ?? 'your account'",
    'label: user.name as string',
  ),

  // createUser
  inHooks(
    'create',
    'forgets the address',
    '[profile.displayName, email?.address ?? null,',
    '[profile.displayName, null,',
  ),
  inHooks('create-unverified', 'stores each address as verified', 'email?.verified ?? false]', 'email !== null]'),
  inHooks('create-without-address', 'stores an empty string', 'email?.address ?? null,', "email?.address ?? '',"),
  inTables(
    'create-long-values',
    'made the name a varchar(80)',
    'ALTER TABLE users ALTER name TYPE varchar(80)',
    'ALTER TABLE users ALTER name TYPE text',
  ),
  inHooks('create-rollback', 'forgot BEGIN', "await client.query('BEGIN')", ''),
  inHooks(
    'create-rollback',
    'upserts the identity',
    INSERT_IDENTITY,
    INSERT_IDENTITY.replace(/'$/, " ON CONFLICT (issuer, subject) DO UPDATE SET user_id = $3'"),
  ),
  inHooks('create-rollback', 'throws the driver’s own error', 'throw takenError(error)', 'throw error'),
  inTables(
    'create-same-person',
    'forgot the unique key of identities',
    'ALTER TABLE identities DROP CONSTRAINT identities_pkey',
    'ALTER TABLE identities ADD CONSTRAINT identities_pkey PRIMARY KEY (issuer, subject)',
  ),
  inTables(
    'create-same-address',
    'forgot the unique key on the address',
    'DROP INDEX users_email_lower_key',
    ADDRESS_KEY,
  ),
  inTables(
    'create-taken-address',
    'made the unique key heed letter case',
    'DROP INDEX users_email_lower_key; CREATE UNIQUE INDEX users_email_lower_key ON users (email) WHERE email_verified',
    `DROP INDEX users_email_lower_key; ${ADDRESS_KEY}`,
  ),
  inTables(
    'create-similar-address',
    'folded accents in the unique key',
    `DROP INDEX users_email_lower_key;
     CREATE UNIQUE INDEX users_email_lower_key ON users (translate(lower(email), 'éK', 'ek')) WHERE email_verified`,
    `DROP INDEX users_email_lower_key; ${ADDRESS_KEY}`,
  ),
  inHooks(
    'create-unrelated',
    'shares one connection between requests',
    'const client = await pool.connect()',
    'const client = await ((pool as never as { one?: Promise<PoolClient> }).one ??= pool.connect().then((one) => Object.assign(one, { release() {} })))',
  ),

  // linkIdentity
  inHooks(
    'link',
    'forgets to store the identity',
    'await storeIdentity(client, id, identity, profile)',
    'void profile',
  ),
  inHooks(
    'linked-identities',
    'lists the identities of all users',
    'profile FROM identities WHERE user_id = $1',
    'profile FROM identities WHERE $1::bigint > 0',
  ),
  inHooks(
    'link-taken',
    'moves an identity, as save() of some ORMs does',
    INSERT_IDENTITY,
    INSERT_IDENTITY.replace(/'$/, " ON CONFLICT (issuer, subject) DO UPDATE SET user_id = $3'"),
  ),
  inHooks(
    'link-race',
    'swallows the error of the unique key',
    INSERT_IDENTITY,
    INSERT_IDENTITY.replace(/'$/, " ON CONFLICT DO NOTHING'"),
  ),
  inTables(
    'link-one-per-user',
    'forgot the unique key on user and issuer',
    'ALTER TABLE identities DROP CONSTRAINT identities_one_per_user',
    'ALTER TABLE identities ADD CONSTRAINT identities_one_per_user UNIQUE (user_id, issuer)',
  ),
  inHooks('link-suspended-user', 'trusts the user it was given', 'if (!user || user.suspended)', 'if (!user)'),
  inHooks(
    'link-other-address',
    'verifies the account’s address whatever was proven',
    'WHERE id = $1 AND lower(email) = lower($2)',
    'WHERE id = $1 AND $2::text IS NOT NULL',
  ),

  // unlinkIdentity
  inHooks('unlink', 'forgets that a password is a way in', '!user?.password_hash && ', 'user && '),
  inHooks(
    'unlink-keeps-others',
    'removes all identities',
    'WHERE issuer = $1 AND subject = $2 AND user_id = $3',
    'WHERE $1::text IS NOT NULL AND $2::text IS NOT NULL AND user_id = $3',
  ),
  inHooks(
    'unlink-keeps-others',
    'deletes by the id alone',
    'DELETE FROM identities WHERE issuer = $1 AND subject = $2',
    'DELETE FROM identities WHERE $1::text IS NOT NULL AND subject = $2',
  ),
  inHooks(
    'unlink-last',
    'removes the last way in',
    "!stillStored(remaining, rows)) return 'last'",
    "rows.length < 1) return 'last'",
  ),
  inHooks('unlink-unserved', 'counts each stored identity', '!stillStored(remaining, rows)', 'rows.length < 2'),
  inHooks('unlink-race', 'forgot the lock', 'WHERE id = $1 FOR UPDATE', 'WHERE id = $1'),
  inHooks(
    'unlink-foreign',
    'deletes by the key of the identity alone',
    'AND subject = $2 AND user_id = $3',
    'AND subject = $2 AND $3::bigint > 0',
  ),
  inHooks('unlink-no-auto-link', 'forgets the flag', 'SET auto_link = false', 'SET auto_link = true'),

  // claimAddress
  inClaim('claim', 'returns the holder', 'return { user }', 'return { user: holders[0] ?? user }'),
  inClaim('claim', 'leaves the new address unverified', 'VALUES ($1, $2, true)', 'VALUES ($1, $2, false)'),
  inClaim(
    'claim-two-holders',
    'takes the address from the first holder only',
    'const ids = holders.map(({ id }) => id)',
    'const ids = holders.slice(0, 1).map(({ id }) => id)',
  ),
  {
    ...inClaim(
      'claim-holder-identity',
      'moves the holder’s identities along',
      'await storeIdentity(client, user.id, identity, profile)',
      `await storeIdentity(client, user.id, identity, profile)
      await client.query('UPDATE identities SET user_id = $1 WHERE user_id = ANY($2)', [user.id, ids])`,
    ),
    tables: {
      change: 'ALTER TABLE identities DROP CONSTRAINT identities_one_per_user',
      undo: 'ALTER TABLE identities ADD CONSTRAINT identities_one_per_user UNIQUE (user_id, issuer)',
    },
  },
  inClaim('claim-verified-meanwhile', 'does not look at the flag again', 'AND NOT email_verified ', ''),
  inClaim('claim-one-verified', 'does not look at the flag again', 'AND NOT email_verified ', ''),
  inClaim(
    'claim-other-address',
    'does not compare the address again',
    'AND lower(email COLLATE "C") = lower($2 COLLATE "C")',
    'AND $2::text IS NOT NULL',
  ),
  inClaim(
    'claim-rollback',
    'runs outside a transaction',
    'transaction(pool, async (client) => {',
    'transaction(pool, async () => {\nconst client = await pool.connect().then((one) => (one.release(), one))',
  ),
  inClaim(
    'claim-pending-changes',
    'forgets the confirmation links',
    "await client.query('DELETE FROM email_confirmations WHERE lower(email) = lower($1)', [email.address])",
    '',
  ),

  // What belongs to an identity, sessions, suspension
  inHooks(
    'profile',
    'stores no profile',
    'return { username, nickname, displayName, avatarUrl }',
    'return { username, nickname, displayName: "", avatarUrl }',
  ),
  inHooks(
    'update-profile',
    'updates the profile of everybody',
    'SET profile = $3 WHERE issuer = $1 AND subject = $2',
    'SET profile = $3 WHERE issuer = $1 AND $2::text IS NOT NULL',
  ),
  inTables(
    'tokens',
    'made the tokens a varchar(2000)',
    'ALTER TABLE identities ALTER tokens TYPE varchar(2000)',
    'ALTER TABLE identities ALTER tokens TYPE text',
  ),
  inHooks(
    'can-sign-in',
    'lets everybody in',
    "!user.suspended || 'suspended'",
    "user.suspended !== null || 'suspended'",
  ),
  inHooks('end-other-sessions', 'ends the session of the request as well', '= $1 AND sid <> $2', "= $1 AND $2 <> ''"),
  inHooks(
    'end-other-sessions',
    'ends the sessions of everybody',
    "WHERE sess #>> '{passport,user}' = $1 AND",
    "WHERE $1 <> '' AND",
  ),
  inHooks('claim-sessions', 'ends the session of the request only', 'AND sid <> $2', 'AND sid = $2'),
  inHooks(
    'hooks-together',
    'forgets endOtherSessions',
    'async endOtherSessions({ req, user })',
    'async endSessions({ req, user })',
  ),
]
