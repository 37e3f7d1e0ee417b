/**
 * Reads what `npm audit --json` printed. `{ advisories }` when the registry answered, `{ reason }` when the registry could not be
 * asked: a registry without that service, no network, no lock file, or anything that is not the report we know.
 */
export function readAudit(text) {
  let report
  try {
    report = JSON.parse(text)
  } catch {
    return { reason: 'npm audit printed no JSON' }
  }
  if (report?.auditReportVersion !== 2 || !report.vulnerabilities) {
    return { reason: report?.message || report?.error?.summary || report?.error?.code || 'npm audit printed no report' }
  }
  // A package is also listed for what it depends on; then `via` holds names, and the advisory stands at the other one.
  const advisories = Object.values(report.vulnerabilities).flatMap(({ name, via }) =>
    via
      .filter((each) => typeof each === 'object')
      .map(({ severity, title, url, range }) => ({ name, severity, title, url, range })),
  )
  return { advisories }
}

/** How a check ends: what to print, and the exit code. */
export const RESULTS = { clean: 0, found: 1, 'not checked': 2 }

/** `packages` are ours, by name, version and licence; advisories on others (Express, Passport) are the app's to fix. */
export function verdict(packages, audit) {
  const lines = packages.map(({ name, version, licence }) => `  ${name} ${version}, ${licence ?? 'no licence stated'}`)
  lines.unshift(`${packages.length} packages come with this one:`)
  if (audit.reason !== undefined) {
    lines.push(`NOT CHECKED: the registry could not be asked for advisories (${audit.reason}).`)
    lines.push('This is not a result. Before a release, run it where the registry answers `npm audit`.')
    return { result: 'not checked', lines }
  }
  const names = new Set(packages.map(({ name }) => name))
  const [ours, others] = [true, false].map((own) => audit.advisories.filter(({ name }) => names.has(name) === own))
  const told = ({ name, severity, title, range, url }) => `  ${name} ${range} (${severity}): ${title} ${url}`
  if (others.length > 0) lines.push('Also, in packages that apps install themselves:', ...others.map(told))
  if (ours.length === 0) lines.push('No advisory is published for any of them.')
  else lines.push(`${ours.length} published for them:`, ...ours.map(told))
  return { result: ours.length === 0 ? 'clean' : 'found', lines }
}
