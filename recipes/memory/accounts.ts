import { randomUUID } from 'node:crypto'
import {
  type AccountHooks,
  EmailTakenError,
  type Identity,
  IdentityTakenError,
  type Profile,
} from 'passport-bitbucket-signin'
import { addressKey } from '../shared/address-key'

/** Lasts as long as the process. To try the package, and as a pattern for hooks on your own database. */
export class MemoryDatabase {
  readonly users: Map<string, User> = new Map()
  readonly identities: Map<string, StoredIdentity> = new Map()
}

export interface User {
  readonly id: string
  name: string | null
  email: string | null
  emailVerified: boolean
  hasPassword: boolean
  suspended: boolean
  autoLink: boolean
}

interface StoredIdentity extends Identity {
  readonly userId: string
  profile: Profile
  tokens: string | null
}

const keyOf = ({ issuer, id }: Identity) => `${issuer} ${id}`
export const sameAddress = (one: string | null, other: string) => one !== null && addressKey(one) === addressKey(other)

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks({ users, identities }: MemoryDatabase): AccountHooks<User> {
  const identitiesOf = (user: User) => [...identities.values()].filter(({ userId }) => userId === user.id)
  const identityOf = (identity: Identity) => identities.get(keyOf(identity))
  return {
    getUserByIdentity: ({ identity }) => copy(users.get(identityOf(identity)?.userId ?? '')),
    // `id` is a string. If your ids are numbers: users.get(Number(id)).
    getUserById: ({ id }) => copy(users.get(id)),

    getAccountsByEmail: ({ email }) =>
      [...users.values()]
        .filter((user) => sameAddress(user.email, email))
        .map((user) => ({
          user: { ...user },
          email: user.email ?? '',
          emailVerified: user.emailVerified,
          autoLink: user.autoLink,
        })),

    createUser({ identity, profile, email }) {
      if (identityOf(identity)) throw new IdentityTakenError()
      const user = addUser(users, { name: profile.displayName, email: email?.address, emailVerified: email?.verified })
      identities.set(keyOf(identity), { ...identity, userId: user.id, profile, tokens: null })
      return { ...user }
    },

    linkIdentity({ user: { id }, identity, profile, email }) {
      const user = users.get(id)
      if (!user || user.suspended) throw new Error('The user may no longer sign in.')
      if (identityOf(identity) || identitiesOf(user).some(({ issuer }) => issuer === identity.issuer))
        throw new IdentityTakenError()
      identities.set(keyOf(identity), { ...identity, userId: id, profile, tokens: null })
      if (email && sameAddress(user.email, email.address)) user.emailVerified = true
    },

    unlinkIdentity({ user: { id }, identity, remaining }) {
      const user = users.get(id)
      const otherWay = remaining.some((each) => identityOf(each)?.userId === id)
      if (!user || (!user.hasPassword && !otherWay)) return 'last'
      if (identityOf(identity)?.userId === id) identities.delete(keyOf(identity))
      user.autoLink = false
      return 'unlinked'
    },

    listIdentities: ({ user }) => identitiesOf(user),
    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.emailVerified,
    }),
    canSignIn: ({ user }) => !user.suspended || 'suspended',

    updateProfile({ identity, profile }) {
      const stored = identityOf(identity)
      if (stored) stored.profile = profile
    },

    endOtherSessions({ req, user }) {
      const store = req.sessionStore as { sessions?: Record<string, string> }
      for (const [sid, content] of Object.entries(store?.sessions ?? {}))
        if (sid !== req.sessionID && JSON.parse(content).passport?.user === user.id) delete store.sessions?.[sid]
    },
  }
}

const copy = (user: User | undefined) => (user ? { ...user } : null)

export function addUser(
  users: MemoryDatabase['users'],
  fields: { name: string | null; email?: string | null | undefined; emailVerified?: boolean | undefined },
): User {
  const { name, email = null, emailVerified = false } = fields
  if (email !== null && [...users.values()].some((each) => sameAddress(each.email, email))) throw new EmailTakenError()
  const user = { id: randomUUID(), name, email, emailVerified, hasPassword: false, suspended: false, autoLink: true }
  users.set(user.id, user)
  return user
}
