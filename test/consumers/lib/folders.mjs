import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.mjs'

const fixtures = new URL('../fixtures/', import.meta.url)

/** A consumer's project: a folder of its own, with these packages installed and these fixtures copied in. */
export async function consumer(root, name, packages, files, manifest = {}) {
  const folder = join(root, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, private: true, ...manifest }))
  await run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--prefer-offline', ...packages], {
    cwd: folder,
  })
  for (const file of files) cpSync(new URL(file, fixtures), join(folder, file))
  return folder
}
