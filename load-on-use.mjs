/**
 * Part of `npm run build`. TypeScript loads the module of every name that `src/index.ts` exports. This defers each module
 * until one of its names is read: `require` of the package loads no strategy, no German texts and no tenants unless the app
 * uses them. `import` of the package reads all names at once, so it loads all of them.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const MODULE = /^var (\w+) = require\(("\.[^"]+")\);\n/gm
const NAME =
  /^Object\.defineProperty\(exports, ("\w+"), \{ enumerable: true, get: function \(\) \{ return (\w+)\.(\w+); \} \}\);$/gm
/** A function: Node finds the names for `import` by reading the text, and would leave these out as getters. */
const HELPER = 'const onUse = (name, get) => Object.defineProperty(exports, name, { enumerable: true, get });\n'

const file = new URL('dist/index.js', import.meta.url)
const eager = readFileSync(file, 'utf8')
const modules = new Map(Array.from(eager.matchAll(MODULE), ([, variable, specifier]) => [variable, specifier]))
const lazy = eager
  .replace(
    NAME,
    (_line, name, variable, member) => `onUse(${name}, () => require(${modules.get(variable)}).${member});`,
  )
  .replace(MODULE, '')
  .replace(/^onUse/m, `${HELPER}onUse`)
if (modules.size === 0 || /_\d+\b|undefined/.test(lazy)) {
  throw new Error('TypeScript writes dist/index.js in another form. Adapt load-on-use.mjs.')
}
writeFileSync(file, lazy)
