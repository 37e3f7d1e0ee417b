import type { Request } from 'express'

import express = require('express')

import { BitbucketSignInError } from '../contract/errors'
import type { RequestContext } from './context'

const LIMIT = '8kb'
const parseForm = express.urlencoded({ extended: false, limit: LIMIT, parameterLimit: 50 })
const parseJson = express.json({ limit: LIMIT })

/** Reads a form or JSON body of at most 8 kB, unless the app has read it already. */
export async function readBody<User>({ req, res }: RequestContext<User>): Promise<void> {
  for (const parse of [parseForm, parseJson]) {
    if (isRead(req)) return
    await new Promise<void>((resolve, reject) => {
      parse(req, res, (error?: unknown) => (error ? reject(bodyRefused(error)) : resolve()))
    })
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
  return (error as { status?: unknown }).status === 413
    ? new BitbucketSignInError('request_too_large', 'The body of this request is larger than 8 kB.')
    : new BitbucketSignInError('request_invalid', 'The body of this request could not be read; send a form or JSON.')
}

/** A field of the body as a string, `undefined` when it is absent or anything else. */
export function bodyField(req: Request, name: string): string | undefined {
  const body: unknown = req.body
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, name)) return undefined
  const value = (body as Record<string, unknown>)[name]
  return typeof value === 'string' ? value : undefined
}
