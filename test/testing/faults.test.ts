import http = require('node:http')

import { type FakeBitbucket, type FakeFault, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CERTIFICATE, CERTIFICATE_KEY } from './certificate'
import { authorizeURL, callbackOf, exchange, get, send, tokenOf } from './client'

let fake: FakeBitbucket
let token: string
beforeAll(async () => {
  fake = await startFakeBitbucket({ people: [{ key: 'carol', displayName: 'Carol Côté 🌻' }] })
})
afterEach(() => fake.reset())
afterAll(() => fake.close())

/** Asks for the person under a script. */
async function userUnder(fault: FakeFault) {
  token = await tokenOf(fake, 'carol')
  fake.script('user', fault)
  return get(fake, '/user', token)
}

/** The code of the error that a request ends in. */
const failureOf = (request: Promise<unknown>) =>
  request.then(
    () => 'no failure',
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  )

/** Whether a request has not settled after a while. */
function isSilent(request: Promise<unknown>): Promise<boolean> {
  const settled = request.then(
    () => false,
    () => false,
  )
  return Promise.race([settled, new Promise<boolean>((resolve) => setTimeout(resolve, 150, true))])
}

describe('a scripted fault', () => {
  it.each<[string, FakeFault, number, string, string]>([
    ['JSON', { json: { a: 1 } }, 200, 'application/json; charset=utf-8', '{"a":1}'],
    ['JSON null', { json: null }, 200, 'application/json; charset=utf-8', 'null'],
    ['text', { status: 503, text: 'no' }, 503, 'text/plain; charset=utf-8', 'no'],
    ['HTML', { status: 502, html: '<p>' }, 502, 'text/html; charset=utf-8', '<p>'],
    ['bytes', { bytes: Buffer.from('{"') }, 200, 'application/json; charset=utf-8', '{"'],
    ['headers over its own', { text: 'x', headers: { 'Content-Type': 'text/csv' } }, 200, 'text/csv', 'x'],
  ])('can be %s', async (_what, fault, status, type, text) => {
    const answer = await userUnder(fault)
    expect([answer.status, answer.headers['content-type'], answer.text]).toEqual([status, type, text])
  })

  it('can be a status alone, with an empty body', async () => {
    const answer = await userUnder({ status: 500 })
    expect([answer.status, answer.text]).toEqual([500, ''])
  })

  it('can be a redirect', async () => {
    const answer = await userUnder({ redirect: 'http://127.0.0.1:1/elsewhere' })
    expect([answer.status, answer.headers.location]).toEqual([302, 'http://127.0.0.1:1/elsewhere'])
    expect((await userUnder({ redirect: '/x', status: 307 })).status).toBe(307)
  })

  it('can be headers on top of the normal answer', async () => {
    const answer = await userUnder({ headers: { 'Retry-After': '7' } })
    expect([answer.status, answer.headers['retry-after']]).toEqual([200, '7'])
    expect(answer.json().nickname).toBe('carol')
  })

  it.each<[NonNullable<FakeFault['problem']>, number, string]>([
    ['invalid-token', 401, 'Token is invalid'],
    ['expired-token', 401, 'Access token expired.'],
    ['missing-scope', 403, '"required":["account"]'],
    ['not-found', 404, 'Resource not found'],
    ['removed', 410, 'CHANGE-2770'],
    ['rate-limited', 429, 'Rate limit for this resource has been exceeded'],
    ['rate-limited-json', 429, '{"type":"error","error":{"message":"Rate limit for this resource has been exceeded"}}'],
    ['rate-limited-text', 429, 'Rate limit for this resource has been exceeded'],
    ['rate-limited-empty', 429, ''],
  ])('can be the refusal %s', async (problem, status, text) => {
    const answer = await userUnder({ problem })
    expect(answer.status).toBe(status)
    expect(answer.text).toContain(text)
  })

  it('can change the normal answer', async () => {
    const answer = await userUnder({ edit: ({ uuid, ...body }) => ({ ...body, type: 'team' }), status: 203 })
    expect(answer.status).toBe(203)
    expect(answer.json()).toMatchObject({ type: 'team', nickname: 'carol' })
    expect(answer.json()).not.toHaveProperty('uuid')
  })

  it('cannot change what is not JSON, and says so', async () => {
    fake.script('authorize', { edit: (body) => body })
    const answer = await send(authorizeURL(fake))
    expect(answer.status).toBe(500)
    expect(answer.text).toContain('"edit" changes JSON answers')
  })

  it('replaces the endpoint, so a code stays unused', async () => {
    const { code } = await callbackOf(fake, 'carol')
    fake.script('token', [{ status: 502, html: '<h1>Bad gateway</h1>' }])
    expect((await exchange(fake, code)).status).toBe(502)
    expect((await exchange(fake, code)).status).toBe(200)
  })

  it('runs the endpoint if only the delivery is disturbed, so a code is used', async () => {
    const { code } = await callbackOf(fake, 'carol')
    fake.script('token', [{ delivery: 'reset' }])
    expect(await failureOf(exchange(fake, code))).toBe('ECONNRESET')
    expect((await exchange(fake, code)).json().error).toBe('invalid_grant')
  })
})

