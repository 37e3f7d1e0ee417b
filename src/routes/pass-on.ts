import type { Request } from 'express'
import { thrownError } from '../contract/errors'

/**
 * Calls the app, through `next` or a callback of Passport. Our middleware is asynchronous: what the app throws here would
 * otherwise be an unhandled rejection and end the process.
 */
export function passOn(req: Request, call: () => void): void {
  try {
    call()
  } catch (thrown) {
    failRequest(req, thrownError(thrown))
  }
}

/** Ends the request through the router that is still handling it; otherwise answers it, because nothing else would. */
function failRequest(req: Request, error: object): void {
  if (req.next) return req.next(error)
  console.error(error)
  const { res } = req
  if (!res || res.headersSent) return
  res.statusCode = 500
  res.end()
}
