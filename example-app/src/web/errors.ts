import type { ErrorRequestHandler } from 'express'
import { isUnreachable } from '../database/database.js'
import { html } from '../views/html.js'
import type { Services } from './services.js'

/**
 * The last stop. The answer names the request and nothing of the error; it uses no session and no database, for those
 * may be what failed.
 */
export function onError({ log }: Services): ErrorRequestHandler {
  return (error: Error & { status?: number; code?: string }, req, res, next) => {
    const status = isUnreachable(error) || isUnreachable(error.cause ?? {}) ? 503 : (error.status ?? 500)
    const { message, stack, code } = error
    log[status < 500 ? 'warn' : 'error'](
      { requestId: req.id, status, errorCode: code, message, stack },
      'request failed',
    )
    if (res.headersSent) return next(error)
    if (status === 503) res.set('Retry-After', '5')
    res.status(status).set('Cache-Control', 'no-store')
    if (req.accepts(['html', 'json']) === 'json')
      return void res.json({ error: status === 503 ? 'unavailable' : 'failed', requestId: req.id })
    const title =
      status === 503
        ? 'One moment, please'
        : status === 404
          ? 'Page not found'
          : status < 500
            ? 'This request was refused'
            : 'Something went wrong'
    const page = html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Corkboard</title><link rel="stylesheet" href="/app.css"></head><body><main class="narrow"><h1>${title}</h1>
<p>${status === 503 ? 'We cannot reach our data right now. Try again in a few seconds.' : 'The request could not be answered.'}</p>
<p><a href="/">To the board</a></p><p><small>Request ${req.id}</small></p></main></body></html>`
    res.type('html').send(page.text)
  }
}
