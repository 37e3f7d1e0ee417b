import { BitbucketSignInError } from '../contract/errors'
import { BITBUCKET_ISSUER } from '../contract/options'
import type { CodeDelivery } from '../contract/pages'
import { comparableAddress, maskAddress } from '../decisions/email-trust'
import { CODE_LIFETIME_MS, hashCode, makeCode } from '../state/email-code'
import { type Counter, type Limits, MAIL_PAUSE_MS } from '../state/limits'
import type { FoundPending, MailPause, Pending, PendingCode } from '../state/pending-sign-in'
import { isAlive, now } from '../time/clock'
import { withDeadline } from '../time/deadline'
import { tell, type Visit } from './context'
import { sendOn } from './reply'
import { hookContextOf } from './request-hooks'

const MAIL_DEADLINE_MS = 5000

/** The result of requesting an email. */
export type MailOutcome = 'sent' | 'too_many_codes' | 'code_not_sent'

/**
 * Redirects to the code page after emailing a code. A user who returns for the same address while a code is still
 * valid keeps it: signing in twice does not send a second email. Everything except the code is what Bitbucket says now,
 * in particular memberships.
 */
export async function keepOrSendCode<User>(visit: Visit<User>, pending: Pending): Promise<void> {
  const { req, res, services, connection } = visit
  const open = services.state.pendings.read(req, connection.jar)
  if (open && continues(open, pending) && (await services.state.pendings.isCurrent(open.pending))) {
    const { handle, code, pause, generation } = open.pending
    const renewed = { ...pending, handle, code, pause, generation }
    services.state.pendings.store(req, res, connection.jar, renewed, open.startedAt)
  } else {
    const { pending: mailed } = await mailCode(visit, pending)
    services.state.pendings.store(req, res, connection.jar, mailed, now())
  }
  await sendOn(visit, 'pending', `${connection.basePath}/email`)
}

