import { describe, expect, it } from 'vitest'
import { safePath } from '../../src/contract/urls'
import { Html, html, safeHref, trustedHtml } from '../../src/pages/html'

describe('the html tag', () => {
  it('escapes every insert that is not HTML already', () => {
    expect(html`<a title="${`"'<&>`}">${1}</a>`.toString()).toBe('<a title="&quot;&#39;&lt;&amp;&gt;">1</a>')
  })

  it('keeps HTML and lists of it as they are, and prints nothing for null', () => {
    expect(html`${html`<b>`}${[trustedHtml('<i>'), html`${'<'}`]}${null}`.toString()).toBe('<b><i>&lt;')
  })

  it('escapes look-alikes of HTML', () => {
    const lookAlike = { toString: () => '<script>' }
    expect(lookAlike instanceof Html).toBe(false)
    expect(html`${JSON.parse('"<script>"')}`.toString()).toBe('&lt;script&gt;')
  })
})

const OURS = ['/', '/login', '/a?b=//c#d', '/%2F/x', '/a\\b']
const ELSEWHERE = ['//evil.example', '/\\evil.example', '/\t/evil.example', '\\\\evil.example', '/\n/evil.example']
const SCHEMES = [
  'javascript:alert(1)',
  ' JaVaScRiPt:alert(1)',
  'java\nscript:x',
  'data:text/html,x',
  'vbscript:x',
  'blob:x',
]
const NEITHER = ['', 'login', '?a', '#a', 'https:', 'http://', 'mailto:a@b.c']

describe('safePath', () => {
  it.each(OURS)('keeps %j', (path) => expect(safePath(path)).toBe(path))
  it.each([...ELSEWHERE, ...SCHEMES, ...NEITHER, 'https://a.example/'])('replaces %j by /', (path) =>
    expect(safePath(path)).toBe('/'),
  )
})

describe('safeHref', () => {
  it.each([...OURS, 'https://a.example/x?y', 'http://localhost:3000'])('keeps %j', (href) =>
    expect(safeHref(href)).toBe(href),
  )
  it.each([...ELSEWHERE, ...SCHEMES, ...NEITHER])('replaces %j by /', (href) => expect(safeHref(href)).toBe('/'))
})
