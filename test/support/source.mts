import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vitest/config'

const src = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url))

/** Not the sources themselves, so that `FAKE_PROFILE` can choose the profile of every fake. */
const testing = src('../test/support/fake-in-profile.ts')

/** Tests run the TypeScript sources under the package's own name. */
export const alias: { find: RegExp; replacement: string }[] = [
  { find: /^passport-bitbucket-signin$/, replacement: src('index.ts') },
  { find: /^passport-bitbucket-signin\/testing$/, replacement: testing },
]

/**
 * A module that is loaded on use is loaded by `require`, which is synchronous and works in Jest, where `import()` does not.
 * Node resolves no TypeScript by it, so here it becomes an import at the top; `cost.test.ts` looks at what the build loads.
 */
export const requireOnUse: Plugin = {
  name: 'require-on-use',
  enforce: 'pre',
  transform(code, id) {
    if (!id.startsWith(src(''))) return undefined
    const imports: string[] = []
    const body = code.replace(/\brequire\('(\.{1,2}\/[^']+)'\)/g, (_whole, specifier: string) => {
      const name = `__onUse${imports.length}`
      // In one line, so that each line keeps its number.
      imports.push(`import * as ${name} from '${specifier}'; `)
      return name
    })
    return imports.join('') + body
  },
}
