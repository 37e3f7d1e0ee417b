import { describe, expect, test } from 'vitest'
import { brandProblem } from '../../src/contract/brand'
import { accentStyle, contrast } from '../../src/pages/accent'
import { renderDefaultPage } from '../../src/pages/render'
import { english } from '../../src/pages/texts-en'
import { errorPage, sampleNames, samplePages } from './sample-pages'

const rgb = (colour: string) =>
  [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)) as [number, number, number]
const values = (css: string, name: string) =>
  [...css.matchAll(new RegExp(`--${name}:(#[0-9a-f]{6})`, 'g'))].map(([, colour]) => rgb(colour as string))

describe('brandProblem', () => {
  test.each([
    [{ name: 'Acme' }],
    [{ name: 'Łódź & Søn 株式会社', logo: '/logo.svg?v=2', accent: '#AB12ef' }],
    [{ name: 'x'.repeat(64) }],
  ])('accepts %j', (brand) => {
    expect(brandProblem(brand)).toBeNull()
  })

  test.each([
    [undefined, 'brand'],
    ['Acme', 'brand'],
    [{}, 'name'],
    [{ name: '  ' }, 'name'],
    [{ name: 'x'.repeat(65) }, 'name'],
    [{ name: 'Acme\u202egnp.exe' }, 'name'],
    [{ name: 'Acme\u2066' }, 'name'],
    [{ name: 'Acme\n' }, 'name'],
    [{ name: 'Acme\ud800' }, 'name'],
    [{ name: 'Acme', logo: 'https://evil.example/logo.png' }, 'logo'],
    [{ name: 'Acme', logo: '//evil.example/logo.png' }, 'logo'],
    [{ name: 'Acme', logo: '/\\evil.example/logo.png' }, 'logo'],
    [{ name: 'Acme', logo: 'data:image/svg+xml,x' }, 'logo'],
    [{ name: 'Acme', logo: '/a b.png' }, 'logo'],
    [{ name: 'Acme', accent: 'red' }, 'accent'],
    [{ name: 'Acme', accent: '#fff' }, 'accent'],
    [{ name: 'Acme', accent: '#0052cc;}body{display:none' }, 'accent'],
    [{ name: 'Acme', accent: '#00000g' }, 'accent'],
  ])('refuses %j and names the field', (brand, field) => {
    expect(brandProblem(brand)).toContain(field)
  })
})

describe('accentStyle', () => {
  const white = rgb('#ffffff')
  const dark = rgb('#1d2125')

  test('keeps text legible with every accent, in light and in dark', () => {
    const steps = ['00', '33', '66', '99', 'cc', 'ff']
    for (const red of steps)
      for (const green of steps)
        for (const blue of steps) {
          const { css } = accentStyle(`#${red}${green}${blue}`)
          const [button, over, ...more] = [...values(css, 'main'), ...values(css, 'main-over')]
          const [lightLink, darkLink] = values(css, 'link')
          expect(more).toEqual([])
          for (const back of [button, over]) expect(contrast(white, back as never)).toBeGreaterThanOrEqual(4.5)
          expect(contrast(white, lightLink as never)).toBeGreaterThanOrEqual(4.5)
          expect(contrast(dark, darkLink as never)).toBeGreaterThanOrEqual(4.5)
        }
  })

  test('leaves a legible colour as it is', () => {
    expect(accentStyle('#0052cc').css).toContain('--main:#0052cc')
  })
})

describe('a branded page', () => {
  const brand = { name: 'Acme <script>', logo: '/logo".svg', accent: '#36b37e' } as const

  test.each(sampleNames)('%s shows the name of the app, escaped, instead of the mark', (name) => {
    const page = { ...samplePages(english)[name], brand }
    const document = renderDefaultPage(page)
    if (name === 'resume') return
    expect(document).toContain('<bdi>Acme &lt;script&gt;</bdi>')
    expect(document).toContain('<img src="/logo&quot;.svg" alt="" height="32">')
    expect(document).toMatch(/<title>[^<]* · Acme &lt;script&gt;<\/title>/)
    expect(document).toContain(accentStyle('#36b37e').css)
    expect(document).not.toContain('<script')
    expect(document).not.toContain('class="mark"')
  })

  test('stays as before without a brand', () => {
    const document = renderDefaultPage(errorPage(english, 'state_expired'))
    expect(document).toContain('class="mark"')
    expect(document.match(/<style>/g)).toHaveLength(1)
  })
})
