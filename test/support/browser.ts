import http = require('node:http')
import https = require('node:https')

/** An answer, body read. */
export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  readonly location: string
  /** The `Set-Cookie` lines as they came. */
  readonly setCookies: readonly string[]
  json(): Record<string, unknown>
}

/** Differences from a browser's ordinary request. */
export interface RequestOptions {
  readonly headers?: Record<string, string | string[] | undefined>
  readonly body?: string
  readonly method?: string
}

/**
 * One browser: a cookie jar per host, no redirects followed by itself. Sends what browsers send (`Accept: text/html`,
 * and `Sec-Fetch-Site: same-origin` with a POST), unless a test says otherwise.
 */
export class TestBrowser {
  /** Cookies by host and name. */
  readonly cookies = new Map<string, Map<string, string>>()
  /** Further hosts to look up on loopback, as DNS would: `acme.localhost` and the like. */
  readonly connectTo: string
  readonly #agent: http.Agent | false

  /** An `agent` keeps connections open, where a new one for each request would cost more than the request. */
  constructor(connectTo = '127.0.0.1', agent: http.Agent | false = false) {
    this.connectTo = connectTo
    this.#agent = agent
  }

  jar(url: string): Map<string, string> {
    const { hostname } = new URL(url)
    const jar = this.cookies.get(hostname) ?? new Map<string, string>()
    this.cookies.set(hostname, jar)
    return jar
  }

  /** An independent copy: another browser with the same cookies, or the past of this one. */
  copy(): TestBrowser {
    const copy = new TestBrowser(this.connectTo, this.#agent)
    for (const [host, jar] of this.cookies) copy.cookies.set(host, new Map(jar))
    return copy
  }

  get(url: string, options: RequestOptions = {}): Promise<Answer> {
    return this.#request(url, { method: 'GET', ...options })
  }

  /** Posts a form, as a page of the same origin would. */
  post(url: string, fields: Record<string, string>, options: RequestOptions = {}): Promise<Answer> {
    return this.#request(url, {
      method: 'POST',
      body: new URLSearchParams(fields).toString(),
      ...options,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'sec-fetch-site': 'same-origin',
        ...options.headers,
      },
    })
  }

  /** Follows redirects until a page comes, at most ten. */
  async follow(answer: Answer, url: string): Promise<{ answer: Answer; url: string }> {
    let current = { answer, url }
    for (let hop = 0; hop < 10 && current.answer.status >= 300 && current.answer.status < 400; hop++) {
      const next = new URL(current.answer.location, current.url).href
      current = { answer: await this.get(next), url: next }
    }
    return current
  }

  #request(url: string, { method = 'GET', headers, body }: RequestOptions): Promise<Answer> {
    const target = new URL(url)
    const jar = this.jar(url)
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const merged: Record<string, string | string[] | undefined> = {
      host: target.host,
      accept: 'text/html',
      ...(cookie !== '' && { cookie }),
      ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
      ...headers,
    }
    const sent = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined))
    return new Promise((resolve, reject) => {
      const request = (target.protocol === 'https:' ? https : http).request(
        {
          host: this.connectTo,
          port: target.port,
          path: `${target.pathname}${target.search}`,
          method,
          headers: sent as http.OutgoingHttpHeaders,
          rejectUnauthorized: false,
          agent: this.#agent,
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => {
            const setCookies = response.headers['set-cookie'] ?? []
            for (const line of setCookies) storeCookie(jar, line)
            const text = Buffer.concat(chunks).toString()
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              location: response.headers.location ?? '',
              setCookies,
              json: () => JSON.parse(text) as Record<string, unknown>,
            })
          })
        },
      )
      request.on('error', reject)
      request.end(body)
    })
  }
}

function storeCookie(jar: Map<string, string>, line: string): void {
  const [pair = '', ...attributes] = line.split(';')
  const equals = pair.indexOf('=')
  const name = pair.slice(0, equals)
  const gone = attributes.some((each) => /^\s*max-age=0$/i.test(each) || /^\s*expires=thu, 01 jan 1970/i.test(each))
  if (gone) jar.delete(name)
  else jar.set(name, pair.slice(equals + 1))
}

/** The forms of a page: where they post to and their hidden fields. */
export function formsOf(html: string): { action: string; fields: Record<string, string> }[] {
  return [...html.matchAll(/<form[^>]*action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/g)].map(
    ([, action = '', inner = '']) => ({
      action: decode(action),
      fields: Object.fromEntries(
        [...inner.matchAll(/<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"/g)].map(
          ([, name = '', value = '']) => [decode(name), decode(value)],
        ),
      ),
    }),
  )
}

function decode(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
}
