import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type DoctorFinding, ok, problem, unknown, warning } from './finding'

const OLD_PACKAGES = ['passport-bitbucket', 'passport-bitbucket-oauth2', 'passport-bitbucket-oauth20']

/** Checks Node and the packages that an app in this folder would load. */
export function installationFindings(folder: string, nodeVersion: string = process.versions.node): DoctorFinding[] {
  const load = createRequire(join(folder, 'package.json'))
  return [
    nodeFinding(nodeVersion),
    packageFinding('express', versionOf(load, 'express'), [4, 19]),
    packageFinding('passport', versionOf(load, 'passport'), [0, 6]),
    ...leftovers(load),
  ]
}

function nodeFinding(version: string): DoctorFinding {
  return isAtLeast(version, [20, 19])
    ? ok('node', `Node ${version}.`)
    : problem('node', `This is Node ${version}.`, 'Use Node 20.19 or newer.')
}

function packageFinding(name: string, version: string | null, least: readonly [number, number]): DoctorFinding {
  const check = `${name}-version`
  if (version === null) return unknown(check, `${name} was not found from this folder.`)
  if (isAtLeast(version, least)) return ok(check, `${name} ${version}.`)
  return problem(
    check,
    name === 'passport'
      ? `passport ${version} is installed; it does not rotate the session at sign-in (session fixation).`
      : `${name} ${version} is installed.`,
    `npm install ${name}@${name === 'passport' ? '0.7' : '5'} (${least.join('.')} is the minimum).`,
  )
}

function leftovers(load: NodeJS.Require): DoctorFinding[] {
  const found = OLD_PACKAGES.filter((name) => versionOf(load, name) !== null)
  if (found.length === 0) return []
  return [
    warning(
      'old-packages',
      `${found.join(' and ')} ${found.length > 1 ? 'are' : 'is'} still installed; abandoned since 2018.`,
      `npm uninstall ${found.join(' ')}; see docs/migrate.md.`,
    ),
  ]
}

function versionOf(load: NodeJS.Require, name: string): string | null {
  try {
    const { version } = JSON.parse(readFileSync(load.resolve(`${name}/package.json`), 'utf8')) as { version?: unknown }
    return typeof version === 'string' ? version : null
  } catch {
    return null
  }
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number)
  return ownMajor > major || (ownMajor === major && ownMinor >= minor)
}
