import fc from 'fast-check'
import type { SignInPolicy } from '../../src/contract/policy'
import type { EmailLevel } from '../../src/decisions/email-trust'
import { type Decision, decideSignIn, type Holder, type SignInFacts } from '../../src/decisions/sign-in'

const BOTH = [true, false] as const
const UNTRUSTED: readonly SignInPolicy['untrustedEmail'][] = ['verify', 'unverified', 'omit', 'reject']
const MISSING: readonly SignInPolicy['missingEmail'][] = ['ask', 'allow', 'reject']
const MATCHING: readonly SignInPolicy['matchingAccount'][] = ['link', 'prove', 'reject']
const PER_USER: readonly SignInPolicy['identitiesPerUser'][] = ['one', 'many']
const IDENTITIES: readonly SignInFacts['identity'][] = ['unknown', 'known', 'disabled']
const LEVELS: readonly EmailLevel[] = ['none', 'asserted', 'bitbucket', 'code', 'typed']

/** Every policy there is. Frozen, as all inputs here: a decision that writes to its facts throws. */
export const POLICIES: readonly SignInPolicy[] = UNTRUSTED.flatMap((untrustedEmail) =>
  MISSING.flatMap((missingEmail) =>
    MATCHING.flatMap((matchingAccount) =>
      BOTH.flatMap((codeOpensAccount) =>
        BOTH.flatMap((signUp) =>
          BOTH.flatMap((canClaim) =>
            BOTH.flatMap((canProve) =>
              PER_USER.map((identitiesPerUser) =>
                Object.freeze({
                  untrustedEmail,
                  missingEmail,
                  matchingAccount,
                  codeOpensAccount,
                  identitiesPerUser,
                  signUp,
                  canClaim,
                  canProve,
                }),
              ),
            ),
          ),
        ),
      ),
    ),
  ),
)

/** How far a policy with a closed sign-up stands behind the same one with an open sign-up. */
const CLOSED_AFTER_OPEN = BOTH.length * BOTH.length * PER_USER.length

/** Every account that can hold an address. */
const HOLDERS: readonly Holder[] = BOTH.flatMap((verified) =>
  BOTH.flatMap((autoLink) =>
    BOTH.flatMap((canSignIn) =>
      [true, false, null].map((hasOtherIdentity) => Object.freeze({ verified, autoLink, canSignIn, hasOtherIdentity })),
    ),
  ),
)

/** No holder, every one, and every ordered pair. */
const HOLDER_LISTS: readonly (readonly Holder[])[] = [
  [],
  ...HOLDERS.map((holder) => [holder]),
  ...HOLDERS.flatMap((first) => HOLDERS.map((second) => [first, second])),
].map((list) => Object.freeze(list))

/** Every combination of facts with at most two holders. */
export const FACTS: readonly SignInFacts[] = IDENTITIES.flatMap((identity) =>
  LEVELS.flatMap((email) => HOLDER_LISTS.map((holders) => Object.freeze({ identity, email, holders }))),
)

/** A property of one input; also sees the decisions of its neighbours. */
type Property = (
  decision: Decision,
  facts: SignInFacts,
  policy: SignInPolicy,
  withoutHolders: Decision,
  signUpOpen: Decision,
) => boolean

/** The first of all ten million inputs for which this does not hold; a plain loop, because `expect` would take minutes. */
export function counterexample(
  holds: Property,
): { decision: Decision; facts: SignInFacts; policy: SignInPolicy } | undefined {
  const decisions = allDecisions()
  const decisionAt = (index: number) => copies[decisions[index] as number] as Decision
  let next = 0
  for (const policy of POLICIES) {
    const toOpen = policy.signUp ? 0 : CLOSED_AFTER_OPEN * FACTS.length
    let withoutHolders = decisionAt(next)
    for (const facts of FACTS) {
      const decision = decisionAt(next)
      // The first of each combination of identity and address.
      if (facts.holders.length === 0) withoutHolders = decision
      if (!holds(decision, facts, policy, withoutHolders, decisionAt(next - toOpen))) return { decision, facts, policy }
      next++
    }
  }
  return undefined
}

/** One copy of each decision, so that two of them are the same exactly when they are identical. */
const copies: Decision[] = []
/** Where the copies are, by row: making ten million keys for a map would take longer than all decisions. */
const copiesOfRow: number[][] = []

function copyOf(decision: Decision): number {
  copiesOfRow[decision.row] ??= []
  const known = copiesOfRow[decision.row] as number[]
  const detail = detailOf(decision)
  for (const at of known) {
    const copy = copies[at] as Decision
    if (copy.type === decision.type && detailOf(copy) === detail) return at
  }
  return known[known.push(copies.push(decision) - 1) - 1] as number
}

function detailOf(decision: Decision): unknown {
  if (decision.type === 'create') return decision.email
  if (decision.type === 'refuse') return decision.code
  if (decision.type === 'claim') return String(decision.holders)
  return decision.type === 'link' || decision.type === 'prove' ? decision.holder : null
}

let decided: Uint8Array | undefined

/** The copy of each decision; made by the first property that asks. */
function allDecisions(): Uint8Array {
  if (decided) return decided
  decided = new Uint8Array(POLICIES.length * FACTS.length)
  let next = 0
  for (const policy of POLICIES) for (const facts of FACTS) decided[next++] = copyOf(decideSignIn(facts, policy))
  return decided
}

/** Inputs with more holders than can be enumerated. */
export const anyFacts: fc.Arbitrary<SignInFacts> = fc.record({
  identity: fc.constantFrom(...IDENTITIES),
  email: fc.constantFrom(...LEVELS),
  holders: fc.array(fc.constantFrom(...HOLDERS), { maxLength: 20 }),
})

/** Any policy. */
export const anyPolicy: fc.Arbitrary<SignInPolicy> = fc.constantFrom(...POLICIES)
