import http = require('node:http')

import fc from 'fast-check'
import { afterAll } from 'vitest'
import type { TestBrowser } from '../support/browser'
import { afterwards, type Lab } from '../support/lab'

/*
 * `npm test` runs a fixed part of the properties: always the same cases. `npm run fuzz` runs more than 100,000 of a new
 * seed, or of `FUZZ_SEED`; each file prints the seed first and the number of its cases last.
 */
export const LONG: boolean = process.env.FUZZ === 'long'
const seed = LONG ? Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31) : 20_261_123
let cases = 0
if (LONG) {
  console.log(`FUZZ_SEED=${seed}`)
  afterAll(() => console.log(`${cases} cases`))
}

/** Runs a property on few cases, or on many; the many add up to more than 100,000. */
export async function check<T>(property: fc.IRawProperty<T>, few: number, many: number): Promise<void> {
  await fc.assert(property as fc.IAsyncProperty<T>, { seed, numRuns: LONG ? many : few, endOnFailure: LONG })
  cases += LONG ? many : few
}

export const TIMEOUT: number = LONG ? 20 * 60_000 : 30_000

export interface Asked {
  readonly status: number
  readonly location: string
  readonly text: string
  readonly setCookies: readonly string[]
}

/** Sends requests over a few connections that stay open: a new one for each case would cost more than the case. */
export function client() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  afterwards(() => agent.destroy())
  return (url: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}) =>
    new Promise<Asked>((resolve, reject) => {
      const { hostname, port } = new URL(url)
      const path = url.slice(url.indexOf('/', 8))
      const request = http.request(
        {
          hostname,
          port,
          path,
          agent,
          method: options.method ?? 'GET',
          headers: { accept: 'text/html', ...options.headers },
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              location: response.headers.location ?? '',
              text: Buffer.concat(chunks).toString(),
              setCookies: response.headers['set-cookie'] ?? [],
            }),
          )
        },
      )
      request.on('error', reject)
      request.end(options.body)
    })
}

export const cookieHeader = (browser: TestBrowser, lab: Pick<Lab, 'url'>): string =>
  [...browser.jar(lab.url)].map(([name, value]) => `${name}=${value}`).join('; ')

/** Strings that parsers trip over, and any others. */
export const nasty: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 60 }),
  fc.constantFrom(
    '',
    '__proto__',
    'constructor',
    '\0',
    '\r\nSet-Cookie: a=b',
    '//evil.example',
    'null',
    '[object Object]',
    '%',
    '\ud800',
  ),
)

/** Additions that turn the name of a parameter into a list, an object or another name. */
export const suffix: fc.Arbitrary<string> = fc.constantFrom('', '', '', '[]', '[a]', '[__proto__]', '[0][1]', '%00')

/** Half a surrogate pair cannot be encoded; UTF-8 has a character for it. */
export function encoded(text: string): string {
  return encodeURIComponent(Buffer.from(text).toString())
}
