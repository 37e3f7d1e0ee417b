import { describe, expect, test } from 'vitest'
import type { SignInPolicy } from '../../src/contract/policy'
import type { EmailLevel } from '../../src/decisions/email-trust'
import {
  consultsHolders,
  type Decision,
  decideSignIn,
  explain,
  type Holder,
  type RefusalCode,
  type SignInFacts,
} from '../../src/decisions/sign-in'

const POLICY: SignInPolicy = {
  untrustedEmail: 'verify',
  missingEmail: 'ask',
  matchingAccount: 'link',
  codeOpensAccount: false,
  identitiesPerUser: 'one',
  signUp: true,
  canClaim: true,
  canProve: true,
}
const VERIFIED: Holder = { verified: true, autoLink: true, canSignIn: true, hasOtherIdentity: false }
const UNVERIFIED: Holder = { ...VERIFIED, verified: false }

function decide(facts: Partial<SignInFacts>, policy: Partial<SignInPolicy> = {}): Decision {
  return decideSignIn({ identity: 'unknown', email: 'none', holders: [], ...facts }, { ...POLICY, ...policy })
}

const refuse = (row: number, code: RefusalCode) => ({ type: 'refuse', row, code })

describe('rows 0 and 1: the identity is stored', () => {
  test('a user who is gone or may not sign in is refused', () => {
    expect(decide({ identity: 'disabled' })).toEqual(refuse(0, 'account_disabled'))
  })

  test('a user who may sign in is signed in', () => {
    expect(decide({ identity: 'known' })).toEqual({ type: 'sign-in', row: 1 })
  })

  test('a closed sign-up does not keep known people out', () => {
    expect(decide({ identity: 'known' }, { signUp: false })).toEqual({ type: 'sign-in', row: 1 })
  })
})

describe('row 2: there is no address', () => {
  test('by default the person is asked for one', () => {
    expect(decide({})).toEqual({ type: 'ask-address', row: 2 })
  })

  test('"allow" creates a user without one', () => {
    expect(decide({}, { missingEmail: 'allow' })).toEqual({ type: 'create', row: 2, email: 'none' })
  })

  test('"allow" with a closed sign-up is refused', () => {
    expect(decide({}, { missingEmail: 'allow', signUp: false })).toEqual(refuse(2, 'sign_up_disabled'))
  })

  test('"reject" is refused', () => {
    expect(decide({}, { missingEmail: 'reject' })).toEqual(refuse(2, 'email_required'))
  })
})

describe('row 3: an asserted address and the default policy', () => {
  test('a code is mailed', () => {
    expect(decide({ email: 'asserted' })).toEqual({ type: 'verify-address', row: 3 })
  })

  test('the answer does not depend on who holds the address', () => {
    for (const holders of [[VERIFIED], [UNVERIFIED], [VERIFIED, VERIFIED], [{ ...VERIFIED, canSignIn: false }]]) {
      expect(decide({ email: 'asserted', holders })).toEqual({ type: 'verify-address', row: 3 })
    }
  })

  test('a closed sign-up shows only after the code, so that this is no oracle', () => {
    expect(decide({ email: 'asserted' }, { signUp: false })).toEqual({ type: 'verify-address', row: 3 })
    expect(decide({ email: 'code' }, { signUp: false })).toEqual(refuse(6, 'sign_up_disabled'))
  })
})

describe('row 4: an asserted address that is not to be proven', () => {
  test('"omit" creates a user without an address regardless of who holds it', () => {
    for (const holders of [[], [VERIFIED], [UNVERIFIED]]) {
      const decision = decide({ email: 'asserted', holders }, { untrustedEmail: 'omit' })
      expect(decision).toEqual({ type: 'create', row: 4, email: 'none' })
    }
  })

  test('"omit" with a closed sign-up is refused', () => {
    expect(decide({ email: 'asserted' }, { untrustedEmail: 'omit', signUp: false })).toEqual(
      refuse(4, 'sign_up_disabled'),
    )
  })

  test('"reject" is refused regardless of who holds it', () => {
    for (const holders of [[], [VERIFIED], [UNVERIFIED]]) {
      expect(decide({ email: 'asserted', holders }, { untrustedEmail: 'reject' })).toEqual(
        refuse(4, 'email_unverified'),
      )
    }
  })
})

