import { expect, test } from 'vitest'
import { ok, problem, reportOf, unknown } from '../../src/doctor/finding'

const lines = (...findings: Parameters<typeof reportOf>[0]) => String(reportOf(findings)).split('\n')

test('a finding that names an error code says where the code is explained', () => {
  expect(
    lines(problem('start', 'A sign-in does not start: session_missing.', 'Mount the session.')).slice(0, 3),
  ).toEqual([
    'PROBLEM  start              A sign-in does not start: session_missing.',
    '                            Fix: Mount the session.',
    '                            See: passport-bitbucket-signin/docs/reference/errors.md#session_missing',
  ])
  expect(lines(unknown('scopes', 'Not visible (scope_missing).'))[1]).toMatch(/ See: .*#scope_missing$/)
})

test('one that names no code, or is in order, does not', () => {
  const text = lines(problem('a', 'proxy_cookie_flags', 'Remove it.'), ok('b', 'Returned access_denied.')).join('\n')
  expect(text).not.toContain('See:')
})
