import { BitbucketSignInError } from 'passport-bitbucket-signin'
import { isUnreachable } from '../database/database.js'

/**
 * The same functions; if the database cannot be reached they throw the package's error, and the user is told
 * to try again (503) instead of that something is broken (500).
 */
export function sayUnreachable<Functions extends object>(functions: Functions): Functions {
  const wrapped = Object.entries(functions).map(([name, each]) => [
    name,
    wrap(each as (...input: unknown[]) => unknown),
  ])
  return Object.fromEntries(wrapped) as Functions
}

function wrap(work: (...input: unknown[]) => unknown) {
  return async (...input: unknown[]) => {
    try {
      return await work(...input)
    } catch (cause) {
      if (!isUnreachable(cause)) throw cause
      throw new BitbucketSignInError('store_unavailable', 'The database cannot be reached.', { cause })
    }
  }
}
