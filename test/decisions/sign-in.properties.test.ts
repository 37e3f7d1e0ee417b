import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { explain } from '../../src/decisions/explain'
import { consultsHolders, type Decision, decideSignIn, type SignInFacts } from '../../src/decisions/sign-in'
import { anyFacts, anyPolicy, counterexample, FACTS, POLICIES } from './every-sign-in'

const SEED = 20261123
const WRITES: readonly string[] = ['create', 'link', 'claim']
const ENTERS: readonly string[] = ['link', 'claim']

test('the enumeration contains every policy and every set of facts with at most two holders', () => {
  for (const [index, policy] of POLICIES.entries())
    if (!policy.signUp) expect(POLICIES[index - 8]).toEqual({ ...policy, signUp: true })
  expect(new Set(POLICIES.map((each) => JSON.stringify(each))).size).toBe(4 * 3 * 3 * 2 ** 5)
  expect(new Set(FACTS.map((each) => JSON.stringify(each))).size).toBe(3 * 5 * (1 + 24 + 24 ** 2))
})

describe('for every input', () => {
  test('there is exactly one decision, with a row of the table and a plain sentence', () => {
    const decisions = new Set<Decision>()
    expect(counterexample((decision) => decisions.add(decision).size < 100)).toBeUndefined()
    for (const decision of decisions) expect(explain(decision)).toMatch(/^Row [0-9]: [a-zB].{20,}\.$/)
    expect(decisions.size).toBeGreaterThan(20)
  })

  test('an asserted address, or none, opens no existing account', () => {
    const violation = counterexample(
      ({ type }, { email }) => (email !== 'asserted' && email !== 'none') || !ENTERS.includes(type),
    )
    expect(violation).toBeUndefined()
  })

  test('under "verify" the decision on an asserted address does not depend on who holds it', () => {
    const violation = counterexample(
      (decision, { email }, { untrustedEmail }, withoutHolders) =>
        email !== 'asserted' || untrustedEmail !== 'verify' || decision === withoutHolders,
    )
    expect(violation).toBeUndefined()
  })

  test('the decision does not depend on holders that are not looked up', () => {
    const violation = counterexample(
      (decision, facts, policy, withoutHolders) => consultsHolders(facts, policy) || decision === withoutHolders,
    )
    expect(violation).toBeUndefined()
  })

  test('the decision is sign-in for a known identity and nothing else', () => {
    const violation = counterexample(({ type }, { identity }) => (type === 'sign-in') === (identity === 'known'))
    expect(violation).toBeUndefined()
  })

  test('a known or disabled identity gets the same decision, whatever its address and the policy', () => {
    const violation = counterexample((decision, { identity }) => {
      if (identity === 'unknown') return true
      if (identity === 'known') return decision.type === 'sign-in' && decision.row === 1
      return decision.type === 'refuse' && decision.row === 0 && decision.code === 'account_disabled'
    })
    expect(violation).toBeUndefined()
  })

  test('a typed address opens and claims nothing', () => {
    expect(counterexample(({ type }, { email }) => email !== 'typed' || !ENTERS.includes(type))).toBeUndefined()
  })

  test('a closed sign-up creates no account, not even by a claim', () => {
    const opens = (type: string) => type === 'create' || type === 'claim'
    expect(counterexample(({ type }, _facts, { signUp }) => signUp || !opens(type))).toBeUndefined()
  })

  test('a closed sign-up turns creates into sign_up_disabled and claims into the decision without the hook, and changes nothing else', () => {
    const violation = counterexample((decision, facts, policy, _withoutHolders, open) => {
      if (policy.signUp) return true
      if (open.type === 'claim') return isDeepStrictEqual(decision, decideSignIn(facts, { ...policy, canClaim: false }))
      if (open.type !== 'create') return decision === open
      return decision.type === 'refuse' && decision.row === open.row && decision.code === 'sign_up_disabled'
    })
    expect(violation).toBeUndefined()
  })

  test('a link goes to the one account that verified the address, may sign in, allows it and has room for it', () => {
    const violation = counterexample((decision, { email, holders }, policy) => {
      if (decision.type !== 'link') return true
      const holder = holders[decision.holder]
      const allowed = email === 'bitbucket' ? policy.matchingAccount === 'link' : policy.codeOpensAccount
      return (
        (email === 'bitbucket' || email === 'code') &&
        allowed &&
        holder?.verified === true &&
        holder.canSignIn &&
        holder.autoLink &&
        (holder.hasOtherIdentity === false || policy.identitiesPerUser === 'many') &&
        holders.filter(({ verified }) => verified).length === 1
      )
    })
    expect(violation).toBeUndefined()
  })

  test('a claim covers every holder, none of which verified the address', () => {
    const violation = counterexample((decision, { email, holders }, policy) => {
      if (decision.type !== 'claim') return true
      return (
        (email === 'bitbucket' || email === 'code') &&
        policy.canClaim &&
        holders.every(({ verified }) => !verified) &&
        decision.holders.length === holders.length &&
        decision.holders.every((holder, index) => holder === index)
      )
    })
    expect(violation).toBeUndefined()
  })

  test('proof is requested from one holder that the app can name and that has room for it', () => {
    const violation = counterexample((decision, { holders }, policy) => {
      if (decision.type !== 'prove') return true
      const holder = holders[decision.holder]
      const provable = holder?.verified === false && decision.row === 9 ? holder.canSignIn : true
      const room = holder?.hasOtherIdentity === false || (policy.identitiesPerUser === 'many' && decision.row !== 9)
      return policy.canProve && provable && room
    })
    expect(violation).toBeUndefined()
  })

  test('matchingAccount "reject" leads to no existing account', () => {
    const violation = counterexample(
      ({ type }, _facts, { matchingAccount }) =>
        matchingAccount !== 'reject' || !(ENTERS.includes(type) || type === 'prove'),
    )
    expect(violation).toBeUndefined()
  })

  test('a proven address that two accounts have verified is always refused', () => {
    const violation = counterexample((decision, { identity, email, holders }) => {
      if (identity !== 'unknown' || email === 'none' || email === 'asserted') return true
      if (holders.filter(({ verified }) => verified).length < 2) return true
      return decision.type === 'refuse' && decision.row === 7 && decision.code === 'email_ambiguous'
    })
    expect(violation).toBeUndefined()
  })

  test('a new account never gets an address that an account holds, nor an unproven one as verified', () => {
    const violation = counterexample((decision, { email, holders }) => {
      if (decision.type !== 'create' || decision.email === 'none') return true
      return holders.length === 0 && (decision.email === 'proven') === (email !== 'asserted')
    })
    expect(violation).toBeUndefined()
  })
})

