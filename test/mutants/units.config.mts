import { defineConfig } from 'vitest/config'
import { alias, requireOnUse } from '../support/source.mjs'

/**
 * For `npm run mutation`: unit tests alone, or every mutant would run whole flows as well. The mutants' switches make the
 * enumeration of all inputs slow.
 */
export default defineConfig({
  plugins: [requireOnUse],
  resolve: { alias },
  test: { include: ['test/{accounts,decisions,state}/**/*.test.ts'], testTimeout: 60_000 },
})
