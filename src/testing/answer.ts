/** What the fake answers: built by the endpoints, sent by `delivery.ts`, so that a fault can change it in between. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

/** One request, read whole. */
export interface FakeRequest {
  readonly method: string
  /** Path without query, still percent-encoded. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The form in the body; empty when the body is anything else, as Bitbucket reads nothing else. */
  readonly form: URLSearchParams
}

export function jsonAnswer(status: number, body: unknown, headers: Answer['headers'] = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(body),
  }
}

export function htmlAnswer(status: number, body: string, headers: Answer['headers'] = {}): Answer {
  return { status, headers: { 'content-type': 'text/html; charset=utf-8', ...headers }, body }
}

export function textAnswer(status: number, body: string, headers: Answer['headers'] = {}): Answer {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8', ...headers }, body }
}

export function redirectAnswer(status: number, location: string, headers: Answer['headers'] = {}): Answer {
  return { status, headers: { location, 'cache-control': 'no-store', ...headers }, body: '' }
}
