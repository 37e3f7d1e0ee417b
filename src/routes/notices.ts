import type { Request } from 'express'
import { ERROR_STATUS } from '../contract/errors'
import { clearNotice, type Notice, readNotice, storeNotice } from '../state/notice'
import { type RequestContext, signedInUser, type Visit } from './context'
import { sendOn, wantsJson } from './reply'
import { sendPage } from './send-page'

/** The path of the page that shows a refusal after the redirect that followed its form. */
export const NOTICE_PAGE = '/notice'

/**
 * Redirects a browser from a refused form to a page that says why; `false` for other clients, which get the answer
 * immediately. After an answer to the POST itself, Back, reload and a restored tab would ask to send the form again.
 */
export async function saysLater<User>(
  context: RequestContext<User>,
  notice: Notice,
  page: string = notice.page,
): Promise<boolean> {
  const { services, req, res, connection } = context
  if (connection === null || !isSubmittedForm(req)) return false
  if (!storeNotice(services.state.keys.notice, req, res, connection.jar, notice)) return false
  await sendOn(context, 'redirect', `${connection.basePath}${page}`)
  return true
}

/** Whether a browser submitted a form of a page and will show the answer. */
export function isSubmittedForm(req: Request): boolean {
  return req.method === 'POST' && req.headers['sec-fetch-mode'] === 'navigate' && !wantsJson(req)
}

/** The notice for a page that says it once. */
export function takeNotice<User>(visit: Visit<User>, page: string): Notice | undefined {
  const { services, req, res, connection } = visit
  const notice = readNotice(services.state.keys.notice, req, connection.jar, page)
  if (notice) clearNotice(req, res, connection.jar)
  return notice
}

/** `GET /notice`: why a form was refused. Without a notice, it redirects into the app. */
export async function showNotice<User>(visit: Visit<User>): Promise<void> {
  const { services, req, connection } = visit
  const notice = readNotice(services.state.keys.notice, req, connection.jar, NOTICE_PAGE)
  const { signIn, signedIn } = services.paths
  const home = signedInUser(visit) ? signedIn : signIn
  if (!notice) return sendOn(visit, 'redirect', home)
  const { code, retryHref = null, backHref = home } = notice
  await sendPage(visit, { name: 'error', code, status: ERROR_STATUS[code], retryHref, backHref })
}
