import { expect, it } from 'vitest'
import { buttonStyle, renderButton } from '../../src/pages/button'
import { german } from '../../src/pages/texts-de'
import { english } from '../../src/pages/texts-en'

it('is a link with its label, and hides its mark from screen readers', () => {
  const button = renderButton({ href: '/auth/bitbucket', texts: english })
  expect(button).toMatch(
    /^<a class="bitbucket-signin" href="\/auth\/bitbucket" style="[^"<]+"><svg [^>]*aria-hidden="true"/,
  )
  expect(button).toMatch(/<span>Sign in with Bitbucket<\/span><\/a>$/)
})

it('uses the language of its texts, or the label of the app', () => {
  expect(renderButton({ href: '/x', texts: german })).toContain('>Mit Bitbucket anmelden<')
  expect(renderButton({ href: '/x', texts: german, label: 'Continue' })).toContain('>Continue<')
})

it('has no style attribute with looks "class", so that a strict CSP has nothing to block', () => {
  expect(renderButton({ href: '/x', texts: english, looks: 'class' })).not.toContain('style=')
  expect(buttonStyle).toContain('.bitbucket-signin{')
})

it('escapes its label and target', () => {
  const button = renderButton({ href: '/a?b="><script>', texts: english, label: '<script>"' })
  expect(button).not.toContain('<script')
  expect(renderButton({ href: 'javascript:alert(1)', texts: english })).toContain('href="/"')
})
