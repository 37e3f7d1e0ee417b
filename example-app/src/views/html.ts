import escapeHtml from 'escape-html'

/** A piece of HTML that is safe to put into a page. */
export class Html {
  constructor(readonly text: string) {}
}

type Piece = Html | string | number | false | null | undefined | readonly Piece[]

/** A tagged template that escapes everything except what is already {@link Html}. There is no other way to make a page. */
export function html(strings: TemplateStringsArray, ...pieces: Piece[]): Html {
  return new Html(strings.reduce((text, part, index) => text + print(pieces[index - 1]) + part))
}

/** For HTML made elsewhere, such as the package's button. Never for text that a person wrote. */
export const trusted = (text: string): Html => new Html(text)

function print(piece: Piece): string {
  if (piece instanceof Html) return piece.text
  if (Array.isArray(piece)) return piece.map(print).join('')
  if (piece === false || piece === null || piece === undefined) return ''
  return escapeHtml(String(piece))
}
