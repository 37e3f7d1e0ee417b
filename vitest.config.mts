import { availableParallelism } from 'node:os'
import { configDefaults, defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
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

/** Short files that take long. Without a cache Vitest orders by size, and one of them would run alone at the end. */
const LONG = /example-app|browser|recipes|faults\/memory|init\/apps/

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const bySize = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId.slice(import.meta.dirname.length))
    return [...bySize.filter(isLong), ...bySize.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  plugins: [requireOnUse],
  resolve: { alias },
  test: {
    // `ATTACKS_EXPRESS=4 npx vitest run --project attacks`: the same on Express 4.
    setupFiles: process.env.ATTACKS_EXPRESS === '4' ? ['test/support/express-4.ts'] : [],
    // More than cores: most tests wait for timers, sockets and other processes.
    maxWorkers: Math.ceil(availableParallelism() * 1.5),
    sequence: { sequencer: LongestFirst },
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
