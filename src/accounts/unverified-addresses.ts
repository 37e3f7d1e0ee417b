import type { GuardedHooks } from './guarded-hooks'

/** The same hooks for an app that does not verify addresses: whatever `emailVerified` says, it counts as false. */
export function withoutVerifiedAddresses<User>(hooks: GuardedHooks<User>): GuardedHooks<User> {
  return {
    ...hooks,
    findByEmail: async (address) =>
      (await hooks.findByEmail(address)).map((account) => ({ ...account, emailVerified: false })),
    async describe(known) {
      const description = await hooks.describe(known)
      return description && { ...description, emailVerified: false }
    },
  }
}
