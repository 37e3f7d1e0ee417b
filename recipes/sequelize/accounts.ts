import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import { QueryTypes, type Transaction } from 'sequelize'
import { addressKey } from '../shared/address-key'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'
import type { Models, User } from './models'

const key = ({ issuer, id }: Identity) => ({ issuer, subject: id })

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(models: Models): AccountHooks<User> {
  const { sequelize, users, identities } = models
  return {
    async getUserByIdentity({ identity }) {
      const found = await identities.findOne({ where: key(identity) })
      return found && users.findByPk(found.userId)
    },

    getUserById: ({ id }) => users.findByPk(id),

    async getAccountsByEmail({ email }) {
      const found = await users.findAll({ where: { emailKey: addressKey(email) } })
      return found.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.emailVerified,
        autoLink: user.autoLink,
      }))
    },

    createUser: ({ identity, profile, email }) =>
      transaction(models, (transaction) => insertUser(models, transaction, email, identity, profile)),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(models, async (transaction) => {
        // Read again under a lock: the user may have been suspended or deleted since the request began.
        const user = await users.findByPk(id, { transaction, lock: true })
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        await identities.create({ ...key(identity), userId: id, profile: stored(profile) }, { transaction })
        if (email && user.emailKey === addressKey(email.address))
          await user.update({ emailVerified: true }, { transaction })
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(models, async (transaction) => {
        // The lock makes concurrent unlinks wait for each other.
        const user = await users.findByPk(id, { transaction, lock: true })
        const rows = await identities.findAll({ where: { userId: id }, transaction, lock: true })
        if (!user?.passwordHash && !stillStored(remaining, rows)) return 'last'
        await identities.destroy({ where: { ...key(identity), userId: id }, transaction })
        await user?.update({ autoLink: false }, { transaction })
        return 'unlinked'
      }),

    async listIdentities({ user }) {
      const rows = await identities.findAll({ where: { userId: user.id } })
      return rows.map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile: JSON.parse(profile) }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.emailVerified,
    }),

    storeTokens: ({ identity, tokens }) =>
      identities.update({ tokens: sealTokens(tokens, identity.id) }, { where: key(identity) }),

    updateProfile: ({ identity, profile }) => identities.update({ profile: stored(profile) }, { where: key(identity) }),

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    endOtherSessions({ req, user }) {
      // The table of connect-session-sequelize. On PostgreSQL: data::json #>> '{passport,user}', with quoted "Sessions".
      const sql = "DELETE FROM Sessions WHERE JSON_VALUE(data, '$.passport.user') = ? AND sid <> ?"
      return sequelize.query(sql, { replacements: [String(user.id), req.sessionID], type: QueryTypes.RAW })
    },
  }
}

export async function insertUser(
  { users, identities }: Models,
  transaction: Transaction,
  email: { address: string; verified: boolean } | null,
  identity: Identity,
  profile: Profile,
): Promise<User> {
  const address = email?.address ?? null
  const row = { name: profile.displayName, email: address, emailKey: address && addressKey(address) }
  const user = await users.create({ ...row, emailVerified: email?.verified ?? false }, { transaction })
  await identities.create({ ...key(identity), userId: user.id, profile: stored(profile) }, { transaction })
  return user
}

function stored({ username, nickname, displayName, avatarUrl }: Profile): string {
  return JSON.stringify({ username, nickname, displayName, avatarUrl })
}

/** All or nothing. */
export async function transaction<T>(
  models: Models,
  work: (transaction: Transaction) => Promise<T>,
  attempt = 1,
): Promise<T> {
  try {
    return await models.sequelize.transaction(work)
  } catch (error) {
    // MySQL aborts one of two transactions that wait for each other. Try again after the other one.
    const { errno } = (error as { original?: { errno?: number } }).original ?? {}
    if (errno !== 1213 || attempt === 5) throw takenError(error)
  }
  return transaction(models, work, attempt + 1)
}
