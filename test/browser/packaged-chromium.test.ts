import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const root = join(__dirname, '../..')
const shared = mkdtempSync(join(tmpdir(), 'shared-'))
afterAll(() => rmSync(shared, { recursive: true, force: true }))

test.runIf(process.platform === 'linux' && process.arch === 'x64')(
  'case 32: runs the packaged browser from this checkout, and never one planted in the shared temporary folder',
  () => {
    writeFileSync(join(shared, 'chromium'), '#!/bin/sh\necho planted\n', { mode: 0o755 })
    const script = `import('./test/browser/packaged-chromium.mjs').then(async ({ packagedChromium }) => {
      const path = await packagedChromium()
      const { execFileSync } = await import('node:child_process')
      console.log(JSON.stringify({ path, version: String(execFileSync(path, ['--version'])) }))
    })`
    const printed = execFileSync(process.execPath, ['-e', script], {
      cwd: root,
      env: { ...process.env, TMPDIR: shared },
    })
    const { path, version } = JSON.parse(String(printed).trim().split('\n').at(-1) ?? '')
    expect(path.startsWith(join(root, 'node_modules/.cache/chromium'))).toBe(true)
    expect(version).toMatch(/^Chromium \d+/)
    expect(readdirSync(shared)).toEqual(['chromium'])
  },
)
