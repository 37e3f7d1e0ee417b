import { type IncomingHttpHeaders, request } from 'node:http'

/** An answer, read. */
export interface Answer {
  readonly url: string
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body read as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
  readonly json: any
}

interface Request {
  readonly method?: string
  readonly form?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * A browser without a window: keeps cookies per host, sends `Origin` with forms, follows redirects when asked to.
 * Every host is reached on loopback, `acme.localhost` too, which not every resolver knows.
 */
export class Visitor {
  readonly #cookies = new Map<string, Map<string, string>>()

  constructor(readonly home: string) {}

  /** One request, no redirect followed. A path is taken from `home`. */
  async send(target: string, { method, form, headers }: Request = {}): Promise<Answer> {
    const url = new URL(target, this.home)
    const body = form && new URLSearchParams(form).toString()
    const jar = this.#jar(url.host)
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await new Promise<Answer>((resolve, reject) => {
      const call = request(
        {
          host: '127.0.0.1',
          port: url.port,
          path: url.pathname + url.search,
          method: method ?? (form ? 'POST' : 'GET'),
          headers: {
            Host: url.host,
            Accept: 'text/html',
            ...(cookie !== '' && { Cookie: cookie }),
            ...(form && { Origin: url.origin, 'Content-Type': 'application/x-www-form-urlencoded' }),
            ...headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            const { statusCode: status = 0, headers: answered } = response
            resolve({
              url: url.href,
              status,
              headers: answered,
              text,
              get json() {
                return JSON.parse(text)
              },
            })
          })
        },
      )
      call.setTimeout(20_000, () => call.destroy(new Error(`No answer from ${url}`)))
      call.on('error', reject)
      call.end(body)
    })
    for (const line of answer.headers['set-cookie'] ?? []) remember(jar, line)
    return answer
  }

  /** Goes there and wherever that leads. */
  async visit(target: string, how: Request = {}): Promise<Answer> {
    let answer = await this.send(target, how)
    for (let hops = 0; answer.status >= 300 && answer.status < 400 && hops < 10; hops++) {
      answer = await this.send(new URL(answer.headers.location ?? '', answer.url).href)
    }
    return answer
  }

  /** Fills in the first form of a page whose action contains `action`, with its hidden fields, and sends it. */
  submit(page: Answer, action: string, fields: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const forms = page.text.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)
    for (const [, attributes = '', content = ''] of forms) {
      const target = /action="([^"]*)"/.exec(attributes)?.[1] ?? page.url
      if (!target.includes(action)) continue
      const hidden = [...content.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)]
      const form = { ...Object.fromEntries(hidden.map(([, name, value]) => [name, value])), ...fields }
      return this.visit(new URL(target.replaceAll('&amp;', '&'), page.url).href, { form })
    }
    throw new Error(`No form for ${action} at ${page.url}:\n${page.text}`)
  }

  /** Signs in with Bitbucket: starts, chooses a person at the fake's consent page, comes back, follows to the end. */
  async signInWithBitbucket(person: string, { at = this.home, returnTo = '/' } = {}): Promise<Answer> {
    const consent = await this.visit(new URL(`/auth/bitbucket?returnTo=${encodeURIComponent(returnTo)}`, at).href)
    return this.decide(consent, person)
  }

  /** What the user does on the fake's consent page. */
  decide(consent: Answer, person: string, decision: 'allow' | 'deny' = 'allow'): Promise<Answer> {
    return this.visit(consent.url, { form: { person, decision } })
  }

  /** Who is signed in, as `/me` tells. */
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what the tests check
  async me(at = this.home): Promise<any> {
    return (await this.send(new URL('/me', at).href)).json.user
  }

  /** A cookie's value, to hand it to somebody else. */
  cookie(name: string, at = this.home): string | undefined {
    return this.#jar(new URL(at).host).get(name)
  }

  #jar(host: string): Map<string, string> {
    const jar = this.#cookies.get(host) ?? new Map<string, string>()
    this.#cookies.set(host, jar)
    return jar
  }
}

function remember(jar: Map<string, string>, line: string): void {
  const [pair = ''] = line.split(';', 1)
  const name = pair.slice(0, pair.indexOf('='))
  const expires = /expires=([^;]+)/i.exec(line)?.[1]
  const gone = /max-age=0/i.test(line) || (expires !== undefined && Date.parse(expires) < Date.now())
  if (gone) jar.delete(name)
  else jar.set(name, pair.slice(pair.indexOf('=') + 1))
}
