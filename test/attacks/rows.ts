/**
 * Every row of the attack catalogue, by group. A row is covered by the tests that carry its id, or it says here why no
 * test can reproduce it. A test compares this list with the test files, so no row is forgotten and none is open.
 */
export interface AttackGroup {
  readonly name: string
  /** The test file of the group, under `test/`. */
  readonly file: string
  /** The rows, by number. */
  readonly rows: readonly string[]
}

const group = (prefix: string, name: string, file: string, numbers: string): AttackGroup => ({
  name,
  file: `${file}.attacks.test.ts`,
  rows: numbers.split(' ').map((number) => `${prefix}-${number}`),
})

export const GROUPS: readonly AttackGroup[] = [
  group('STA', 'CSRF and state', 'routes/csrf-and-state', '01 02 03 04 05 09 11 13 14 16 17 18 20 21 22 23 24'),
  group('COD', 'Code injection and replay', 'routes/codes', '01 02 03 05 06 08 09 11 12'),
  group('TEN', 'Tenants and domains', 'connections/tenants', '02 03 04 06 08 09 10 12 13 14 15 16'),
  group('RED', 'Redirects after sign-in', 'routes/redirects', '01 02 03 06 07 08 09 10 11 12 13 14'),
  group('HST', 'Host header and proxies', 'connections/hosts', '01 03 04 06 07 08 09 10 11'),
  group('SES', 'Sessions', 'session/sessions', '01 02 05 06 08 09 11 12 14 15 16 17'),
  group('PRE', 'Pre-hijacking', 'routes/pre-hijacking', '02 04 06 08 10 11 12 14'),
  group('EML', 'Email trust', 'accounts/email-trust', '01 05 07 09 11 12 13 14 15 16 18'),
  group(
    'OTP',
    'One-time code',
    'routes/one-time-code',
    '01 04 05 06 09 10 11 12 13 14 15 16 17 19 22 23 25 27 28 29 30 31',
  ),
  group('LNK', 'Link and unlink', 'routes/linking', '01 02 03 05 07 08 09 10 12 13 15 16 18 19 20 21 23'),
  group('IDK', 'Identity keys', 'accounts/identities', '01 02 04 05 07 09 10 11 12 14 16'),
  group('RAC', 'Races', 'routes/races', '01 02 05 06 08 09 11 12'),
  group(
    'UPS',
    'Hostile or broken upstream',
    'bitbucket/upstream',
    '01 03 05 08 09 10 11 13 14 16 17 18 19 20 21 22 25 26 28 29 31 32 33 34 35',
  ),
  group('INJ', 'Parameters, injection, pages', 'routes/injection', '01 02 04 05 06 07 08 09 10 13 14 16 17'),
  group('LEK', 'Leaks', 'routes/leaks', '02 03 05 06 07 08 09 11 12 13 14'),
  group('DOS', 'Denial of service', 'routes/denial-of-service', '01 03 05 06 07 08 09 10 11'),
  group('HDR', 'Cookies, headers, framing', 'routes/headers', '01 02 03 04 05 06 07 08 09 11 12 13'),
  group('SGN', "The app's own sign-in", 'routes/own-sign-in', '01 02 03 04'),
  group('TRV', 'What travels with a sign-in', 'routes/what-travels', '01 02 03 04 05 06'),
  group('OWN', 'Combinations of two features', 'routes/combinations', '01 02 03 04 05 06 07 08 09'),
  group('CFG', 'Configuration and hooks', 'options/configuration', '01 02 04 06 07 09 10 11 12'),
]

/** Rows that do not apply, with the reason. */
export const NOT_APPLICABLE: Readonly<Record<string, string>> = {}
