import {
  type Answer,
  expiredToken,
  htmlAnswer,
  invalidToken,
  jsonAnswer,
  missingScope,
  notFound,
  rateLimited,
  redirectAnswer,
  removedEndpoint,
  textAnswer,
} from './answers'
import { ENDPOINT_NAMES, type FakeEndpoint, type RecordedRequest } from './arrivals'
import type { Behaviour } from './behaviour'
import { refuseUnknownKeys, suggestion } from './check'

/**
 * A refusal in Bitbucket's own shape: 401 twice, 403, 404, 410, and 429. `rate-limited` takes the form that the switch
 * `rateLimit` chooses; the others name it.
 */
export type FakeProblem =
  | 'invalid-token'
  | 'expired-token'
  | 'missing-scope'
  | 'not-found'
  | 'removed'
  | 'rate-limited'
  | 'rate-limited-text'
  | 'rate-limited-json'
  | 'rate-limited-empty'

/**
 * How an answer travels: `stall` sends nothing and keeps the connection open; `stall-in-body` stops after half the body;
 * `truncate` closes after half of the announced body; `reset` and `reset-in-body` reset the connection before the
 * headers or after half the body; `byte-by-byte` splits every UTF-8 character.
 */
export type FakeDelivery = 'stall' | 'stall-in-body' | 'truncate' | 'reset' | 'reset-in-body' | 'byte-by-byte'

/**
 * A scripted response: its content and its delivery. At most one of `json`, `text`, `html`, `bytes`, `redirect`,
 * `problem`, `hugeBytes` and `edit`. With one of them except `edit`, or with a `status`, the endpoint itself does not
 * run, so a code is not consumed; without, it runs and its own response is delivered, late or broken.
 */
export interface FakeFault {
  /** HTTP status. Default: 302 with `redirect`, otherwise 200. */
  readonly status?: number
  /** Headers in addition to those of the response. */
  readonly headers?: Readonly<Record<string, string>>
  /** Body, sent as JSON. */
  readonly json?: unknown
  /** Body, sent as plain text. */
  readonly text?: string
  /** Body, sent as HTML. */
  readonly html?: string
  /** Body, sent as JSON whatever it contains. */
  readonly bytes?: Uint8Array
  /** Redirects to this URL. */
  readonly redirect?: string
  /** One of Bitbucket's refusals. */
  readonly problem?: FakeProblem
  /** A JSON string of this many bytes, streamed without a length, for example `200 * 1024 * 1024`. */
  readonly hugeBytes?: number
  /** Changes the endpoint's own JSON answer: gets it, returns what to send. */
  readonly edit?: (body: Record<string, unknown>) => unknown
  /** Waits before anything is sent, in milliseconds. */
  readonly delayMs?: number
  /** Default: whole and immediately. */
  readonly delivery?: FakeDelivery
  /** Sends the body in pieces of `chunkBytes` (default 1), `everyMs` apart. */
  readonly slow?: { readonly chunkBytes?: number; readonly everyMs: number }
  /** How often it applies. Default: until `clearScripts()`; in an array: once. A function counts itself. */
  readonly times?: number
}

/**
 * A fault for every request, a list of them to be played one after the other (`null` = answer normally; normal again
 * when the list is over), or a function that chooses for each request.
 */
export type FakeScript =
  | FakeFault
  | readonly (FakeFault | null)[]
  | ((request: RecordedRequest) => FakeFault | null | undefined | Promise<FakeFault | null | undefined>)

type Player = (request: RecordedRequest) => FakeFault | null | undefined | Promise<FakeFault | null | undefined>

/** The scripts of one fake, one per endpoint. */
export class Scripts {
  readonly #players = new Map<FakeEndpoint, Player>()

  /** Replaces the endpoint's script. */
  set(endpoint: FakeEndpoint, script: FakeScript): void {
    checkEndpoint(endpoint)
    this.#players.set(endpoint, typeof script === 'function' ? chosen(script) : listed(script))
  }

  clear(endpoint?: FakeEndpoint): void {
    if (endpoint === undefined) this.#players.clear()
    else if (checkEndpoint(endpoint)) this.#players.delete(endpoint)
  }

