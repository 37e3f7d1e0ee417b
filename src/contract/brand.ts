/** How the app presents itself on our pages. */
export interface Brand {
  /** Shown above each heading and in the title: 1 to 64 characters, no controls or bidirectional marks. */
  readonly name: string
  /** Path of a picture on this origin, for example `/logo.svg`. Shown 32 pixels high. Default: none. */
  readonly logo?: string
  /**
   * Colour of buttons and links as `#rrggbb`. It is darkened or lightened until text on it and next to it has a contrast
   * of 4.5:1, in light and in dark. Default: Bitbucket's blue.
   */
  readonly accent?: string
}

const CONTROL_OR_BIDI = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\p{Surrogate}]/u
const PATH = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/
const ACCENT = /^#[0-9a-f]{6}$/i

/** The problem of a brand, `null` if it is valid. */
export function brandProblem(brand: unknown): string | null {
  if (typeof brand !== 'object' || brand === null) return '`brand` must be an object with a `name`.'
  const { name, logo, accent } = brand as Readonly<Record<string, unknown>>
  if (typeof name !== 'string' || name.trim() === '' || [...name].length > 64 || CONTROL_OR_BIDI.test(name))
    return '`brand.name` must be 1 to 64 characters without control or bidirectional characters.'
  if (logo !== undefined && (typeof logo !== 'string' || logo.length > 512 || !PATH.test(logo)))
    return '`brand.logo` must be a path on this origin, such as `/logo.svg`. Our pages load nothing from other sites.'
  if (accent !== undefined && (typeof accent !== 'string' || !ACCENT.test(accent)))
    return '`brand.accent` must be a colour written `#rrggbb`.'
  return null
}
