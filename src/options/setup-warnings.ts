import { basePathOf } from './connection-options'
import type { ResolvedOptions } from './sign-in-options'

/** Warns about options that are valid and will still not do what the app expects. */
export function warnOfSetup<User>(options: ResolvedOptions<User>): void {
  warnOfMissingHooks(options)
  warnOfLoop(options)
}

function warnOfMissingHooks<User>({ accounts }: ResolvedOptions<User>): void {
  const missing = (['listIdentities', 'describeUser'] as const).filter((name) => !accounts[name])
  if (missing.length > 0) {
    process.emitWarning(
      `accounts: without ${missing.join(' and ')}, a user whose address belongs to an existing account is refused (account_exists) instead of being linked or asked to prove it.`,
      'BitbucketSignInWarning',
    )
  }
  if (accounts.updateProfile && !accounts.listIdentities) {
    process.emitWarning(
      'accounts: updateProfile is never called without listIdentities, whose profiles it is compared with.',
      'BitbucketSignInWarning',
    )
  }
}

/** Warns about a redirect loop when the router is mounted at `/`. */
function warnOfLoop<User>({ connection, basePath, paths }: ResolvedOptions<User>): void {
  if (typeof connection === 'function' || basePathOf(connection, basePath) !== '') return
  if (paths.signedIn !== '/') return
  process.emitWarning(
    'paths: a router at `/` starts a sign-in there, and a sign-in ends at `/` too, which begins the next one. Set `paths.signedIn`, unless the app answers `/` before the router.',
    'BitbucketSignInWarning',
  )
}
