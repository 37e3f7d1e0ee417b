import type { ErrorCode } from '../contract/errors'
import type { EmailAddressPage, EmailCodePage } from '../contract/pages'
import type { Texts } from '../contract/texts'
import {
  ALERT_ID,
  type DocumentParts,
  filled,
  renderAlert,
  renderButtonForm,
  renderForm,
  renderSubmit,
} from './document'
import { type Html, html } from './html'

/** Asks for an address. */
export function emailAddressPage(page: EmailAddressPage): DocumentParts {
  const { texts, displayName, error, submit, cancel } = page
  const own = texts.emailAddress
  return {
    heading: own.heading,
    alert: renderAlert(texts, error),
    body: html`<p>${filled(own.intro, { displayName })}</p>
${renderForm(submit, html`${addressField(own.label, page, true)}${renderSubmit('main', own.submit)}`)}
<div class="stack">${renderButtonForm(cancel, 'plain', texts.common.cancel)}</div>`,
  }
}

/** Asks for the emailed code. */
export function emailCodePage(page: EmailCodePage): DocumentParts {
  const { texts, error, delivery } = page
  const own = texts.emailCode
  const values = { displayName: page.displayName, address: page.maskedAddress }
  // Right after the attempt, the alert says that sending failed; the page says it once.
  const told = error === 'code_not_sent' ? 'none' : delivery
  const intro = { sent: own.intro, unsure: own.unsureIntro, none: own.notSentIntro }[told]
  const send = html`${whyNotSent(page)}${sendForm(page)}`
  const isOut = delivery !== 'none'
  return {
    heading: isOut ? own.heading : own.notSentHeading,
    alert: renderAlert(texts, error),
    body: html`<p>${filled(intro, values)}</p>
${
  // Without a code that works in this browser there is nothing to enter.
  isOut ? codeForm(page) : send
}
<div class="stack apart">${isOut ? send : null}${changeAddress(page)}
${renderButtonForm(page.cancel, 'plain', texts.common.cancel)}</div>`,
  }
}

function whyNotSent({ texts: { emailCode }, notSentReason }: EmailCodePage): Html | null {
  if (notSentReason === null) return null
  return html`<p class="hint">${notSentReason === 'paused' ? emailCode.pausedReason : emailCode.limitedReason}</p>`
}

const ABOUT_CODE: ReadonlySet<ErrorCode | null> = new Set(['code_wrong', 'code_expired', 'code_exhausted'])

function codeForm({ texts, error, verify }: EmailCodePage): Html {
  const wrong = ABOUT_CODE.has(error)
  const described = `${wrong ? `${ALERT_ID} ` : ''}code-hint`
  return renderForm(
    verify,
    html`<label for="code">${texts.emailCode.label}</label>
<p class="hint" id="code-hint">${texts.emailCode.hint}</p>
<input class="code" id="code" name="code" type="text" inputmode="text" autocomplete="one-time-code" autocapitalize="characters" autocorrect="off" spellcheck="false" required aria-describedby="${described}"${invalid(wrong)}${focus(error !== 'email_invalid')}>
${renderSubmit('main', texts.emailCode.submit)}`,
  )
}

function sendForm({ texts, delivery, resendInSeconds, resend }: EmailCodePage): Html {
  const isOut = delivery !== 'none'
  const label = isOut ? texts.emailCode.resend : texts.emailCode.send
  const button = renderButtonForm(resend, isOut ? 'other' : 'main', label)
  return resendInSeconds <= 0
    ? button
    : html`<div><p class="hint">${waitText(texts, resendInSeconds)}</p>${button}</div>`
}

/** The button stays usable: without a script nothing could enable it when the time is over. */
function waitText({ emailCode }: Texts, waitSeconds: number): Html {
  const minutes = Math.ceil(waitSeconds / 60)
  // At least 2 of each unit, so that no language needs a singular; waiting a second longer does no harm.
  if (waitSeconds < 120) return filled(emailCode.waitSeconds, { seconds: Math.max(2, Math.ceil(waitSeconds)) })
  if (minutes < 120) return filled(emailCode.waitMinutes, { minutes })
  return filled(emailCode.waitHours, { hours: Math.ceil(minutes / 60) })
}

function changeAddress(page: EmailCodePage): Html | null {
  const { texts, error, changeAddress: form } = page
  if (form === null) return null
  const own = texts.emailCode
  const open = error === 'email_invalid'
  return html`<details${open ? html` open` : null}><summary>${own.changeAddress}</summary>
${renderForm(form, html`${addressField(own.addressLabel, page, open)}${renderSubmit('other', own.changeSubmit)}`)}</details>`
}

function addressField(
  label: string,
  { error, typedAddress }: EmailAddressPage | EmailCodePage,
  focused: boolean,
): Html {
  const wrong = error === 'email_invalid'
  const typed = typedAddress === '' ? null : html` value="${typedAddress}"`
  const described = wrong ? html` aria-describedby="${ALERT_ID}"` : null
  return html`<label for="address">${label}</label>
<input id="address" name="address" type="email" inputmode="email" autocomplete="email" autocapitalize="none" spellcheck="false" maxlength="254" required${typed}${described}${invalid(wrong)}${focus(focused)}>`
}

function invalid(wrong: boolean): Html | null {
  return wrong ? html` aria-invalid="true"` : null
}

/** On a page with one thing to type, the field; screen readers then read its label, hint and error. */
function focus(focused: boolean): Html | null {
  return focused ? html` autofocus` : null
}