describe('a scripted fault can arrive', () => {
  it('late', async () => {
    const start = performance.now()
    expect((await userUnder({ delayMs: 80 })).status).toBe(200)
    expect(performance.now() - start).toBeGreaterThan(75)
  })

  it('never: it stalls before the headers', async () => {
    expect(await isSilent(userUnder({ delivery: 'stall' }))).toBe(true)
    expect(fake.requests.at(-1)).toMatchObject({ endpoint: 'user', status: null })
  })

  it('by half: it stalls in the middle of the body', async () => {
    let received = 0
    token = await tokenOf(fake, 'carol')
    fake.script('user', { delivery: 'stall-in-body' })
    const request = send(`${fake.endpoints.apiURL}/user`, {
      headers: { authorization: `Bearer ${token}` },
      onData: (chunk) => {
        received += chunk.length
      },
    })
    expect(await isSilent(request)).toBe(true)
    expect(received).toBeGreaterThan(100)
  })

  it.each<NonNullable<FakeFault['delivery']>>(['truncate', 'reset', 'reset-in-body'])(
    'broken: %s ends the connection before the answer is whole',
    async (delivery) => {
      expect(await failureOf(userUnder({ delivery }))).toBe('ECONNRESET')
    },
  )

  it('byte by byte, so that characters arrive in parts', async () => {
    const sizes: number[] = []
    token = await tokenOf(fake, 'carol')
    fake.script('user', { delivery: 'byte-by-byte' })
    const answer = await send(`${fake.endpoints.apiURL}/user`, {
      headers: { authorization: `Bearer ${token}` },
      onData: (chunk) => sizes.push(chunk.length),
    })
    expect(JSON.parse(answer.text).display_name).toBe('Carol Côté 🌻')
    expect(sizes.length).toBeGreaterThan(answer.text.length / 4)
  })

  it('slowly, in pieces', async () => {
    const start = performance.now()
    const answer = await userUnder({ json: 'x'.repeat(38), slow: { chunkBytes: 10, everyMs: 20 } })
    expect(answer.text).toHaveLength(40)
    expect(performance.now() - start).toBeGreaterThan(55)
  })

  it('endlessly, and only as long as it is read', async () => {
    fake.script('user', { hugeBytes: 200 * 1024 * 1024 })
    const before = process.memoryUsage().arrayBuffers
    const received = await new Promise<number>((resolve) => {
      http.get(`${fake.endpoints.apiURL}/user`, { agent: false }, (answer) => {
        let size = 0
        answer.on('close', () => resolve(size)).on('error', () => undefined)
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > 5_000_000) answer.destroy()
        })
      })
    })
    expect(received).toBeGreaterThan(5_000_000)
    expect(received).toBeLessThan(10_000_000)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50_000_000)
  })

  it('as valid JSON of exactly the huge size', async () => {
    const answer = await userUnder({ hugeBytes: 200_000 })
    expect(answer.text).toHaveLength(200_000)
    expect(answer.json()).toMatch(/^x+$/)
    expect(answer.headers).not.toHaveProperty('content-length')
  })

  it('over TLS as well', async () => {
    const tls = { key: CERTIFICATE_KEY, cert: CERTIFICATE }
    const secure = await startFakeBitbucket({ tls, people: [{ key: 'carol' }] })
    const ask = (fault: FakeFault) => {
      secure.script('user', { json: 'x'.repeat(100), ...fault })
      return send(`${secure.endpoints.apiURL}/user`, { ca: CERTIFICATE })
    }
    try {
      for (const delivery of ['truncate', 'reset', 'reset-in-body'] as const) {
        expect(await failureOf(ask({ delivery }))).toBe('ECONNRESET')
      }
      for (const delivery of ['stall', 'stall-in-body'] as const) expect(await isSilent(ask({ delivery }))).toBe(true)
      expect(await ask({ delivery: 'byte-by-byte' })).toMatchObject({ status: 200 })
    } finally {
      await secure.close()
    }
  })
})