  /** The fault that this request meets, `undefined` for none. */
  async next(request: RecordedRequest): Promise<FakeFault | undefined> {
    return (await this.#players.get(request.endpoint)?.(request)) ?? undefined
  }
}

/** The answer that replaces the endpoint's own; `undefined` = the endpoint answers. */
export function scriptedAnswer(fault: FakeFault, endpoint: FakeEndpoint, behaviour: Behaviour): Answer | undefined {
  const status = fault.status ?? 200
  if (fault.redirect !== undefined) return redirectAnswer(fault.status ?? 302, fault.redirect)
  if (fault.problem !== undefined) return PROBLEMS[fault.problem](endpoint, behaviour)
  if (fault.html !== undefined) return htmlAnswer(status, fault.html)
  if (fault.text !== undefined) return textAnswer(status, fault.text)
  if (fault.bytes !== undefined) return { ...jsonAnswer(status, null), body: fault.bytes }
  if (fault.hugeBytes !== undefined) return jsonAnswer(status, null)
  if ('json' in fault) return jsonAnswer(status, fault.json)
  return fault.status === undefined || fault.edit ? undefined : { status, headers: {}, body: '' }
}

/** The answer with the fault's changes laid over it. */
export function editedAnswer(answer: Answer, fault: FakeFault): Answer {
  const headers = { ...answer.headers, ...lowerCased(fault.headers) }
  if (!fault.edit) return { ...answer, headers }
  if (!answer.headers['content-type']?.startsWith('application/json')) {
    throw new TypeError(`"edit" changes JSON answers, and this one (status ${answer.status}) is not JSON.`)
  }
  const body = JSON.stringify(fault.edit(JSON.parse(String(answer.body))))
  return { status: fault.status ?? answer.status, headers, body }
}

const PROBLEMS: Readonly<Record<FakeProblem, (endpoint: FakeEndpoint, behaviour: Behaviour) => Answer>> = {
  'invalid-token': invalidToken,
  'expired-token': expiredToken,
  'missing-scope': (endpoint) => missingScope([endpoint === 'emails' ? 'email' : 'account'], []),
  'not-found': notFound,
  removed: removedEndpoint,
  'rate-limited': (_endpoint, { rateLimit }) => rateLimited(rateLimit),
  'rate-limited-text': () => rateLimited('text'),
  'rate-limited-json': () => rateLimited('json'),
  'rate-limited-empty': () => rateLimited('empty'),
}

const DELIVERIES: readonly string[] = ['stall', 'stall-in-body', 'truncate', 'reset', 'reset-in-body', 'byte-by-byte']
const CONTENTS = ['json', 'text', 'html', 'bytes', 'redirect', 'problem', 'hugeBytes', 'edit']
const FAULT_KEYS = ['status', 'headers', ...CONTENTS, 'delayMs', 'delivery', 'slow', 'times']

function chosen(choose: Player): Player {
  return async (request) => {
    const fault = await choose(request)
    if (fault) checkFault(fault)
    return fault
  }
}

function listed(script: FakeFault | readonly (FakeFault | null)[]): Player {
  const isList = Array.isArray(script)
  const faults: readonly (FakeFault | null)[] = isList ? script : [script as FakeFault]
  for (const fault of faults) if (fault !== null) checkFault(fault)
  const left = faults.map((fault) => ({ fault, times: fault?.times ?? (isList ? 1 : Number.POSITIVE_INFINITY) }))
  return () => {
    const current = left.find(({ times }) => times > 0)
    if (current) current.times -= 1
    return current?.fault
  }
}

function checkEndpoint(endpoint: string): true {
  if ((ENDPOINT_NAMES as readonly string[]).includes(endpoint)) return true
  throw new TypeError(`There is no endpoint "${endpoint}" to script. ${suggestion(endpoint, ENDPOINT_NAMES)}`)
}

function checkFault(fault: FakeFault): void {
  refuseUnknownKeys('A scripted fault', fault, FAULT_KEYS)
  const contents = CONTENTS.filter((name) => name in fault)
  if (contents.length > 1) {
    throw new TypeError(`A scripted fault says one thing, and this one has ${contents.join(' and ')}. Keep one.`)
  }
  if (fault.problem !== undefined && !Object.hasOwn(PROBLEMS, fault.problem)) {
    throw new TypeError(`There is no problem "${fault.problem}". ${suggestion(fault.problem, Object.keys(PROBLEMS))}`)
  }
  const ways = ['delivery', 'slow', 'hugeBytes'].filter((name) => name in fault)
  if (ways.length > 1) {
    throw new TypeError(`A response has one kind of delivery, but this fault has ${ways.join(' and ')}. Keep one.`)
  }
  if (fault.times !== undefined && !(Number.isInteger(fault.times) && fault.times > 0)) {
    throw new TypeError('"times" of a scripted fault must be a whole number above 0.')
  }
  if (fault.delivery !== undefined && !DELIVERIES.includes(fault.delivery)) {
    throw new TypeError(`There is no delivery "${fault.delivery}". ${suggestion(fault.delivery, DELIVERIES)}`)
  }
}

function lowerCased(headers: FakeFault['headers'] = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
