import http = require('node:http')

import { randomBytes } from 'node:crypto'
import { endPage, GUIDE_HEADERS, strayPage, visitPage, waitPage } from './guide-pages'
import { type Answer, answersOf } from './questions'
import type { Recording } from './recording'

/** Bitbucket's grace for a used refresh token is said to be ten minutes. */
const WAIT_MS = 11 * 60_000

export interface GuideOptions {
  readonly recording: Recording
  /** File that the last page names. */
  readonly file: string
  /** Called once, at the end. */
  readonly done: (recording: Recording) => Promise<void>
  readonly waitMs?: number
  readonly now?: () => number
}

export interface Guide {
  readonly url: string
  close(): Promise<void>
}

/**
 * The pages that guide the operator through the steps. They are served at the callback URL, which must be on loopback;
 * buttons need a key that only these pages have.
 */
export async function openGuide(options: GuideOptions): Promise<Guide> {
  const { hostname, port, protocol } = new URL(options.recording.target.callbackURL)
  if (protocol !== 'http:') throw new TypeError('The recorder supports http on loopback only.')
  const steps = new Steps(options)
  const server = http.createServer((request, response) => {
    steps.answer(request, response).catch((error: unknown) => {
      response.writeHead(500, { 'content-type': 'text/plain' })
      response.end(`The recorder failed: ${error instanceof Error ? error.message : String(error)}`)
    })
  })
  const host = hostname === '[::1]' ? '::1' : '127.0.0.1'
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(Number(port || 80), host, () => resolve())
  })
  return {
    url: `${new URL(options.recording.target.callbackURL).origin}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

class Steps {
  readonly #options: GuideOptions
  readonly #key = randomBytes(16).toString('base64url')
  readonly #callback: URL
  #answers: readonly Answer[] | undefined
  #busy: Promise<unknown> = Promise.resolve()

  constructor(options: GuideOptions) {
    this.#options = options
    this.#callback = new URL(options.recording.target.callbackURL)
  }

  async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    // A request of another site whose name points to loopback would have that name.
    if (request.headers.host !== this.#callback.host) return send(response, 403, strayPage())
    const url = new URL(request.url ?? '/', this.#callback)
    // One at a time: a double click must not run a step twice.
    const turn = this.#busy.then(() => this.#route(request, url, response))
    this.#busy = turn.catch(() => undefined)
    await turn
  }

  async #route(request: http.IncomingMessage, url: URL, response: http.ServerResponse): Promise<void> {
    const { recording } = this.#options
    if (request.method === 'POST') return this.#press(url.pathname, await bodyOf(request), response)
    if (url.pathname === '/start' && recording.visit) return redirect(response, recording.start())
    if (this.#isCallback(url)) {
      return (await recording.arrive(url.searchParams)) ? redirect(response, '/') : send(response, 400, strayPage())
    }
    return url.pathname === '/' ? send(response, 200, this.#page()) : send(response, 404, strayPage())
  }

  async #press(path: string, form: URLSearchParams, response: http.ServerResponse): Promise<void> {
    if (form.get('key') !== this.#key) return send(response, 403, strayPage())
    const { recording, done } = this.#options
    if (path === '/error' || path === '/skipped') recording.give(path === '/error' ? 'error' : 'skipped')
    if ((path === '/check' || path === '/finish') && !recording.visit && !this.#answers) {
      if (path === '/check' && !(await recording.afterWaiting())) return redirect(response, '/')
      await recording.finish()
      this.#answers = answersOf(recording.observations)
      await done(recording)
    }
    redirect(response, '/')
  }

  #page(): string {
    const { recording, file, waitMs = WAIT_MS, now = Date.now } = this.#options
    if (this.#answers) return endPage(this.#answers, file)
    const { visit } = recording
    if (visit) {
      return visitPage(visit, recording.position, recording.observations.visits[visit.id]?.length ?? 0, this.#key)
    }
    const readyAt = recording.readyAt(waitMs)
    return waitPage(new Date(readyAt), now() >= readyAt, this.#key)
  }

  /** The tried variations are below the callback's path, or in another case. */
  #isCallback({ pathname }: URL): boolean {
    return pathname.toLowerCase().startsWith(this.#callback.pathname.toLowerCase())
  }
}

async function bodyOf(request: http.IncomingMessage): Promise<URLSearchParams> {
  let text = ''
  for await (const chunk of request) {
    text += String(chunk)
    if (text.length > 1000) break
  }
  return new URLSearchParams(text)
}

function send(response: http.ServerResponse, status: number, html: string): void {
  response.writeHead(status, GUIDE_HEADERS).end(html)
}

function redirect(response: http.ServerResponse, location: string): void {
  response.writeHead(303, { ...GUIDE_HEADERS, location }).end()
}
