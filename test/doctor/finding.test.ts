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

test('the text for a terminal contains no control characters of a site', () => {
  const text = lines(problem('mount', 'It redirects to /\u001b[31m\u009b2J\r\nok.', 'Ask \u202ethem.')).slice(0, 2)
  expect(text).toEqual([
    'PROBLEM  mount              It redirects to / [31m 2J ok.',
    `${' '.repeat(28)}Fix: Ask  them.`,
  ])
})