function continues({ pending: open, endsAt }: FoundPending, next: Pending): boolean {
  return (
    open.step === 'code' &&
    open.code !== null &&
    isAlive(open.code.sentAt, CODE_LIFETIME_MS) &&
    // A code requested late would end with its record, perhaps seconds from now.
    open.code.sentAt + CODE_LIFETIME_MS <= endsAt &&
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
 * Emails a new code, if the limits allow one, and returns the updated record. Everything is counted before the email
 * is sent, so two concurrent requests cannot both be the last one allowed. The previous code becomes invalid.
 */
export async function mailCode<User>(
  visit: Visit<User>,
  pending: Pending,
): Promise<{ pending: Pending; outcome: MailOutcome }> {
  const { services } = visit
  const { address } = pending.email
  if (address === null || !services.sendEmailCode) throw new TypeError('A code needs an address and a mailer.')
  services.state.pendings.assertFits(visit.connection.jar, pending)
  const wait = await consumeMail(visit, pending, address)
  if (wait) {
    if (wait.reason === 'limited') tell(visit, 'code_failed', { code: 'too_many_codes' })
    const isKnown = wait.reason === 'asked' && pending.pause !== null
    return { pending: isKnown ? pending : { ...pending, pause: wait }, outcome: 'too_many_codes' }
  }
  const generation = await services.state.pendings.advance(pending)
  const code = makeCode()
  const sentAt = now()
  const sent = await deliver(visit, pending, address, code, sentAt)
  tell(visit, sent ? 'code_sent' : 'code_failed', { code: sent ? null : 'code_not_sent' })
  const hash = hashCode(services.state.keys.code, bindingOf({ ...pending, generation }, address), code)
  return {
    pending: {
      ...pending,
      generation,
      pause: { reason: 'asked', until: sentAt + MAIL_PAUSE_MS },
      // A mailer that is slow or says that it failed may still deliver: the code works either way.
      code: { hash, sentAt, ...(!sent && { unsure: true }) },
    },
    outcome: sent ? 'sent' : 'code_not_sent',
  }
}

/** Counts an email before it is sent; returns why and until when it must not be, `null` = it may. */
async function consumeMail<User>(visit: Visit<User>, pending: Pending, address: string): Promise<MailPause | null> {
  const { limits } = visit.services.state
  const person = `${visit.connection.server} ${pending.identity.id}`
  const pair = `${person} ${comparableAddress(address)}`
  const until = (waitMs: number) => now() + waitMs
  const paused = await limits.spend('mailPause', pair)
  if (paused !== null) return { reason: pending.code ? 'asked' : 'elsewhere', until: until(paused) }
  const limited = (await spendFirst(limits, person, ['mailsPerHour', 'mailsPerDay'])) ?? (await ofAddress())
  return limited === null ? null : { reason: 'limited', until: until(limited) }

  async function ofAddress(): Promise<number | null> {
    const mailbox = mailboxOf(visit.connection.server, pending, comparableAddress(address))
    const waitMs = await spendFirst(limits, mailbox, ['addressMailsPerHour', 'addressMailsPerDay'])
    if (waitMs === null || (await drawReserve(limits, pair, mailbox))) return null
    return Math.min(waitMs, RESERVE_WAIT_MS)
  }
}

async function spendFirst(limits: Limits, key: string, counters: readonly Counter[]): Promise<number | null> {
  for (const counter of counters) {
    const waitMs = await limits.spend(counter, key)
    if (waitMs !== null) return waitMs
  }
  return null
}

/** An hour after a refusal, an identity may draw from the reserve. */
const RESERVE_WAIT_MS = 60 * 60 * 1000

/**
 * Whether the reserve of an exhausted address has an email for this identity: it was refused in an
 * earlier hour and came back, and receives one such email a day. Strangers who come once never reach the reserve, and those
 * who come back are served once each, so that the owner is served too.
 */
async function drawReserve(limits: Limits, pair: string, mailbox: string): Promise<boolean> {
  if (!(await limits.consume('turnedAway', pair))) return false
  if ((await limits.increment('timesTurnedAway', pair)) < 2) return false
  // Read first: a browser that consumed its share must not consume another's.
  if ((await limits.read('reservedMailsOfPair', pair)) > 0) return false
  return (await limits.consume('reservedMailsPerHour', mailbox)) && (await limits.consume('reservedMailsOfPair', pair))
}

/**
 * Whose emails to an address are counted together. Other users' attempts on an address that Bitbucket confirmed for
 * this user are not counted against them. Anyone who runs their own server can confirm any address, for as many
 * accounts and under as many names as they like: all such servers count as one.
 */
export function mailboxOf(
  server: string,
  { confirmed, identity }: Pick<Pending, 'confirmed' | 'identity'>,
  address: string,
): string {
  if (!confirmed) return address
  return server === BITBUCKET_ISSUER ? `${server} ${identity.id} ${address}` : `elsewhere ${address}`
}

/** Everything the code of this record is bound to. */
export function bindingOf({ handle, generation, identity, context }: Pending, address: string) {
  return { handle, generation, identity, address, context }
}

/** A mailer that throws, hangs or returns `false` may not have sent. */
async function deliver<User>(
  visit: Visit<User>,
  pending: Pending,
  to: string,
  code: string,
  sentAt: number,
): Promise<boolean> {
  const { services } = visit
  try {
    const message = {
      to,
      code,
      expiresAt: new Date(sentAt + CODE_LIFETIME_MS),
      purpose: 'verify-address' as const,
      maskedIdentity: maskIdentity(pending),
      // The app's data is for its hooks; the mailer does not need it.
      context: hookContextOf(visit, 'sign-in', { workspaces: pending.workspaces }),
    }
    const sending = (async () => services.sendEmailCode?.(message, visit.req))()
    return (await withDeadline(sending, MAIL_DEADLINE_MS, 'sendEmailCode')) !== false
  } catch (cause) {
    const error = new BitbucketSignInError('code_not_sent', '`sendEmailCode` failed; see `cause`.', { cause })
    services.report(error, visit.req)
    return false
  }
}

/** The first letters of the Bitbucket name: enough to recognise your own, too few to carry a message. */
function maskIdentity({ profile }: Pending): string {
  const name = (profile.nickname ?? profile.displayName).replace(/[^\p{L}\p{N} ._-]/gu, '')
  return `${Array.from(name).slice(0, 2).join('')}***`
}

/** The parts of the record that the code page shows. Without `code`, none that was sent works any longer. */
export function codeState(
  { pause, email, typed }: Pending,
  code: PendingCode | null,
): {
  delivery: CodeDelivery
  codeSent: boolean
  notSentReason: 'paused' | 'limited' | null
  resendInSeconds: number
  maskedAddress: string
} {
  const delivery = code === null ? 'none' : code.unsure ? 'unsure' : 'sent'
  const resendInSeconds = pause === null ? 0 : Math.max(0, Math.ceil((pause.until - now()) / 1000))
  const reason = pause?.reason === 'elsewhere' ? 'paused' : pause?.reason === 'limited' ? 'limited' : null
  const address = email.address ?? ''
  return {
    delivery,
    codeSent: delivery === 'sent',
    notSentReason: resendInSeconds > 0 ? reason : null,
    resendInSeconds,
    // The user typed it, and can spot a typo only in the full address.
    maskedAddress: typed ? address : maskAddress(address),
  }
}
