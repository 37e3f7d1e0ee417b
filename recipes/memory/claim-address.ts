import { type AccountHooks, EmailTakenError, IdentityTakenError } from 'passport-bitbucket-signin'
import { addUser, type MemoryDatabase, sameAddress, type User } from './accounts'

/** Gives an address that no holder verified to the user who proved it. Only for apps that verify addresses. */
export function claimAddress({ users, identities }: MemoryDatabase): NonNullable<AccountHooks<User>['claimAddress']> {
  return ({ holders, identity, profile, email }) => {
    const key = `${identity.issuer} ${identity.id}`
    if (identities.has(key)) throw new IdentityTakenError()
    const held = holders.map(({ id }) => users.get(id))
    // A holder has verified it since, or changed to another address. Take nothing from an owner.
    if (held.some((user) => !user || user.emailVerified || !sameAddress(user.email, email.address)))
      throw new EmailTakenError()
    for (const user of held) if (user) user.email = null
    const user = addUser(users, { name: profile.displayName, email: email.address, emailVerified: true })
    identities.set(key, { ...identity, userId: user.id, profile, tokens: null })
    return { user: { ...user } }
  }
}
