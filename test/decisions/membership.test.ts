import { expect, test } from 'vitest'
import { decideMembership, GO_ON_MS, type MembershipVerdict } from '../../src/decisions/membership'

const MINUTE = 60_000
const [NOW, MAX, GRACE] = [1_800_000_000_000, 60 * MINUTE, 90 * MINUTE]
const ISSUER = 'https://bitbucket.org'
const RULES = { workspaces: ['acme'], maxAgeMs: MAX, graceMs: GRACE - MAX }
const SOURCE = { issuer: ISSUER, workspaces: ['acme', 'beta'] }

test.each<[age: number, slug: string, wentOn: number | undefined, issuer: string, MembershipVerdict]>([
  [0, 'acme', undefined, ISSUER, 'confirmed'],
  [MAX, 'acme', undefined, ISSUER, 'confirmed'],
  [MAX, 'beta', undefined, ISSUER, 'elsewhere'],
  [MAX, 'other', undefined, ISSUER, 'unconfirmed'],
  [MAX, 'acme', undefined, `${ISSUER}#tenant=t1`, 'unconfirmed'],
  [MAX + 1, 'acme', undefined, ISSUER, 'grace'],
  [GRACE, 'acme', undefined, ISSUER, 'grace'],
  [GRACE, 'beta', GO_ON_MS, ISSUER, 'unconfirmed'],
  [GRACE, 'acme', GO_ON_MS, ISSUER, 'confirmed'],
  [GRACE, 'acme', GO_ON_MS + 1, ISSUER, 'grace'],
  [GRACE + 1, 'acme', 0, ISSUER, 'unconfirmed'],
])('a confirmation %i ms ago, for %s, continued %s ms ago, from %s, is %s', (age, slug, wentOn, issuer, verdict) => {
  const wentOnAt = wentOn !== undefined && { wentOnAt: NOW - wentOn }
  const workspaces = [{ slug, uuid: `{${slug}}` }]
  const membership = { identity: { issuer, id: '{1}' }, workspaces, at: NOW - age, ...wentOnAt }
  expect(decideMembership(membership, RULES, SOURCE, NOW)).toBe(verdict)
})

test('none is unconfirmed, and "Go on" lasts 15 minutes', () => {
  expect(decideMembership(null, RULES, SOURCE, NOW)).toBe('unconfirmed')
  expect(GO_ON_MS).toBe(15 * MINUTE)
})
