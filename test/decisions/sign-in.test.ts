import { describe, expect, test } from 'vitest'
import type { SignInPolicy } from '../../src/contract/policy'
import type { EmailLevel } from '../../src/decisions/email-trust'
import { explain } from '../../src/decisions/explain'
import {
  consultsHolders,
  type Decision,
  decideSignIn,
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
  test('refuses a user who is gone or may not sign in', () => {
    expect(decide({ identity: 'disabled' })).toEqual(refuse(0, 'account_disabled'))
  })

  test('signs in a user who may sign in', () => {
    expect(decide({ identity: 'known' })).toEqual({ type: 'sign-in', row: 1 })
  })

  test('signs known users in with a closed sign-up', () => {
    expect(decide({ identity: 'known' }, { signUp: false })).toEqual({ type: 'sign-in', row: 1 })
  })
})

describe('row 2: there is no address', () => {
  test('asks for one by default', () => {
    expect(decide({})).toEqual({ type: 'ask-address', row: 2 })
  })

  test('creates a user without one under "allow"', () => {
    expect(decide({}, { missingEmail: 'allow' })).toEqual({ type: 'create', row: 2, email: 'none' })
  })

  test('refuses under "allow" with a closed sign-up', () => {
    expect(decide({}, { missingEmail: 'allow', signUp: false })).toEqual(refuse(2, 'sign_up_disabled'))
  })

  test('refuses under "reject"', () => {
    expect(decide({}, { missingEmail: 'reject' })).toEqual(refuse(2, 'email_required'))
  })
})

describe('row 3: an asserted address and the default policy', () => {
  test('mails a code', () => {
    expect(decide({ email: 'asserted' })).toEqual({ type: 'verify-address', row: 3 })
  })

  test('does not depend on who holds the address', () => {
    for (const holders of [[VERIFIED], [UNVERIFIED], [VERIFIED, VERIFIED], [{ ...VERIFIED, canSignIn: false }]]) {
      expect(decide({ email: 'asserted', holders })).toEqual({ type: 'verify-address', row: 3 })
    }
  })

  test('reveals a closed sign-up only after the code, so that it is no oracle', () => {
    expect(decide({ email: 'asserted' }, { signUp: false })).toEqual({ type: 'verify-address', row: 3 })
    expect(decide({ email: 'code' }, { signUp: false })).toEqual(refuse(6, 'sign_up_disabled'))
  })
})

