import { BitbucketSignInError, type ErrorCode } from '../contract/errors'
import type { Profile } from '../contract/identity'
import { isAddress } from '../decisions/email-trust'
import { CODE_LIFETIME_MS, matchesCode } from '../state/email-code'
import { MAX_TRIES, MAX_WRONG_CODES_PER_DAY } from '../state/limits'
import type { FoundPending, Pending, PendingCode } from '../state/pending-sign-in'
import { randomHandle } from '../state/random'
import { isAlive } from '../time/clock'
import { bodyField } from './body'
import { finishSignIn } from './complete-sign-in'
import { tell, type Visit } from './context'
import { bindingOf, codeState, mailCode } from './mail-code'
import { saysLater, takeNotice } from './notices'
import { finishPending, showablePending, takeUpPending } from './pending-form'
import { sendOn } from './reply'
import { accountsOf } from './request-hooks'
import { formOf, sendPage } from './send-page'

const EMAIL_PAGE = '/email'

/** An invalid address, shown again to be corrected. Anything that could be markup is not repeated. */
const MISTYPED = /^[\p{L}\p{N}._%+@ -]{0,254}$/u

/** `GET /email`: shows what the pending sign-in needs. Consumes nothing, so mail scanners and Back do no harm. */
export async function showEmailPage<User>(visit: Visit<User>): Promise<void> {
  const pending = await showablePending(visit)
  if (!pending) return
  if (pending.step !== 'address' && pending.step !== 'code') {
    return sendOn(visit, 'pending', `${visit.connection.basePath}/continue`)
  }
  const notice = takeNotice(visit, EMAIL_PAGE)
  await sendEmailPage(visit, pending, notice?.code ?? null, notice?.typedAddress)
}

/** `POST /email/address`: accepts the address that Bitbucket did not name, and emails a code to it. */
export async function submitAddress<User>(visit: Visit<User>): Promise<void> {
  const found = await takeUpPending(visit, ['address', 'code'])
  const address = bodyField(visit.req, 'address')?.trim() ?? ''
  if (found.pending.step === 'code' && !found.pending.typed) return sendEmailPage(visit, found.pending, 'email_invalid')
  if (!isAddress(address)) {
    return sendEmailPage(visit, found.pending, 'email_invalid', MISTYPED.test(address) ? address : '')
  }
  // The older cookie becomes invalid here, whether or not an email is sent.
  const generation = await visit.services.state.pendings.advance(found.pending)
  const pending: Pending = {
    ...found.pending,
    step: 'code',
    email: { level: 'asserted', address },
    typed: true,
    confirmed: false,
    code: null,
    pause: null,
    generation,
  }
  await sendCodeAndShow(visit, { ...found, pending }, found.pending)
}

/** `POST /email/code`: emails another code. */
export async function resendCode<User>(visit: Visit<User>): Promise<void> {
  const found = await takeUpPending(visit, ['code'])
  await sendCodeAndShow(visit, found, found.pending)
}

/** Emails a code and stores the record, if it differs from the one that the browser `carried`. */
async function sendCodeAndShow<User>(visit: Visit<User>, found: FoundPending, carried: Pending): Promise<void> {
  const { req, res, services, connection } = visit
  const { pending, outcome } = await mailCode(visit, found.pending)
  // The refusal of a second click must not restore the cookie from before the first one's email: if an email is
  // known to have been requested, `mailCode` returns the record unchanged.
  if (pending !== carried) services.state.pendings.store(req, res, connection.jar, pending, found.startedAt)
  if (outcome === 'sent') return sendOn(visit, 'pending', `${connection.basePath}/email`)
  await sendEmailPage(visit, pending, outcome)
}

/**
 * `POST /email/verify`: checks a code. An attempt is consumed before the comparison, so even with concurrent requests,
 * only five are ever compared with one code.
 */
export async function verifyCode<User>(visit: Visit<User>): Promise<void> {
  const { pending } = await takeUpPending(visit, ['code'])
  const { identity, email, code } = pending
  const typed = bodyField(visit.req, 'code')
  if (typed === undefined) {
    // A form without its field is not a wrong code, and costs no attempt.
    visit.retry = `${visit.connection.basePath}/email`
    throw new BitbucketSignInError('request_invalid', '`code` is missing, or it is not a string.')
  }
  const refused = await checkCode(visit, pending, typed)
  if (refused) {
    tell(visit, 'code_failed', { code: refused })
    return sendEmailPage(visit, pending, refused)
  }
  if (email.address === null || code === null) throw new TypeError('A checked code has an address.')
  await finishPending(visit, pending)
  const proven = { level: pending.typed ? 'typed' : 'code', address: email.address } as const
  const accounts = accountsOf(visit, 'sign-in', pending)
  const subject = { identity, profile: withAddress(pending, email.address), email: proven }
  await finishSignIn(visit, {
    subject,
    accounts,
    carried: pending,
    // If it has to wait again, that is a new record: this one is consumed.
    pending: () => ({ ...pending, handle: randomHandle(), email: proven, code: null, generation: 0 }),
    tokens: null,
    carry: { keys: visit.services.keep },
  })
}

/** The snapshot in the cookie has no addresses; the one in question is known. */
function withAddress({ profile, typed, confirmed }: Pending, address: string): Profile {
  return typed ? profile : { ...profile, emails: [{ address, primary: true, confirmed }] }
}

/** Why the code is refused, `null` if it is correct. */
async function checkCode<User>(visit: Visit<User>, pending: Pending, typed: string): Promise<ErrorCode | null> {
  const { limits, keys } = visit.services.state
  const { code, email, identity } = pending
  if (code === null || email.address === null || !isAlive(code.sentAt, CODE_LIFETIME_MS)) return 'code_expired'
  const person = `${identity.issuer} ${identity.id}`
  if ((await limits.read('wrongCodesPerDay', person)) >= MAX_WRONG_CODES_PER_DAY) return 'too_many_codes'
  if (!(await limits.consume('tries', triesOf(pending)))) return 'code_exhausted'
  if (matchesCode(keys.code, bindingOf(pending, email.address), code.hash, typed)) return null
  await limits.consume('wrongCodesPerDay', person)
  return 'code_wrong'
}

/** The code that this browser can still enter, `null` if there is none: the page then offers to send one. */
async function usableCode<User>({ services }: Visit<User>, pending: Pending): Promise<PendingCode | null> {
  const { code } = pending
  if (code === null || !isAlive(code.sentAt, CODE_LIFETIME_MS)) return null
  return (await services.state.limits.read('tries', triesOf(pending))) < MAX_TRIES ? code : null
}

/** Counts the tries of the newest code. */
const triesOf = ({ handle, generation }: Pending) => `${handle} ${generation}`

async function sendEmailPage<User>(
  visit: Visit<User>,
  pending: Pending,
  error: ErrorCode | null,
  typedAddress = '',
): Promise<void> {
  if (error !== null && (await saysLater(visit, { page: EMAIL_PAGE, code: error, typedAddress }))) return
  const handle = { pending: pending.handle }
  const { displayName } = pending.profile
  const common = { displayName, error, typedAddress, cancel: formOf(visit, '/cancel', handle) }
  const address = formOf(visit, '/email/address', handle)
  if (pending.step === 'address') {
    return sendPage(visit, { name: 'email-address', ...common, submit: address })
  }
  await sendPage(visit, {
    name: 'email-code',
    ...common,
    ...codeState(pending, await usableCode(visit, pending)),
    verify: formOf(visit, '/email/verify', handle),
    resend: formOf(visit, '/email/code', handle),
    changeAddress: pending.typed ? address : null,
  })
}
