import { describe, expect, it } from 'vitest'
import { ERROR_STATUS, type ErrorCode } from '../../src/contract/errors'
import type { PartialTexts, Texts } from '../../src/contract/texts'
import { renderButton } from '../../src/pages/button'
import { fillText, mergeTexts, placeholdersOf } from '../../src/pages/merge-texts'
import { renderDefaultPage } from '../../src/pages/render'
import { german } from '../../src/pages/texts-de'
import { english } from '../../src/pages/texts-en'
import { errorPage, samplePages } from './sample-pages'

type Tree = { readonly [key: string]: string | Tree }

/** Every text by its path, for example `emailCode.intro`. */
function flatten(texts: Texts): Map<string, string> {
  const flat = new Map<string, string>()
  const visit = (tree: Tree, path: string) => {
    for (const [key, value] of Object.entries(tree)) {
      if (typeof value === 'string') flat.set(path + key, value)
      else visit(value, `${path}${key}.`)
    }
  }
  visit(texts as unknown as Tree, '')
  return flat
}

/** The same tree with each text replaced by what names it. */
function marked(tree: Tree, path = ''): Tree {
  return Object.fromEntries(
    Object.entries(tree).map(([key, value]) => [
      key,
      typeof value === 'string' ? `[[${path}${key}]]` : marked(value, `${path}${key}.`),
    ]),
  )
}

it('every text appears on a page or the button', () => {
  const markers = marked(english as unknown as Tree) as unknown as Texts
  const codes = Object.keys(ERROR_STATUS) as ErrorCode[]
  const shown = [
    ...Object.values(samplePages(markers)).map(renderDefaultPage),
    ...codes.map((code) => renderDefaultPage(errorPage(markers, code))),
    renderButton({ href: '/auth/bitbucket', texts: markers }),
  ].join('\n')
  const missing = [...flatten(markers).values()].filter((marker) => !shown.includes(marker))
  expect(missing).toEqual([])
})

describe('the German texts', () => {
  const de = flatten(german)
  const en = flatten(english)

  it('have the same keys as the English ones', () => {
    expect([...de.keys()]).toEqual([...en.keys()])
  })

  it('differ from the English ones', () => {
    expect([...en].filter(([path, text]) => de.get(path) === text)).toEqual([])
  })

  it('name the same placeholders', () => {
    for (const [path, text] of en) expect(placeholdersOf(de.get(path) ?? ''), path).toEqual(placeholdersOf(text))
  })
})

describe.each([
  ['English', english],
  ['German', german],
])('the %s texts', (_language, texts) => {
  it('cover every error code and no other', () => {
    expect(Object.keys(texts.errors)).toEqual(Object.keys(ERROR_STATUS))
  })

  it('use no jargon and none of our codes', () => {
    for (const [path, text] of flatten(texts))
      expect(text, path).not.toMatch(/oauth|token|cookie|state_|hook|null|\d{3}/i)
  })

  it('explain each refusal in one or two sentences', () => {
    for (const [code, text] of Object.entries(texts.errors)) {
      const sentences = text.match(/[.!?](?=\s|$)/g) ?? []
      expect(sentences.length, code).toBeGreaterThan(0)
      expect(sentences.length, code).toBeLessThanOrEqual(2)
    }
  })
})

describe('fillText', () => {
  it('replaces each placeholder wherever it appears', () => {
    expect(fillText('{a} and {b} and {a}', { a: 'x', b: 2 })).toBe('x and 2 and x')
  })

  it('leaves values alone that look like placeholders or patterns', () => {
    expect(fillText('{a}{b}', { a: '{b}$&', b: '$1' })).toBe('{b}$&$1')
  })

  it('leaves a placeholder alone that has no value', () => {
    expect(fillText('{toString} {__proto__} {c}', { a: 'x' })).toBe('{toString} {__proto__} {c}')
  })
})

describe('mergeTexts', () => {
  it('returns our texts without overrides', () => {
    expect(mergeTexts(undefined)).toBe(english)
  })

  it('replaces the given texts at any depth, and leaves ours as they were', () => {
    const before = structuredClone(english)
    const merged = mergeTexts({ lang: 'en-GB', errors: { code_wrong: 'No.' }, prove: { signIn: undefined } })
    expect(merged).toEqual({ ...before, lang: 'en-GB', errors: { ...before.errors, code_wrong: 'No.' } })
    expect(english).toEqual(before)
  })

  it('lets a text leave a placeholder out', () => {
    expect(mergeTexts({ prove: { intro: 'Sign in.' } }).prove.intro).toBe('Sign in.')
  })

  it.each([
    ['an unknown key', { emialCode: {} }, 'texts.emialCode'],
    ['an unknown code', { errors: { code_wrongg: 'x' } }, 'texts.errors.code_wrongg'],
    ['a key of every object', { errors: { constructor: 'x' } }, 'texts.errors.constructor'],
    ['a text in place of a group', { errors: 'x' }, 'texts.errors'],
    ['null in place of a group', { errors: null }, 'texts.errors'],
    ['a group in place of a text', { lang: {} }, 'texts.lang'],
    ['an empty text', { prove: { signIn: ' ' } }, 'texts.prove.signIn'],
    ['a placeholder that is never filled', { prove: { intro: 'Hi {name}' } }, '{displayName}, {address}'],
    ['a placeholder in a text that has none', { prove: { heading: 'Hi {name}' } }, 'It has none'],
  ])('refuses %s', (_what, overrides, said) => {
    const merge = () => mergeTexts(overrides as unknown as PartialTexts)
    expect(merge).toThrow(expect.objectContaining({ code: 'configuration_invalid' }))
    expect(merge).toThrow(said)
  })

  it('cannot reach the prototype', () => {
    const merge = () => mergeTexts(JSON.parse('{"__proto__":{"polluted":"x"}}'))
    expect(merge).toThrow('texts.__proto__')
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })
})
