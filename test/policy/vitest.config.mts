import { defineConfig } from 'vitest/config'
import whole from '../../vitest.config.mts'

/** For `npm run mutation`: the tests of the policies alone, or every mutant would run the whole flow as well. */
export default defineConfig({ ...whole, test: { ...whole.test, include: ['test/policy/**/*.test.ts'] } })
