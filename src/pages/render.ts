import type { ErrorCode } from '../contract/errors'
import type {
  ChoosePage,
  ConfirmLinkPage,
  ErrorPage,
  LinkPage,
  MembershipPage,
  Page,
  PageForm,
  ProvePage,
  ReauthenticatePage,
  ResumePage,
  SignInAgainPage,
  SwitchPage,
} from '../contract/pages'
import type { Texts } from '../contract/texts'
import { alertBox, filled, renderAlert, renderButtonForm, renderDocument, renderForm, renderLink } from './document'
import { renderEmailAddressPage, renderEmailCodePage } from './email-pages'
import { bitbucketGlyph, type Html, html, safeHref, trustedHtml } from './html'

export { PAGE_STYLE_HASH } from './style'

/** The built-in page as a whole HTML document: no script, nothing loaded, one style sheet named by `PAGE_STYLE_HASH`. */
export function renderDefaultPage(page: Page): string {
  switch (page.name) {
    case 'error':
      return renderErrorPage(page)
    case 'email-address':
      return renderEmailAddressPage(page)
    case 'email-code':
      return renderEmailCodePage(page)
    case 'prove':
      return renderProvePage(page)
    case 'confirm-link':
      return renderConfirmLinkPage(page)
    case 'choose':
      return renderChoosePage(page)
    case 'switch':
      return renderSwitchPage(page)
    case 'link':
      return renderLinkPage(page)
    case 'reauthenticate':
      return renderReauthenticatePage(page)
    case 'membership':
      return renderMembershipPage(page)
    case 'sign-in-again':
      return renderSignInAgainPage(page)
    case 'resume':
      return renderResumePage(page)
  }
}

const GLYPH = trustedHtml(bitbucketGlyph('1.125em'))

/** The label of the next link, if it does not retry the step. */
const RETRY_LABEL: { readonly [Code in ErrorCode]?: (texts: Texts) => string } = {
  recent_sign_in_required: (texts) => texts.error.confirm,
  membership_unconfirmed: (texts) => texts.membership.submit,
  identity_required: (texts) => texts.link.submit,
  not_signed_in: (texts) => texts.signInButton,
}

function renderErrorPage({ texts, brand, code, retryHref, backHref }: ErrorPage): string {
  const retry =
    retryHref === null ? null : renderLink(safeHref(retryHref), 'main', RETRY_LABEL[code]?.(texts) ?? texts.error.retry)
  return renderDocument({
    texts,
    brand,
    heading: texts.errorHeadings[code],
    alert: renderAlert(texts, code),
    body: html`<div class="stack">${retry}${renderLink(safeHref(backHref), 'other', texts.common.back)}</div>
<p class="quiet">${filled(texts.error.code, { code })}</p>`,
  })
}

function renderProvePage({ texts, brand, displayName, maskedAddress, signInHref, error, cancel }: ProvePage): string {
  const address = maskedAddress
  return renderDocument({
    texts,
    brand,
    heading: texts.prove.heading,
    // The general text for this code would ask a user who has just signed in to sign in.
    alert:
      error === 'account_exists' ? alertBox(filled(texts.prove.otherAccount, { address })) : renderAlert(texts, error),
    body: html`<p>${filled(texts.prove.intro, { displayName, address })}</p>
<div class="stack">${renderLink(safeHref(signInHref), 'main', texts.prove.signIn)}
${renderButtonForm(cancel, 'plain', texts.common.cancel)}</div>`,
  })
}

function renderConfirmLinkPage(page: ConfirmLinkPage): string {
  const { texts } = page
  const own = texts.confirmLink
  return renderDocument({
    texts,
    brand: page.brand,
    heading: own.heading,
    body: html`<p>${own.intro} ${own.warning}</p>
${bothAccounts(page)}
<div class="stack">${renderButtonForm(page.confirm, 'main', own.submit)}
${renderButtonForm(page.cancel, 'plain', texts.common.cancel)}</div>`,
  })
}

function renderChoosePage(page: ChoosePage): string {
  const own = page.texts.choose
  const link =
    page.link === null ? null : renderButtonForm(page.link, 'main', filled(own.link, { account: page.accountLabel }))
  return renderDocument({
    texts: page.texts,
    brand: page.brand,
    heading: own.heading,
    body: html`<p>${link === null ? own.introWithoutLink : own.intro}</p>
${bothAccounts(page)}
<div class="stack">${link}${renderButtonForm(page.switch, 'other', own.switch)}
${renderButtonForm(page.cancel, 'plain', own.stay)}</div>`,
  })
}

