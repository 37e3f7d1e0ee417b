import type { ActiveConnection } from '../connections/active-connection'
import type { Brand } from '../contract/brand'
import { ERROR_STATUS } from '../contract/errors'
import type { Page, PageForm } from '../contract/pages'
import { accentStyle } from '../pages/accent'
import { PAGE_STYLE_HASH, renderDefaultPage } from '../pages/render'
import type { RequestContext, Visit } from './context'
import { setCommonHeaders, wantsJson } from './reply'

/** Pages without one of our forms, shown at URLs that may hold a code. */
const WITHOUT_FORMS: ReadonlySet<string> = new Set(['error', 'resume'])

type Without<P, Key extends PropertyKey> = P extends unknown ? Omit<P, Key> : never
/** A page before texts and brand are chosen. */
export type PageData = Without<Page, 'texts' | 'brand'>

/** One of our forms, with the app's own hidden fields; a field that is `null` is left out. */
export function formOf<User>(
  { req, services, connection }: Visit<User>,
  path: string,
  fields: Record<string, string | null>,
): PageForm {
  const given = Object.entries(fields).filter((field): field is [string, string] => field[1] !== null)
  return {
    action: `${connection.basePath}${path}`,
    fields: { ...services.pages.hiddenFields(req), ...Object.fromEntries(given) },
  }
}

/** Shows a page, with the status of its error; a JSON client gets its data. */
export async function sendPage<User>(context: RequestContext<User>, data: PageData): Promise<void> {
  const { services, req, res, connection } = context
  const error = 'code' in data ? data.code : 'error' in data ? data.error : null
  setCommonHeaders(res)
  res.status(error === null ? 200 : ERROR_STATUS[error])
  if (wantsJson(req)) {
    if (error) res.json({ error, message: services.pages.texts(req).errors[error] })
    else res.json({ outcome: data.name, ...data })
    return
  }
  // Under `no-referrer` a form carries `Origin: null`, which no check can tell from another site's.
  if (!WITHOUT_FORMS.has(data.name)) res.setHeader('Referrer-Policy', 'same-origin')
  const brand = services.pages.brand(req)
  const page = { ...data, texts: services.pages.texts(req), brand } as Page
  const builtIn = () => renderDefaultPage(page)
  const html = (await services.pages.renderPage?.(page.name, page, { req, builtIn })) ?? builtIn()
  res.setHeader('Content-Security-Policy', contentSecurityPolicy(styleSources(brand), connection))
  res.setHeader('X-Frame-Options', 'DENY')
  res.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
  res.setHeader('Content-Type', 'text/html; charset=utf-8')
  res.end(html)
}

/** The built-in pages' style sheets, each by its hash. */
function styleSources(brand: Brand | null): string {
  return brand?.accent === undefined ? PAGE_STYLE_HASH : `${PAGE_STYLE_HASH} ${accentStyle(brand.accent).hash}`
}

/**
 * No script at all. Forms may redirect to Bitbucket and, over https, from there to wherever its own sign-in sends the
 * user: browsers apply `form-action` to every redirect that follows a form.
 */
function contentSecurityPolicy(styleHashes: string, connection: ActiveConnection | null): string {
  const leaveFor = connection
    ? ` ${connection.authorizationURL.origin}${connection.origins.map((each) => ` ${each}`).join('')} https:`
    : ''
  return `default-src 'none'; style-src 'self' ${styleHashes}; img-src 'self'; font-src 'self'; form-action 'self'${leaveFor}; base-uri 'none'; frame-ancestors 'none'`
}
