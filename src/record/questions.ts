import type { FakeBehaviour, FakeRefusal } from '../testing/behaviour'
import type { Arrival, Observations } from './observations'
import type { SeenAnswer, SeenCallback } from './observe'
import type { VisitId } from './visits'

/** One open question about Bitbucket, and the record's answer. */
export interface Answer {
  readonly number: number
  readonly question: string
  readonly answer: string
  /** Whether the record settles it. */
  readonly settled: boolean
}

type Finding = readonly [answer: string, settled: boolean]

const OPEN: Finding = ['Not tried.', false]

const QUESTIONS: readonly (readonly [string, (seen: Observations) => Finding])[] = [
  ['How does a denial come back, and is it remembered?', denial],
  ['What is the answer to used and expired codes, and how long does a code last?', codes],
  ['Is PKCE verified once it is sent?', pkce],
  ['Is redirect_uri compared exactly: path, slash, query, case?', redirects],
  ['Do client credentials in the body work?', bodyCredentials],
  ['Does the scope account alone allow reading the email addresses?', accountAlone],
  ['Which fields does the token response have?', tokenFields],
  ['Does a used refresh token still work, and does its reuse revoke its family?', refreshing],
  ['What does a rate limit look like?', rateLimit],
  ['Can an unconfirmed address be primary?', primaryAddress],
  ['Which X-Credential-Type and WWW-Authenticate does the API send?', headers],
  ['In which forms is an access token still accepted?', tokenForms],
  ['Is there an endpoint that revokes a token?', revocation],
]

/** The questions in order, each with the answer. */
export function answersOf(seen: Observations): Answer[] {
  return QUESTIONS.map(([question, find], index) => {
    const [answer, settled] = find(seen)
    return { number: index + 1, question, answer, settled }
  })
}

