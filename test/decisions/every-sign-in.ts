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
  let next = 0
  for (const policy of POLICIES) {
    const toOpen = policy.signUp ? 0 : CLOSED_AFTER_OPEN * FACTS.length
    let withoutHolders = decisions[next] as Decision
    for (const facts of FACTS) {
      const decision = decisions[next] as Decision
      // The first of each combination of identity and address.
      if (facts.holders.length === 0) withoutHolders = decision
      if (!holds(decision, facts, policy, withoutHolders, decisions[next - toOpen] as Decision))
        return { decision, facts, policy }
      next++
    }
  }
  return undefined
}

/** The decision in the one copy there is of each, so that two of them are the same exactly when they are identical. */
function decideOnce(facts: SignInFacts, policy: SignInPolicy): Decision {
  const decision = decideSignIn(facts, policy)
  let key = decision.type + decision.row
  if (decision.type === 'create') key += decision.email
  else if (decision.type === 'refuse') key += decision.code
  else if (decision.type === 'claim') key += decision.holders
  else if (decision.type === 'link' || decision.type === 'prove') key += decision.holder
  const known = copies.get(key)
  if (known) return known
  copies.set(key, decision)
  return decision
}

const copies = new Map<string, Decision>()
let decided: readonly Decision[] | undefined

/** Made by the first property that asks. */
function allDecisions(): readonly Decision[] {
  decided ??= POLICIES.flatMap((policy) => FACTS.map((facts) => decideOnce(facts, policy)))
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
