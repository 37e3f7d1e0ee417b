import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vitest/config'
import { alias, requireOnUse } from '../support/source.mjs'
import type { Placed } from './place.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const src = (path: string) => `${root}src/${path}`
/** `run.mjs` hands it over. */
const mutant = JSON.parse(process.env.MUTANT ?? '') as Placed

/** Changes the one file in memory; the files on disk stay as they are. */
const mutate: Plugin = {
  name: 'mutate',
  enforce: 'pre',
  transform(code, id) {
    if (id.split('?')[0] !== src(mutant.file)) return undefined
    return code.slice(0, mutant.start) + mutant.replace + code.slice(mutant.end)
  },
}

export default defineConfig({
  root,
  plugins: [mutate, requireOnUse],
  resolve: { alias },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 15_000,
    hookTimeout: 15_000,
    bail: 1,
  },
})