describe('row 4: an asserted address that is not to be proven', () => {
  test('creates a user without an address under "omit", regardless of who holds it', () => {
    for (const holders of [[], [VERIFIED], [UNVERIFIED]]) {
      const decision = decide({ email: 'asserted', holders }, { untrustedEmail: 'omit' })
      expect(decision).toEqual({ type: 'create', row: 4, email: 'none' })
    }
  })

  test('refuses under "omit" with a closed sign-up', () => {
    expect(decide({ email: 'asserted' }, { untrustedEmail: 'omit', signUp: false })).toEqual(
      refuse(4, 'sign_up_disabled'),
    )
  })

  test('refuses under "reject", regardless of who holds it', () => {
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

  test('creates a user with the address marked unverified if no account holds it', () => {
    expect(decideUnverified([])).toEqual({ type: 'create', row: 5, email: 'unverified' })
  })

  test('refuses with a closed sign-up if no account holds it', () => {
    expect(decideUnverified([], { signUp: false })).toEqual(refuse(5, 'sign_up_disabled'))
  })

  test('asks for proof of one holder, its address verified or not', () => {
    expect(decideUnverified([VERIFIED])).toEqual({ type: 'prove', row: 5, holder: 0 })
    expect(decideUnverified([UNVERIFIED])).toEqual({ type: 'prove', row: 5, holder: 0 })
  })

  test('never links or claims a holder, whatever the policy allows a proven address', () => {
    const decision = decideUnverified([VERIFIED], { matchingAccount: 'link', codeOpensAccount: true, canClaim: true })
    expect(decision.type).toBe('prove')
  })

  test('refuses two holders', () => {
    expect(decideUnverified([VERIFIED, UNVERIFIED])).toEqual(refuse(5, 'account_exists'))
  })

  test('refuses under matchingAccount "reject"', () => {
    expect(decideUnverified([VERIFIED], { matchingAccount: 'reject' })).toEqual(refuse(5, 'account_exists'))
  })

  test('refuses a holder with another identity', () => {
    expect(decideUnverified([{ ...VERIFIED, hasOtherIdentity: true }])).toEqual(refuse(5, 'account_exists'))
  })

  test('refuses a holder whose identities are unknown', () => {
    expect(decideUnverified([{ ...VERIFIED, hasOtherIdentity: null }])).toEqual(refuse(5, 'account_exists'))
  })

  test('refuses if the app cannot name accounts', () => {
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
  test('links for a trusted provider', () => {
    expect(decide({ email: 'bitbucket', holders: [VERIFIED] })).toEqual({ type: 'link', row: 8, holder: 0 })
  })

  test('ignores unverified holders at any position', () => {
    expect(decide({ email: 'bitbucket', holders: [UNVERIFIED, VERIFIED] })).toEqual({ type: 'link', row: 8, holder: 1 })
    expect(decide({ email: 'bitbucket', holders: [VERIFIED, UNVERIFIED] })).toEqual({ type: 'link', row: 8, holder: 0 })
  })

  test('asks for proof for a trusted provider under "prove"', () => {
    const decision = decide({ email: 'bitbucket', holders: [UNVERIFIED, VERIFIED] }, { matchingAccount: 'prove' })
    expect(decision).toEqual({ type: 'prove', row: 8, holder: 1 })
  })

  test('asks for proof for a trusted provider under "prove", also with codeOpensAccount', () => {
    const policy = { matchingAccount: 'prove', codeOpensAccount: true } as const
    expect(decide({ email: 'bitbucket', holders: [VERIFIED] }, policy).type).toBe('prove')
  })

  test('asks for proof after our code', () => {
    expect(decide({ email: 'code', holders: [VERIFIED] })).toEqual({ type: 'prove', row: 8, holder: 0 })
  })

  test('links after our code with codeOpensAccount, under "link" and under "prove"', () => {
    for (const matchingAccount of ['link', 'prove'] as const) {
      const decision = decide({ email: 'code', holders: [VERIFIED] }, { matchingAccount, codeOpensAccount: true })
      expect(decision).toEqual({ type: 'link', row: 8, holder: 0 })
    }
  })

  test('asks for proof of a typed address, whatever the policy', () => {
    for (const matchingAccount of ['link', 'prove'] as const) {
      const decision = decide({ email: 'typed', holders: [VERIFIED] }, { matchingAccount, codeOpensAccount: true })
      expect(decision).toEqual({ type: 'prove', row: 8, holder: 0 })
    }
  })

  test.each(PROVEN)('asks for proof under autoLink false (%s)', (email) => {
    const holders = [{ ...VERIFIED, autoLink: false }]
    expect(decide({ email, holders }, { codeOpensAccount: true })).toEqual({ type: 'prove', row: 8, holder: 0 })
  })

  test.each(PROVEN)('refuses an account that may not sign in (%s)', (email) => {
    const holders = [{ ...VERIFIED, canSignIn: false }]
    expect(decide({ email, holders })).toEqual(refuse(8, 'account_disabled'))
    expect(decide({ email, holders }, { matchingAccount: 'reject' })).toEqual(refuse(8, 'account_disabled'))
  })

  test('ignores an unverified holder that may not sign in', () => {
    const holders = [{ ...UNVERIFIED, canSignIn: false }, VERIFIED]
    expect(decide({ email: 'bitbucket', holders })).toEqual({ type: 'link', row: 8, holder: 1 })
  })

  test.each(PROVEN)('refuses under matchingAccount "reject" (%s)', (email) => {
    const policy = { matchingAccount: 'reject', codeOpensAccount: true } as const
    expect(decide({ email, holders: [VERIFIED] }, policy)).toEqual(refuse(8, 'account_exists'))
  })

  test.each([true, null])('refuses an account whose other identities are %s', (hasOtherIdentity) => {
    for (const email of PROVEN) {
      const holders = [{ ...VERIFIED, hasOtherIdentity }]
      expect(decide({ email, holders }, { codeOpensAccount: true })).toEqual(refuse(8, 'account_exists'))
    }
  })

  test.each([true, null])("case 26: links it with identitiesPerUser 'many' like any other (%s)", (hasOtherIdentity) => {
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
  })

  test('refuses if proof is needed and the app cannot name accounts, and still links', () => {
    expect(decide({ email: 'code', holders: [VERIFIED] }, { canProve: false })).toEqual(refuse(8, 'account_exists'))
    expect(decide({ email: 'bitbucket', holders: [VERIFIED] }, { canProve: false }).type).toBe('link')
  })

  test('lets the owner of an account in with a closed sign-up', () => {
    expect(decide({ email: 'bitbucket', holders: [VERIFIED] }, { signUp: false }).type).toBe('link')
  })
})

describe('row 9: accounts hold the address, and none has verified it', () => {
  test.each(['bitbucket', 'code'] as const)('claims it from all of them (%s)', (email) => {
    expect(decide({ email, holders: [UNVERIFIED] })).toEqual({ type: 'claim', row: 9, holders: [0] })
    expect(decide({ email, holders: [UNVERIFIED, UNVERIFIED] })).toEqual({ type: 'claim', row: 9, holders: [0, 1] })
  })

  test('refuses more than twenty holders', () => {
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

  test('finds one owner that verified it among any number, and refuses two as ambiguous', () => {
    const many = Array.from({ length: 21 }, () => UNVERIFIED)
    expect(decide({ email: 'bitbucket', holders: [VERIFIED, ...many] })).toEqual({ type: 'link', row: 8, holder: 0 })
    expect(decide({ email: 'bitbucket', holders: [VERIFIED, VERIFIED, ...many] })).toEqual(refuse(7, 'email_ambiguous'))
  })

  test('claims it although one of them has another identity', () => {
    const holders = [{ ...UNVERIFIED, hasOtherIdentity: true }]
    expect(decide({ email: 'bitbucket', holders })).toEqual({ type: 'claim', row: 9, holders: [0] })
  })

  test('asks for proof of one holder of a typed address, and refuses two', () => {
    expect(decide({ email: 'typed', holders: [UNVERIFIED] })).toEqual({ type: 'prove', row: 9, holder: 0 })
    expect(decide({ email: 'typed', holders: [UNVERIFIED, UNVERIFIED] })).toEqual(
      refuse(9, 'account_exists_unverified'),
    )
  })

  test('asks for proof of one holder without claimAddress, and refuses two', () => {
    const policy = { canClaim: false }
    expect(decide({ email: 'code', holders: [UNVERIFIED] }, policy)).toEqual({ type: 'prove', row: 9, holder: 0 })
    expect(decide({ email: 'code', holders: [UNVERIFIED, UNVERIFIED] }, policy)).toEqual(
      refuse(9, 'account_exists_unverified'),
    )
  })

  test('refuses a holder with another identity without claimAddress, and says how to continue', () => {
    const holders = [{ ...UNVERIFIED, hasOtherIdentity: true }]
    for (const identitiesPerUser of ['one', 'many'] as const) {
      const policy = { canClaim: false, identitiesPerUser }
      expect(decide({ email: 'code', holders }, policy)).toEqual(refuse(9, 'account_exists_unverified'))
    }
  })

  test('refuses a holder that cannot be named or judged without claimAddress', () => {
    const unknown = [{ ...UNVERIFIED, hasOtherIdentity: null }]
    expect(decide({ email: 'code', holders: unknown }, { canClaim: false })).toEqual(refuse(9, 'account_exists'))
    expect(decide({ email: 'code', holders: [UNVERIFIED] }, { canClaim: false, canProve: false })).toEqual(
      refuse(9, 'account_exists'),
    )
  })

  test.each(PROVEN)('refuses under matchingAccount "reject" (%s)', (email) => {
    const decision = decide({ email, holders: [UNVERIFIED] }, { matchingAccount: 'reject' })
    expect(decision).toEqual(refuse(9, 'account_exists'))
  })

  test.each(PROVEN)(
    'case 7: claims it from a holder that may not sign in, which is never asked for proof (%s)',
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

  test('claims nothing with a closed sign-up, because a claim makes a new account: asks one holder for proof, refuses two', () => {
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

  test('looks nobody up by address for a stored identity', () => {
    for (const email of ['none', 'asserted', ...PROVEN] as const) {
      expect(consults('known', email, { untrustedEmail: 'unverified' })).toBe(false)
      expect(consults('disabled', email, { untrustedEmail: 'unverified' })).toBe(false)
    }
  })

  test('looks nobody up without an address', () => {
    expect(consults('unknown', 'none', { untrustedEmail: 'unverified' })).toBe(false)
  })

  test('looks an asserted address up under "unverified" only', () => {
    expect(consults('unknown', 'asserted', { untrustedEmail: 'unverified' })).toBe(true)
    for (const untrustedEmail of ['verify', 'omit', 'reject'] as const) {
      expect(consults('unknown', 'asserted', { untrustedEmail })).toBe(false)
    }
  })

  test.each(PROVEN)('looks a proven address up (%s)', (email) => {
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

  test.each(explained)('gives the reason for %j', (decision, words) => {
    const text = explain(decision)
    expect(text).toMatch(new RegExp(`^Row ${decision.row}: [a-zB].*[a-z]\\.$`))
    expect(text).toContain(words)
  })

  test('gives a different sentence for each decision', () => {
    expect(new Set(explained.map(([decision]) => explain(decision))).size).toBe(explained.length)
  })
})
