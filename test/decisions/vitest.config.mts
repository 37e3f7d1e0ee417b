import { defineConfig } from 'vitest/config'

/**
 * For `npm run mutation`: the tests of the policies alone, or every mutant would run the whole flow as well. The
 * mutants' switches make the enumeration of all inputs slow.
 */
export default defineConfig({ test: { include: ['test/decisions/**/*.test.ts'], testTimeout: 60_000 } })