describe('row 5: an asserted address that is stored as unverified', () => {
  const decideUnverified = (holders: Holder[], policy: Partial<SignInPolicy> = {}) =>
    decide({ email: 'asserted', holders }, { untrustedEmail: 'unverified', ...policy })

  test('without a holder a user is created, the address marked unverified', () => {
    expect(decideUnverified([])).toEqual({ type: 'create', row: 5, email: 'unverified' })
  })

  test('without a holder and with a closed sign-up it is refused', () => {
    expect(decideUnverified([], { signUp: false })).toEqual(refuse(5, 'sign_up_disabled'))
  })

  test('one holder is to be proven, its address verified or not', () => {
    expect(decideUnverified([VERIFIED])).toEqual({ type: 'prove', row: 5, holder: 0 })
    expect(decideUnverified([UNVERIFIED])).toEqual({ type: 'prove', row: 5, holder: 0 })
  })

  test('one holder is never linked or claimed, whatever the policy lets a proven address do', () => {
    const decision = decideUnverified([VERIFIED], { matchingAccount: 'link', codeOpensAccount: true, canClaim: true })
    expect(decision.type).toBe('prove')
  })

  test('two holders are refused', () => {
    expect(decideUnverified([VERIFIED, UNVERIFIED])).toEqual(refuse(5, 'account_exists'))
  })

  test('matchingAccount "reject" is refused', () => {
    expect(decideUnverified([VERIFIED], { matchingAccount: 'reject' })).toEqual(refuse(5, 'account_exists'))
  })

  test('a holder with another identity is refused', () => {
    expect(decideUnverified([{ ...VERIFIED, hasOtherIdentity: true }])).toEqual(refuse(5, 'account_exists'))
  })

  test('a holder of whom the app cannot tell is refused', () => {
    expect(decideUnverified([{ ...VERIFIED, hasOtherIdentity: null }])).toEqual(refuse(5, 'account_exists'))
  })

  test('an app that cannot name accounts refuses', () => {
    expect(decideUnverified([VERIFIED], { canProve: false })).toEqual(refuse(5, 'account_exists'))
  })
})

const PROVEN = ['bitbucket', 'code', 'typed'] as const satisfies readonly EmailLevel[]

describe.each(PROVEN)('row 6: a proven address (%s) that no account holds', (email) => {
  test('creates a user with the address verified', () => {
    expect(decide({ email })).toEqual({ type: 'create', row: 6, email: 'proven' })
  })

  test('is refused when sign-up is closed', () => {
    expect(decide({ email }, { signUp: false })).toEqual(refuse(6, 'sign_up_disabled'))
  })
})

describe.each(PROVEN)('row 7: a proven address (%s) that two accounts have verified', (email) => {
  test('is refused as ambiguous', () => {
    expect(decide({ email, holders: [VERIFIED, VERIFIED] })).toEqual(refuse(7, 'email_ambiguous'))
  })

  test('is refused as ambiguous with unverified holders between them', () => {
    const holders = [UNVERIFIED, VERIFIED, UNVERIFIED, VERIFIED]
    expect(decide({ email, holders })).toEqual(refuse(7, 'email_ambiguous'))
  })
})