function renderSwitchPage(page: SwitchPage): string {
  const own = page.texts.switch
  return renderDocument({
    texts: page.texts,
    brand: page.brand,
    heading: own.heading,
    body: html`<p>${own.intro}</p>
${bothAccounts(page)}
<div class="stack">${renderButtonForm(page.switch, 'main', own.submit)}
${renderButtonForm(page.cancel, 'plain', own.stay)}</div>`,
  })
}

/** Shows the Bitbucket account and the account here, one above the other. */
function bothAccounts({
  texts,
  displayName,
  identityLabel,
  accountLabel,
}: ConfirmLinkPage | ChoosePage | SwitchPage): Html {
  const nickname = identityLabel === displayName ? null : html`<div class="hint"><bdi>${identityLabel}</bdi></div>`
  return html`<dl><div>${initials(displayName)}<dt>${texts.common.bitbucketAccount}</dt><dd><bdi>${displayName}</bdi>${nickname}</dd></div>
<div>${initials(accountLabel)}<dt>${texts.common.ownAccount}</dt><dd><bdi>${accountLabel}</bdi></dd></div></dl>`
}

/** Stands where others load a picture: our pages load nothing from other sites. */
function initials(label: string): Html {
  const words = label.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '')
  const letters = (label.includes('@') ? words.slice(0, 1) : words.slice(0, 2)).map((word) => [...word][0] ?? '')
  return html`<span class="initials" aria-hidden="true">${letters.join('').toUpperCase()}</span>`
}

function renderLinkPage({ texts, brand, accountLabel, linked, link, backHref }: LinkPage): string {
  const own = texts.link
  return renderDocument({
    texts,
    brand,
    heading: own.heading,
    body: html`<p>${filled(own.signedInAs, { account: accountLabel })}</p>
${linked.length === 0 ? html`<p>${own.none}</p>` : html`<h2>${own.linked}</h2><ul>${linked.map((entry, index) => linkedEntry(texts, entry, index))}</ul>`}
<div class="stack">${link === null ? null : renderButtonForm(link, 'main', own.submit, GLYPH)}
${renderLink(safeHref(backHref), 'plain', texts.common.back)}</div>`,
  })
}

function linkedEntry(texts: Texts, { label, unlink }: { label: string; unlink: PageForm | null }, index: number): Html {
  const ids = { label: `linked-${index}`, button: `unlink-${index}` }
  // Named by button and label together: several buttons that all say "Disconnect" tell a screen reader nothing.
  const button = html`<button class="button small" type="submit" id="${ids.button}" aria-labelledby="${ids.button} ${ids.label}">${texts.link.unlink}</button>`
  return html`<li><bdi id="${ids.label}">${label}</bdi>${unlink === null ? null : renderForm(unlink, button)}</li>`
}

function renderReauthenticatePage({
  texts,
  brand,
  accountLabel,
  start,
  otherHref,
  backHref,
}: ReauthenticatePage): string {
  const own = texts.reauthenticate
  return renderDocument({
    texts,
    brand,
    heading: own.heading,
    body: html`<p>${filled(own.intro, { account: accountLabel })}</p>
<div class="stack">${renderButtonForm(start, 'main', own.submit, GLYPH)}
${renderLink(safeHref(otherHref), 'other', own.other)}
${renderLink(safeHref(backHref), 'plain', texts.common.back)}</div>`,
  })
}

function renderMembershipPage({ texts, brand, accountLabel, start, goOn, backHref }: MembershipPage): string {
  const own = texts.membership
  const other =
    goOn === null
      ? null
      : html`<div><p class="hint">${own.goOnHint}</p>${renderButtonForm(goOn, 'other', own.goOn)}</div>`
  return renderDocument({
    texts,
    brand,
    heading: own.heading,
    body: html`<p>${filled(own.intro, { account: accountLabel })}</p>
<div class="stack">${renderButtonForm(start, 'main', own.submit, GLYPH)}
${other}${renderLink(safeHref(backHref), 'plain', texts.common.back)}</div>`,
  })
}

function renderSignInAgainPage({ texts, brand, accountLabel, signOut, backHref }: SignInAgainPage): string {
  const own = texts.signInAgain
  return renderDocument({
    texts,
    brand,
    heading: own.heading,
    body: html`<p>${filled(own.intro, { account: accountLabel })}</p>
<div class="stack">${renderButtonForm(signOut, 'main', own.submit)}
${renderLink(safeHref(backHref), 'plain', texts.common.back)}</div>`,
  })
}

function renderResumePage({ texts, brand, href }: ResumePage): string {
  const target = safeHref(href)
  return renderDocument({
    texts,
    brand,
    heading: texts.resume.heading,
    head: html`<meta http-equiv="refresh" content="0;url=${target}">`,
    body: html`<p><a href="${target}">${texts.resume.link}</a></p>`,
  })
}
