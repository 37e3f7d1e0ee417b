import { defineConfig } from 'vitest/config'

/** For `npm run mutation`: the tests of the policies alone, or every mutant would run the whole flow as well. */
export default defineConfig({ test: { include: ['test/policy/**/*.test.ts'] } })