describe('row 8: one account has verified the address', () => {
  test('a trusted provider links to it', () => {
    expect(decide({ email: 'bitbucket', holders: [VERIFIED] })).toEqual({ type: 'link', row: 8, holder: 0 })
  })

  test('unverified holders beside it do not count, wherever they stand', () => {
    expect(decide({ email: 'bitbucket', holders: [UNVERIFIED, VERIFIED] })).toEqual({ type: 'link', row: 8, holder: 1 })
    expect(decide({ email: 'bitbucket', holders: [VERIFIED, UNVERIFIED] })).toEqual({ type: 'link', row: 8, holder: 0 })
  })

  test('a trusted provider under "prove" asks for proof', () => {
    const decision = decide({ email: 'bitbucket', holders: [UNVERIFIED, VERIFIED] }, { matchingAccount: 'prove' })
    expect(decision).toEqual({ type: 'prove', row: 8, holder: 1 })
  })

  test('codeOpensAccount does not let a trusted provider past "prove"', () => {
    const policy = { matchingAccount: 'prove', codeOpensAccount: true } as const
    expect(decide({ email: 'bitbucket', holders: [VERIFIED] }, policy).type).toBe('prove')
  })

  test('our code asks for proof', () => {
    expect(decide({ email: 'code', holders: [VERIFIED] })).toEqual({ type: 'prove', row: 8, holder: 0 })
  })

  test('our code links where codeOpensAccount says so, under "link" and under "prove"', () => {
    for (const matchingAccount of ['link', 'prove'] as const) {
      const decision = decide({ email: 'code', holders: [VERIFIED] }, { matchingAccount, codeOpensAccount: true })
      expect(decision).toEqual({ type: 'link', row: 8, holder: 0 })
    }
  })

  test('a typed address asks for proof, whatever the policy', () => {
    for (const matchingAccount of ['link', 'prove'] as const) {
      const decision = decide({ email: 'typed', holders: [VERIFIED] }, { matchingAccount, codeOpensAccount: true })
      expect(decision).toEqual({ type: 'prove', row: 8, holder: 0 })
    }
  })

  test.each(PROVEN)('autoLink false asks for proof (%s)', (email) => {
    const holders = [{ ...VERIFIED, autoLink: false }]
    expect(decide({ email, holders }, { codeOpensAccount: true })).toEqual({ type: 'prove', row: 8, holder: 0 })
  })

  test.each(PROVEN)('an account that may not sign in is refused (%s)', (email) => {
    const holders = [{ ...VERIFIED, canSignIn: false }]
    expect(decide({ email, holders })).toEqual(refuse(8, 'account_disabled'))
    expect(decide({ email, holders }, { matchingAccount: 'reject' })).toEqual(refuse(8, 'account_disabled'))
  })

  test('an unverified holder that may not sign in stands in nobody’s way', () => {
    const holders = [{ ...UNVERIFIED, canSignIn: false }, VERIFIED]
    expect(decide({ email: 'bitbucket', holders })).toEqual({ type: 'link', row: 8, holder: 1 })
  })

  test.each(PROVEN)('matchingAccount "reject" is refused (%s)', (email) => {
    const policy = { matchingAccount: 'reject', codeOpensAccount: true } as const
    expect(decide({ email, holders: [VERIFIED] }, policy)).toEqual(refuse(8, 'account_exists'))
  })

  test.each([true, null])('an account whose other identities are %s is refused', (hasOtherIdentity) => {
    for (const email of PROVEN) {
      const holders = [{ ...VERIFIED, hasOtherIdentity }]
      expect(decide({ email, holders }, { codeOpensAccount: true })).toEqual(refuse(8, 'account_exists'))
    }
  })

  test.each([true, null])(
    "case 26: with identitiesPerUser 'many' it is opened like any other (%s)",
    (hasOtherIdentity) => {
      const holders = [{ ...VERIFIED, hasOtherIdentity }]
      const many = { identitiesPerUser: 'many' } as const
      expect(decide({ email: 'bitbucket', holders }, many)).toEqual({ type: 'link', row: 8, holder: 0 })
      for (const email of ['code', 'typed'] as const)
        expect(decide({ email, holders }, many)).toEqual({ type: 'prove', row: 8, holder: 0 })
      expect(decide({ email: 'asserted', holders }, { ...many, untrustedEmail: 'unverified' })).toEqual({
        type: 'prove',
        row: 5,
        holder: 0,
      })
    },
  )

  test('an app that cannot name accounts refuses where proof is needed, and still links', () => {
    expect(decide({ email: 'code', holders: [VERIFIED] }, { canProve: false })).toEqual(refuse(8, 'account_exists'))
    expect(decide({ email: 'bitbucket', holders: [VERIFIED] }, { canProve: false }).type).toBe('link')
  })

  test('a closed sign-up does not keep the owner of an account out', () => {
    expect(decide({ email: 'bitbucket', holders: [VERIFIED] }, { signUp: false }).type).toBe('link')
  })
})

