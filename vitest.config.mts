import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const src = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^passport-bitbucket-signin$/, replacement: src('index.ts') },
      { find: /^passport-bitbucket-signin\/testing$/, replacement: src('testing/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/bench/**', 'test/consumers/**'],
    // `ATTACKS_EXPRESS=4 npx vitest run test/attacks`: the same on Express 4.
    setupFiles: process.env.ATTACKS_EXPRESS === '4' ? ['test/support/express-4.ts'] : [],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    coverage: { include: ['src/**/*.ts'], exclude: ['src/**/index.ts'] },
  },
})
