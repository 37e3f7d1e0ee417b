import type { Request, RequestHandler, Response } from 'express'
import { isNavigation } from '../decisions/navigation'

/**
 * Answers a request that is not a user's navigation; `false` means that it is one and still open. The answer is an
 * empty 503: a browser would keep a speculative 2xx for the real click, and after a 204 that click does nothing.
 */
export function turnsAway(req: Request, res: Response): boolean {
  if (isNavigation(req.headers)) return false
  res.statusCode = 503
  res.setHeader('Cache-Control', 'no-store')
  res.setHeader('Content-Length', '0')
  res.end()
  return true
}

/** A handler that only a user's navigation reaches. */
export function navigationOnly(handle: RequestHandler): RequestHandler {
  return (req, res, next) => (turnsAway(req, res) ? undefined : handle(req, res, next))
}