describe('row 9: accounts hold the address, none has verified it', () => {
  test.each(['bitbucket', 'code'] as const)('they are claimed, all of them (%s)', (email) => {
    expect(decide({ email, holders: [UNVERIFIED] })).toEqual({ type: 'claim', row: 9, holders: [0] })
    expect(decide({ email, holders: [UNVERIFIED, UNVERIFIED] })).toEqual({ type: 'claim', row: 9, holders: [0, 1] })
  })

  test('of more than twenty none is claimed, proven or asked about', () => {
    const many = (count: number) => Array.from({ length: count }, () => UNVERIFIED)
    expect(decide({ email: 'code', holders: many(20) })).toMatchObject({ type: 'claim', holders: [...many(20).keys()] })
    for (const policy of [{}, { canClaim: false }]) {
      expect(decide({ email: 'code', holders: many(21) }, policy)).toEqual(refuse(9, 'account_exists_unverified'))
    }
    const disabled = { ...UNVERIFIED, canSignIn: false }
    expect(decide({ email: 'code', holders: [...many(20), disabled] })).toEqual(refuse(9, 'account_exists_unverified'))
    expect(decide({ email: 'code', holders: many(21) }, { matchingAccount: 'reject' })).toEqual(
      refuse(9, 'account_exists'),
    )
  })

  test('however many there are, one that verified it is its owner, and two are ambiguous', () => {
    const many = Array.from({ length: 21 }, () => UNVERIFIED)
    expect(decide({ email: 'bitbucket', holders: [VERIFIED, ...many] })).toEqual({ type: 'link', row: 8, holder: 0 })
    expect(decide({ email: 'bitbucket', holders: [VERIFIED, VERIFIED, ...many] })).toEqual(refuse(7, 'email_ambiguous'))
  })

  test('they are claimed although one has another identity: that one is taken away', () => {
    const holders = [{ ...UNVERIFIED, hasOtherIdentity: true }]
    expect(decide({ email: 'bitbucket', holders })).toEqual({ type: 'claim', row: 9, holders: [0] })
  })

  test('a typed address claims nothing: one holder is to be proven, two are refused', () => {
    expect(decide({ email: 'typed', holders: [UNVERIFIED] })).toEqual({ type: 'prove', row: 9, holder: 0 })
    expect(decide({ email: 'typed', holders: [UNVERIFIED, UNVERIFIED] })).toEqual(
      refuse(9, 'account_exists_unverified'),
    )
  })

  test('without claimAddress one holder is to be proven, two are refused', () => {
    const policy = { canClaim: false }
    expect(decide({ email: 'code', holders: [UNVERIFIED] }, policy)).toEqual({ type: 'prove', row: 9, holder: 0 })
    expect(decide({ email: 'code', holders: [UNVERIFIED, UNVERIFIED] }, policy)).toEqual(
      refuse(9, 'account_exists_unverified'),
    )
  })

  test('without claimAddress a holder with another identity is refused with the way out', () => {
    const holders = [{ ...UNVERIFIED, hasOtherIdentity: true }]
    for (const identitiesPerUser of ['one', 'many'] as const) {
      const policy = { canClaim: false, identitiesPerUser }
      expect(decide({ email: 'code', holders }, policy)).toEqual(refuse(9, 'account_exists_unverified'))
    }
  })

  test('without claimAddress a holder that cannot be named or judged is refused', () => {
    const unknown = [{ ...UNVERIFIED, hasOtherIdentity: null }]
    expect(decide({ email: 'code', holders: unknown }, { canClaim: false })).toEqual(refuse(9, 'account_exists'))
    expect(decide({ email: 'code', holders: [UNVERIFIED] }, { canClaim: false, canProve: false })).toEqual(
      refuse(9, 'account_exists'),
    )
  })

  test.each(PROVEN)('matchingAccount "reject" is refused (%s)', (email) => {
    const decision = decide({ email, holders: [UNVERIFIED] }, { matchingAccount: 'reject' })
    expect(decision).toEqual(refuse(9, 'account_exists'))
  })

  test.each(PROVEN)(
    'case 7: one that may not sign in does not stop the owner, and is never to be proved (%s)',
    (email) => {
      const disabled = { ...UNVERIFIED, canSignIn: false }
      for (const holders of [[disabled], [UNVERIFIED, disabled]]) {
        const claimed = decide({ email, holders })
        if (email === 'typed') expect(claimed).toEqual(refuse(9, 'account_exists_unverified'))
        else expect(claimed).toEqual({ type: 'claim', row: 9, holders: holders.map((_, index) => index) })
        expect(decide({ email, holders }, { canClaim: false })).toEqual(refuse(9, 'account_exists_unverified'))
      }
    },
  )

  test('a closed sign-up allows no claim, which makes a new account: one holder is to be proven, two are refused', () => {
    const closed = { signUp: false }
    for (const email of ['bitbucket', 'code'] as const) {
      expect(decide({ email, holders: [UNVERIFIED] }, closed)).toEqual({ type: 'prove', row: 9, holder: 0 })
      const two = decide({ email, holders: [UNVERIFIED, UNVERIFIED] }, closed)
      expect(two).toEqual(refuse(9, 'account_exists_unverified'))
    }
  })
})

