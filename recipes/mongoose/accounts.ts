// NOT TESTED ON A REAL MONGODB. Type-checked, and tested on a stand-in (see README.md).
import { type AccountHooks, type Identity, IdentityTakenError, type Profile } from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'
import { sealTokens } from '../shared/seal-tokens'
import { takenError } from '../shared/taken-error'
import type { Models, User } from './models'

const own = ({ issuer, id }: Identity) => ({ identities: { $elemMatch: { issuer, subject: id } } })
const at = ({ issuer, id }: Identity) => ({ arrayFilters: [{ 'own.issuer': issuer, 'own.subject': id }] })

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks({ connection, users }: Models): AccountHooks<User> {
  return {
    getUserByIdentity: ({ identity }) => users.findOne(own(identity)),

    getUserById: ({ id }) => users.findById(id),

    async getAccountsByEmail({ email }) {
      const found = await users.find({ emailKey: addressKey(email) })
      return found.map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.emailVerified,
        autoLink: user.autoLink,
      }))
    },

    // One document is one write, so this needs no transaction.
    createUser: ({ identity, profile, email }) => refusing(() => users.create(newUser(email, identity, profile))),

    linkIdentity: ({ user: { _id }, identity, profile, email }) =>
      refusing(async () => {
        // One update checks that the user still exists, may sign in, and has no identity of this issuer.
        const free = { _id, suspended: false, identities: { $not: { $elemMatch: { issuer: identity.issuer } } } }
        const linked = await users.updateOne(free, { $push: { identities: stored(identity, profile) } })
        if (linked.matchedCount === 0) {
          if (await users.exists({ _id, suspended: false })) throw new IdentityTakenError()
          throw new Error('The user may no longer sign in.')
        }
        const address = email && { _id, emailKey: addressKey(email.address) }
        if (address) await users.updateOne(address, { $set: { emailVerified: true } })
      }),

    async unlinkIdentity({ user: { _id }, identity: { issuer, id }, remaining }) {
      // One update checks for a password or another identity that can sign in, and removes this one.
      const otherWay = { $or: [{ passwordHash: { $ne: null } }, ...remaining.map(own)] }
      const gone = { $pull: { identities: { issuer, subject: id } }, $set: { autoLink: false } }
      const { matchedCount } = await users.updateOne({ _id, ...otherWay }, gone)
      return matchedCount === 0 ? 'last' : 'unlinked'
    },

    async listIdentities({ user }) {
      const found = await users.findById(user._id)
      return (found?.identities ?? []).map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile }))
    },

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.emailVerified,
    }),

    storeTokens: ({ identity, tokens }) =>
      users.updateOne(
        own(identity),
        { $set: { 'identities.$[own].tokens': sealTokens(tokens, identity.id) } },
        at(identity),
      ),

    updateProfile: ({ identity, profile }) =>
      users.updateOne(
        own(identity),
        { $set: { 'identities.$[own].profile': stored(identity, profile).profile } },
        at(identity),
      ),

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    endOtherSessions({ req, user }) {
      // The collection of connect-mongo, with its option `stringify: false`.
      const others = { 'session.passport.user': user.id, _id: { $ne: req.sessionID as never } }
      return connection.collection('sessions').deleteMany(others)
    },
  }
}

export function newUser(email: { address: string; verified: boolean } | null, identity: Identity, profile: Profile) {
  const address = email?.address ?? null
  const row = { name: profile.displayName, email: address, emailKey: address && addressKey(address) }
  return { ...row, emailVerified: email?.verified ?? false, identities: [stored(identity, profile)] }
}

function stored({ issuer, id }: Identity, { username, nickname, displayName, avatarUrl }: Profile) {
  return { issuer, subject: id, profile: { username, nickname, displayName, avatarUrl }, tokens: null }
}

/** Converts a violated unique key to the error that the package expects. */
export async function refusing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw takenError(error)
  }
}