describe('script()', () => {
  const statusOf = async (path = '/user') => (await get(fake, path, token)).status

  it('plays one fault until it is cleared, for its endpoint only', async () => {
    token = await tokenOf(fake, 'carol')
    fake.script('user', { status: 500 })
    expect([await statusOf(), await statusOf(), await statusOf('/user/emails')]).toEqual([500, 500, 200])
    fake.clearScripts('user')
    expect(await statusOf()).toBe(200)
  })

  it('plays a fault as often as "times" says', async () => {
    token = await tokenOf(fake, 'carol')
    fake.script('user', { status: 500, times: 2 })
    expect([await statusOf(), await statusOf(), await statusOf()]).toEqual([500, 500, 200])
  })

  it('plays a list in order, null being normal, and is normal after it', async () => {
    token = await tokenOf(fake, 'carol')
    fake.script('user', [{ status: 500 }, null, { status: 502, times: 2 }])
    const seen = []
    for (let n = 0; n < 5; n++) seen.push(await statusOf())
    expect(seen).toEqual([500, 200, 502, 502, 200])
  })

  it('calls a function for each request, which may take its time', async () => {
    token = await tokenOf(fake, 'carol')
    fake.script('emails', async ({ query }) => (query.page === '2' ? { problem: 'rate-limited' } : undefined))
    expect([await statusOf('/user/emails'), await statusOf('/user/emails?page=2')]).toEqual([200, 429])
  })

  it('replaces the former script', async () => {
    token = await tokenOf(fake, 'carol')
    fake.script('user', { status: 500 })
    fake.script('user', { status: 502 })
    expect(await statusOf()).toBe(502)
    fake.script('emails', { status: 503 })
    fake.clearScripts()
    expect([await statusOf(), await statusOf('/user/emails')]).toEqual([200, 200])
  })

  it('answers 500 with the reason when a function throws or returns nonsense', async () => {
    fake.script('user', () => {
      throw new Error('my own mistake')
    })
    expect((await get(fake, '/user', 'x')).text).toContain('The fake Bitbucket failed: my own mistake')
    fake.script('user', () => ({ statsu: 500 }) as never)
    const answer = await get(fake, '/user', 'x')
    expect([answer.status, answer.text.includes('Did you mean "status"?')]).toEqual([500, true])
  })

  it.each<[string, string, unknown, string]>([
    ['an endpoint', 'users', { status: 500 }, 'There is no endpoint "users" to script. Did you mean "user"?'],
    ['an endpoint far off', 'xyz', { status: 500 }, 'Known: authorize, token, user'],
    ['a key', 'user', { html5: 'x' }, 'A scripted fault has no "html5". Did you mean "html"?'],
    ['a key in a list', 'user', [null, { delay: 5 }], 'Did you mean "delayMs"?'],
    ['a problem', 'user', { problem: 'rate-limit' }, 'Did you mean "rate-limited"?'],
    ['a delivery', 'user', { delivery: 'resets' }, 'Did you mean "reset"?'],
    ['two things said', 'user', { text: 'a', html: 'b' }, 'has text and html. Keep one.'],
    ['two ways', 'user', { delivery: 'stall', hugeBytes: 5 }, 'has delivery and hugeBytes. Keep one.'],
    ['times', 'user', { status: 500, times: 0 }, '"times" of a scripted fault must be a whole number above 0.'],
    ['no fault', 'user', undefined, 'A scripted fault takes an object'],
  ])('refuses what it does not know: %s', (_what, endpoint, script, message) => {
    expect(() => fake.script(endpoint as 'user', script as FakeFault)).toThrow(message)
  })

  it('refuses to clear what cannot be scripted', () => {
    expect(() => fake.clearScripts('users' as 'user')).toThrow('Did you mean "user"?')
  })
})