describe('consultsHolders', () => {
  const consults = (identity: SignInFacts['identity'], email: EmailLevel, policy: Partial<SignInPolicy> = {}) =>
    consultsHolders({ identity, email }, { ...POLICY, ...policy })

  test('nobody is looked up by address for an identity that is stored', () => {
    for (const email of ['none', 'asserted', ...PROVEN] as const) {
      expect(consults('known', email, { untrustedEmail: 'unverified' })).toBe(false)
      expect(consults('disabled', email, { untrustedEmail: 'unverified' })).toBe(false)
    }
  })

  test('nobody is looked up without an address', () => {
    expect(consults('unknown', 'none', { untrustedEmail: 'unverified' })).toBe(false)
  })

  test('an asserted address is looked up under "unverified" only', () => {
    expect(consults('unknown', 'asserted', { untrustedEmail: 'unverified' })).toBe(true)
    for (const untrustedEmail of ['verify', 'omit', 'reject'] as const) {
      expect(consults('unknown', 'asserted', { untrustedEmail })).toBe(false)
    }
  })

  test.each(PROVEN)('a proven address is looked up (%s)', (email) => {
    expect(consults('unknown', email)).toBe(true)
  })
})

describe('explain', () => {
  const explained: readonly (readonly [Decision, string])[] = [
    [{ type: 'sign-in', row: 1 }, 'address and trust were not consulted'],
    [{ type: 'ask-address', row: 2 }, 'asked for one and has to prove it'],
    [{ type: 'verify-address', row: 3 }, 'a code is emailed to it, and no account was looked up'],
    [{ type: 'create', row: 4, email: 'none' }, 'created without an address'],
    [{ type: 'create', row: 5, email: 'unverified' }, 'the address is marked unverified'],
    [{ type: 'create', row: 6, email: 'proven' }, 'the address is marked verified'],
    [{ type: 'link', row: 8, holder: 0 }, 'the identity is linked to it'],
    [{ type: 'claim', row: 9, holders: [0] }, 'the address goes to the user who proved it'],
    [{ type: 'prove', row: 8, holder: 0 }, "sign in to it in the app's own way"],
    [{ type: 'refuse', row: 0, code: 'account_disabled' }, 'is gone or may not sign in'],
    [{ type: 'refuse', row: 8, code: 'account_exists' }, 'leave no safe way to link it'],
    [{ type: 'refuse', row: 9, code: 'account_exists_unverified' }, 'without having proved it'],
    [{ type: 'refuse', row: 2, code: 'email_required' }, 'the policy asks for one'],
    [{ type: 'refuse', row: 4, code: 'email_unverified' }, 'the policy refuses those'],
    [{ type: 'refuse', row: 7, code: 'email_ambiguous' }, 'none is chosen'],
    [{ type: 'refuse', row: 6, code: 'sign_up_disabled' }, 'sign-up is closed'],
  ]

  test.each(explained)('%j is a sentence that says why', (decision, words) => {
    const text = explain(decision)
    expect(text).toMatch(new RegExp(`^Row ${decision.row}: [a-zB].*[a-z]\\.$`))
    expect(text).toContain(words)
  })

  test('no two of them are the same', () => {
    expect(new Set(explained.map(([decision]) => explain(decision))).size).toBe(explained.length)
  })
})
