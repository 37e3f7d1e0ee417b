import { errorCode, headerWord, plainText, type Shape, scopeWords, shapeOf } from './redact'

/** The part of an HTTP response that may be recorded. */
export interface SeenAnswer {
  /** `null` = no answer. */
  readonly status: number | null
  readonly contentType: string | null
  readonly headers: readonly string[]
  readonly retryAfter: boolean
  /** Scheme of `WWW-Authenticate`. */
  readonly authenticate: string | null
  readonly credentialType: string | null
  readonly scopes: string | null
  readonly bytes: number
  readonly body: Shape | null
  readonly error: string | null
  readonly description: string | null
}

/** The part of a callback that may be recorded. */
export interface SeenCallback {
  /** Length of each known parameter. */
  readonly parameters: Readonly<Record<string, number>>
  readonly error: string | null
  readonly description: string | null
  readonly state: 'same' | 'missing' | 'different'
}

/** An answer with its body, which stays in memory: the next request may need a token of it. */
export interface Reply {
  readonly seen: SeenAnswer
  readonly json: Readonly<Record<string, unknown>>
}

/** The OAuth server, and the client to try it with. */
export interface Target {
  readonly authorizationURL: string
  readonly tokenURL: string
  readonly apiURL: string
  readonly clientID: string
  readonly clientSecret: string
  readonly callbackURL: string
}

const TIMEOUT_MS = 20_000

/** How the client authenticates at the token endpoint. */
export type Credentials = 'basic' | 'body' | 'wrong-secret'

/** A request to the token endpoint: the one place where the recorder attaches the secret. */
export function requestToken(
  target: Target,
  form: Readonly<Record<string, string>>,
  credentials: Credentials = 'basic',
  url = target.tokenURL,
): Promise<Reply> {
  const { clientID, clientSecret } = target
  const secret = credentials === 'wrong-secret' ? `not-${clientSecret.length}` : clientSecret
  const inBody = credentials === 'body' ? { client_id: clientID, client_secret: clientSecret } : {}
  const basic = `Basic ${Buffer.from(`${clientID}:${secret}`).toString('base64')}`
  return send(url, {
    method: 'POST',
    headers: {
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      ...(credentials !== 'body' && { authorization: basic }),
    },
    body: new URLSearchParams({ ...form, ...inBody }).toString(),
  })
}

/** A GET of the API: the one place where the recorder attaches an access token. */
export function getResource(target: Target, path: string, token: string, scheme = 'Bearer'): Promise<Reply> {
  return send(`${target.apiURL}${path}`, {
    headers: { accept: 'application/json', authorization: `${scheme} ${token}` },
  })
}

async function send(url: string, init: RequestInit): Promise<Reply> {
  try {
    const answer = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) })
    return replyOf(answer, await answer.text())
  } catch {
    return { seen: NO_ANSWER, json: {} }
  }
}

const NO_ANSWER: SeenAnswer = {
  status: null,
  contentType: null,
  headers: [],
  retryAfter: false,
  authenticate: null,
  credentialType: null,
  scopes: null,
  bytes: 0,
  body: null,
  error: null,
  description: null,
}

function replyOf({ status, headers }: Response, text: string): Reply {
  const value = parsed(text)
  const json = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  const seen: SeenAnswer = {
    status,
    contentType: /^[a-z]+\/[a-z0-9.+-]+/i.exec(headers.get('content-type') ?? '')?.[0] ?? null,
    headers: [...headers.keys()].filter((name) => /^[a-z-]{2,40}$/.test(name)).sort(),
    retryAfter: headers.has('retry-after'),
    authenticate: /^[A-Za-z]{3,12}\b/.exec(headers.get('www-authenticate') ?? '')?.[0] ?? null,
    credentialType: headerWord(headers.get('x-credential-type')),
    scopes: scopeWords(headers.get('x-oauth-scopes')),
    bytes: Buffer.byteLength(text),
    body: value === undefined ? null : shapeOf(value),
    error: errorCode(json.error),
    description: plainText(json.error_description),
  }
  return { seen, json }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const CALLBACK_PARAMETERS = ['code', 'state', 'error', 'error_description', 'error_uri', 'scope', 'iss']

export function seenCallback(query: URLSearchParams, state: string): SeenCallback {
  const present = CALLBACK_PARAMETERS.filter((name) => query.has(name))
  return {
    parameters: Object.fromEntries(present.map((name) => [name, query.get(name)?.length ?? 0])),
    error: errorCode(query.get('error')),
    description: plainText(query.get('error_description')),
    state: !query.has('state') ? 'missing' : query.get('state') === state ? 'same' : 'different',
  }
}
