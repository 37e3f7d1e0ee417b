import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { run } from './run.mjs'

const WANTED =
  /^(?:package\.json|LICENSE|llms\.txt|[A-Z]+\.md|dist\/.+\.(?:js|mjs|d\.ts|d\.mts)|docs\/.+\.(?:md|png|svg)|examples\/.+\.(?:js|mjs|md)|recipes\/.+\.(?:md|ts|sql|prisma))$/
const SECRET = /-----BEGIN [A-Z ]*PRIVATE KEY-----|AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36}|npm_[A-Za-z0-9]{36}/

/** Unpacks the tarball and checks each file: only the package, no secrets, no link to a file that is not shipped. */
export async function checkTarball(root, tarball) {
  await run('tar', ['xzf', tarball], { cwd: root })
  const folder = join(root, 'package')
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      posix.join(
        ...join(entry.parentPath, entry.name)
          .slice(folder.length + 1)
          .split(/[\\/]/),
      ),
    )
    .sort()
  for (const file of files) {
    assert.match(file, WANTED, `${file} does not belong in the tarball`)
    assert.doesNotMatch(file, /(?:^|\/)(?:test|tests|fixtures)\/|\.test\./, `${file} is a test`)
    const text = readFileSync(join(folder, file), 'utf8')
    assert.doesNotMatch(text, SECRET, `${file} holds what looks like a secret`)
    assert.ok(!text.includes(process.cwd()), `${file} names a folder of this machine`)
    if (/\.md$|^llms\.txt$/.test(file)) checkLinks(file, text, files)
    assert.doesNotMatch(text, /^\/\/# sourceMappingURL=/m, `${file} names a source map, which is not shipped`)
  }
  for (const target of exportedFiles(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')))) {
    assert.ok(files.includes(target), `${target} is exported and not shipped`)
  }
  return { files, bytes: files.reduce((sum, file) => sum + statSync(join(folder, file)).size, 0) }
}

/** Until the repository has a public address, the documents must lead to each other inside the package. */
function checkLinks(file, text, files) {
  for (const [, target] of text.replace(/```[\s\S]*?```/g, '').matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
    if (/^[a-z]+:/.test(target)) continue
    const path = posix.join(posix.dirname(file), target).replace(/\/$/, '')
    const shipped = files.some((each) => each === path || each.startsWith(`${path}/`))
    assert.ok(shipped, `${file} links to ${target}, which is not shipped`)
  }
}

function exportedFiles(manifest) {
  const found = []
  const walk = (value) => {
    if (typeof value === 'string') found.push(value.replace(/^\.\//, ''))
    else for (const inner of Object.values(value)) walk(inner)
  }
  walk(manifest.exports)
  walk(manifest.bin)
  return [...found, manifest.main, manifest.types].map((path) => path.replace(/^\.\//, ''))
}
