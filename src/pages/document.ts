import type { Brand } from '../contract/brand'
import type { ErrorCode } from '../contract/errors'
import type { PageForm } from '../contract/pages'
import type { Texts } from '../contract/texts'
import { safePath } from '../contract/urls'
import { accentStyle } from './accent'
import { bitbucketGlyph, type Html, html, type Insert, trustedHtml } from './html'
import { fillText } from './merge-texts'
import { PAGE_STYLE } from './style'

const HEAD = trustedHtml(
  '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">' +
    `<meta name="robots" content="noindex"><style>${PAGE_STYLE}</style>`,
)
const MARK = trustedHtml(bitbucketGlyph('2rem', 'mark'))

/** What differs from page to page. */
export interface DocumentParts {
  readonly heading: string
  /** Shown above the rest, and said first. */
  readonly alert?: Html | null
  /** More for the head. */
  readonly head?: Html
  readonly body: Html
}

/** A whole document: one card with mark, heading, alert and body. */
export function renderDocument(
  { texts, brand }: { readonly texts: Texts; readonly brand: Brand | null },
  { heading, alert = null, head, body }: DocumentParts,
): string {
  const shown = alert === null ? heading : fillText(texts.common.errorTitle, { title: heading })
  const title = brand ? `${shown} · ${brand.name}` : shown
  return html`<!doctype html>
<html lang="${texts.lang}"><head>${HEAD}${accentSheet(brand)}<title>${title}</title>${head ?? null}</head>
<body><main>${brand ? brandLine(brand) : MARK}<h1>${heading}</h1>
${alert}${body}</main></body></html>
`.toString()
}

function brandLine({ name, logo }: Brand): Html {
  const picture = logo === undefined ? null : html`<img src="${safePath(logo)}" alt="" height="32">`
  return html`<p class="brand">${picture}<bdi>${name}</bdi></p>`
}

function accentSheet(brand: Brand | null): Html | null {
  return brand?.accent === undefined ? null : trustedHtml(`<style>${accentStyle(brand.accent).css}</style>`)
}

/** Id of the alert, for the field that it is about. */
export const ALERT_ID = 'alert'

/** The message of a refusal on a page that can still be used, or nothing. */
export function renderAlert(texts: Texts, error: ErrorCode | null): Html | null {
  return error === null ? null : alertBox(html`${texts.errors[error]}`)
}

/** The alert box. */
export function alertBox(content: Html): Html {
  return html`<p class="alert" id="${ALERT_ID}" role="alert">${content}</p>`
}

const BETWEEN_PLACEHOLDERS = /\{(\w+)\}/

/** The text with its placeholders filled, each value kept apart by `<bdi>`, so that no name turns the sentence around. */
export function filled(text: string, values: Readonly<Record<string, string | number>>): Html {
  return html`${text.split(BETWEEN_PLACEHOLDERS).map((part, index) => {
    if (index % 2 === 0) return html`${part}`
    const value = Object.hasOwn(values, part) ? values[part] : undefined
    return value === undefined ? html`{${part}}` : html`<bdi>${value}</bdi>`
  })}`
}

/** One of our POST forms with its hidden fields. */
export function renderForm(form: PageForm, content: Html): Html {
  const hidden = Object.entries(form.fields).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )
  return html`<form method="post" action="${safePath(form.action)}">${hidden}${content}</form>`
}

/** The prominence of a button. */
export type ButtonKind = 'main' | 'other' | 'plain' | 'small'

const BUTTON_CLASS = {
  main: 'button main',
  other: 'button',
  plain: 'button plain',
  small: 'button small',
} as const satisfies Record<ButtonKind, string>

/** A form that is nothing but its button. */
export function renderButtonForm(form: PageForm, kind: ButtonKind, label: Insert, glyph: Html | null = null): Html {
  return renderForm(form, renderSubmit(kind, label, glyph))
}

/** The submit button of a form. */
export function renderSubmit(kind: ButtonKind, label: Insert, glyph: Html | null = null): Html {
  return html`<button class="${BUTTON_CLASS[kind]}" type="submit">${glyph}<span>${label}</span></button>`
}

/** A link that looks like a button. The caller has checked `href`. */
export function renderLink(href: string, kind: ButtonKind, label: string): Html {
  return html`<a class="${BUTTON_CLASS[kind]}" href="${href}">${label}</a>`
}
