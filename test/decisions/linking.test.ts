import { describe, expect, test } from 'vitest'
import type { LinkPolicy } from '../../src/contract/policy'
import {
  decideLink,
  decideReauthentication,
  decideSignedIn,
  decideUnlink,
  type IdentityOwner,
  isRecent,
  type LinkFacts,
  RECENT_SIGN_IN_MS,
} from '../../src/decisions/linking'

const OWNERS: readonly IdentityOwner[] = ['nobody', 'self', 'other', 'disabled']
const FACTS: LinkFacts = { owner: 'nobody', hasOtherIdentity: false, unverifiedAddress: false }
const POLICY: LinkPolicy = { localAddresses: 'verified', identitiesPerUser: 'one' }
const link = (facts: Partial<LinkFacts> = {}, policy: Partial<LinkPolicy> = {}) =>
  decideLink({ ...FACTS, ...facts }, { ...POLICY, ...policy })
const refuse = (code: string) => ({ type: 'refuse', code })

describe('decideWhileSignedIn', () => {
  test.each([
    ['self', 'continue'],
    ['other', 'switch'],
    ['nobody', 'choose'],
    ['disabled', 'refuse-disabled'],
  ] as const)('answers an identity of %s: %s', (owner, decision) => {
    expect(decideSignedIn(owner)).toBe(decision)
  })
})

describe('decideLink', () => {
  test('links an unknown identity', () => {
    expect(link()).toEqual({ type: 'link' })
  })

  test("refreshes the user's own identity, whatever else holds", () => {
    for (const unverifiedAddress of [true, false]) {
      for (const hasOtherIdentity of [true, false]) {
        expect(link({ owner: 'self', unverifiedAddress, hasOtherIdentity })).toEqual({ type: 'refresh' })
      }
    }
  })

  test.each(['other', 'disabled'] as const)('refuses an identity of %s without telling them apart', (owner) => {
    expect(link({ owner }, { localAddresses: 'unverified', identitiesPerUser: 'many' })).toEqual(
      refuse('identity_linked_elsewhere'),
    )
    expect(link({ owner, unverifiedAddress: true, hasOtherIdentity: true })).toEqual(
      refuse('identity_linked_elsewhere'),
    )
  })

  test('refuses an account with an unverified address, unless the app verifies none', () => {
    expect(link({ unverifiedAddress: true })).toEqual(refuse('email_unverified'))
    expect(link({ unverifiedAddress: true }, { localAddresses: 'unverified' })).toEqual({ type: 'link' })
  })

  test('refuses a second identity, unless there may be many', () => {
    expect(link({ hasOtherIdentity: true })).toEqual(refuse('another_identity_linked'))
    expect(link({ hasOtherIdentity: true }, { identitiesPerUser: 'many' })).toEqual({ type: 'link' })
  })

  test('links only an unknown identity, under every rule that is not waived, for every input', () => {
    for (const owner of OWNERS) {
      for (const hasOtherIdentity of [true, false]) {
        for (const unverifiedAddress of [true, false]) {
          for (const localAddresses of ['verified', 'unverified', 'none'] as const) {
            for (const identitiesPerUser of ['one', 'many'] as const) {
              const decision = link(
                { owner, hasOtherIdentity, unverifiedAddress },
                { localAddresses, identitiesPerUser },
              )
              const may =
                owner === 'nobody' &&
                (!unverifiedAddress || localAddresses !== 'verified') &&
                (!hasOtherIdentity || identitiesPerUser === 'many')
              expect(decision.type === 'link').toBe(may)
              expect(decision.type === 'refresh').toBe(owner === 'self')
            }
          }
        }
      }
    }
  })
})

describe('decideReauthentication', () => {
  test.each(OWNERS)('answers an identity of %s', (owner) => {
    expect(decideReauthentication(owner)).toBe(owner === 'self' ? 'confirmed' : 'mismatch')
  })
})

describe('decideUnlink', () => {
  const at = (id: string, issuer = 'https://bitbucket.org') => ({ issuer, id })
  const own = [at('{a}'), at('{b}')]

  test("removes the user's own identity at any position", () => {
    expect(decideUnlink(at('{a}'), own)).toBe('unlink')
    expect(decideUnlink(at('{b}'), own)).toBe('unlink')
  })

  test.each(['{c}', '{A}', '', '__proto__'])('does not find %j', (id) => {
    expect(decideUnlink(at(id), own)).toBe('not-found')
  })

  test('does not find the same id of another issuer', () => {
    expect(decideUnlink(at('{a}', 'https://bitbucket.org#tenant=acme'), own)).toBe('not-found')
  })

  test('does not find anything for a user without identities', () => {
    expect(decideUnlink(at('{a}'), [])).toBe('not-found')
  })
})

describe('isRecent', () => {
  const now = 1_800_000_000_000
  const ago = (ms: number) => new Date(now - ms)

  test('accepts ten minutes, and refuses one millisecond more', () => {
    expect(RECENT_SIGN_IN_MS).toBe(600_000)
    expect(isRecent(ago(0), now)).toBe(true)
    expect(isRecent(ago(600_000), now)).toBe(true)
    expect(isRecent(ago(600_001), now)).toBe(false)
  })

  test('accepts another limit', () => {
    expect(isRecent(ago(5000), now, 5000)).toBe(true)
    expect(isRecent(ago(5001), now, 5000)).toBe(false)
  })

  test('refuses a stamp that is further in the future than clock skew allows', () => {
    expect(isRecent(ago(-60_000), now)).toBe(true)
    expect(isRecent(ago(-60_001), now)).toBe(false)
  })

  test('refuses a missing and an invalid stamp', () => {
    expect(isRecent(null, now)).toBe(false)
    expect(isRecent(new Date(Number.NaN), now)).toBe(false)
  })
})
