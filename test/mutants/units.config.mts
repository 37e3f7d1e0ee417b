import { configDefaults, defineConfig } from 'vitest/config'
import { alias, requireOnUse } from '../support/source.mjs'

/**
 * For `npm run mutation`: unit tests alone, or every mutant would run whole apps as well. A mutant is switched on for each
 * test, so what is made while tests are collected is never mutated: make it in `beforeEach`.
 */
export default defineConfig({
  plugins: [requireOnUse],
  resolve: { alias },
  test: {
    include: ['test/{accounts,decisions,state}/**/*.test.ts'],
    exclude: [...configDefaults.exclude, 'test/**/*.attacks.test.ts'],
    testTimeout: 60_000,
  },
})
