import type { Request } from 'express'
import { type Brand, brandProblem } from '../contract/brand'
import type { BitbucketSignInError } from '../contract/errors'
import { once } from '../contract/once'
import { type BitbucketSignInOptions, configurationError } from '../contract/options'
import type { RenderPage } from '../contract/pages'
import type { PartialTexts, Texts } from '../contract/texts'
import { withDeadline } from '../time/deadline'

/** What the app says about the looks and words of our pages, guarded. */
export interface AppPages {
  readonly texts: (req: Request) => Texts
  /** The app's brand for this request, checked. */
  readonly brand: (req: Request) => Brand | null
  readonly renderPage: RenderPage | undefined
  readonly hiddenFields: (req: Request) => Readonly<Record<string, string>>
}

type Given = Pick<BitbucketSignInOptions<never>, 'texts' | 'brand' | 'renderPage' | 'hiddenFields'>
type Report = (error: BitbucketSignInError, req: Request) => void

/** Guards the options of the pages; `report` hears of what a function gets wrong. */
export function appPages({ texts, brand, renderPage, hiddenFields }: Given, report: Report): AppPages {
  return {
    texts: textsOf(texts),
    brand: brandOf(brand, report),
    renderPage: renderPage && checkedPages(renderPage),
    hiddenFields: oncePerRequest(hiddenFields ? atOnce('hiddenFields', hiddenFields) : () => ({})),
  }
}

/** One answer for all forms of a page: a guard that makes a new token at each call takes only the last one. */
function oncePerRequest(hiddenFields: AppPages['hiddenFields']): AppPages['hiddenFields'] {
  const given = new WeakMap<Request, Readonly<Record<string, string>>>()
  return (req) => {
    const fields = given.get(req) ?? hiddenFields(req)
    given.set(req, fields)
    return fields
  }
}

function textsOf(texts: Given['texts']): (req: Request) => Texts {
  if (typeof texts === 'function') {
    const chosen = atOnce('texts', texts)
    return (req) => withDefaults(chosen(req))
  }
  const merged = once(() => withDefaults(texts))
  // A typo must show at construction.
  if (texts) merged()
  return merged
}

/** Loaded on use: a redirect needs no text. */
function withDefaults(texts: PartialTexts | undefined): Texts {
  const { mergeTexts } = require('../pages/merge-texts') as typeof import('../pages/merge-texts')
  return mergeTexts(texts)
}

/** A page is worth more than its looks: what a function gets wrong is reported, and the page goes without a brand. */
function brandOf(brand: Given['brand'], report: Report): AppPages['brand'] {
  if (typeof brand !== 'function') {
    const problem = brand === undefined ? null : brandProblem(brand)
    if (problem !== null) throw configurationError(problem)
    const fixed = brand ? Object.freeze({ ...brand }) : null
    return () => fixed
  }
  const chosen = atOnce('brand', brand)
  return (req) => {
    try {
      const given = chosen(req)
      const problem = given === null ? null : brandProblem(given)
      if (problem === null) return given
      report(configurationError(problem), req)
    } catch (cause) {
      report(configurationError('`brand` threw; see `cause`.', cause), req)
    }
    return null
  }
}

const PAGE_DEADLINE_MS = 15_000

/** A page must be a string and arrive in time: anything else would fail after the response, as an unhandled error. */
function checkedPages(renderPage: RenderPage): RenderPage {
  return async (name, page, context) => {
    const given = Promise.resolve(renderPage(name, page, context))
    const html: unknown = await withDeadline(given, PAGE_DEADLINE_MS, 'renderPage')
    if (typeof html === 'string') return html
    if (html === undefined || html === null) return undefined
    throw configurationError('`renderPage` must return a string of HTML, or undefined for our page.')
  }
}

/** These are called synchronously. A promise would mean "never signed in", "no fields" or "no texts"; one that rejects would end the process. */
export function atOnce<Asked extends unknown[], Answer>(
  name: string,
  given: (...asked: Asked) => Answer,
  fix = 'Load its data before the router, for example into `req.user`.',
): (...asked: Asked) => Answer {
  return (...asked) => {
    const answer = given(...asked)
    if (typeof (answer as PromiseLike<unknown> | null | undefined)?.then !== 'function') return answer
    Promise.resolve(answer).catch(() => {})
    throw configurationError(`\`${name}\` must be synchronous; it returned a promise. ${fix}`)
  }
}

/** As {@link atOnce}, for an option that may also be a value. */
export function synchronous<Given>(name: string, given: Given, fix: string): Given {
  return typeof given === 'function' ? (atOnce(name, given as never, fix) as Given) : given
}

/** The default `userId`: `user.id`, when it identifies. `[object Object]` and empty strings do not. */
export function defaultUserId(user: unknown): string | null {
  const id: unknown = (user as { id?: unknown } | null | undefined)?.id
  if (typeof id === 'string') return id
  if (typeof id === 'number' || typeof id === 'bigint') return String(id)
  if (typeof id === 'object' && id !== null && id.toString !== Object.prototype.toString && !Array.isArray(id))
    return String(id)
  return ''
}
