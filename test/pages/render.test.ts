import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ERROR_STATUS, type ErrorCode } from '../../src/contract/errors'
import { PAGE_STYLE_HASH, renderDefaultPage } from '../../src/pages/render'
import { german } from '../../src/pages/texts-de'
import { english } from '../../src/pages/texts-en'
import { errorPage, plainStrings, type SampleName, type SampleStrings, sampleNames, samplePages } from './sample-pages'

const CODES = Object.keys(ERROR_STATUS) as ErrorCode[]

const hostileText = `"><script>alert('x')</script><img src=x onerror=alert(1)>{code}{displayName}&amp;$&`
const hostile: SampleStrings = {
  displayName: hostileText,
  identityLabel: `'${hostileText}`,
  accountLabel: `\${7*7}${hostileText}`,
  maskedAddress: `\u202e${hostileText}`,
  typedAddress: hostileText,
  href: 'javascript:alert(1)',
  action: 'javascript:alert(1)',
  fieldName: `" autofocus onfocus="alert(1)`,
  fieldValue: hostileText,
}

/** The tags of a document, without what stands between them. */
function tagsOf(document: string): string[] {
  return document.match(/<[^>]*>/g) ?? []
}

/** The same tags whatever the texts and values are. */
function skeletonOf(document: string): string {
  return tagsOf(document)
    .map((tag) => tag.replaceAll(/"[^"]*"/g, '""'))
    .join('\n')
}

describe.each([
  ['English', english],
  ['German', german],
])('the pages in %s', (_language, texts) => {
  const plain = samplePages(texts)
  const attacked = samplePages(texts, hostile)

  it.each(sampleNames)('%s is a whole document without scripts and with one style sheet', (name) => {
    const document = renderDefaultPage(plain[name])
    expect(document).toMatch(/^<!doctype html>\n<html lang="(en|de)">/)
    expect(document.trimEnd()).toMatch(/<\/html>$/)
    expect(document.match(/<style>/g)).toHaveLength(1)
    expect(document.match(/<h1>/g)).toHaveLength(1)
    expect(document).not.toMatch(/<script|<link|<img|<iframe|\sstyle=|\son\w+=|undefined|\[object|\{\w+\}/)
  })

  it.each(sampleNames)('%s has the same tags, whatever strangers write into it', (name) => {
    expect(skeletonOf(renderDefaultPage(attacked[name]))).toBe(skeletonOf(renderDefaultPage(plain[name])))
  })

  it.each(sampleNames)('%s links and posts to its own origin only when the targets are hostile', (name) => {
    const document = renderDefaultPage(attacked[name])
    for (const [, target] of document.matchAll(/(?:href|action|content="0;url)="?([^"]*)"/g)) expect(target).toBe('/')
  })

  it.each(CODES)('the error page of %s says what happened and what to do', (code) => {
    const document = renderDefaultPage(errorPage(texts, code))
    expect(document).toContain('role="alert"')
    expect(document).toContain(code)
    expect(texts.errors[code].length).toBeGreaterThan(30)
  })
})

it('the hash in the CSP matches the style sheet of every page', () => {
  for (const page of Object.values(samplePages(english))) {
    const style = /<style>([\s\S]*?)<\/style>/.exec(renderDefaultPage(page))?.[1] ?? ''
    expect(style).toContain('prefers-color-scheme:dark')
    expect(PAGE_STYLE_HASH).toBe(`'sha256-${createHash('sha256').update(style).digest('base64')}'`)
  }
})

it('every form is a POST with its hidden fields and a real submit button', () => {
  for (const [name, page] of Object.entries(samplePages(english))) {
    const forms = renderDefaultPage(page).match(/<form[\s\S]*?<\/form>/g) ?? []
    for (const form of forms) {
      expect(form, name).toContain(`<form method="post" action="${plainStrings.action}">`)
      expect(form, name).toContain('<input type="hidden" name="handle" value="b64url_value-1">')
      expect(form, name).toContain('type="submit"')
    }
  }
})

it('the resume page reloads once and offers the same target as a link, and no form', () => {
  const href = '/auth/bitbucket/callback?code=a%20b&state=x;y,z&resumed=1'
  const document = renderDefaultPage({ name: 'resume', texts: english, brand: null, href })
  const escaped = href.replaceAll('&', '&amp;')
  expect(document).toContain(`<meta http-equiv="refresh" content="0;url=${escaped}">`)
  expect(document).toContain(`<a href="${escaped}">`)
  expect(document).not.toContain('<form')
})

it('only the resume page reloads automatically', () => {
  for (const page of Object.values(samplePages(english))) {
    expect(renderDefaultPage(page).includes('http-equiv="refresh"')).toBe(page.name === 'resume')
  }
})

describe('the code page', () => {
  const pages = samplePages(english)
  const page = (name: SampleName) => renderDefaultPage(pages[name])

  it('lets the browser fill in the code', () => {
    expect(page('email-code')).toMatch(/<input [^>]*name="code"[^>]*autocomplete="one-time-code"/)
  })

  it('ties a wrong code to its field and mentions it in the title', () => {
    expect(page('email-code wrong')).toContain('<title>Error: Check your email</title>')
    expect(page('email-code wrong')).toMatch(/name="code"[^>]*aria-describedby="alert code-hint" aria-invalid="true"/)
    expect(page('email-code wrong')).toMatch(/id="alert" role="alert">This code is not correct/)
  })

  it('keeps a refused address in its field, to be corrected', () => {
    for (const name of ['email-address refused', 'email-code wrong address'] as const)
      expect(page(name)).toMatch(/name="address"[^>]* value="emma@example"/)
    for (const name of ['email-address', 'email-code wrong'] as const)
      expect(page(name)).not.toMatch(/name="address"[^>]* value=/)
  })

  it('leaves the field alone when the refusal is not about the code', () => {
    expect(page('email-code too many')).toMatch(/name="code"[^>]*aria-describedby="code-hint" autofocus/)
  })

  it('opens the form for another address when the address was refused', () => {
    expect(page('email-code wrong')).toContain('<details><summary>')
    expect(page('email-code wrong address')).toContain('<details open><summary>')
    expect(page('email-code wrong address')).toMatch(/name="address"[^>]*aria-describedby="alert" aria-invalid="true"/)
  })

  it.each([
    [0.4, '<bdi>2</bdi> seconds'],
    [1, '<bdi>2</bdi> seconds'],
    [59, '<bdi>59</bdi> seconds'],
    [119, '<bdi>119</bdi> seconds'],
    [119.5, '<bdi>120</bdi> seconds'],
    [120, '<bdi>2</bdi> minutes'],
    [121, '<bdi>3</bdi> minutes'],
    [7140, '<bdi>119</bdi> minutes'],
    [7141, '<bdi>2</bdi> hours'],
    [86_400, '<bdi>24</bdi> hours'],
  ])('with %d seconds to wait says %s', (resendInSeconds, said) => {
    expect(renderDefaultPage({ ...pages['email-code'], resendInSeconds })).toContain(said)
  })

  it.each(sampleNames)('%s focuses one field at most', (name) => {
    expect(page(name).match(/ autofocus/g)?.length ?? 0).toBeLessThanOrEqual(1)
  })

  it('does not mention a wait when a code may be requested', () => {
    expect(page('email-code wrong')).not.toContain('You can ask for a new code in')
  })
})
