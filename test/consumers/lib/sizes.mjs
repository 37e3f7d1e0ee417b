import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Every installed package, as name -> bytes, nested copies counted by their path. */
export function installed(folder) {
  const found = new Map()
  const walk = (modules, prefix) => {
    if (!existsSync(modules)) return
    for (const name of readdirSync(modules)) {
      if (name.startsWith('.')) continue
      if (name.startsWith('@')) {
        for (const scoped of readdirSync(join(modules, name)))
          add(join(modules, name, scoped), `${prefix}${name}/${scoped}`)
      } else add(join(modules, name), `${prefix}${name}`)
    }
  }
  const add = (path, name) => {
    found.set(name, bytesOf(path))
    walk(join(path, 'node_modules'), `${name} > `)
  }
  walk(join(folder, 'node_modules'), '')
  return found
}

/** Without packages nested inside, which are counted by themselves. */
function bytesOf(path) {
  return readdirSync(path, { withFileTypes: true }).reduce((sum, entry) => {
    const inner = join(path, entry.name)
    if (entry.isDirectory()) return entry.name === 'node_modules' ? sum : sum + bytesOf(inner)
    return sum + statSync(inner).size
  }, 0)
}

export const isTypes = (name) => /(?:^|> )(?:@types\/|undici-types$)/.test(name)
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`
