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
import {
  alertBox,
  type DocumentParts,
  filled,
  renderAlert,
  renderButtonForm,
  renderDocument,
  renderForm,
  renderLink,
} from './document'
import { emailAddressPage, emailCodePage } from './email-pages'
import { bitbucketGlyph, type Html, html, safeHref, trustedHtml } from './html'

export { PAGE_STYLE_HASH } from './style'

/** The built-in page as a whole HTML document: no script, nothing loaded, one style sheet named by `PAGE_STYLE_HASH`. */
export function renderDefaultPage(page: Page): string {
  return renderDocument(page, partsOf(page))
}

function partsOf(page: Page): DocumentParts {
  switch (page.name) {
    case 'error':
      return errorPage(page)
    case 'email-address':
      return emailAddressPage(page)
    case 'email-code':
      return emailCodePage(page)
    case 'prove':
      return provePage(page)
    case 'confirm-link':
      return confirmLinkPage(page)
    case 'choose':
      return choosePage(page)
    case 'switch':
      return switchPage(page)
    case 'link':
      return linkPage(page)
    case 'reauthenticate':
      return reauthenticatePage(page)
    case 'membership':
      return membershipPage(page)
    case 'sign-in-again':
      return signInAgainPage(page)
    case 'resume':
      return resumePage(page)
  }
}

const GLYPH = trustedHtml(bitbucketGlyph('1.125em'))

/** The label of the next link, if it does not retry the step. */
const RETRY_LABEL: { readonly [Code in ErrorCode]?: (texts: Texts) => string } = {
  recent_sign_in_required: (texts) => texts.error.confirm,
  membership_unconfirmed: (texts) => texts.membership.submit,
  identity_required: (texts) => texts.link.submit,
  not_signed_in: (texts) => texts.error.signIn,
  account_exists: (texts) => texts.error.signIn,
  account_exists_unverified: (texts) => texts.error.signIn,
  email_ambiguous: (texts) => texts.error.signIn,
}

function errorPage({ texts, code, retryHref, backHref }: ErrorPage): DocumentParts {
  const retry =
    retryHref === null ? null : renderLink(safeHref(retryHref), 'main', RETRY_LABEL[code]?.(texts) ?? texts.error.retry)
  return {
    heading: texts.errorHeadings[code],
    alert: renderAlert(texts, code),
    body: html`<div class="stack">${retry}${renderLink(safeHref(backHref), 'other', texts.common.back)}</div>
<p class="quiet">${filled(texts.error.code, { code })}</p>`,
  }
}

function provePage({ texts, displayName, maskedAddress, signInHref, cancel }: ProvePage): DocumentParts {
  return {
    heading: texts.prove.heading,
    body: html`<p>${filled(texts.prove.intro, { displayName, address: maskedAddress })}</p>
<div class="stack">${renderLink(safeHref(signInHref), 'main', texts.prove.signIn)}
${renderButtonForm(cancel, 'plain', texts.common.cancel)}</div>`,
  }
}

function confirmLinkPage(page: ConfirmLinkPage): DocumentParts {
  const { texts } = page
  const own = texts.confirmLink
  return {
    heading: own.heading,
    body: html`<p>${own.intro} ${own.warning}</p>
${bothAccounts(page)}
<div class="stack">${renderButtonForm(page.confirm, 'main', own.submit)}
${renderButtonForm(page.cancel, 'plain', texts.common.cancel)}</div>`,
  }
}

function choosePage(page: ChoosePage): DocumentParts {
  const own = page.texts.choose
  const link =
    page.link === null ? null : renderButtonForm(page.link, 'main', filled(own.link, { account: page.accountLabel }))
  return {
    heading: own.heading,
    body: html`<p>${link === null ? own.introWithoutLink : own.intro}</p>
${bothAccounts(page)}
<div class="stack">${link}${renderButtonForm(page.switch, 'other', own.switch)}
${renderButtonForm(page.cancel, 'plain', own.stay)}</div>`,
  }
}

