import { safePath } from '../contract/urls'

import escapeHtml = require('escape-html')

/** Text that is HTML already. Only `html` and `trustedHtml` make it, so a plain string can never pass for it. */
export class Html {
  readonly #source: string

  constructor(source: string) {
    this.#source = source
  }

  toString(): string {
    return this.#source
  }
}

/** A template's inserts: nothing, text to escape, HTML, or an array of them. */
export type Insert = string | number | null | Html | readonly Html[]

/** Template tag: every insert is escaped for text and for quoted attributes, unless it is `Html`. */
export function html(strings: TemplateStringsArray, ...inserts: readonly Insert[]): Html {
  let source = strings[0] ?? ''
  inserts.forEach((insert, index) => {
    source += insertSource(insert) + (strings[index + 1] ?? '')
  })
  return new Html(source)
}

/** Marks one of our constants as HTML. Never call it with input from a user, an app or Bitbucket. */
export function trustedHtml(source: string): Html {
  return new Html(source)
}

function insertSource(insert: Insert): string {
  if (insert === null) return ''
  if (insert instanceof Html) return insert.toString()
  // Item by item: an array that an app passed through from a query is not trusted HTML.
  if (Array.isArray(insert)) return insert.map(insertSource).join('')
  return escapeHtml(String(insert))
}

/** The link target when it is one of our paths or an absolute http(s) URL, otherwise `/`. Stops `javascript:` and similar URLs. */
export function safeHref(href: string): string {
  const protocol = URL.canParse(href) ? new URL(href).protocol : null
  return protocol === 'https:' || protocol === 'http:' ? href : safePath(href)
}

/** Bitbucket's mark in one colour, that of the text around it. Drawn unaltered, as Atlassian asks; says nothing aloud. */
export function bitbucketGlyph(size: string, className = ''): string {
  const ofClass = className === '' ? '' : ` class="${className}"`
  return `<svg${ofClass} width="${size}" height="${size}" viewBox="0 0 24 24" fill="currentColor" aria-hidden="true" focusable="false"><path d="M.778 1.213a.768.768 0 00-.768.892l3.263 19.81c.084.5.515.868 1.022.873H19.95a.772.772 0 00.77-.646l3.27-20.03a.768.768 0 00-.768-.891zM14.52 15.53H9.522L8.17 8.466h7.561z"/></svg>`
}
