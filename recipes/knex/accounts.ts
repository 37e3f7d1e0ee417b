import type { Knex } from 'knex'
import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'

export interface User {
  id: number
  name: string | null
  email: string | null
  email_key: string | null
  /** 0 and 1 on SQLite and MySQL. */
  email_verified: boolean | number
  password_hash: string | null
  suspended: boolean | number
  auto_link: boolean | number
}

interface StoredRow {
  issuer: string
  subject: string
  user_id: number
  profile: string
  tokens: string | null
}

const key = ({ issuer, id }: Identity) => ({ issuer, subject: id })

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(knex: Knex): AccountHooks<User> {
  return {
    async getUserByIdentity({ identity }) {
      const query = knex<StoredRow>('identities').join<User>('users', 'users.id', 'identities.user_id')
      return (await query.where(key(identity)).first<User | undefined>('users.*')) ?? null
    },

    async getUserById({ id }) {
      const own = { id: Number(id) }
      return (await knex<User>('users').where(own).first()) ?? null
    },

    async getAccountsByEmail({ email }) {
      const users: User[] = await knex<User>('users').where({ email_key: addressKey(email) })
      return users.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: Boolean(user.email_verified),
        autoLink: Boolean(user.auto_link),
      }))
    },

    createUser: ({ identity, profile, email }) => transaction(knex, (trx) => insertUser(trx, email, identity, profile)),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(knex, async (trx) => {
        // Read again under a lock: the user may have been suspended or deleted since the request began.
        const user = await lockUser(trx, id)
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        await insertIdentity(trx, id, identity, profile)
        const own = email && { id, email_key: addressKey(email.address) }
        if (own) await trx<User>('users').where(own).update({ email_verified: true })
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(knex, async (trx) => {
        // The lock makes concurrent unlinks wait for each other.
        const user = await lockUser(trx, id)
        const rows: StoredRow[] = await trx<StoredRow>('identities').where({ user_id: id })
        if (!user?.password_hash && !stillStored(remaining, rows)) return 'last'
        await trx<StoredRow>('identities')
          .where({ ...key(identity), user_id: id })
          .delete()
        await trx<User>('users').where({ id }).update({ auto_link: false })
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const rows: StoredRow[] = await knex<StoredRow>('identities').where({ user_id: user.id })
      return rows.map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile: JSON.parse(profile) }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: Boolean(user.email_verified),
    }),

    async storeTokens({ identity, tokens }) {
      const row = { tokens: sealTokens(tokens, identity.id) }
      await knex<StoredRow>('identities').where(key(identity)).update(row)
    },

    async updateProfile({ identity, profile }) {
      await knex<StoredRow>('identities')
        .where(key(identity))
        .update({ profile: stored(profile) })
    },

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    async endOtherSessions({ req, user }) {
      // PostgreSQL; on MySQL JSON_VALUE(sess, '$.passport.user'), on SQLite json_extract(sess, '$.passport.user').
      const own = knex.raw("sess #>> '{passport,user}' = ?", [String(user.id)])
      await knex('sessions').where(own).whereNot({ sid: req.sessionID }).delete()
    },
  }
}

export async function insertUser(
  trx: Knex.Transaction,
  email: { address: string; verified: boolean } | null,
  identity: Identity,
  profile: Profile,
): Promise<User> {
  const address = email?.address ?? null
  const row = { name: profile.displayName, email: address, email_key: address && addressKey(address) }
  const [id] = await trx<User>('users').insert({ ...row, email_verified: email?.verified ?? false }, ['id'])
  // MySQL has no RETURNING; it returns the id itself.
  const user = await trx<User>('users')
    .where({ id: typeof id === 'object' ? id.id : id })
    .first()
  await insertIdentity(trx, (user as User).id, identity, profile)
  return user as User
}

async function insertIdentity(trx: Knex.Transaction, user_id: number, identity: Identity, profile: Profile) {
  await trx<StoredRow>('identities').insert({ ...key(identity), user_id, profile: stored(profile) })
}

function lockUser(trx: Knex.Transaction, id: number): Promise<User | undefined> {
  return trx<User>('users').where({ id }).forUpdate().first()
}

function stored({ username, nickname, displayName, avatarUrl }: Profile): string {
  return JSON.stringify({ username, nickname, displayName, avatarUrl })
}

/** All or nothing. */
export async function transaction<T>(knex: Knex, work: (trx: Knex.Transaction) => Promise<T>): Promise<T> {
  try {
    return await knex.transaction(work)
  } catch (error) {
    throw takenError(error)
  }
}