function switchPage(page: SwitchPage): DocumentParts {
  const own = page.texts.switch
  return {
    heading: own.heading,
    body: html`<p>${own.intro}</p>
${bothAccounts(page)}
<div class="stack">${renderButtonForm(page.switch, 'main', own.submit)}
${renderButtonForm(page.cancel, 'plain', own.stay)}</div>`,
  }
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

/** Replaces the picture: our pages load nothing from other sites. */
function initials(label: string): Html {
  const words = label.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '')
  const letters = (label.includes('@') ? words.slice(0, 1) : words.slice(0, 2)).map((word) => [...word][0] ?? '')
  return html`<span class="initials" aria-hidden="true">${letters.join('').toUpperCase()}</span>`
}

function linkPage({ texts, accountLabel, linked, link, backHref }: LinkPage): DocumentParts {
  const own = texts.link
  return {
    heading: own.heading,
    body: html`<p>${filled(own.signedInAs, { account: accountLabel })}</p>
${linked.length === 0 ? html`<p>${own.none}</p>` : html`<h2>${own.linked}</h2><ul>${linked.map((entry, index) => linkedEntry(texts, entry, index))}</ul>`}
<div class="stack">${link === null ? null : renderButtonForm(link, 'main', own.submit, GLYPH)}
${renderLink(safeHref(backHref), 'plain', texts.common.back)}</div>`,
  }
}

function linkedEntry(texts: Texts, { label, unlink }: { label: string; unlink: PageForm | null }, index: number): Html {
  const ids = { label: `linked-${index}`, button: `unlink-${index}` }
  // Named by button and label together: several buttons that all say "Disconnect" tell a screen reader nothing.
  const button = html`<button class="button small" type="submit" id="${ids.button}" aria-labelledby="${ids.button} ${ids.label}">${texts.link.unlink}</button>`
  return html`<li><bdi id="${ids.label}">${label}</bdi>${unlink === null ? null : renderForm(unlink, button)}</li>`
}

function reauthenticatePage(page: ReauthenticatePage): DocumentParts {
  const { reauthenticate: own, signInAgain } = page.texts
  const other = page.otherSignsOut ? signInAgain.submit : own.other
  const ways = html`${renderButtonForm(page.start, 'main', own.submit, GLYPH)}
${renderLink(safeHref(page.otherHref), 'other', other)}
`
  return confirmPage(page, own, ways)
}

function membershipPage(page: MembershipPage): DocumentParts {
  const { start, goOn } = page
  const own = page.texts.membership
  const other =
    goOn === null
      ? null
      : html`<div><p class="hint">${own.goOnHint}</p>${renderButtonForm(goOn, 'other', own.goOn)}</div>`
  return confirmPage(
    page,
    own,
    html`${renderButtonForm(start, 'main', own.submit, GLYPH)}
${other}`,
  )
}

function signInAgainPage(page: SignInAgainPage): DocumentParts {
  const { texts } = page
  const own = texts.signInAgain
  if (page.error === 'account_exists') return otherAccountPage(page)
  return confirmPage(
    page,
    own,
    html`${renderButtonForm(page.signOut, 'main', own.submit)}
`,
  )
}

/** The general text for the code would ask a user who has just signed in to sign in. */
function otherAccountPage({ texts, accountLabel, signOut, backHref }: SignInAgainPage): DocumentParts {
  const own = texts.signInAgain
  return {
    heading: own.otherHeading,
    alert: alertBox(html`${own.otherAccount}`),
    body: html`<p>${filled(texts.link.signedInAs, { account: accountLabel })}</p>
<div class="stack">${renderButtonForm(signOut, 'main', own.submit)}
${renderLink(safeHref(backHref), 'plain', texts.switch.stay)}</div>`,
  }
}

/** Asks the signed-in user to confirm, and names the account. */
function confirmPage(
  { texts, accountLabel, backHref }: ReauthenticatePage | MembershipPage | SignInAgainPage,
  { heading, intro }: { readonly heading: string; readonly intro: string },
  ways: Html,
): DocumentParts {
  return {
    heading,
    body: html`<p>${filled(intro, { account: accountLabel })}</p>
<div class="stack">${ways}${renderLink(safeHref(backHref), 'plain', texts.common.back)}</div>`,
  }
}

function resumePage({ texts, href }: ResumePage): DocumentParts {
  const target = safeHref(href)
  return {
    heading: texts.resume.heading,
    head: html`<meta http-equiv="refresh" content="0;url=${target}">`,
    body: html`<p><a href="${target}">${texts.resume.link}</a></p>`,
  }
}
