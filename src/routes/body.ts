import { parse as parseQuery } from 'node:querystring'
import type { Request } from 'express'

import express = require('express')

import { BitbucketSignInError } from '../contract/errors'
import { configurationError } from '../contract/options'
import type { RequestContext } from './context'

const LIMIT = 8 * 1024
const MAX_FIELDS = 50
const parseForm = express.urlencoded({ extended: false, limit: LIMIT, parameterLimit: MAX_FIELDS })
const parseJson = express.json({ limit: LIMIT })

/** Reads a form or JSON body of at most 8 kB, unless the app has read it already. */
export async function readBody<User>({ req, res }: RequestContext<User>): Promise<void> {
  const body: unknown = req.body
  if (isUnparsed(body)) {
    req.body = parsed(req, body)
    return
  }
  for (const parse of [parseForm, parseJson]) {
    if (isRead(req)) return
    await new Promise<void>((resolve, reject) => {
      parse(req, res, (error?: unknown) => (error ? reject(bodyRefused(error)) : resolve()))
    })
  }
  // A parser skips a stream that has ended; Express 4 refuses it with 500.
  if (req.body === undefined && req.is(['urlencoded', 'json'])) throw alreadyRead()
}

/** What `express.text()` and `express.raw()` leave, and adapters of functions-as-a-service before any parser. */
function isUnparsed(body: unknown): body is string | Uint8Array {
  return typeof body === 'string' || body instanceof Uint8Array
}

function parsed(req: Request, body: string | Uint8Array): unknown {
  if (Buffer.byteLength(body) > LIMIT) throw bodyRefused({ status: 413 })
  const text = Buffer.from(body as string).toString()
  if (text === '') return {}
  if (req.is('urlencoded')) return parseQuery(text, '&', '=', { maxKeys: MAX_FIELDS })
  try {
    return req.is('json') ? JSON.parse(text) : {}
  } catch (error) {
    throw bodyRefused(error)
  }
}

/** Body parsers of every kind set `_body`; Express 4 sets an empty object even if nothing was read. */
function isRead(req: Request): boolean {
  return (
    (req as { _body?: unknown })._body === true ||
    (typeof req.body === 'object' && req.body !== null && Object.keys(req.body).length > 0)
  )
}

function bodyRefused(error: unknown): BitbucketSignInError {
  const { status } = error as { status?: unknown }
  if (status === 500) return alreadyRead()
  return status === 413
    ? new BitbucketSignInError('request_too_large', 'The body of this request is larger than 8 kB.')
    : new BitbucketSignInError('request_invalid', 'The body of this request could not be read; send a form or JSON.')
}

function alreadyRead(): BitbucketSignInError {
  return configurationError(
    'Middleware before the router has read the body of this form and set no `req.body`, so its fields are lost. Mount the router before it, or let it set `req.body`.',
  )
}

/** A field of the body as a string, `undefined` when it is absent or anything else. */
export function bodyField(req: Request, name: string): string | undefined {
  const body: unknown = req.body
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, name)) return undefined
  const value = (body as Record<string, unknown>)[name]
  return typeof value === 'string' ? value : undefined
}
