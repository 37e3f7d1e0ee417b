import type { Texts } from '../contract/texts'
import { bitbucketGlyph, html, safeHref, trustedHtml } from './html'

/** Options of `renderButton`. */
export interface ButtonOptions {
  /** Where a sign-in starts: one of our paths, or an http(s) URL. */
  readonly href: string
  readonly texts: Texts
  /** Defaults to `texts.signInButton`. */
  readonly label?: string | undefined
  /**
   * The style of the button. `'inline'` puts them into a `style` attribute: nothing else to do, also under
   * Helmet's default CSP. `'class'` writes the class names only, for an app whose CSP blocks `style` attributes: serve
   * `buttonStyle` from your style sheet. Defaults to `'inline'`.
   */
  readonly looks?: 'inline' | 'class' | undefined
}

// The text follows the user's font size, and does not shrink if an app sets a small `rem`; the rest follows the text.
const LOOKS =
  'display:inline-flex;align-items:center;justify-content:center;gap:.625em;box-sizing:border-box;min-height:2.75em;' +
  'padding:.5em 1.125em;border:1px solid transparent;border-radius:6px;background:#0052cc;color:#fff;' +
  'font:600 max(16px,1rem)/1.35 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;' +
  // The browser's own focus ring is kept, and set apart so that it does not drown in the blue.
  'text-align:center;text-decoration:none;outline-offset:3px'

/**
 * The button's looks as CSS, for an app with a strict CSP: put it into your style sheet, or into a `<style>` with your
 * nonce, and render the button with `looks: 'class'`.
 */
export const buttonStyle = `.bitbucket-signin{${LOOKS}}
.bitbucket-signin:hover{background:#0747a6}
.bitbucket-signin:focus-visible{outline:3px solid #0052cc;box-shadow:0 0 0 3px #fff}
@media (prefers-color-scheme:dark){.bitbucket-signin:focus-visible{outline-color:#85b8ff;box-shadow:0 0 0 3px #101214}}
`

const GLYPH = trustedHtml(bitbucketGlyph('1.25em'))
const INLINE = html` style="${LOOKS}"`

/** HTML of the "Sign in with Bitbucket" button: a link with Bitbucket's mark, no script, nothing loaded. */
export function renderButton({ href, texts, label = texts.signInButton, looks = 'inline' }: ButtonOptions): string {
  const style = looks === 'inline' ? INLINE : null
  return html`<a class="bitbucket-signin" href="${safeHref(href)}"${style}>${GLYPH}<span>${label}</span></a>`.toString()
}
