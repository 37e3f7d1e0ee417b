import { randomUUID } from 'node:crypto'
import type { RequestHandler } from 'express'
import { type Logger, pino } from 'pino'

export type Log = Logger

/** Structured logs. Secrets are also censored here, in case one is passed by mistake. */
export function createLog(level: string): Log {
  const secret = ['password', 'code', 'state', 'clientSecret', 'accessToken', 'refreshToken', 'cookie', 'authorization']
  return pino({
    level,
    redact: { paths: secret.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[secret]' },
  })
}

/** Gives every request an id, returns it to the client, and writes one line when the answer is out. */
export function requestLog(log: Log): RequestHandler {
  return (req, res, next) => {
    const startedAt = performance.now()
    req.id = randomUUID()
    res.setHeader('X-Request-Id', req.id)
    res.on('finish', () => {
      // The path without its query: the callback's query carries a code.
      const path = req.originalUrl.split('?', 1)[0]
      const ms = Math.round(performance.now() - startedAt)
      log.info({ requestId: req.id, method: req.method, path, status: res.statusCode, ms }, 'request')
    })
    next()
  }
}