/** The switches of the fake that play back what was seen; what was not seen keeps its default. */
export function behaviourOf(seen: Observations): FakeBehaviour {
  const { replies, tokenLengths, expiresIn } = seen
  const denied = callbackOf(seen, 'denial')
  const all: { readonly [Name in keyof FakeBehaviour]: FakeBehaviour[Name] | undefined } = {
    denial: denied?.error ? { description: denied.description } : undefined,
    stateInErrors: denied?.error ? denied.state === 'same' : undefined,
    rememberDenial: isDenialRemembered(seen),
    redirectUri: wasAccepted(seen, 'redirect-path') === true ? 'prefix' : undefined,
    missingRedirectUri: wasAccepted(seen, 'no-redirect-uri') === false ? 'refused' : undefined,
    pkce: replies.wrongVerifier && (isOk(replies.wrongVerifier) ? 'ignore' : 'enforce'),
    clientAuthentication: replies.bodyCredentials && (isOk(replies.bodyCredentials) ? 'basic-or-body' : 'basic-only'),
    wrongClient: refusalOf(replies.wrongClient),
    usedCode: refusalOf(replies.usedCode),
    codeSeconds: isOk(replies.heldCode) ? Math.max(300, (seen.codeHeldSeconds ?? 0) + 60) : undefined,
    tokenFields: fieldsOf(seen),
    tokenLength: tokenLengths?.access,
    accessTokenSeconds: expiresIn,
    refreshGraceSeconds: graceOf(seen),
    refreshReuse: familyOf(seen) === 'revoked' ? 'revokes-family' : undefined,
    deadRefreshToken: refusalOf(replies.oldRefreshToken) ?? refusalOf(replies.unknownRefreshToken),
    refreshLockoutSeconds: isLockedOut(seen) ? 60 : undefined,
    bearer: replies.lowerCaseBearer && (isOk(replies.lowerCaseBearer) ? 'lenient' : 'strict'),
    accountGivesEmails: replies.emailsWithAccountAlone && isOk(replies.emailsWithAccountAlone),
    emailList: seen.addresses?.count === 0 ? 'empty' : undefined,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

function denial(seen: Observations): Finding {
  const first = callbackOf(seen, 'denial')
  if (!first) return OPEN
  if (!first.error) return ['No denial was seen: the client had been allowed before.', false]
  const remembered = isDenialRemembered(seen)
  const memory =
    remembered === undefined
      ? 'Whether it is remembered was not tried.'
      : remembered
        ? 'It is remembered: Allow was not offered afterwards.'
        : 'It is not remembered.'
  const text = first.description === null ? 'no description' : `the description "${first.description}"`
  return [`error=${first.error}, ${text}, state ${first.state}. ${memory}`, remembered !== undefined]
}

function codes({ replies, codeHeldSeconds }: Observations): Finding {
  const { usedCode, heldCode } = replies
  if (!usedCode) return OPEN
  const held = heldCode
    ? `After ${codeHeldSeconds} s a code ${isOk(heldCode) ? 'still worked' : `got ${told(heldCode)}`}.`
    : 'The lifetime was not tried.'
  const reuse = replies.userAfterReuse
    ? ` Its access token ${isOk(replies.userAfterReuse) ? 'outlived' : 'did not outlive'} the reuse.`
    : ''
  return [`A used code got ${told(usedCode)}.${reuse} ${held}`, heldCode !== undefined]
}

function pkce({ replies: { wrongVerifier, rightVerifier } }: Observations): Finding {
  if (!wrongVerifier) return OPEN
  if (isOk(wrongVerifier)) return ['Ignored: a wrong verifier was accepted.', true]
  const right = rightVerifier && (isOk(rightVerifier) ? 'then the right one was accepted' : 'and it consumed the code')
  return [`Verified: a wrong verifier got ${told(wrongVerifier)}${right ? `, ${right}` : ''}.`, true]
}

const VARIANTS: readonly (readonly [VisitId, string])[] = [
  ['redirect-path', 'a longer path'],
  ['redirect-slash', 'a slash at the end'],
  ['redirect-query', 'a query'],
  ['redirect-case', 'another case'],
  ['no-redirect-uri', 'no redirect_uri'],
]

function redirects(seen: Observations): Finding {
  const words = VARIANTS.map(([id, what]) => {
    const accepted = wasAccepted(seen, id)
    return `${what}: ${accepted === undefined ? 'not tried' : accepted ? 'accepted' : 'refused'}`
  })
  return [`${words.join('; ')}.`, VARIANTS.every(([id]) => wasAccepted(seen, id) !== undefined)]
}

function bodyCredentials({ replies }: Observations): Finding {
  const seen = replies.bodyCredentials
  return seen ? [isOk(seen) ? 'Yes.' : `No: ${told(seen)}.`, true] : OPEN
}

function accountAlone({ replies }: Observations): Finding {
  const { accountAlone: token, emailsWithAccountAlone: emails } = replies
  if (!token || !emails) return OPEN
  const granted = emails.scopes === null ? '' : ` The token had: ${emails.scopes}.`
  return [`${isOk(emails) ? 'Yes' : `No: status ${emails.status}`}.${granted}`, isOk(emails) || emails.status === 403]
}

function tokenFields({ scopeFields, replies }: Observations): Finding {
  if (!scopeFields || !replies.exchange) return OPEN
  const keys = Object.keys(replies.exchange.body ?? {}).join(', ')
  return [
    `${keys}. Scopes are in: ${scopeFields.filter((name) => name !== 'state').join(' and ') || 'no field'}.`,
    true,
  ]
}

function refreshing(seen: Observations): Finding {
  const { refresh, refreshAgain, oldRefreshToken, unknownRefreshToken } = seen.replies
  if (!refresh || !isOk(refresh)) return refresh ? [`No refresh worked: ${told(refresh)}.`, false] : OPEN
  const parts = [
    `Immediately after its use a refresh token ${refreshAgain && isOk(refreshAgain) ? 'still worked' : 'was dead'}.`,
    unknownRefreshToken ? `An unknown one got ${told(unknownRefreshToken)}.` : '',
    isLockedOut(seen) ? 'After that a valid one was refused as well.' : '',
    oldRefreshToken
      ? `After ${seen.refreshHeldSeconds} s the used one ${isOk(oldRefreshToken) ? 'still worked' : `got ${told(oldRefreshToken)}`}, and the other tokens of its consent were ${familyOf(seen)}.`
      : 'The end of its grace was not tried.',
  ]
  return [parts.filter((part) => part !== '').join(' '), familyOf(seen) !== 'not tried']
}

function rateLimit({ replies }: Observations): Finding {
  const limited = Object.values(replies).find(({ status }) => status === 429)
  if (!limited) return ['None was met, and the recorder provokes none.', false]
  const { contentType, bytes, retryAfter } = limited
  return [`429, ${contentType ?? 'no type'}, ${bytes} bytes, ${retryAfter ? 'with' : 'without'} Retry-After.`, true]
}

function primaryAddress({ addresses }: Observations): Finding {
  if (!addresses) return OPEN
  if (addresses.unconfirmedPrimary > 0) return ['Yes: this account has one.', true]
  return [`Not in this account (${addresses.count} addresses, ${addresses.confirmed} confirmed).`, false]
}

function headers({ replies: { user, badToken } }: Observations): Finding {
  if (!user) return OPEN
  const type = user.credentialType ?? 'absent'
  return [`X-Credential-Type: ${type}. WWW-Authenticate for a bad token: ${badToken?.authenticate ?? 'absent'}.`, true]
}

function tokenForms({ replies: { lowerCaseBearer, formerApiHost, exchange } }: Observations): Finding {
  if (!lowerCaseBearer || !isOk(exchange)) return OPEN
  const former = formerApiHost
    ? `bitbucket.org/api/2.0: status ${formerApiHost.status}.`
    : 'The former host was not tried.'
  return [
    `Header scheme "bearer": ${isOk(lowerCaseBearer) ? 'accepted' : `status ${lowerCaseBearer.status}`}. ${former}`,
    formerApiHost !== undefined,
  ]
}

function revocation({ replies: { revoke, userAfterRevoke } }: Observations): Finding {
  if (!revoke) return OPEN
  if (!isOk(revoke)) return [`No: status ${revoke.status}.`, true]
  return [
    `It answers ${revoke.status}; the token ${isOk(userAfterRevoke) ? 'still worked' : 'was dead'} afterwards.`,
    true,
  ]
}

/** The last callback of a visit. */
function callbackOf({ visits }: Observations, id: VisitId): SeenCallback | undefined {
  return visits[id]?.filter((arrival): arrival is SeenCallback => !('page' in arrival)).at(-1)
}

function isDenialRemembered({ visits }: Observations): boolean | undefined {
  const first = visits.consent?.find((arrival): arrival is SeenCallback => !('page' in arrival))
  return first && first.error === 'access_denied'
}

/** Whether Bitbucket redirected; `undefined` = not tried. */
function wasAccepted({ visits }: Observations, id: VisitId): boolean | undefined {
  const last: Arrival | undefined = visits[id]?.at(-1)
  if (!last || ('page' in last && last.page === 'skipped')) return undefined
  return !('page' in last) && last.error === null
}

function familyOf({ replies }: Observations): 'revoked' | 'kept' | 'not tried' {
  const { oldRefreshToken: old, siblingRefreshToken: sibling, otherRefreshToken: other } = replies
  if (!old || isOk(old) || !sibling) return 'not tried'
  if (isOk(sibling)) return 'kept'
  // If tokens of another consent are refused too, the client is locked out, which says nothing about the family.
  return isOk(other) ? 'revoked' : 'not tried'
}

function isLockedOut({ replies: { unknownRefreshToken, refreshAfterUnknown } }: Observations): boolean {
  return Boolean(unknownRefreshToken && refreshAfterUnknown && !isOk(refreshAfterUnknown))
}

function graceOf({ replies, refreshHeldSeconds = 0 }: Observations): number | undefined {
  if (replies.refreshAgain && !isOk(replies.refreshAgain)) return 0
  return isOk(replies.oldRefreshToken) ? Math.max(600, refreshHeldSeconds + 60) : undefined
}

function fieldsOf({ scopeFields }: Observations): FakeBehaviour['tokenFields'] | undefined {
  if (!scopeFields) return undefined
  const has = (name: string) => scopeFields.includes(name)
  if (has('scope')) return has('scopes') ? 'both' : 'scope'
  return has('scopes') ? 'scopes' : 'none'
}

function isOk(answer: SeenAnswer | undefined): boolean {
  return answer?.status === 200
}

/** A refusal that the fake can repeat; `undefined` if it is not in OAuth's form. */
function refusalOf(answer: SeenAnswer | undefined): FakeRefusal | undefined {
  if (!answer || answer.status === null || isOk(answer) || answer.error === null) return undefined
  return { status: answer.status, error: answer.error, description: answer.description }
}

function told({ status, error, description }: SeenAnswer): string {
  if (status === null) return 'no answer'
  return [`status ${status}`, error, description && `"${description}"`].filter(Boolean).join(' ')
}
