import { BitbucketSignInError } from '../contract/errors'
import { BITBUCKET_ISSUER } from '../contract/options'
import { comparableAddress, maskAddress } from '../decisions/email-trust'
import { CODE_LIFETIME_MS, hashCode, makeCode } from '../state/email-code'
import { MAIL_PAUSE_SECONDS } from '../state/limits'
import type { Pending } from '../state/pending-sign-in'
import { isAlive, now } from '../time/clock'
import { withDeadline } from '../time/deadline'
import { sendOn } from './reply'
import { contextOf, tell, type Visit } from './visit'

const MAIL_DEADLINE_MS = 5000

/** What came of asking for a mail. */
export type MailOutcome = 'sent' | 'paused' | 'too_many_codes' | 'code_not_sent'

/**
 * Goes to the code page with a code on its way. Somebody who came back for the same address while a code is still
 * good keeps it: signing in twice is no reason for a second mail. Everything but the code is what Bitbucket says now,
 * memberships above all.
 */
export async function keepOrSendCode<User>(visit: Visit<User>, pending: Pending): Promise<void> {
  const { req, res, services, connection } = visit
  const open = services.pendings.read(req, connection.jar)
  if (open && continues(open.pending, pending) && (await services.pendings.isCurrent(open.pending))) {
    const { handle, code, triedAt, generation } = open.pending
    const renewed = { ...pending, handle, code, triedAt, generation }
    services.pendings.store(req, res, connection.jar, renewed, open.startedAt)
  } else {
    const { pending: mailed } = await mailCode(visit, pending)
    services.pendings.store(req, res, connection.jar, mailed, now())
  }
  sendOn(req, res, 'pending', `${connection.basePath}/email`)
}

function continues(open: Pending, next: Pending): boolean {
  return (
    open.step === 'code' &&
    open.code !== null &&
    isAlive(open.code.sentAt, CODE_LIFETIME_MS) &&
    !open.typed &&
    open.identity.issuer === next.identity.issuer &&
    open.identity.id === next.identity.id &&
    open.email.address === next.email.address &&
    open.context === next.context &&
    open.origin === next.origin &&
    open.login === next.login
  )
}

/**
 * Mails a new code, if the limits allow one, and gives the record as it is then. Everything is counted before the mail
 * goes out, so two requests at once cannot both be the last one allowed. The code before it ends.
 */
export async function mailCode<User>(
  visit: Visit<User>,
  pending: Pending,
): Promise<{ pending: Pending; outcome: MailOutcome }> {
  const { services } = visit
  const { address } = pending.email
  if (address === null || !services.sendEmailCode) throw new TypeError('A code needs an address and a mailer.')
  const person = `${pending.identity.issuer} ${pending.identity.id}`
  const pair = `${person} ${comparableAddress(address)}`
  const mailbox = mailboxOf(pending, comparableAddress(address))
  if (!(await services.limits.consume('mailPause', pair))) {
    // Another browser, or a record that was cancelled, asked for the last one: the pause is over a minute from now at most.
    return { pending: pending.triedAt === null ? { ...pending, triedAt: now() } : pending, outcome: 'paused' }
  }
  for (const [counter, key] of [
    ['mailsPerHour', person],
    ['mailsPerDay', person],
    ['addressMailsPerHour', mailbox],
    ['addressMailsPerDay', mailbox],
  ] as const) {
    if (!(await services.limits.consume(counter, key))) {
      tell(visit, 'code_failed', { code: 'too_many_codes' })
      return { pending, outcome: 'too_many_codes' }
    }
  }
  const generation = await services.pendings.advance(pending)
  const code = makeCode()
  const sentAt = now()
  const sent = await deliver(visit, pending, address, code, sentAt)
  tell(visit, sent ? 'code_sent' : 'code_failed', { code: sent ? null : 'code_not_sent' })
  const hash = hashCode(services.keys.code, bindingOf({ ...pending, generation }, address), code)
  return {
    pending: { ...pending, generation, triedAt: sentAt, code: sent ? { hash, sentAt } : null },
    outcome: sent ? 'sent' : 'code_not_sent',
  }
}

/**
 * Whose mails to an address are counted together. Somebody else's attempts on an address that Bitbucket confirmed for
 * this person are not counted against them. Whoever runs a server of their own can confirm any address, for as many
 * people as they like: theirs are one.
 */
function mailboxOf({ confirmed, identity: { issuer, id } }: Pending, address: string): string {
  if (!confirmed) return address
  return issuer === BITBUCKET_ISSUER ? `${issuer} ${id} ${address}` : `${issuer} ${address}`
}

/** Everything the code of this record is bound to. */
export function bindingOf({ handle, generation, identity, context }: Pending, address: string) {
  return { handle, generation, identity, address, context }
}

/** A mailer that throws, hangs or says `false` has not sent. The person is told that none came, nothing else. */
async function deliver<User>(
  visit: Visit<User>,
  pending: Pending,
  to: string,
  code: string,
  sentAt: number,
): Promise<boolean> {
  const { services } = visit
  try {
    const sending = (async () =>
      services.sendEmailCode?.({
        to,
        code,
        expiresAt: new Date(sentAt + CODE_LIFETIME_MS),
        purpose: 'verify-address',
        maskedIdentity: maskIdentity(pending),
        context: contextOf(visit, 'sign-in', pending.workspaces),
      }))()
    return (await withDeadline(sending, MAIL_DEADLINE_MS, 'sendEmailCode')) !== false
  } catch (cause) {
    const error = new BitbucketSignInError('code_not_sent', '`sendEmailCode` failed; see `cause`.', { cause })
    services.report(error, visit.req)
    return false
  }
}

/** The first letters of the Bitbucket name: enough to recognise one's own, too little to carry a message. */
function maskIdentity({ profile }: Pending): string {
  const name = (profile.nickname ?? profile.displayName).replace(/[^\p{L}\p{N} ._-]/gu, '')
  return `${Array.from(name).slice(0, 2).join('')}***`
}

/** What the code page needs to know of the record. */
export function codeState({ code, triedAt, email }: Pending): {
  codeSent: boolean
  resendInSeconds: number
  maskedAddress: string
} {
  const waited = triedAt === null ? MAIL_PAUSE_SECONDS : (now() - triedAt) / 1000
  return {
    codeSent: code !== null,
    resendInSeconds: Math.max(0, Math.ceil(MAIL_PAUSE_SECONDS - waited)),
    maskedAddress: maskAddress(email.address ?? ''),
  }
}