describe('with any number of holders', () => {
  test('there is one decision, and at most one account is entered, by a proven address', () => {
    fc.assert(
      fc.property(anyFacts, anyPolicy, (facts, policy) => {
        const decision = decideSignIn(facts, policy)
        expect(explain(decision)).toMatch(/^Row \d: .+\.$/)
        if (!WRITES.includes(decision.type)) return
        expect(facts.identity).toBe('unknown')
        if (decision.type !== 'create') expect(['bitbucket', 'code']).toContain(facts.email)
        if (decision.type === 'link') expect(facts.holders.filter(({ verified }) => verified)).toHaveLength(1)
        if (decision.type === 'claim') expect(facts.holders.filter(({ verified }) => verified)).toHaveLength(0)
      }),
      { seed: SEED, numRuns: 3000 },
    )
  })

  test('the order of the holders does not matter', () => {
    const reorderings = anyFacts.chain((facts) =>
      fc.record({
        facts: fc.constant(facts),
        order: fc.shuffledSubarray([...facts.holders.keys()], { minLength: facts.holders.length }),
      }),
    )
    fc.assert(
      fc.property(reorderings, anyPolicy, ({ facts, order }, policy) => {
        const reordered: SignInFacts = { ...facts, holders: order.flatMap((index) => facts.holders[index] ?? []) }
        const before = decideSignIn(facts, policy)
        const after = decideSignIn(reordered, policy)
        expect(namingHolders(after, reordered)).toEqual(namingHolders(before, facts))
      }),
      { seed: SEED, numRuns: 3000 },
    )
  })
})

/** The decision with the holders it names instead of their positions. */
function namingHolders(decision: Decision, { holders }: SignInFacts): unknown {
  if (decision.type === 'link' || decision.type === 'prove') {
    return { ...decision, holder: holders[decision.holder] }
  }
  return decision.type === 'claim' ? { ...decision, holders: decision.holders.length } : decision
}
