import { workspace } from './connection-options'
import { check } from './parse'
import { callable, lazily, type Zod } from './zod'

const OVER_ZERO = 'must be a number above 0. Set it in milliseconds'
const maxAgeMs = (z: Zod) => z.number({ message: OVER_ZERO }).positive(OVER_ZERO).finite(OVER_ZERO)

const NOT_NEGATIVE = 'must be a number. Set it in milliseconds, 0 for no grace'
const graceMs = (z: Zod) => z.number({ message: NOT_NEGATIVE }).nonnegative(NOT_NEGATIVE).finite(NOT_NEGATIVE)

const SCHEMAS = {
  requireSignedIn: lazily((z) => z.strictObject({ returnTo: callable(z).optional() })),
  requireRecentSignIn: lazily((z) =>
    z.strictObject({ returnTo: callable(z).optional(), maxAgeMs: maxAgeMs(z).optional() }),
  ),
  requireMembership: lazily((z) =>
    z.strictObject({
      returnTo: callable(z).optional(),
      maxAgeMs: maxAgeMs(z),
      graceMs: graceMs(z),
      workspaces: z.array(workspace(z)).min(1, 'is empty. Name one, or leave the option out').optional(),
    }),
  ),
}

/**
 * Checks the options of a guard; throws `configuration_invalid`. With a `maxAgeMs` that is not a number, as from an unset
 * environment variable, no sign-in would ever be recent, and users would confirm in circles.
 */
export function checkGuardOptions(guard: keyof typeof SCHEMAS, options: unknown): void {
  check(SCHEMAS[guard](), options, guard)
}
