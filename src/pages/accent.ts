import { createHash } from 'node:crypto'

type Rgb = readonly [red: number, green: number, blue: number]

const WHITE: Rgb = [255, 255, 255]
const BLACK: Rgb = [0, 0, 0]
/** The backgrounds of links in the two colour schemes. */
const LIGHT_CARD = WHITE
const DARK_CARD: Rgb = [0x1d, 0x21, 0x25]
/** WCAG 2.2, level AA, for text of this size. @see https://www.w3.org/TR/WCAG22/#contrast-minimum */
const CONTRAST = 4.5

/** A style sheet that recolours our pages, and the CSP source that admits it. */
export interface AccentStyle {
  readonly css: string
  readonly hash: string
}

/** Buttons have white text and links are on the card, so the colour is changed until both are legible. */
export function accentStyle(accent: string): AccentStyle {
  const given = parse(accent)
  const button = legible(given, WHITE, BLACK)
  const light = legible(given, LIGHT_CARD, BLACK)
  const dark = legible(given, DARK_CARD, WHITE)
  const css =
    `:root{--link:${hex(light)};--main:${hex(button)};--main-over:${hex(mix(button, BLACK, 0.2))};--main-line:${hex(button)}}` +
    `@media (prefers-color-scheme:dark){:root{--link:${hex(dark)};--main-line:${hex(dark)}}}`
  return { css, hash: `'sha256-${createHash('sha256').update(css).digest('base64')}'` }
}

function legible(colour: Rgb, against: Rgb, towards: Rgb): Rgb {
  for (let share = 0; share < 1; share += 0.02) {
    const candidate = mix(colour, towards, share)
    if (contrast(candidate, against) >= CONTRAST) return candidate
  }
  return towards
}

function mix(colour: Rgb, other: Rgb, share: number): Rgb {
  const at = (index: 0 | 1 | 2) => Math.round(colour[index] * (1 - share) + other[index] * share)
  return [at(0), at(1), at(2)]
}

/** @see https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio */
export function contrast(one: Rgb, other: Rgb): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (high + 0.05) / (low + 0.05)
}

function luminance([red, green, blue]: Rgb): number {
  const linear = (channel: number) => {
    const share = channel / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  }
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

function parse(accent: string): Rgb {
  const value = Number.parseInt(accent.slice(1), 16)
  return [value >> 16, (value >> 8) & 255, value & 255]
}

const hex = (colour: Rgb): string => `#${colour.map((channel) => channel.toString(16).padStart(2, '0')).join('')}`
