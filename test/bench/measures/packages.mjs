import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const BENCH = fileURLToPath(new URL('../', import.meta.url))
const PROJECT = fileURLToPath(new URL('../../../', import.meta.url))
/** What the app has anyway. */
const APP = ['express', 'passport', 'express-session']

/**
 * Packages and megabytes that a contender adds to an app with express, passport and express-session. Walks what npm
 * installed, from package to package, so that nothing is asked of the registry; type packages are counted apart.
 *
 * @param {import('../contenders/index.mjs').Contender} contender
 */
export function measurePackages(contender) {
  const ofApp = closure(BENCH, APP)
  const added = contender.ours ? withOurPackage() : closure(BENCH, contender.packages)
  const result = { packages: 0, megabytes: 0, typePackages: 0, typeMegabytes: 0 }
  for (const [name, bytes] of added) {
    if (ofApp.has(name)) continue
    const types = name.startsWith('@types/')
    result[types ? 'typePackages' : 'packages']++
    result[types ? 'typeMegabytes' : 'megabytes'] += bytes / 1e6
  }
  return result
}

function withOurPackage() {
  const manifest = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))
  const added = closure(PROJECT, Object.keys(manifest.dependencies))
  const [{ unpackedSize }] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: PROJECT, encoding: 'utf8' }),
  )
  return added.set(`${manifest.name}@${manifest.version}`, unpackedSize)
}

/** Every package reached from these names, by `name@version`, with its size on disk. */
function closure(folder, names, found = new Map()) {
  for (const name of names) {
    const path = resolvePackage(folder, name)
    if (!path) continue
    const manifest = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'))
    const key = `${manifest.name}@${manifest.version}`
    if (found.has(key)) continue
    found.set(key, sizeOf(path))
    const peers = Object.keys(manifest.peerDependencies ?? {}).filter(
      (peer) => !manifest.peerDependenciesMeta?.[peer]?.optional,
    )
    const optional = Object.keys(manifest.optionalDependencies ?? {})
    closure(path, [...Object.keys(manifest.dependencies ?? {}), ...peers, ...optional], found)
  }
  return found
}

function resolvePackage(from, name) {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name)
    if (existsSync(join(path, 'package.json'))) return path
    if (folder === dirname(folder)) return undefined
  }
}

function sizeOf(folder) {
  let bytes = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) bytes += entry.name === 'node_modules' ? 0 : sizeOf(path)
    else bytes += statSync(path).size
  }
  return bytes
}
