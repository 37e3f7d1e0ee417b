import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

/**
 * The endpoint that a request was for. `workspaces` lists the user's own, `workspace` asks for the permission in one,
 * `other` is the rest: the fake's own pages, removed and unknown addresses.
 */
export type FakeEndpoint = 'authorize' | 'token' | 'user' | 'emails' | 'workspaces' | 'workspace' | 'other'

/** A request that the fake received. */
export interface RecordedRequest {
  /** The endpoint that the path belongs to. */
  readonly endpoint: FakeEndpoint
  /** HTTP method. */
  readonly method: string
  /** Path without query, as sent. */
  readonly path: string
  /** Query by name; of a repeated name the first value. `url` has them all. */
  readonly query: Readonly<Record<string, string>>
  /** Path and query, byte for byte. */
  readonly url: string
  /** Headers, with names in lower case. */
  readonly headers: IncomingHttpHeaders
  /** Form fields of the body by name, the first of a repeated name; empty if the body is not a form. */
  readonly form: Readonly<Record<string, string>>
  /** The body as text. */
  readonly body: string
  /** Arrival, in milliseconds since the epoch, with fractions. */
  readonly time: number
  /** Number of its connection, 1 for the first that was opened. 0 = `signIn()`, which needs none. */
  readonly connection: number
  /** Status of the response; `null` if none was sent, or not yet. */
  readonly status: number | null
}

type Entry = { -readonly [Name in keyof RecordedRequest]: RecordedRequest[Name] }

export const ENDPOINT_NAMES: readonly FakeEndpoint[] = [
  'authorize',
  'token',
  'user',
  'emails',
  'workspaces',
  'workspace',
  'other',
]

/** A demo may run for weeks, so only the latest requests are kept. */
const MAX_KEPT = 10_000

/** Which endpoint a path belongs to. */
function endpointOf(path: string): FakeEndpoint {
  if (path === '/site/oauth2/authorize') return 'authorize'
  if (path === '/site/oauth2/access_token') return 'token'
  if (!path.startsWith('/2.0/')) return 'other'
  const resource = path.slice('/2.0'.length).replace(/\/$/, '')
  if (resource === '/user') return 'user'
  if (resource === '/user/emails') return 'emails'
  if (resource === '/user/workspaces') return 'workspaces'
  return /^\/user\/workspaces\/[^/]+\/permission$/.test(resource) ? 'workspace' : 'other'
}

/** The requests that arrived, oldest first, and how many. */
export class Arrivals {
  #requests: Entry[] = []
  #counts = new Map<FakeEndpoint, number>()

  get requests(): readonly RecordedRequest[] {
    return [...this.#requests]
  }

  count(endpoint?: FakeEndpoint): number {
    if (endpoint) return this.#counts.get(endpoint) ?? 0
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
  }

  clear(): void {
    this.#requests = []
    this.#counts = new Map()
  }

  /** Notes a request as soon as its headers arrive, so that one without its body is recorded too. */
  begin(message: IncomingMessage, url: URL, connection: number): Entry {
    return this.#add({ method: message.method ?? '', headers: message.headers, connection }, url)
  }

  /** Notes the step that `signIn()` takes instead of a browser. */
  noteSignIn(url: URL): Entry {
    return this.#add({ method: 'GET', headers: {}, connection: 0 }, url)
  }

  #add(from: Pick<Entry, 'method' | 'headers' | 'connection'>, url: URL): Entry {
    const entry: Entry = {
      ...from,
      endpoint: endpointOf(url.pathname),
      path: url.pathname,
      query: firstValues(url.searchParams),
      url: url.pathname + url.search,
      form: {},
      body: '',
      time: performance.timeOrigin + performance.now(),
      status: null,
    }
    this.#requests.push(entry)
    if (this.#requests.length > MAX_KEPT) this.#requests.shift()
    this.#counts.set(entry.endpoint, this.count(entry.endpoint) + 1)
    return entry
  }
}

/** A plain object, of a repeated name the first value. */
export function firstValues(parameters: URLSearchParams): Record<string, string> {
  return Object.fromEntries([...new Set(parameters.keys())].map((name) => [name, parameters.get(name) ?? '']))
}
