import { configDefaults, defineConfig } from 'vitest/config'
import { alias, requireOnUse } from './test/support/source.mjs'

/** `npm run test:fast` runs `units` and `flows`; `npm test` runs all. What no other project lists runs in `system`. */
const others = '!(*browser|*.attacks)'
const PROJECTS = {
  units: [
    'test/*.test.ts',
    `test/{accounts,bitbucket,contract,decisions,options,pages,state,time}/**/${others}.test.ts`,
  ],
  flows: [`test/{passport,routes,session}/**/${others}.test.ts`],
  attacks: ['test/**/*.attacks.test.ts', 'test/attacks/*.test.ts'],
  browser: ['test/**/*browser.test.ts', 'test/browser/**/*.test.ts'],
}
const exclude = [...configDefaults.exclude, 'test/bench/**', 'test/consumers/**']
const project = (name: string, include: string[], others: string[] = []) => ({
  extends: true as const,
  test: { name, include, exclude: [...exclude, ...others] },
})

/** What meets a new OAuth client if those are clients of Atlassian's platform. */
const platform = project('platform', [
  'test/routes/{sign-in,callback,email-code,prove,link}.test.ts',
  'test/passport/plugin-strategy.test.ts',
])

export default defineConfig({
  plugins: [requireOnUse],
  resolve: { alias },
  test: {
    // `ATTACKS_EXPRESS=4 npx vitest run --project attacks`: the same on Express 4.
    setupFiles: ['/tmp/t-cpu-setup.ts'],
    // One worker per core: most tests wait for timers and sockets, so a core kept free would be idle.
    maxWorkers: '100%',
    testTimeout: 20_000,
    hookTimeout: 60_000,
    coverage: { include: ['src/**/*.ts'], exclude: ['src/**/index.ts'] },
    projects: [
      ...Object.entries(PROJECTS).map(([name, include]) => project(name, include)),
      project('system', ['test/**/*.test.ts'], Object.values(PROJECTS).flat()),
      // `npm run test:profiles` runs every flow in every profile.
      { ...platform, test: { ...platform.test, env: { FAKE_PROFILE: 'platform' } } },
    ],
  },
})
