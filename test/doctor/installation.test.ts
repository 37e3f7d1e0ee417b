import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { installationFindings } from '../../src/doctor/installation'

// Another one for each test: Node remembers where it found a package for a folder.
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'doctor-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function install(name: string, version: string): void {
  mkdirSync(join(folder, 'node_modules', name), { recursive: true })
  writeFileSync(join(folder, 'node_modules', name, 'package.json'), JSON.stringify({ name, version }))
}

const verdictOf = (check: string, nodeVersion?: string) =>
  installationFindings(folder, nodeVersion).find((each) => each.check === check)

describe('installationFindings', () => {
  it('reports a Node that is too old, and accepts the minimum', () => {
    expect(verdictOf('node', '18.20.4')).toMatchObject({ verdict: 'problem', fix: 'Use Node 20.19 or newer.' })
    expect(verdictOf('node', '20.18.9')).toMatchObject({ verdict: 'problem' })
    expect(verdictOf('node', '20.19.0')).toMatchObject({ verdict: 'ok' })
  })

  it('reports a Passport without rotation, and leftovers of the old packages', () => {
    install('passport', '0.5.3')
    install('express', '4.18.2')
    install('passport-bitbucket-oauth20', '1.1.0')
    expect(verdictOf('passport-version')).toMatchObject({
      verdict: 'problem',
      fix: 'npm install passport@0.7 (0.6 is the minimum).',
    })
    expect(verdictOf('express-version')).toMatchObject({ verdict: 'problem' })
    expect(verdictOf('old-packages')).toMatchObject({
      verdict: 'warning',
      fix: expect.stringContaining('npm uninstall passport-bitbucket-oauth20'),
    })
  })

  it('reports nothing for current packages', () => {
    install('passport', '0.7.0')
    install('express', '5.3.0')
    expect(installationFindings(folder, '24.1.0').every(({ verdict }) => verdict === 'ok')).toBe(true)
  })
})
