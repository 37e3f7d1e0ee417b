/**
 * `npm run check:advisories`: lists what users install with the package (name, version, licence; Express, Passport and
 * express-session are the app's own), and asks the registry for published advisories.
 *
 * Exit code 0: asked, and there is none. 1: there is one. 2: the registry could not be asked, which is not a result.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RESULTS, readAudit, verdict } from './lib/audit.mjs'
import { run } from './lib/run.mjs'

const project = fileURLToPath(new URL('../..', import.meta.url))
const { name, peerDependencies } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
const folder = mkdtempSync(join(tmpdir(), 'advisories-'))

try {
  const output = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: project })
  const tarball = /[\w.-]+\.tgz/.exec(output)?.[0]
  const dependencies = { [name]: `file:${tarball}`, ...peerDependencies, 'express-session': '*' }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }))
  const installed = await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: folder }).then(
    () => true,
    () => false,
  )
  const audit = installed ? readAudit(await askRegistry()) : { reason: 'the packages could not be installed' }
  const { result, lines } = verdict(installed ? comingWith(name) : [], audit)
  console.log(lines.join('\n'))
  process.exitCode = RESULTS[result]
} finally {
  rmSync(folder, { recursive: true })
}

/** What `npm audit` prints, also when it ends with an error: that is how it tells of advisories. */
function askRegistry() {
  return new Promise((resolve) => {
    const options = { cwd: folder, timeout: 120_000 }
    execFile('npm', ['audit', '--json', '--omit=dev'], options, (_error, stdout) => resolve(stdout))
  })
}

/** The dependencies of a package and theirs, as installed, without itself and its peers. */
function comingWith(root) {
  const { packages } = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'))
  const found = new Map()
  const visit = (path) => {
    for (const dependency of Object.keys(packages[path].dependencies ?? {})) {
      const place = placeOf(packages, path, dependency)
      if (found.has(place)) continue
      const { version, license, licenses } = JSON.parse(readFileSync(join(folder, place, 'package.json'), 'utf8'))
      found.set(place, { name: dependency, version, licence: license ?? licenses?.[0]?.type })
      visit(place)
    }
  }
  visit(`node_modules/${root}`)
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Where Node finds a dependency: in the package's own folder, or in one further out. */
function placeOf(packages, from, dependency) {
  for (let path = from; ; path = path.slice(0, path.lastIndexOf('/node_modules/'))) {
    const place = `${path}/node_modules/${dependency}`
    if (packages[place]) return place
    if (!path.includes('/node_modules/')) return `node_modules/${dependency}`
  }
}
